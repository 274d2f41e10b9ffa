"""Opening the file of the read model, to write or only to read."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from trueup.errors import TrueupError
from trueup.records.config import Field
from trueup.records.schema import check_types, create, is_made

_WAIT: Final = 30
"""Seconds for others that write."""
_TRIES: Final = 100
_PAUSE: Final = 0.05
"""Seconds."""


class Opened(NamedTuple):
    """The file, and what raises `TrueupError` once nothing that is done with it can be relied on."""

    db: sqlite3.Connection
    check: Callable[[], None]


def to_write(path: Path, fields: Mapping[str, Field]) -> Opened:
    """The file with all its tables; it is made where there is none. Raises `ConfigError` for a file of somebody else,
    which stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = _connected(path)
    try:
        is_made(db, path)
        _use_wal(db)
        db.execute("pragma foreign_keys = on")
        _make(db, fields, path)
        return Opened(db, _in_place(path))
    except BaseException:
        db.close()
        raise


def to_read(path: Path, fields: Mapping[str, Field]) -> Opened:
    """The file as it is; one that is not there yet or empty has no rows. Raises `ConfigError` for a file of somebody
    else."""
    if path.exists():
        try:
            found = _made(path, fields, "mode=ro", nothing)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
                raise
            # Between two writers only who may write into the folder can make the files that readers lock. Without them
            # all that was written stands in the file itself, which then must not change until it was read.
            unchanged = _unchanged(path)
            if Path(f"{path}-wal").exists():
                raise
            found = _made(path, fields, "mode=ro&immutable=1", unchanged)
        if found:
            return found
    db = _connected(":memory:")
    _make(db, fields, path)
    return Opened(db, nothing)


def nothing() -> None:
    """Of what is locked or nobody else's, nothing need be checked."""


def _made(path: Path, fields: Mapping[str, Field], how: str, check: Callable[[], None]) -> Opened | None:
    db = _connected(f"{path.absolute().as_uri()}?{how}")
    try:
        if is_made(db, path):
            check_types(db, fields, path)
            return Opened(db, check)
    except BaseException:
        db.close()
        raise
    db.close()
    return None


def _in_place(path: Path) -> Callable[[], None]:
    """What is written into a file that nobody finds any more is lost."""
    first = path.stat()

    def check() -> None:
        if not path.exists() or not os.path.samestat(first, path.stat()):
            raise TrueupError(
                f"the read model {path} was moved or deleted while it was written",
                cure="Sync again, and leave it there",
            )

    return check


def _unchanged(path: Path) -> Callable[[], None]:
    def state() -> tuple[int, int, int]:
        now = path.stat()
        return now.st_ino, now.st_size, now.st_mtime_ns

    first = state()

    def check() -> None:
        if state() != first:
            raise TrueupError(
                f"the read model {path} was written while it was read without a lock",
                cure="Try again; who may write into its folder has a lock",
            )

    return check


def _connected(to: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(to, uri=isinstance(to, str), timeout=_WAIT, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    return db


def _make(db: sqlite3.Connection, fields: Mapping[str, Field], path: Path) -> None:
    db.execute("begin immediate")
    try:
        create(db, fields, path)
        db.execute("commit")
    except BaseException:
        db.rollback()
        raise


def _use_wal(db: sqlite3.Connection) -> None:
    """Let readers read while one writes. SQLite does not wait for others itself when the mode of a new file changes."""
    for _ in range(_TRIES):
        try:
            db.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_PAUSE)
    db.execute("pragma journal_mode = wal")
