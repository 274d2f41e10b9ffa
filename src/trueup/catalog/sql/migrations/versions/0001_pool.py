"""The books of the pool."""

import sqlalchemy as sa
from alembic import op

from trueup.catalog.sql.adopt import adopt_books, has_books, refuse_strangers

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables; `storage_stats` may be there from an application that had one."""
    refuse_strangers("objects", "reservations", "outbox")
    if has_books():
        adopt_books()
    else:
        op.create_table(
            "storage_stats",
            sa.Column("provider", sa.Text, primary_key=True),
            sa.Column("total_size_bytes", sa.BigInteger, nullable=False, server_default="0"),
            sa.Column("file_count", sa.BigInteger, nullable=False, server_default="0"),
            sa.Column("reserved_bytes", sa.BigInteger, nullable=False, server_default="0"),
            sa.Column("last_updated", sa.DateTime, nullable=False),
            sa.Column("alert_sent", sa.Boolean, nullable=False, server_default=sa.false()),
            sa.Column("is_full", sa.Boolean, nullable=False, server_default=sa.false()),
            sa.Column("unowned_count", sa.BigInteger, nullable=False, server_default="0"),
            sa.Column("unowned_bytes", sa.BigInteger, nullable=False, server_default="0"),
        )
    op.create_table(
        "objects",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("md5", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False, index=True),
        sa.Column("idempotency", sa.Text, unique=True),
    )
    op.create_table(
        "reservations",
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("md5", sa.Text, nullable=False),
        sa.Column("lease_until", sa.DateTime, nullable=False, index=True),
        sa.Column("idempotency", sa.Text, unique=True),
        sa.UniqueConstraint("provider", "key"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("due_at", sa.DateTime, nullable=False, index=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("sent_at", sa.DateTime),
    )
