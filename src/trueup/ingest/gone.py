"""Forgetting files that are gone from the server for long, where a job wants that."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from trueup.catalog.base import now
from trueup.catalog.sql.processed import Processed
from trueup.ingest.memory import Memory
from trueup.stores.sort import scratch


class Listed:
    """The names of one listing, outside memory."""

    def __init__(self) -> None:
        self._db = scratch()
        self._db.execute("create table name (key blob primary key) without rowid")
        self._db.execute("begin")
        self.whole = True
        """False when something could not be seen: then nothing is gone."""

    def add(self, names: Iterable[str]) -> None:
        """These are on the server."""
        rows = ((name.encode("utf-8", "surrogatepass"),) for name in names)
        self._db.executemany("insert or ignore into name values (?)", rows)

    def __contains__(self, name: str) -> bool:
        return self._db.execute("select 1 from name where key = ?", (name.encode(),)).fetchone() is not None

    def close(self) -> None:
        """Let the file go."""
        self._db.close()


def forget(processed: Processed, listed: Listed, memory: Memory, age: timedelta) -> None:
    """Note which files are gone since when, and drop the rows of those that have been for longer than `age`. What came
    back in between is not gone, and nothing that is listed is ever forgotten."""
    at = now()
    for page in processed.pages():
        rows = [row for row in page if row.success]
        gone = [row for row in rows if row.filename not in listed]
        processed.gone([row.filename for row in gone if row.gone_since is None], at)
        processed.gone([row.filename for row in rows if row.gone_since is not None and row.filename in listed], None)
        old = [row.filename for row in gone if row.gone_since is not None and at - row.gone_since > age]
        for name in old:
            memory.forget(name)
        processed.forget(old)
