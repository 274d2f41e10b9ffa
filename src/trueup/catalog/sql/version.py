"""Whether anybody has written into a SQLite file since, told without reading a row of it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from trueup.errors import TrueupError


class Version:
    """Of a file that is there. Safe to use from many threads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._first = file.stat()
        # Of its own: what one connection writes is no news to itself. It waits for nobody.
        uri = f"{file.absolute().as_uri()}?mode=ro"
        self._db = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)

    def now(self) -> int | None:
        """Another one than before when somebody has written since; None while the file does not say. Raises
        `TrueupError` once it is not where it was: whoever opens it now finds another one."""
        try:
            in_place = os.path.samestat(self._first, self._file.stat())
        except OSError:
            in_place = False
        if not in_place:
            raise TrueupError(
                f"the database {self._file} was moved, deleted or replaced while it was used",
                cure="Put it back, or start again",
            )
        try:
            return int(self._db.execute("pragma data_version").fetchone()[0])
        except sqlite3.Error:  # who asks it for rows waits, or says why there are none
            return None

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
