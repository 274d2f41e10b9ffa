"""Which files were taken."""

import sqlalchemy as sa
from alembic import op

from trueup.catalog.sql.adopt import adopt_processed

revision = "0005"
down_revision = "0004"

_FACTS = (
    sa.Column("state", sa.Text),
    sa.Column("size", sa.BigInteger),
    sa.Column("md5", sa.Text),
    sa.Column("seen", sa.Text),
    sa.Column("version", sa.Integer, nullable=False, server_default="0"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("error", sa.Text),
    sa.Column("cause", sa.Text),
    sa.Column("owner", sa.Text),
    sa.Column("token", sa.Text),
    sa.Column("lease_until", sa.DateTime),
    sa.Column("retry_at", sa.DateTime),
    sa.Column("gone_since", sa.DateTime),
    sa.Column("processed_at", sa.DateTime),
)


def upgrade() -> None:
    """Make the table; it may be there from an application that had one."""
    source = sa.Column("source", sa.Text, nullable=False, server_default="")
    if not adopt_processed(source, *_FACTS):
        op.create_table(
            "processed_files",
            sa.Column("source", sa.Text, primary_key=True, server_default=""),
            sa.Column("filename", sa.Text, primary_key=True),
            sa.Column("success", sa.Boolean, nullable=False, server_default=sa.false()),
            *_FACTS,
            sqlite_with_rowid=False,
        )
    only = sa.text("success IS 0" if op.get_bind().dialect.name == "sqlite" else "success IS false")
    op.create_index(
        "ix_processed_files_unfinished",
        "processed_files",
        ["source", "filename"],
        sqlite_where=only,
        postgresql_where=only,
    )
