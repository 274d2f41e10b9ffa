"""A plan as a value: what a sync would do, kept outside memory, printable, savable, loadable.

The rows live in a temporary SQLite file, so a plan of ten million actions takes no memory. Saved, it is JSON lines.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

from trueup import keys
from trueup.errors import TrueupError, UsageError
from trueup.stores.base import Entry, storable_ns
from trueup.sync import sql
from trueup.sync.decide import Action
from trueup.sync.header import Header
from trueup.sync.item import HIDDEN, PHASES, Item, Phase
from trueup.sync.saved import loaded_header, loaded_item, number, saved_header, saved_item

_NO_ROW: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading something else as an item raises."""
_NO_PLAN: Final = (*_NO_ROW, TrueupError)
"""As a plan."""


_SIDE_COLUMNS: Final = ", ".join(
    f"{side}_key text, {side}_size integer, {side}_mtime_ns integer, {side}_fingerprint text, {side}_md5 text, "
    f"{side}_etag text"
    for side in ("left", "right")
)
_ALL: Final = (0, (1 << 63) - 1)
_ABSENT: Final = (None, None, None, None, None)


class Plan:
    """The items of one planned run. Use as a context manager, or `close` it: the temporary file goes with it."""

    header: Header

    def __init__(self, header: Header, *, folder: Path | None = None) -> None:
        self.header = header
        self.released: list[str] = []
        """Held keys that changed since, so that they need not be held any more."""
        self.unsettled: list[str] = []
        """Keys left for a later run, because somebody was writing them a moment ago."""
        self.to_make: frozenset[str] = frozenset()
        """The sides (`left`, `right`) that are not there yet, and that applying it makes."""
        self.stale = False
        """Whether time has passed since it was made: it was read from a file, or applied before."""
        self.applied = False
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="plan-", suffix=".db", dir=folder)
        os.close(handle)
        self._path = Path(name)
        self.db = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
        """For the steps of planning that rewrite rows in place (moves, clashes)."""
        for pragma in ("journal_mode=off", "synchronous=off", "temp_store=file", "cache_size=-4000"):
            self.db.execute(f"pragma {pragma}")
        self.db.execute(
            "create table items (seq integer primary key, phase integer, key text, action text, reason text, "
            f"bytes integer, {_SIDE_COLUMNS}, md5 text, source text, source_key text, outcome text, error text, "
            "begun integer)"
        )
        self.db.execute("begin")
        if os.name != "nt":  # the open file lives on without its name, so not even a killed run leaves one
            self._path.unlink()
        self._buffer: list[tuple[object, ...]] = []
        self._last = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        self.db.close()
        self._path.unlink(missing_ok=True)

    # Building

    def add(
        self,
        key: str,
        action: Action,
        reason: str,
        *,
        left: Entry | None = None,
        right: Entry | None = None,
        left_key: str = "",
        right_key: str = "",
        bytes: int = 0,  # noqa: A002 - the name in the contract
        md5: str = "",
        source: str = "",
        source_key: str = "",
        error: str = "",
        begun: bool = False,
    ) -> None:
        """Append a row; its phase follows from the action."""
        phase = PHASES.get(action, Phase.NOTE)
        self._append(
            *(phase, _text(key), action, reason, bytes),
            *_columns(left, left_key),
            *_columns(right, right_key),
            *(md5, source, source_key, "", _text(error), begun),
        )

    def _append(self, *row: object, seq: int | None = None) -> None:
        if len(self._buffer) >= 1000:  # before the row, so that `added` finds it
            self.flush()
        self._last = self._last + 1 if seq is None else seq
        self._buffer.append((self._last, *row))

    def added(self) -> Item:
        """The row that was added a moment ago."""
        return _item(self._buffer[-1])

    def restart(self) -> None:
        """Forget every row but those whose effect has begun."""
        self.flush()
        self.db.execute("delete from items where not begun")
        self.db.execute("create index if not exists begun on items (key) where begun")
        self.released, self.unsettled = [], []

    def begun(self) -> Iterator[str]:
        """The keys of the rows whose effect had begun before the last `restart`, in order."""
        after = ""
        page = "select key from items where begun and key > ? order by key limit 1000"
        while rows := self.db.execute(page, (after,)).fetchall():
            yield from (key for (key,) in rows)
            after = rows[-1][0]

    def flush(self) -> None:
        """Write buffered rows."""
        if self._buffer:
            sql.insert(self.db, "insert into items", self._buffer)
            self._buffer.clear()

    # Reading

    def items(
        self, *phases: Phase, hidden: bool = True, begun: bool = True, bounds: tuple[int, int] = _ALL
    ) -> Iterator[Item]:
        """Rows in order of phase and key order, of these phases or all, with sequences from the first bound to the
        last; with those that have begun, or without."""
        self.flush()
        listed = ", ".join(f"'{action}'" for action in HIDDEN)
        shown = "" if hidden else f"and action not in ({listed})"
        shown += "" if begun else " and not begun"
        # In the order of the table's own key, so that all pages of a phase together read the table once.
        page = f"select * from items where phase = ? and seq > ? and seq <= ? {shown} order by seq limit 1000"
        for phase in sorted(phases) or Phase:
            after = bounds[0] - 1
            while True:  # pages, not one long cursor: rows may be updated meanwhile
                rows = self.db.execute(page, (phase, after, bounds[1])).fetchall()
                for row in rows:
                    yield _item(row)
                if len(rows) < 1000:
                    break
                after = rows[-1][0]

    def item(self, seq: int) -> Item | None:
        """The row with a sequence."""
        row = self.db.execute("select * from items where seq = ?", (seq,)).fetchone()
        return _item(row) if row is not None else None

    def counts(self) -> Counter[str]:
        """Rows by action (planned items), without bookkeeping."""
        self.flush()
        found: Counter[str] = Counter()
        for action, rows in self.db.execute("select action, count(*) from items group by action"):
            if action not in HIDDEN:
                found[action] = rows
        return found

    def bytes(self) -> tuple[int, int]:
        """Bytes that will move to the right, and to the left."""
        self.flush()
        sums = dict(self.db.execute("select action, total(bytes) from items where phase = 2 group by action"))
        return int(sums.get(Action.COPY_RIGHT) or 0), int(sums.get(Action.COPY_LEFT) or 0)

    def size(self) -> int:
        """How many actions have an effect on a side."""
        self.flush()
        return int(self.db.execute("select count(*) from items where phase <= 3").fetchone()[0])

    def shares(self, phases: Iterable[Phase], *, parts: int, least: int) -> list[tuple[int, int]]:
        """Up to `parts` parts of nearly as many items of these phases each, and of at least so many: the first and the
        last sequence of each."""
        self.flush()
        listed = ", ".join(str(int(phase)) for phase in phases)
        total = self.db.execute(f"select count(*) from items where phase in ({listed})").fetchone()[0]
        size = max(least, -(-total // parts))
        numbered = f"select seq, row_number() over (order by seq) - 1 as place from items where phase in ({listed})"
        found = self.db.execute(f"select min(seq), max(seq) from ({numbered}) group by place / ? order by 1", (size,))
        return found.fetchall()

    def makes(self, side: str) -> bool:
        """Whether it copies something to a side that has nothing under that key yet."""
        self.flush()
        copy = Action.COPY_LEFT if side == "left" else Action.COPY_RIGHT
        new = f"select 1 from items where action = ? and {side}_size is null limit 1"
        return self.db.execute(new, (copy,)).fetchone() is not None

    def settle(self, rows: Iterable[tuple[str, str, int, int]]) -> None:
        """Record (outcome, error, bytes moved, seq)."""
        self.flush()
        assigned = "outcome = new.column1, error = new.column2, bytes = new.column3"
        sql.update(self.db, f"update items set {assigned}", "seq = new.column4", rows)

    # Saving

    def save(self, file: TextIO) -> None:
        """Write the plan as JSON lines: a header, then an item a line. It holds no credentials."""
        file.write(json.dumps(saved_header(self.header)) + "\n")
        for row in self.saved():
            del row["seq"]  # the reader counts anew
            file.write(json.dumps(row) + "\n")

    def saved(self, *phases: Phase, bounds: tuple[int, int] = _ALL) -> Iterator[dict[str, Any]]:
        """Items as they are saved; which, as in `items`."""
        return map(saved_item, self.items(*phases, bounds=bounds))

    def take(self, rows: Iterable[Mapping[str, Any]], *, numbered: bool = False) -> None:
        """Append saved items; `numbered` ones keep their sequences. They are checked as those of a file. Raises
        `UsageError`."""
        try:
            for row in rows:
                self._insert_loaded(row, number(row["seq"]) if numbered else None)
        except _NO_ROW as error:
            raise UsageError(f"what was saved of a plan cannot be used: {error}") from error
        self.flush()

    @classmethod
    def load(cls, lines: Iterable[str], *, folder: Path | None = None, run: str = "") -> Plan:
        """Read a saved plan, which is untrusted input: every field is checked, every key validated again. `run` is the
        id the plan will be applied under; without it a new one is made. Raises `UsageError`."""
        plan: Plan | None = None
        at = 0
        try:
            for at, line in enumerate(lines, 1):  # noqa: B007 - used in the message
                row = json.loads(line)
                if plan is None:
                    plan = cls(loaded_header(row, run), folder=folder)
                else:
                    plan._insert_loaded(row)
        except _NO_PLAN as error:
            if plan is not None:
                plan.close()
            raise UsageError(f"line {at} is not part of a trueup plan: {error}") from error
        if plan is None:
            raise UsageError("the file holds no plan", cure="Write one with: trueup sync LEFT RIGHT --plan-out FILE")
        plan.flush()
        plan.stale = True
        return plan

    def _insert_loaded(self, row: Mapping[str, Any], seq: int | None = None) -> None:
        item = loaded_item(row)
        self._append(
            *(item.phase, item.key, item.action, item.reason, item.bytes),
            *_columns(item.left, item.left_key),
            *_columns(item.right, item.right_key),
            *(item.md5, item.source, item.source_key, "", item.error, False),
            seq=seq,
        )


def _columns(entry: Entry | None, key: str) -> tuple[object, ...]:
    if entry is None:
        return (_text(key), *_ABSENT)
    mtime_ns = storable_ns(entry.mtime_ns)
    return (_text(key or entry.key), entry.size, mtime_ns, entry.fingerprint, entry.md5, entry.etag)


def _text(key: str) -> str:
    """Names that are not valid Unicode occur in notes only; there they are shown escaped."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return keys.display(key)
    return key


_PHASES: Final = {phase.value: phase for phase in Phase}
_ACTIONS: Final = {action.value: action for action in Action}


def _item(row: tuple[Any, ...]) -> Item:
    seq, phase, key, action, reason, size = row[:6]
    left_key, right_key = row[6], row[12]
    source_key = row[20]
    left = None if row[7] is None else Entry(left_key, *row[7:12])
    right = None if row[13] is None else Entry(right_key, *row[13:18])
    if source_key:  # the entry that moves stands at its old key
        left = left and (left._replace(key=source_key) if action == Action.MOVE_LEFT else left)
        right = right and (right._replace(key=source_key) if action == Action.MOVE_RIGHT else right)
    return Item(
        seq, _PHASES[phase], key, _ACTIONS[action], reason, size, left_key, right_key, left, right, row[18], row[19],
        source_key, row[21], row[22],
    )  # fmt: skip
