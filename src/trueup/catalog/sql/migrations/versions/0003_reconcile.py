"""Which objects are missing, what a reconcile replaced, and who has a message already."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns, and make the tables."""
    if "alert_limit" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("storage_stats")}:
        op.add_column("storage_stats", sa.Column("alert_limit", sa.BigInteger))
    op.add_column("reservations", sa.Column("removes", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("objects", sa.Column("state", sa.Text, nullable=False, server_default="stored"))
    op.add_column("outbox", sa.Column("delivered", sa.Text, nullable=False, server_default="[]"))
    op.create_table(
        "backups",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("unowned_count", sa.BigInteger, nullable=False),
        sa.Column("unowned_bytes", sa.BigInteger, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("restored_at", sa.DateTime),
    )
    op.create_table(
        "backup_rows",
        sa.Column("backup", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Its own order of text is not that of a listing, and without this every page would sort all that is left.
        op.execute('create index ix_objects_provider_key on objects (provider, key collate "C")')
