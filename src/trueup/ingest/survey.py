"""Server, local folder, rows and the handler's own tables, side by side; outside memory."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

from trueup.catalog.base import now
from trueup.ingest.causes import Facts
from trueup.ingest.job import Job
from trueup.ingest.observe import Pass, moment
from trueup.stores.base import Entry, storable_ns, storable_size

_PAGE: Final = 500
_TABLE: Final = """
create table file (
    key blob primary key, server integer, mtime integer, filtered integer, unreadable text,
    local integer, success integer, state text, size integer, held integer, error text, cause text, at real
) without rowid
"""
_SERVER: Final = "insert or replace into file (key, server, mtime, filtered, unreadable) values (?, ?, ?, ?, ?)"
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
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = off", "synchronous = off", "cache_size = -8192"):
            self._db.execute(f"pragma {setting}")
        self._db.execute(_TABLE)
        self._db.execute("begin")

    def close(self) -> None:
        """Forget all."""
        self._db.close()

    def read_server(self) -> None:
        """Look at the source. Raises what listing raises."""
        job = self._job
        with closing(job.source.list(ordered=False)) as entries:
            wanted = (entry for entry in entries if entry.fault in {"", "unreadable"})
            self._db.executemany(_SERVER, (self._listed(entry) for entry in wanted))

    def _listed(self, entry: Entry) -> tuple[bytes, int | None, int, bool, str]:
        scope = self._job.scope
        inside = scope.concerns(entry) if entry.fault else entry.key in scope
        size = None if entry.fault else storable_size(entry.size)
        return _blob(entry.key), size, storable_ns(entry.mtime_ns), not inside, entry.detail if entry.fault else ""

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
                Entry(_text(row[0]), row[1] if row[1] is not None else row[8] or 0, row[2] or 0)
                for row in page
                if not row[3] and not row[4]
            ]
            known = {entry.key for entry in asked} - this.not_done(asked)
        for key, server, mtime, filtered, unreadable, local, success, state, size, held, error, cause, at in page:
            path = _text(key)
            asked_for = known is not None and not filtered and not unreadable
            yield Facts(
                path=path,
                server=server,
                local=local,
                state=state or "",
                success=bool(success),
                size=size,
                domain=path in known if asked_for and known is not None and (success or path in known) else None,
                held=bool(held),
                filtered=bool(filtered),
                unstable=server is not None and mtime > stable_before,
                unreadable=unreadable or "",
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
