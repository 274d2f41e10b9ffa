"""Which objects are missing, what a reconcile replaced, and who has a message already."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns, and make the tables."""
    op.add_column("objects", sa.Column("state", sa.Text, nullable=False, server_default="stored"))
    op.add_column("outbox", sa.Column("delivered", sa.Text, nullable=False, server_default="[]"))
    op.create_table(
        "backups",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
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
