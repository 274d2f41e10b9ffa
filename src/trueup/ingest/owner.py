"""Who has a claim, and whether whoever that is still lives.

A lease would tell in the end. On one machine a lock file tells at once: the system drops it with the process.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from trueup.catalog.sql.processed import Row
from trueup.errors import Busy
from trueup.runs import run_lock


class Owner:
    """This process, as it signs its claims. One that only looks makes nothing in its state folder."""

    def __init__(self, home: Path, *, looks_only: bool = False) -> None:
        self._folder = home / "ingest" / "owners"
        self._looks_only = looks_only
        self._machine = _machine(home / "ingest" / "machine", make=not looks_only)
        self._token = secrets.token_hex(8)
        self.name = f"{self._machine}:{self._token}"

    @contextmanager
    def alive(self) -> Iterator[None]:
        """While this process is at work."""
        if self._looks_only:
            yield
            return
        path = self._folder / self._token
        with run_lock(path, run=self.name, what="files are being taken"):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def held(self, row: Row, now: datetime) -> bool:
        """Whether somebody has the claim of a row: a process of this machine that lives, or one of another machine
        whose lease has not ended."""
        machine, _, token = row.owner.partition(":")
        if machine != self._machine:
            return row.lease_until is not None and row.lease_until > now
        return token == self._token or self._lives(token)

    def _lives(self, token: str) -> bool:
        path = self._folder / token
        if not token.isalnum() or not path.exists():
            return False
        try:
            with run_lock(path, run=self.name):
                path.unlink()  # what it left
        except Busy:
            return True
        return False


def _machine(path: Path, *, make: bool) -> str:
    """A name for this machine and this state folder, made once; empty as long as nobody did."""
    if not path.exists():
        if not make:
            return ""
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"machine-{secrets.token_hex(8)}")
        made.write_text(secrets.token_hex(8), "ascii")
        try:
            path.hardlink_to(made)  # whole, and only if nobody was faster
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_text("ascii")
