"""Opening the file of the read model, to write or only to read."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trueup.records.config import Field
from trueup.records.schema import check_types, create, is_made

_WAIT: Final = 30
"""Seconds for others that write."""
_TRIES: Final = 100
_PAUSE: Final = 0.05
"""Seconds."""


def to_write(path: Path, fields: Mapping[str, Field]) -> sqlite3.Connection:
    """The file with all its tables; it is made where there is none. Raises `ConfigError` for a file of somebody else,
    which stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = _connected(path)
    try:
        is_made(db, path)
        _use_wal(db)
        db.execute("pragma foreign_keys = on")
        _make(db, fields, path)
    except BaseException:
        db.close()
        raise
    return db


def to_read(path: Path, fields: Mapping[str, Field]) -> sqlite3.Connection:
    """The file as it is; one that is not there yet or empty has no rows. Raises `ConfigError` for a file of somebody
    else."""
    if path.exists():
        db = _connected(f"{path.absolute().as_uri()}?mode=ro")
        try:
            if is_made(db, path):
                check_types(db, fields, path)
                return db
        except BaseException:
            db.close()
            raise
        db.close()
    db = _connected(":memory:")
    _make(db, fields, path)
    return db


def _connected(to: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(to, uri=isinstance(to, str), timeout=_WAIT, isolation_level=None)
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
