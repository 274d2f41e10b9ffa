"""The local memory of one pair of places: baseline, hash cache, held keys and journal, in one SQLite file.

Rows are kept for sides `a` and `b` in the order of the canonical URLs, so `sync X Y` and `sync Y X` share them.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from trueup.errors import TrueupError
from trueup.runs import CLOSED
from trueup.sync import sql
from trueup.sync.pair import Agreed

SCHEMA_VERSION: Final = 1

_agreed: Final = partial(tuple.__new__, Agreed)
"""`Agreed._make` without the call of a Python function for each of a million rows."""

_SCHEMA: Final = """
create table baseline (
    key text primary key, a_key text not null, b_key text not null, size integer not null, md5 text not null,
    a_print text not null, b_print text not null
) strict, without rowid;
create table hashes (
    side text not null, key text not null, print text not null, size integer not null, md5 text not null,
    primary key (side, key)
) strict, without rowid;
create table held (
    key text primary key, a_print text not null, b_print text not null, run text not null
) strict, without rowid;
create table journal (
    run text not null, seq integer not null, key text not null, action text not null, reason text not null,
    state text not null, side text not null, target text not null, source text not null, trashed integer not null,
    wrote_print text not null, wrote_size integer not null, wrote_md5 text not null, bytes integer not null,
    error text not null, before text not null,
    primary key (run, seq)
) strict, without rowid;
create table runs (
    run text primary key, left_url text not null, right_url text not null, left_spec text not null,
    right_spec text not null, started_ns integer not null, trash text not null
) strict;
create table meta (name text primary key, value text not null) strict, without rowid;
"""


def pair_id(left_url: str, right_url: str) -> str:
    """The identity of a pair: the canonical URLs of both sides, in either order."""
    return hashlib.sha256("\n".join(sorted((left_url, right_url))).encode()).hexdigest()[:16]


def unusable(path: Path, why: str) -> str:
    """What SQLite says of the state file, with the cure."""
    if "full" in why or "I/O" in why:
        cure = "make room on its disk and run again"
    elif "unable to open" in why:
        cure = CLOSED
    else:
        cure = "move it away to start afresh; a first two-way run deletes nothing"
    return f"the state file {path} cannot be used ({why}): {cure}"


@contextmanager
def said_plainly(path: Path) -> Iterator[None]:
    """Turn SQLite's trouble with the state file into an error that names the file and the cure."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise TrueupError(unusable(path, str(error))) from error


class Held(NamedTuple):
    """A key that an undo restored: skipped until either side changes."""

    left_print: str
    right_print: str
    run: str


class JournalRow(NamedTuple):
    """One action of one run. `state`: intent, done, failed or drifted; `interrupted` for an intent a killed run left;
    `undone`. A row of an undo has the action `undo_…`, and as its reason the run that is undone.

    `side` is the side written (`a`/`b`), `target` the raw key there, `source` the raw key a move came from, `trashed`
    whether the previous version lies in the trash of the run, `wrote_*` what the target showed afterwards (in an
    intent: what it will show, as far as that is known), `before` the baseline rows replaced (JSON)."""

    run: str
    seq: int
    key: str
    action: str
    reason: str
    state: str
    side: str
    target: str
    source: str
    trashed: int
    wrote_print: str
    wrote_size: int
    wrote_md5: str
    bytes: int
    error: str
    before: str


class RunRow(NamedTuple):
    """One run that may have left something to undo. `trash`: `kept`, `none` or `emptied`."""

    run: str
    left_url: str
    right_url: str
    left_spec: str
    right_spec: str
    started_ns: int
    trash: str


