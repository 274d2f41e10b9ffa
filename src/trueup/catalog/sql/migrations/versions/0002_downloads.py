"""What was fetched, and what ran."""

import sqlalchemy as sa
from alembic import op

from trueup.catalog.sql.adopt import refuse_strangers

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    refuse_strangers("downloads", "runs")
    op.create_table(
        "downloads",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("url", sa.Text, nullable=False, index=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("storage_provider", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("file_size", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False, index=True),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.Column("running", sa.Text, unique=True),
        sa.Index("ix_downloads_status_updated_at", "status", "updated_at"),
    )
    op.create_table(
        "runs",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("started", sa.Text, nullable=False, index=True),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
    )
