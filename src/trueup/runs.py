"""One run's life: its id, its lock, and the history of runs."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from trueup.errors import Busy, TrueupError

_promised: list[str] = []
"""The id of the next run in this process, if somebody knows it already."""
_held: set[int] = set()
"""The descriptors of the lock files that this process holds."""


def new_run_id(now: datetime | None = None) -> str:
    """An id that sorts by time: `20261121T103400Z-3f9c1a`."""
    if _promised:
        return _promised.pop()
    return f"{(now or datetime.now(UTC)):%Y%m%dT%H%M%SZ}-{os.urandom(3).hex()}"


def promise_run_id(run: str) -> None:
    """Let the next run of this process have this id: whoever asked for it was told so."""
    _promised[:] = [run]


def stamped(at: datetime) -> str:
    """A time (UTC) as the history keeps it: `2026-11-21T10:34:00.000Z`."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def run_lock(path: Path, *, run: str, what: str = "these two places are being synced") -> Iterator[str]:
    """Hold the lock file for one run. Raises `Busy` at once when another process (or thread) holds it; `what` begins
    its message. Yields the id of the run that held it last, if that was killed; else nothing.

    The operating system drops the lock with the process, so there are no stale locks. Only who holds the lock may
    remove the file.
    """
    with _locked(path, what) as file:
        killed = _run_in(_text(file))
        file.truncate(0)
        file.write(f"run {run} (process {os.getpid()})")
        file.flush()
        try:
            yield killed
        finally:
            file.truncate(0)


def run_at(path: Path) -> str:
    """The id of the run that holds a lock file now; empty where none does."""
    try:
        with path.open("r", encoding="utf-8") as file:
            run = _run_in(_text(file))
            # A run that was killed is still named. Only where one is, the lock is taken, for a moment.
            return "" if run and _try_lock(file.fileno()) else run
    except FileNotFoundError:
        return ""


@contextmanager
def _locked(path: Path, what: str) -> Iterator[TextIO]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file:
            if not _try_lock(file.fileno()):
                holder = _text(file)
                raise Busy(f"{what} by {holder or 'another run'}", cure="Wait for it, or stop it", run=_run_in(holder))
            # Whoever held it may have removed the file meanwhile: then this is the lock of no name.
            if _same_file(path, file.fileno()):
                _held.add(file.fileno())
                try:
                    yield file
                finally:
                    _held.discard(file.fileno())
                return


def _let_go() -> None:
    """A forked child shares its parent's locks, and would keep them when the parent is killed."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in _held:
        os.dup2(nothing, handle, inheritable=False)
    os.close(nothing)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _text(file: TextIO) -> str:
    file.seek(0)
    return file.read(200).strip()


def _run_in(text: str) -> str:
    """The id that a holder has written."""
    found = re.match(r"run (\S+) \(", text)
    return found[1] if found else ""


def _same_file(path: Path, handle: int) -> bool:
    try:
        found, held = path.stat(), os.fstat(handle)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)


if sys.platform == "win32":  # pragma: no cover - not run on the machines that test this
    import msvcrt

    def _try_lock(handle: int) -> bool:
        # msvcrt locks from the file position on; a byte far behind the text leaves the text readable.
        os.lseek(handle, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        os.lseek(handle, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


CLOSED: Final = "see whether it is a file that you may write, and raise 'ulimit -n' where too many are open"
"""The cure where SQLite cannot open a file; it does not tell why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One finished run, as history keeps it. `summary` is the run's JSON without its items."""

    run: str
    job: str
    name: str
    status: str
    started: str
    seconds: float
    summary: Mapping[str, object]


def unusable_history(path: Path, why: str) -> TrueupError:
    """What SQLite says of the history, with the cure."""
    # A sound file is not to be thrown away because it cannot be opened, or cannot grow.
    if "full" in why or "I/O" in why:
        cure = "Make room on its disk"
    elif "unable to open" in why:
        cure = f"{CLOSED[0].upper()}{CLOSED[1:]}"
    else:
        cure = "Move the file away to start a new one"
    return TrueupError(f"the history {path} cannot be used: {why}", cure=cure)


class RunLog:
    """The history of runs on this machine: one small SQLite file in the state folder."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._path = home / "runs.db"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            db = sqlite3.connect(self._path, timeout=30)
        except sqlite3.Error as error:
            raise unusable_history(self._path, str(error)) from error
        try:
            with db:
                db.execute(
                    "create table if not exists runs (run text primary key, job text, name text, status text, "
                    "started text, seconds real, summary text) strict"
                )
                yield db
        except (sqlite3.DatabaseError, ValueError) as error:  # ValueError: a row that is none of ours
            raise unusable_history(self._path, str(error)) from error
        finally:
            db.close()

    def add(self, record: RunRecord) -> None:
        """Remember a run."""
        row = (
            record.run, record.job, record.name, record.status, record.started, record.seconds,
            json.dumps(record.summary),
        )  # fmt: skip
        with self._open() as db:
            db.execute("insert or replace into runs values (?,?,?,?,?,?,?)", row)

    def latest(self, limit: int = 50) -> list[RunRecord]:
        """The newest runs first."""
        with self._open() as db:
            rows = db.execute("select * from runs order by started desc, run desc limit ?", (limit,)).fetchall()
            return [_record(row) for row in rows]

    def get(self, run: str) -> RunRecord | None:
        """One run by id, or by the beginning of an id if only one has it."""
        with self._open() as db:
            rows = db.execute(
                "select * from runs where substr(run, 1, length(?1)) = ?1 order by run limit 2", (run,)
            ).fetchall()
            exact = [row for row in rows if row[0] == run]
            found = exact or rows
            return _record(found[0]) if len(found) == 1 and run else None


def _record(row: tuple[str, str, str, str, str, float, str]) -> RunRecord:
    run, job, name, status, started, seconds, summary = row
    return RunRecord(
        run=run, job=job, name=name, status=status, started=started, seconds=seconds, summary=json.loads(summary)
    )