class PairState:
    """The state file of one pair. One writer at a time (the caller holds the run lock); readers may come and go."""

    def __init__(self, path: Path, *, left_url: str, right_url: str) -> None:
        self.path = path
        self.left_side, self.right_side = ("b", "a") if left_url > right_url else ("a", "b")
        path.parent.mkdir(parents=True, exist_ok=True)
        with said_plainly(path):
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            try:
                self._use_wal()
                # The journal must not run behind the effects it announces, not even over a power cut.
                self._db.execute("pragma synchronous=full")
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    @classmethod
    def at(cls, home: Path, left_url: str, right_url: str) -> PairState:
        """The state of this pair below the state folder."""
        return cls(home / "pairs" / f"{pair_id(left_url, right_url)}.db", left_url=left_url, right_url=right_url)

    def _use_wal(self) -> None:
        """Write ahead. SQLite does not wait for a lock here, as it does elsewhere, and several may open a new file."""
        for _ in range(500):
            try:
                self._db.execute("pragma journal_mode=wal")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                time.sleep(0.01)
            else:
                return
        self._db.execute("pragma journal_mode=wal")

    def _prepare(self) -> None:
        version = self._db.execute("pragma user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise TrueupError(
                f"the state file {self.path} was written by a newer trueup", cure="Update trueup, or move the file away"
            )
        if version == 0:
            with self.transaction():
                if self._db.execute("pragma user_version").fetchone()[0]:
                    return  # another process was faster
                for statement in _SCHEMA.strip().rstrip(";").split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"pragma user_version={SCHEMA_VERSION}")

    def require_lock(self) -> None:
        """Called before a step that changes something. Raises `Busy` when the pair is somebody else's by now; the lock
        of this machine cannot be lost."""

    def trouble(self, why: str) -> str:
        """What the database said, in a sentence for people."""
        return unusable(self.path, why)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # Baseline

    def _agreed_columns(self) -> str:
        left, right = self.left_side, self.right_side
        return f"key, {left}_key, {right}_key, size, md5, {left}_print, {right}_print"

    def baseline(self, start: str = "", end: str = "") -> Iterator[Agreed]:
        """Every row in key order, from `start` to before `end` (empty: all). SQLite compares text as UTF-8 bytes, the
        order of keys."""
        columns, after, begins = self._agreed_columns(), start, ">="
        ends, until = ("and key < ?", (end,)) if end else ("", ())
        # Pages, so that rows may be written between them; small ones stay in the processor's cache: of 5,000 rows each
        # takes half as long again.
        while rows := self._db.execute(
            f"select {columns} from baseline where key {begins} ? {ends} order by key limit 500",
            (after, *until),
        ).fetchall():
            yield from map(_agreed, rows)
            after, begins = rows[-1][0], ">"

    def has_baseline(self) -> bool:
        """Whether anything is agreed on."""
        return self._db.execute("select 1 from baseline limit 1").fetchone() is not None

    def baseline_rows(self) -> int:
        """How many rows there are."""
        return int(self._db.execute("select count(*) from baseline").fetchone()[0])

    def agreed(self, key: str) -> Agreed | None:
        """One row by normal key."""
        row = self._db.execute(f"select {self._agreed_columns()} from baseline where key = ?", (key,)).fetchone()
        return Agreed._make(row) if row else None

    def agree(self, rows: Iterable[Agreed]) -> None:
        """Record agreements, replacing earlier ones."""
        sql.insert(self._db, f"insert or replace into baseline ({self._agreed_columns()})", rows)

    def forget(self, keys: Iterable[str]) -> None:
        """Drop rows."""
        self._db.executemany("delete from baseline where key = ?", ((key,) for key in keys))

    # Hash cache

    def cached_md5(self, side: str, key: str, fingerprint: str, size: int) -> str:
        """The MD5 of this version if it was computed before, else empty. `side` is `left` or `right`."""
        row = self._db.execute(
            "select md5 from hashes where side = ? and key = ? and print = ? and size = ?",
            (self._side(side), key, fingerprint, size),
        ).fetchone()
        return str(row[0]) if row else ""

    def cache_md5s(self, rows: Iterable[tuple[str, str, str, int, str]]) -> None:
        """Remember (side, raw key, fingerprint, size, MD5)."""
        found = ((self._side(side), *rest) for side, *rest in rows)
        sql.insert(self._db, "insert or replace into hashes (side, key, print, size, md5)", found)

    def hashes(self) -> Iterator[tuple[str, str, str, int, str]]:
        """All of it: (`left` or `right`, raw key, fingerprint, size, MD5)."""
        sides = {self.left_side: "left", self.right_side: "right"}
        for side, *rest in self._db.execute("select side, key, print, size, md5 from hashes"):
            yield sides[side], *rest

    def _side(self, side: str) -> str:
        return self.left_side if side == "left" else self.right_side

    # Held keys

    def held(self) -> dict[str, Held]:
        """Keys an undo restored."""
        left, right = self.left_side, self.right_side
        rows = self._db.execute(f"select key, {left}_print, {right}_print, run from held")
        return {key: Held(*rest) for key, *rest in rows}

    def hold(self, rows: Iterable[tuple[str, str, str, str]]) -> None:
        """Hold (key, left fingerprint, right fingerprint, run that was undone)."""
        left, right = self.left_side, self.right_side
        sql.insert(self._db, f"insert or replace into held (key, {left}_print, {right}_print, run)", rows)

    def release(self, keys: Iterable[str] | None = None) -> None:
        """Let keys go; all of them for None."""
        if keys is None:
            self._db.execute("delete from held")
        else:
            self._db.executemany("delete from held where key = ?", ((key,) for key in keys))

    # Journal

    def start_run(self, row: RunRow) -> None:
        """Announce a run."""
        self._db.execute("insert or replace into runs values (?,?,?,?,?,?,?)", row)

    def run(self, run: str) -> RunRow | None:
        """One run."""
        row = self._db.execute("select * from runs where run = ?", (run,)).fetchone()
        return RunRow._make(row) if row else None

    def runs(self) -> list[RunRow]:
        """Every run the journal still holds, oldest first."""
        return [RunRow._make(row) for row in self._db.execute("select * from runs order by started_ns, run")]

    def set_trash(self, run: str, trash: str) -> None:
        """Say what became of a run's trash."""
        self._db.execute("update runs set trash = ? where run = ?", (trash, run))

    def write_journal(self, rows: Iterable[JournalRow]) -> None:
        """Write rows, replacing the intents they settle."""
        sql.insert(self._db, "insert or replace into journal", rows)

    def settle_journal(self, run: str, rows: Iterable[tuple[int, str, str, str, int, str]]) -> None:
        """Say what became of a run's intents: (sequence, state, error, `wrote_print`, `wrote_size`, `wrote_md5`)."""
        columns = ("state", "error", "wrote_print", "wrote_size", "wrote_md5")
        assigned = ", ".join(f"{name} = new.column{number}" for number, name in enumerate(columns, 2))
        named = ((seq, *rest, run) for seq, *rest in rows)
        sql.update(self._db, f"update journal set {assigned}", "run = new.column7 and seq = new.column1", named)

    def journal(
        self, run: str, *, newest_first: bool = False, states: tuple[str, ...] = (), trashed: bool = False
    ) -> Iterator[JournalRow]:
        """A run's rows by sequence, in pages: they may be settled meanwhile. Only those in `states`, and those with
        something in the trash, if asked for."""
        where = f"and state in ({','.join('?' * len(states))})" if states else ""
        where += " and trashed" if trashed else ""
        order, beyond = ("desc", "<") if newest_first else ("asc", ">")
        rest = ""
        after: tuple[int, ...] = ()
        while rows := self._db.execute(
            f"select * from journal where run = ? {where} {rest} order by seq {order} limit 1000",
            (run, *states, *after),
        ).fetchall():
            yield from map(JournalRow._make, rows)
            rest, after = f"and seq {beyond} ?", (rows[-1][1],)

    def open_intents(self) -> list[JournalRow]:
        """What a killed run had begun and not settled."""
        return [JournalRow._make(row) for row in self._db.execute("select * from journal where state = 'intent'")]

    def interrupted(self) -> set[str]:
        """Keys of what killed runs had begun: it may be done, though nobody wrote that down."""
        return {key for (key,) in self._db.execute("select distinct key from journal where state = 'interrupted'")}

    def begun_undos(self, run: str) -> set[tuple[str, str]]:
        """(side, target) of what undos of a run had begun and not settled when they were killed."""
        return set(
            self._db.execute(
                "select side, target from journal where reason = ? and action like 'undo^_%' escape '^' "
                "and state in ('intent', 'interrupted')",
                (run,),
            )
        )

    def drop_run(self, run: str) -> None:
        """Forget a run and its journal."""
        self._db.execute("delete from journal where run = ?", (run,))
        self._db.execute("delete from runs where run = ?", (run,))

    # Small facts

    def note(self, name: str) -> str:
        """A remembered fact about the pair, or empty."""
        row = self._db.execute("select value from meta where name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def notes(self) -> dict[str, str]:
        """Every such fact."""
        return dict(self._db.execute("select name, value from meta"))

    def set_note(self, name: str, value: str) -> None:
        """Remember a fact about the pair."""
        self._db.execute("insert or replace into meta values (?,?)", (name, value))
