"""The queue of jobs, and what they say."""

import sqlalchemy as sa
from alembic import op

from trueup.catalog.sql.adopt import refuse_strangers

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables."""
    refuse_strangers("job_runs", "job_events")
    op.create_table(
        "job_runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, index=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False, index=True),
        sa.Column("started_at", sa.DateTime),
        sa.Column("finished_at", sa.DateTime),
        sa.Column("lease_until", sa.DateTime),
        sa.Column("due_at", sa.DateTime),
        sa.Column("alone", sa.Text, unique=True),
    )
    op.create_table(
        "job_events",
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("events", sa.Text, nullable=False),
    )
