"""Server, local folder, rows and the handler's own tables, side by side; outside memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

from trueup.catalog.base import now
from trueup.catalog.sql.processed import DUPLICATE
from trueup.ingest.causes import Facts
from trueup.ingest.config import IGNORE
from trueup.ingest.job import Job
from trueup.ingest.observe import Pass, in_scope, moment
from trueup.stores.base import Entry, storable_ns, storable_size
from trueup.stores.sort import scratch

_PAGE: Final = 500
_AHEAD_NS: Final = 3_600_000_000_000
"""A clock that is ahead by more than an hour does not come right by itself."""
_TABLE: Final = """
create table file (
    key blob primary key, server integer, mtime integer, filtered integer, unreadable text, refused text,
    local integer, success integer, state text, size integer, held integer, error text, cause text, at real
) without rowid
"""
_SERVER: Final = (
    "insert or replace into file (key, server, mtime, filtered, unreadable, refused) values (?, ?, ?, ?, ?, ?)"
)
_LOCAL: Final = "insert into file (key, local) values (?, ?) on conflict do update set local = excluded.local"
_ROW: Final = (
    "insert into file (key, success, state, size, held, error, cause, at) values (?, ?, ?, ?, ?, ?, ?, ?)"
    " on conflict do update set success = excluded.success, state = excluded.state, size = excluded.size,"
    " held = excluded.held, error = excluded.error, cause = excluded.cause, at = excluded.at"
)


class Survey:
    """All that is known of every file."""

    def __init__(self, this: Pass) -> None:
        self._this = this
        self._db = scratch()
        self._db.execute(_TABLE)
        self._db.execute("begin")

    def close(self) -> None:
        """Forget all."""
        self._db.close()

    def read_server(self) -> None:
        """Look at the source. Raises what listing raises."""
        job = self._job
        with closing(job.source.list(ordered=False)) as entries:
            wanted = (entry for entry in entries if entry.fault != "marker")
            self._db.executemany(_SERVER, (self._listed(entry) for entry in wanted))

    def _listed(self, entry: Entry) -> tuple[bytes, int | None, int, bool, str, str]:
        unreadable = entry.detail if entry.fault == "unreadable" else ""
        refused = "" if unreadable else entry.detail if entry.fault else self._job.local.unaddressable(entry.key) or ""
        size = None if entry.fault or refused else storable_size(entry.size)
        filtered = not in_scope(self._this, entry)
        return _blob(entry.key), size, storable_ns(entry.mtime_ns), filtered, unreadable, refused

    def read_here(self) -> None:
        """Look at the local folder and at the rows."""
        job, at = self._job, now()
        if job.local.exists():
            with closing(job.local.list(ordered=False)) as entries:
                here = (entry for entry in entries if not entry.fault and entry.key in job.scope)
                self._db.executemany(_LOCAL, ((_blob(entry.key), storable_size(entry.size)) for entry in here))
        for page in job.processed.pages():
            rows = (
                (
                    _blob(row.filename),
                    row.success,
                    row.state,
                    row.size,
                    row.token != "" and self._this.owner.held(row, at),
                    row.error,
                    row.cause,
                    row.processed_at.timestamp() if row.processed_at is not None else None,
                )
                for row in page
                if row.filename in job.scope
            )
            self._db.executemany(_ROW, rows)

    def files(self) -> Iterator[Facts]:
        """Every file, by name. Raises `TrueupError` when `already_done` fails."""
        found = self._db.execute("select * from file order by key")
        while page := list(itertools.islice(found, _PAGE)):
            yield from self._facts(page)

    def _facts(self, page: list[tuple[Any, ...]]) -> Iterator[Facts]:
        this, job = self._this, self._job
        stable_before = time.time_ns() - int(job.config.stable_for.total_seconds() * 1e9)
        known: set[str] | None = None
        if job.handler.already_done is not None:
            asked = [
                Entry(_text(row[0]), row[1] if row[1] is not None else row[9] or 0, row[2] or 0)
                for row in page
                if not row[3] and not row[4] and not row[5]
            ]
            known = {entry.key for entry in asked} - this.not_done(asked)
        for (
            key, server, mtime, filtered, unreadable, refused, local, success, state, size, held, error, cause, at,
        ) in page:  # fmt: skip
            path = _text(key)
            expected = success and state != DUPLICATE  # what the bytes did under another name is none of this one's
            yield Facts(
                path=path,
                server=server,
                local=local,
                state=state or "",
                success=bool(success),
                size=size,
                domain=None if known is None else path in known if path in known or expected else None,
                held=bool(held),
                filtered=bool(filtered),
                unstable=server is not None and mtime > stable_before,
                ahead=server is not None and mtime > time.time_ns() + _AHEAD_NS,
                unreadable=unreadable or "",
                refused=refused or "",
                ignores=job.config.on_rewrite == IGNORE,
                error=error or "",
                cause=cause or "",
                at=moment(Entry(path, 0, mtime)) if mtime else datetime.fromtimestamp(at, UTC) if at else None,
            )

    @property
    def _job(self) -> Job:
        return self._this.job


def _blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(blob: bytes) -> str:
    return blob.decode("utf-8", "surrogatepass")
