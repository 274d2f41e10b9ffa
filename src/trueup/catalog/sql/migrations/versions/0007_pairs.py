"""What is remembered of pairs that many machines sync, and what parts of a job hand to each other."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from trueup.catalog.sql.adopt import refuse_strangers

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the tables."""
    tables = ("baseline", "hashes", "held", "journal", "runs", "notes")
    refuse_strangers("job_heaps", *(f"pair_{name}" for name in tables))
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "pair_baseline",
        sa.Column("pair", sa.Text, primary_key=True),
        sa.Column("key", key, primary_key=True),
        *_columns("a_key", "b_key", "md5", "a_print", "b_print", numbers=("size",)),
    )
    op.create_table(
        "pair_hashes",
        sa.Column("pair", sa.Text, primary_key=True),
        sa.Column("side", sa.Text, primary_key=True),
        sa.Column("key", key, primary_key=True),
        *_columns("print", "md5", numbers=("size",)),
    )
    op.create_table(
        "pair_held",
        sa.Column("pair", sa.Text, primary_key=True),
        sa.Column("key", key, primary_key=True),
        *_columns("a_print", "b_print", "run"),
    )
    texts = ("key", "action", "reason", "state", "side", "target", "source", "wrote_print", "wrote_md5", "error")
    op.create_table(
        "pair_journal",
        sa.Column("pair", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("trashed", sa.Integer, nullable=False),
        *_columns(*texts, "before", numbers=("wrote_size", "bytes")),
    )
    op.create_table(
        "pair_runs",
        sa.Column("pair", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, primary_key=True),
        *_columns("left_url", "right_url", "left_spec", "right_spec", "trash", numbers=("started_ns",)),
    )
    op.create_table(
        "pair_notes",
        sa.Column("pair", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        *_columns("value"),
    )
    op.create_table(
        "job_heaps",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("heap", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("lines", sa.LargeBinary, nullable=False),
    )


def _columns(*texts: str, numbers: tuple[str, ...] = ()) -> list[sa.Column[Any]]:
    kinds: dict[str, Any] = dict.fromkeys(texts, sa.Text) | dict.fromkeys(numbers, sa.BigInteger)
    return [sa.Column(name, kind, nullable=False) for name, kind in kinds.items()]
