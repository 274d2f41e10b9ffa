"""How often the workers that had a task were stopped: that is no failed try of it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the column."""
    op.add_column("job_runs", sa.Column("handed_back", sa.Integer, nullable=False, server_default="0"))
