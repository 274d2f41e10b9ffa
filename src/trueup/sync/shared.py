"""The memory of one pair in the shared database, where every worker reaches it: all that a state file keeps."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from trueup.catalog.database import open_shared
from trueup.catalog.held import Hold, held
from trueup.catalog.sql.engine import reading
from trueup.catalog.sql.heaps import Heaps
from trueup.catalog.sql.locks import SqlLocks
from trueup.catalog.sql.tables import (
    locks,
    pair_baseline,
    pair_hashes,
    pair_held,
    pair_journal,
    pair_notes,
    pair_runs,
)
from trueup.errors import StoreError, TrueupError
from trueup.sync.pair import Agreed
from trueup.sync.state import Held, JournalRow, PairState, RunRow, pair_id

_MANY: Final = 1000
"""Rows in one statement."""
_BASE: Final = pair_baseline.c
_HASH: Final = pair_hashes.c
_HELD: Final = pair_held.c
_ROW: Final = pair_journal.c
_RUN: Final = pair_runs.c
_NOTE: Final = pair_notes.c


class SharedState(PairState):
    """See `PairState`. Many may write at once: the parts of one run, each in its own range of keys."""

    def __init__(self, url: str, pair: str, *, mirrored: bool = False, home: Path = Path()) -> None:
        """The memory of a pair by its id; `mirrored` when the left place comes second in the order of URLs. Raises
        `ConfigError`, `MissingExtra` and `TrueupError`."""
        self.pair = pair
        self.left_side, self.right_side = ("b", "a") if mirrored else ("a", "b")
        self.path = home / "pairs" / f"{pair}.db"
        self._engine = open_shared(url)
        self._insert: Any = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        self.heaps = Heaps(self._engine, pair)
        self._locks = SqlLocks(self._engine)
        self._lock = lock_of(pair)
        self._hold: Hold | None = None
        self._mine = threading.local()
        self._part: tuple[sa.ColumnElement[bool], ...] = ()
        self._serves = ""
        self._claimed: tuple[str, str] | None = None

    @classmethod
    def of(cls, url: str, left_url: str, right_url: str, home: Path) -> SharedState:
        """The memory of the pair of two places."""
        return cls(url, pair_id(left_url, right_url), mirrored=left_url > right_url, home=home)

    def move_in(self, local: PairState) -> None:
        """Take over what a state file remembers of this pair, unless something is remembered here: that is newer."""
        with self.transaction():
            if self.runs() or self.baseline_rows():
                return
            self.agree(local.baseline())
            self.cache_md5s(local.hashes())
            self.hold((key, held.left_print, held.right_print, held.run) for key, held in local.held().items())
            for row in local.runs():
                self.start_run(row)
                self.write_journal(local.journal(row.run))
            for name, value in local.notes().items():
                self.set_note(name, value)

    def trouble(self, why: str) -> str:
        return why

    @contextmanager
    def locked(self, run: str, *, instead_of: str = "") -> Iterator[None]:
        """Hold the pair for a run, over all machines. A run `instead_of` which is known to be dead is not waited for.
        Raises `Busy`."""
        said = "these two places are being synced"
        with held(self._locks, self._lock, run, said, instead_of=instead_of) as self._hold:
            self.serve(run)
            try:
                yield
            finally:
                self.serve("")

    def require_lock(self) -> None:
        if self._hold is not None:
            self._hold.check()

    def leader(self) -> str:
        """The id of the run that holds the pair, or held it last and did not let go; empty for none."""
        found = self._locks.who(self._lock)
        return found[0].run if found is not None else ""

    def only(self, run: str, first: int, last: int) -> None:
        """Leave intents alone but those of a run with sequences between these: others are other parts', which may be
        alive."""
        self._part = (_ROW.run == run, _ROW.seq.between(first, last))

    def serve(self, run: str) -> None:
        """Write nothing any more from when another run than this one has the pair."""
        self._serves = run

    def claim(self, part: str) -> None:
        """Write nothing any more from when somebody else claims this part of the run that is served."""
        name, token = f"claim {self._serves} {part}", uuid.uuid4().hex
        self.set_note(name, token)
        self._claimed = (name, token)

    def drop_claims(self) -> None:
        """Forget who claimed what."""
        with self._writing() as db:
            claims = _NOTE.name.startswith("claim ", autoescape=True)
            db.execute(pair_notes.delete().where(_NOTE.pair == self.pair, claims))

    def _require_ours(self, db: sa.Connection) -> None:
        """A worker that was thought dead, and a run that slept, learn here that others have gone on without them. A
        lock that ended is still ours as long as nobody has taken it."""
        if self._serves:
            holder = sa.select(locks.c.run).where(locks.c.name == self._lock).with_for_update(read=True)
            if db.scalar(holder) != self._serves:
                raise sqlite3.OperationalError("another run has these two places by now")
        if self._claimed is not None:
            name, token = self._claimed
            if db.scalar(sa.select(_NOTE.value).where(_NOTE.pair == self.pair, _NOTE.name == name)) != token:
                raise sqlite3.OperationalError("another worker has this part by now")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with _as_a_file(), self._engine.begin() as db:
            self._require_ours(db)
            self._mine.db = db
            try:
                yield
            finally:
                del self._mine.db

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        if (db := getattr(self._mine, "db", None)) is not None:
            yield db
        else:
            with _as_a_file(), self._engine.begin() as db:
                yield db

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        if (db := getattr(self._mine, "db", None)) is not None:
            yield db
        else:
            with _as_a_file(), reading(self._engine) as db:
                yield db

    def _put(self, table: sa.Table, rows: Iterable[dict[str, object]]) -> None:
        """Insert rows, in the place of those that have their keys."""
        new = self._insert(table)
        primary = [column.name for column in table.primary_key]
        rest = {column.name: new.excluded[column.name] for column in table.c if column.name not in primary}
        statement = new.on_conflict_do_update(index_elements=primary, set_=rest)
        with self._writing() as db:
            for batch in _batches(rows):
                db.execute(statement, [row | {"pair": self.pair} for row in batch])

    # Baseline

    def _agreed(self) -> sa.Select[Any]:
        left, right = self.left_side, self.right_side
        names = ("key", f"{left}_key", f"{right}_key", "size", "md5", f"{left}_print", f"{right}_print")
        return sa.select(*(_BASE[name] for name in names)).where(_BASE.pair == self.pair)

    def baseline(self, start: str = "", end: str = "") -> Iterator[Agreed]:
        after: sa.ColumnElement[bool] = _BASE.key >= start
        until = [_BASE.key < end] if end else []
        while True:  # pages, so that rows may be written between them
            with self._reading() as db:
                rows = db.execute(self._agreed().where(after, *until).order_by(_BASE.key).limit(5000)).all()
            yield from (Agreed(*row) for row in rows)
            if len(rows) < 5000:
                return
            after = _BASE.key > rows[-1].key

    def has_baseline(self) -> bool:
        return self._scalar(sa.select(_BASE.key).where(_BASE.pair == self.pair).limit(1)) is not None

    def baseline_rows(self) -> int:
        return self._scalar(sa.select(sa.func.count()).where(_BASE.pair == self.pair)) or 0

    def agreed(self, key: str) -> Agreed | None:
        with self._reading() as db:
            row = db.execute(self._agreed().where(_BASE.key == key)).one_or_none()
        return Agreed(*row) if row is not None else None

    def agree(self, rows: Iterable[Agreed]) -> None:
        left, right = self.left_side, self.right_side
        self._put(
            pair_baseline,
            (
                {
                    "key": row.key, f"{left}_key": row.left_key, f"{right}_key": row.right_key, "size": row.size,
                    "md5": row.md5, f"{left}_print": row.left_print, f"{right}_print": row.right_print,
                }
                for row in rows
            ),
        )  # fmt: skip

    def forget(self, keys: Iterable[str]) -> None:
        self._drop(pair_baseline, keys)

    def _drop(self, table: sa.Table, keys: Iterable[str]) -> None:
        with self._writing() as db:
            for batch in _batches(keys):
                db.execute(table.delete().where(table.c.pair == self.pair, table.c.key.in_(batch)))

    # Hash cache

    def cached_md5(self, side: str, key: str, fingerprint: str, size: int) -> str:
        there = (_HASH.pair == self.pair, _HASH.side == self._side(side), _HASH.key == key)
        found = self._scalar(sa.select(_HASH.md5).where(*there, _HASH.print == fingerprint, _HASH.size == size))
        return str(found or "")

    def cache_md5s(self, rows: Iterable[tuple[str, str, str, int, str]]) -> None:
        self._put(
            pair_hashes,
            (
                {"side": self._side(side), "key": key, "print": print_, "size": size, "md5": md5}
                for side, key, print_, size, md5 in rows
            ),
        )

    # Held keys

    def held(self) -> dict[str, Held]:
        left, right = _HELD[f"{self.left_side}_print"], _HELD[f"{self.right_side}_print"]
        with self._reading() as db:
            rows = db.execute(sa.select(_HELD.key, left, right, _HELD.run).where(_HELD.pair == self.pair)).all()
        return {key: Held(*rest) for key, *rest in rows}

    def hold(self, rows: Iterable[tuple[str, str, str, str]]) -> None:
        left, right = f"{self.left_side}_print", f"{self.right_side}_print"
        self._put(pair_held, ({"key": key, left: ours, right: theirs, "run": run} for key, ours, theirs, run in rows))

    def release(self, keys: Iterable[str] | None = None) -> None:
        if keys is not None:
            self._drop(pair_held, keys)
            return
        with self._writing() as db:
            db.execute(pair_held.delete().where(_HELD.pair == self.pair))

    # Journal

    def start_run(self, row: RunRow) -> None:
        self._put(pair_runs, [row._asdict()])

    def run(self, run: str) -> RunRow | None:
        return next((row for row in self.runs() if row.run == run), None)

    def runs(self) -> list[RunRow]:
        names = sa.select(*(_RUN[name] for name in RunRow._fields))
        with self._reading() as db:
            rows = db.execute(names.where(_RUN.pair == self.pair).order_by(_RUN.started_ns, _RUN.run)).all()
        return [RunRow(*row) for row in rows]

    def set_trash(self, run: str, trash: str) -> None:
        with self._writing() as db:
            db.execute(pair_runs.update().where(_RUN.pair == self.pair, _RUN.run == run).values(trash=trash))

    def write_journal(self, rows: Iterable[JournalRow]) -> None:
        self._put(pair_journal, (row._asdict() for row in rows))

    def settle_journal(self, run: str, rows: Iterable[tuple[int, str, str, str, int, str]]) -> None:
        columns = ("state", "error", "wrote_print", "wrote_size", "wrote_md5")
        settle = (
            pair_journal.update()
            .where(_ROW.pair == self.pair, _ROW.run == run, _ROW.seq == sa.bindparam("of"))
            .values({name: sa.bindparam(f"new_{name}") for name in columns})
        )
        with self._writing() as db:
            for batch in _batches(rows):
                named = [
                    {"of": seq} | {f"new_{name}": value for name, value in zip(columns, rest, strict=True)}
                    for seq, *rest in batch
                ]
                db.execute(settle, named)

    def journal(
        self, run: str, *, newest_first: bool = False, states: tuple[str, ...] = (), trashed: bool = False
    ) -> Iterator[JournalRow]:
        wanted = [_ROW.run == run]
        if states:
            wanted.append(_ROW.state.in_(states))
        if trashed:
            wanted.append(_ROW.trashed != 0)
        return self._journal(*wanted, newest_first=newest_first)

    def _journal(self, *wanted: sa.ColumnElement[bool], newest_first: bool = False) -> Iterator[JournalRow]:
        """A run's rows, in pages: they may be settled meanwhile."""
        names = sa.select(*(_ROW[name] for name in JournalRow._fields)).where(_ROW.pair == self.pair, *wanted)
        ordered = names.order_by(_ROW.seq.desc() if newest_first else _ROW.seq).limit(_MANY)
        rest = ordered
        while True:
            with self._reading() as db:
                rows = db.execute(rest).all()
            yield from (JournalRow(*row) for row in rows)
            if len(rows) < _MANY:
                return
            last = rows[-1].seq
            rest = ordered.where(_ROW.seq < last if newest_first else _ROW.seq > last)

    def journal_of(self, run: str, first: int, last: int) -> Iterator[JournalRow]:
        """A run's rows by sequence, from the first to the last."""
        return self._journal(_ROW.run == run, _ROW.seq.between(first, last))

    def open_intents(self) -> list[JournalRow]:
        names = sa.select(*(_ROW[name] for name in JournalRow._fields))
        with self._reading() as db:
            rows = db.execute(names.where(_ROW.pair == self.pair, _ROW.state == "intent", *self._part)).all()
        return [JournalRow(*row) for row in rows]

    def interrupted(self) -> set[str]:
        begun = _ROW.pair == self.pair, _ROW.state == "interrupted"
        with self._reading() as db:
            return set(db.scalars(sa.select(_ROW.key).distinct().where(*begun)))

    def begun_undos(self, run: str) -> set[tuple[str, str]]:
        undos = (_ROW.action.startswith("undo_", autoescape=True), _ROW.state.in_(("intent", "interrupted")))
        with self._reading() as db:
            rows = db.execute(
                sa.select(_ROW.side, _ROW.target).where(_ROW.pair == self.pair, _ROW.reason == run, *undos)
            )
            return {(side, target) for side, target in rows}

    def drop_run(self, run: str) -> None:
        with self._writing() as db:
            db.execute(pair_journal.delete().where(_ROW.pair == self.pair, _ROW.run == run))
            db.execute(pair_runs.delete().where(_RUN.pair == self.pair, _RUN.run == run))

    # Small facts

    def note(self, name: str) -> str:
        return str(self._scalar(sa.select(_NOTE.value).where(_NOTE.pair == self.pair, _NOTE.name == name)) or "")

    def set_note(self, name: str, value: str) -> None:
        self._put(pair_notes, [{"name": name, "value": value}])

    def _scalar(self, query: sa.Select[Any]) -> Any:  # noqa: ANN401 - whatever the column holds
        with self._reading() as db:
            return db.execute(query).scalar()


@contextmanager
def opened_plainly(state: SharedState) -> Iterator[SharedState]:
    """Close it in the end, and raise `TrueupError` for what the database refuses: as it was, where it was one."""
    try:
        yield state
    except sqlite3.DatabaseError as error:
        if isinstance(error.__cause__, TrueupError):
            raise error.__cause__ from None
        raise TrueupError(str(error)) from error
    finally:
        state.close()


@contextmanager
def _as_a_file() -> Iterator[None]:
    """Say of the database what is said of a state file that fails: whoever applies a plan is prepared for that."""
    try:
        yield
    except StoreError:
        raise
    except TrueupError as error:
        raise sqlite3.OperationalError(str(error)) from error


def lock_of(pair: str) -> str:
    """The name of the lock of a pair."""
    return f"sync {pair}"


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(rows)
    while batch := list(islice(rest, _MANY)):
        yield batch
