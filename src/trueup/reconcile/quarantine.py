"""Orphans moved out of the way, and back: within their own store, under `.trueup/quarantine/<run>/`.

What is about to be moved is noted first, so that whatever a crash leaves can be undone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from trueup import keys
from trueup.catalog.base import Corrections
from trueup.catalog.held import Hold
from trueup.config import Settings, load
from trueup.errors import NotFound, PreconditionFailed, StoreError, TrueupError, UsageError
from trueup.pool.config import pool_config
from trueup.reconcile.compare import ORPHAN
from trueup.reconcile.content import read_md5
from trueup.reconcile.findings import Finding, Findings
from trueup.stores import open_store
from trueup.stores.base import Store


@dataclass(slots=True)
class Restored:
    """What an undo brought back."""

    back: int = 0
    problems: list[str] = field(default_factory=list)


class Journal:
    """What was moved by which run, on this machine."""

    def __init__(self, home: Path) -> None:
        path = home / "reconcile" / "quarantine.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
        try:
            self._db.execute(
                "create table if not exists moved (run text, provider text, key blob, primary key (run, provider, key))"
                " without rowid"
            )
        except sqlite3.Error as error:
            self._db.close()
            raise TrueupError(
                f"{path} cannot be used: {error}", cure="Put it back from a backup, or move it away"
            ) from error

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def note(self, run: str, provider: str, moving: list[str]) -> None:
        """Say what is about to be moved; it is on the disk when this returns."""
        self._db.execute("begin immediate")
        rows = [(run, provider, key.encode("utf-8", "surrogatepass")) for key in moving]
        self._db.executemany("insert or ignore into moved values (?, ?, ?)", rows)
        self._db.execute("commit")

    def forget(self, run: str, provider: str, key: str) -> None:
        """It is back, or never went."""
        here = (run, provider, key.encode("utf-8", "surrogatepass"))
        self._db.execute("delete from moved where run = ? and provider = ? and key = ?", here)

    def rows(self, run: str) -> Iterator[tuple[str, str]]:
        """Provider and key of what a run moved and is not back."""
        found = self._db.execute("select provider, key from moved where run = ? order by provider, key", (run,))
        for provider, key in found.fetchall():
            yield provider, key.decode("utf-8", "surrogatepass")


def place(run: str, key: str) -> str:
    """Where an orphan goes."""
    return f".trueup/quarantine/{run}/{key}"


def plan(run: str, provider: str, findings: Findings) -> None:
    """Say where the orphans of a provider would go."""
    for page in findings.pages(provider):
        for found in page:
            if _is_orphan(found):
                detail = f"it would go to {keys.display(place(run, found.key))}"
                findings.put(found._replace(fix="planned", detail=detail))


def _is_orphan(found: Finding) -> bool:
    return found.verdict == ORPHAN and found.row is None and found.entry is not None


class Aside:
    """Moves the orphans of one provider."""

    def __init__(self, run: str, provider: str, store: Store, corrections: Corrections, hold: Hold) -> None:
        self._run = run
        self._provider = provider
        self._store = store
        self._corrections = corrections
        self._hold = hold

    def move(self, findings: Findings, journal: Journal) -> tuple[bool, bool]:
        """Move each orphan that still is as it was looked at, and on no row. Whether any was, and whether one was left
        where it is. Raises `Busy` when the lock was lost."""
        moved = left = False
        for page in findings.pages(self._provider):
            orphans = [found for found in page if _is_orphan(found)]
            self._hold.check()
            journal.note(self._run, self._provider, [found.key for found in orphans])
            for found in orphans:
                now = self._moved(found, journal)
                findings.put(now)
                moved, left = moved or now.fix == "done", left or now.fix != "done"
        return moved, left

    def _moved(self, found: Finding, journal: Journal) -> Finding:
        to = place(self._run, found.key)
        try:
            if self._ours(found.key):
                raise PreconditionFailed("it came onto the books meanwhile")
            self._store.move(found.key, to, if_match=found.entry)
        except StoreError as error:
            if self._absent(to):
                journal.forget(self._run, self._provider, found.key)
            return found._replace(fix="skipped", detail=str(error))
        return found._replace(fix="done", entry=None, detail=f"it is at {keys.display(to)} now")

    def _ours(self, key: str) -> bool:
        """Whether it has a row by now, or is being uploaded. Nothing of ours comes to lie where an orphan does: an
        upload of a key without a row writes only where nothing is."""
        corrections, provider = self._corrections, self._provider
        return key in corrections.again(provider, [key]) or key in corrections.covered(provider, [key])

    def _absent(self, to: str) -> bool:
        """Whether nothing was moved: an answer may have got lost."""
        try:
            self._store.stat(to)
        except NotFound:
            return True
        except StoreError:
            return False
        return False


def knows(run: str, home: Path) -> bool:
    """Whether a run of this id moved orphans that are not back."""
    if not (home / "reconcile" / "quarantine.db").exists():
        return False
    with closing(Journal(home)) as journal:
        return any(True for _ in journal.rows(run))


def undo(run: str, *, settings: Settings | None = None) -> Restored:
    """Bring back what a run moved. Where something else is in an orphan's place now, it stays in quarantine. Raises
    `UsageError` for a run that moved nothing, and `ConfigError`."""
    settings = settings or load()
    providers = pool_config(settings).providers
    done = Restored()
    with ExitStack() as stack:
        journal = stack.enter_context(closing(Journal(settings.home)))
        rows = list(journal.rows(run))
        if not rows:
            raise UsageError(f"the run {run} moved nothing that is not back", cure="See the ids: trueup runs")
        stores: dict[str, Store] = {}
        for provider, key in rows:
            try:
                if provider not in providers:
                    raise StoreError(f"{provider} is not in the settings")
                if provider not in stores:
                    stores[provider] = open_store(providers[provider].store, settings.environ)
                    stack.callback(stores[provider].close)
                _bring_back(stores[provider], place(run, key), key)
            except NotFound:  # a crash came between the note and the move
                if stores[provider].exists():
                    journal.forget(run, provider, key)
                else:
                    done.problems.append(f"'{keys.display(key)}': {stores[provider].url} is not there")
            except TrueupError as error:
                done.problems.append(f"'{keys.display(key)}' at {provider} stays in quarantine: {error}")
            else:
                done.back += 1
                journal.forget(run, provider, key)
    return done


def _bring_back(store: Store, moved: str, key: str) -> None:
    """Move one back. Where the same lies there already, a crash came between the two halves of a move, and the copy in
    quarantine goes."""
    try:
        store.move(moved, key)
    except PreconditionFailed:
        copy, there = store.stat(moved), store.stat(key)
        if copy.size != there.size or read_md5(store, copy) != read_md5(store, there):
            raise
        store.delete(moved, if_match=copy)
