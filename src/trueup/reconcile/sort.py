"""Rows in the order of listings, for books that come in another one; outside memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from trueup.keys import normal
from trueup.reconcile.compare import Believed
from trueup.stores.sort import scratch


def plain(row: Believed | None) -> str:
    """A row as text."""
    return json.dumps(row, default=datetime.isoformat)


def believed(text: str) -> Believed | None:
    """A row out of its text."""
    said = json.loads(text)
    if said is None:
        return None
    said[3] = datetime.fromisoformat(said[3]) if said[3] else None
    return Believed(*said)


def sorted_rows(rows: Iterable[Believed]) -> Iterator[Believed]:
    """The rows in ascending order of the normal form of their keys. All of them are read before the first comes out."""
    database = scratch()
    try:
        database.execute("create table row (normal blob, key blob, text text)")
        database.execute("begin")
        database.executemany(
            "insert into row values (?, ?, ?)", ((_blob(normal(row.key)), _blob(row.key), plain(row)) for row in rows)
        )
        for (text,) in database.execute("select text from row order by normal, key"):
            row = believed(text)
            assert row is not None
            yield row
    finally:
        database.close()


def _blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
