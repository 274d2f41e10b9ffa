"""A transaction that is lent to somebody else's code, which cannot end it: what it writes and what we note of it are
committed together, or not at all."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import sqlalchemy as sa

from trueup.errors import TrueupError

_OURS: Final = "trueup"
"""What is noted with a connection: its transaction when it was lent."""
_TOGETHER: Final = "What it wrote is committed together with the note that the file was taken"
_ENDS: Final = re.compile(r"\s*(commit|end|abort|rollback(?!\s+to))\b", re.IGNORECASE)


@contextmanager
def lent(db: sa.Connection) -> Iterator[None]:
    """Refuse to end the transaction of a connection meanwhile, however it is asked for."""
    db.info[_OURS] = db.get_transaction()
    driver = db.connection.driver_connection
    watched = ("commit", _refuse), ("before_cursor_execute", _refuse_words)
    for event, refuse in watched:
        sa.event.listen(db, event, refuse)
    if isinstance(driver, sqlite3.Connection):  # its `executescript` commits first
        driver.set_authorizer(_authorize)
    try:
        yield
    finally:
        for event, refuse in watched:
            sa.event.remove(db, event, refuse)
        if isinstance(driver, sqlite3.Connection):
            with suppress(sqlite3.ProgrammingError):  # it was closed
                driver.set_authorizer(None)


def require_unended(db: sa.Connection) -> None:
    """Raise `TrueupError` when the transaction that was lent is over, which cannot always be refused."""
    driver = db.connection.driver_connection
    # Only SQLite tells when the driver was asked to undo it.
    undone = isinstance(driver, sqlite3.Connection) and not driver.in_transaction
    if undone or db.get_transaction() is not db.info[_OURS]:
        raise _not_to_end()


def _refuse(_: sa.Connection) -> None:
    raise TrueupError("a handler must not commit", cure=_TOGETHER)


def _refuse_words(_: sa.Connection, _cursor: object, statement: str, *_rest: object) -> None:
    if _ENDS.match(statement):
        raise _not_to_end()


def _not_to_end() -> TrueupError:
    return TrueupError("a handler must not end the transaction that it is given", cure=_TOGETHER)


def _authorize(action: int, what: str | None, *_: object) -> int:
    return sqlite3.SQLITE_DENY if (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK
