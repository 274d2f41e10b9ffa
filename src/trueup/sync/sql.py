"""Long work in SQLite: writing many rows in few steps, and ending a statement that takes long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Final

from trueup.errors import Interrupted
from trueup.stores.stopping import heed

_ROWS: Final = 64
"""Rows in one statement: at 22 columns well below SQLite's limit of 32,766 parameters."""

_STEPS: Final = 100_000
"""Of SQLite's own, of which it takes millions in a second: after so many it is asked whether to go on."""


@contextmanager
def heeding(db: sqlite3.Connection) -> Iterator[None]:
    """Let a stop end what a statement is at: see `trueup.stores.stopping`. Raises `Interrupted`; a file without a
    journal is good for nothing then."""
    db.set_progress_handler(_unwanted, _STEPS)
    try:
        yield
    except sqlite3.OperationalError:
        heed()
        raise
    finally:
        db.set_progress_handler(None, _STEPS)


def _unwanted() -> bool:
    try:
        heed()
    except Interrupted:
        return True
    return False


def insert(db: sqlite3.Connection, into: str, rows: Iterable[Sequence[object]]) -> None:
    """`into` is the statement up to its `values`.

    `executemany` gives the interpreter lock away for each row, and beside busy threads waits for it each time: 40,000
    rows took 0.9 s, and 0.3 s so.
    """
    _execute(db, into + " values ", "", rows)


def update(db: sqlite3.Connection, what: str, where: str, rows: Iterable[Sequence[object]]) -> None:
    """The columns of each row are `new.column1`, `new.column2`, … in `what` (up to the assignments) and `where`."""
    _execute(db, f"{what} from (values ", f") as new where {where}", rows)


def _execute(db: sqlite3.Connection, before: str, after: str, rows: Iterable[Sequence[object]]) -> None:
    rest = iter(rows)
    while chunk := list(islice(rest, _ROWS)):
        one = f"({','.join('?' * len(chunk[0]))})"
        db.execute(before + ",".join([one] * len(chunk)) + after, list(chain.from_iterable(chunk)))
