"""Sorting a listing that does not come in order, outside memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable

from trueup import keys
from trueup.errors import ListingUnfinished
from trueup.stores.base import Entry, storable_ns, storable_size
from trueup.stores.stopping import heeded


def scratch() -> sqlite3.Connection:
    """A temporary database in a file that SQLite removes by itself; what is in it is never written for good."""
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = off", "synchronous = off", "cache_size = -8192"):
        database.execute(f"pragma {setting}")
    return database


def sorted_entries(entries: Iterable[Entry], *, where: str = "") -> Generator[Entry]:
    """The entries in ascending order of `keys.normal(key)`, spelled as they are; memory stays flat.

    All of `entries` is read before the first one comes out; a stop is heeded meanwhile. A key that comes twice means
    that the listing runs in circles: `ListingUnfinished`, which names `where`. The table lies in a temporary file that
    SQLite removes by itself.
    """
    database = scratch()
    try:
        # Keys are compared as bytes: BINARY collation on UTF-8 is the order of code points. A lone surrogate has no
        # UTF-8 form, so keys travel as blobs.
        database.execute(
            "CREATE TABLE entry (normal BLOB, key BLOB, size INTEGER, mtime_ns INTEGER, fingerprint TEXT, md5 TEXT,"
            " etag TEXT, fault TEXT, detail TEXT, PRIMARY KEY (normal, key)) WITHOUT ROWID"
        )
        database.execute("BEGIN")
        try:
            database.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_row, heeded(entries)))
        except sqlite3.IntegrityError:
            raise ListingUnfinished(
                f"the listing{where and ' of '}{where} shows a key twice",
                cure="The server is in trouble, or a proxy answers for it; try again later",
            ) from None
        rows = database.execute(
            "SELECT key, size, mtime_ns, fingerprint, md5, etag, fault, detail FROM entry ORDER BY normal, key"
        )
        for key, *rest in rows:
            yield Entry(key.decode("utf-8", "surrogatepass"), *rest)
    finally:
        database.close()
        if isinstance(entries, Generator):
            entries.close()


def _row(entry: Entry) -> tuple[bytes | str | int, ...]:
    key = entry.key.encode("utf-8", "surrogatepass")
    normal = key if entry.key.isascii() else keys.normal(entry.key).encode("utf-8", "surrogatepass")
    return (normal, key, storable_size(entry.size), storable_ns(entry.mtime_ns), *entry[3:])
