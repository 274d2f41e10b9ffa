"""The tables, as SQL databases have them. Migrations bring a database there; these only name what it then holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator


class Moment(TypeDecorator[datetime]):
    """A time in UTC, whatever the database makes of time zones."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ANN401, ARG002
        """Without its zone: all are UTC."""
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ANN401, ARG002
        """With the zone again; a column of somebody else's may have kept one."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)


metadata = sa.MetaData()

storage_stats = sa.Table(
    "storage_stats",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("total_size_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("file_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reserved_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("last_updated", Moment, nullable=False),
    sa.Column("alert_sent", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("is_full", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("unowned_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("unowned_bytes", sa.BigInteger, nullable=False, server_default="0"),
    # The quota of which the last alert told.
    sa.Column("alert_limit", sa.BigInteger),
)

objects = sa.Table(
    "objects",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("md5", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False, index=True),
    sa.Column("idempotency", sa.Text, unique=True),
    sa.Column("state", sa.Text, nullable=False, server_default="stored"),
)

reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("md5", sa.Text, nullable=False),
    sa.Column("lease_until", Moment, nullable=False, index=True),
    sa.Column("idempotency", sa.Text, unique=True),
    sa.Column("removes", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("provider", "key"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("due_at", Moment, nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("sent_at", Moment),
    # Receivers who have it, while others do not: a JSON list.
    sa.Column("delivered", sa.Text, nullable=False, server_default="[]"),
)

downloads = sa.Table(
    "downloads",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False, index=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("storage_provider", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("file_size", sa.BigInteger, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False, index=True),
    sa.Column("updated_at", Moment, nullable=False),
    # The URL's hash while it is being fetched: so only one does.
    sa.Column("running", sa.Text, unique=True),
    sa.Index("ix_downloads_status_updated_at", "status", "updated_at"),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("started", sa.Text, nullable=False, index=True),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
)

backups = sa.Table(
    "backups",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    # How much of what lies there unowned the run added.
    sa.Column("unowned_count", sa.BigInteger, nullable=False),
    sa.Column("unowned_bytes", sa.BigInteger, nullable=False),
    # The provider's row of `storage_stats` before the run, unless others changed it during the run, and after it: JSON.
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text, nullable=False),
    sa.Column("restored_at", Moment),
)

backup_rows = sa.Table(
    "backup_rows",
    metadata,
    sa.Column("backup", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    # The object's row before the run and after it, where there was one: JSON.
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text),
)

processed_files = sa.Table(
    "processed_files",
    metadata,
    # Empty in rows that an application wrote.
    sa.Column("source", sa.Text, primary_key=True, server_default=""),
    sa.Column("filename", sa.Text, primary_key=True),
    sa.Column("success", sa.Boolean, nullable=False, server_default=sa.false()),
    # NULL in rows that an application wrote: what they mean is in `success` alone.
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
    sa.Column("lease_until", Moment),
    sa.Column("retry_at", Moment),
    sa.Column("gone_since", Moment),
    sa.Column("processed_at", Moment),
    # Those that wait for their effect are few among many.
    sa.Index(
        "ix_processed_files_unfinished",
        "source",
        "filename",
        sqlite_where=sa.text("success IS 0"),
        postgresql_where=sa.text("success IS false"),
    ),
)

locks = sa.Table(
    "locks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    # By the database's clock.
    sa.Column("until", Moment, nullable=False),
)

job_runs = sa.Table(
    "job_runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("job", sa.Text, nullable=False),
    # JSON.
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("status", sa.Text, nullable=False),
    # JSON.
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("handed_back", sa.Integer, nullable=False, server_default="0"),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("cancelled", sa.Boolean, nullable=False),
    sa.Column("created_at", Moment, nullable=False, index=True),
    sa.Column("started_at", Moment),
    sa.Column("finished_at", Moment),
    # By the database's clock, both.
    sa.Column("lease_until", Moment),
    sa.Column("due_at", Moment),
    # What it does, while it waits or is worked at: so only one does.
    sa.Column("alone", sa.Text, unique=True),
)

job_events = sa.Table(
    "job_events",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    # A JSON list.
    sa.Column("events", sa.Text, nullable=False),
)

_Key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""A key, in the order of its UTF-8 bytes."""

pair_baseline = sa.Table(
    "pair_baseline",
    metadata,
    sa.Column("pair", sa.Text, primary_key=True),
    sa.Column("key", _Key, primary_key=True),
    sa.Column("a_key", sa.Text, nullable=False),
    sa.Column("b_key", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("md5", sa.Text, nullable=False),
    sa.Column("a_print", sa.Text, nullable=False),
    sa.Column("b_print", sa.Text, nullable=False),
)

pair_hashes = sa.Table(
    "pair_hashes",
    metadata,
    sa.Column("pair", sa.Text, primary_key=True),
    sa.Column("side", sa.Text, primary_key=True),
    sa.Column("key", _Key, primary_key=True),
    sa.Column("print", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("md5", sa.Text, nullable=False),
)

pair_held = sa.Table(
    "pair_held",
    metadata,
    sa.Column("pair", sa.Text, primary_key=True),
    sa.Column("key", _Key, primary_key=True),
    sa.Column("a_print", sa.Text, nullable=False),
    sa.Column("b_print", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
)

pair_journal = sa.Table(
    "pair_journal",
    metadata,
    sa.Column("pair", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("side", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("trashed", sa.Integer, nullable=False),
    sa.Column("wrote_print", sa.Text, nullable=False),
    sa.Column("wrote_size", sa.BigInteger, nullable=False),
    sa.Column("wrote_md5", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    # A JSON list.
    sa.Column("before", sa.Text, nullable=False),
)

pair_runs = sa.Table(
    "pair_runs",
    metadata,
    sa.Column("pair", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("left_url", sa.Text, nullable=False),
    sa.Column("right_url", sa.Text, nullable=False),
    sa.Column("left_spec", sa.Text, nullable=False),
    sa.Column("right_spec", sa.Text, nullable=False),
    sa.Column("started_ns", sa.BigInteger, nullable=False),
    sa.Column("trash", sa.Text, nullable=False),
)

pair_notes = sa.Table(
    "pair_notes",
    metadata,
    sa.Column("pair", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

job_heaps = sa.Table(
    "job_heaps",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("heap", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    # JSON lines, compressed.
    sa.Column("lines", sa.LargeBinary, nullable=False),
)
