"""What only one may do at a time."""

import sqlalchemy as sa
from alembic import op

from trueup.catalog.sql.adopt import refuse_strangers

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    refuse_strangers("locks")
    op.create_table(
        "locks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("until", sa.DateTime, nullable=False),
    )
