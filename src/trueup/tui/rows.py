"""The rows behind the file table: a plain list that is filtered and sorted, never copied into widgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from trueup import events, keys
from trueup.stores.base import Entry
from trueup.sync.item import Item, Phase
from trueup.tui import words

LIMIT: Final = 200_000
"""Rows the table holds at most: each takes about half a kilobyte of memory. Counts are always those of the plan."""

COLUMNS: Final = ("Action", "File", "Size", "Status", "Details")

QUIET: Final = frozenset({"adopt", "marker"})
"""Rows nobody needs to see one by one: they change no side."""


@dataclass(slots=True, eq=False)
class Row:
    """One line of the table, and what its details show."""

    action: str
    key: str
    name: str
    """The key as it may be shown; of a move, both keys."""
    size: int
    status: str
    details: str
    left: Entry | None = None
    right: Entry | None = None
    _text: str = ""

    @property
    def verb(self) -> str:
        """`copy right`, as the table shows the action."""
        return self.action.replace("_", " ")

    @property
    def text(self) -> str:
        """What the filter looks at."""
        if not self._text:
            self._text = f"{self.verb} {self.name} {self.status} {self.details}".lower()
        return self._text

    def settle(self, status: str, details: str) -> None:
        """What became of it."""
        self.status, self._text = status, ""
        if details:
            self.details = details


def planned(item: Item, clean: Callable[[str], str]) -> Row:
    """The row of a planned item; `clean` makes what somebody else said fit to be shown."""
    note = item.phase is Phase.NOTE
    there = item.left or item.right
    return Row(
        action=item.action.value,
        key=item.key,
        name=_name(item.key, item.source),
        size=item.bytes or (there.size if there else 0),
        status=item.outcome or ("skipped" if note else "planned"),
        details=clean(item.error) if item.error else item.reason,
        left=item.left,
        right=item.right,
    )


def finished(event: events.ItemFinished, details: str) -> Row:
    """The row of an action that no plan announced, as those of an undo."""
    return Row(
        action=str(event.action),
        key=event.key,
        name=_name(event.key, event.source or ""),
        size=event.bytes,
        status=event.outcome,
        details=details or event.reason,
    )


def _name(key: str, source: str) -> str:
    shown = keys.display(key)
    return f"{keys.display(source)} → {shown}" if source else shown


_SORTED: Final[tuple[Callable[[Row], Any], ...]] = (
    lambda row: row.action,
    lambda row: row.name,
    lambda row: row.size,
    lambda row: row.status,
    lambda row: row.details,
)


@dataclass(slots=True)
class Rows:
    """Every row, the order they are in, and those that pass the filter."""

    everything: list[Row] = field(default_factory=list)
    shown: list[Row] = field(default_factory=list)
    column: int | None = None
    """The column they are sorted by; None is the order of the plan."""
    descending: bool = False
    needle: str = ""
    _ordered: list[Row] = field(default_factory=list)
    _by_key: dict[tuple[str, str], Row] = field(default_factory=dict)

    def fill(self, rows: Iterable[Row]) -> None:
        """Take other rows. Filter and order stay."""
        self.everything = list(islice(rows, LIMIT))
        self._by_key = {(row.action, row.key): row for row in self.everything}
        self._order()

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows in one go."""
        fresh = list(islice(rows, max(0, LIMIT - len(self.everything))))
        self.everything.extend(fresh)
        self._by_key.update(((row.action, row.key), row) for row in fresh)
        self._order()

    def find(self, action: str, key: str) -> Row | None:
        """The row of an action, if the table holds it."""
        return self._by_key.get((action, key))

    def sort(self, column: int) -> None:
        """Sort by a column; the same column again turns the order round, and a third time gives the plan's order."""
        if self.column != column:
            self.column, self.descending = column, False
        elif not self.descending:
            self.descending = True
        else:
            self.column, self.descending = None, False
        self._order()

    def filter(self, text: str) -> None:
        """Show the rows that hold every one of these words."""
        self.needle = text.lower()
        self._choose()

    def again(self) -> None:
        """Order and filter once more, after rows changed."""
        self._order()

    def _order(self) -> None:
        if self.column is None:
            self._ordered = self.everything
        else:
            self._ordered = sorted(self.everything, key=_SORTED[self.column], reverse=self.descending)
        self._choose()

    def _choose(self) -> None:
        found = self._ordered
        for word in self.needle.split():
            found = [row for row in found if word in row.text]
        self.shown = found


def described(row: Row) -> list[tuple[str, str]]:
    """Everything there is to say about a row: (label, text)."""
    lines = [
        ("File", row.name),
        ("Action", words.EFFECTS.get(row.action, words.NOTES.get(row.action, row.verb))),
        ("Size", words.size(row.size)),
        ("Status", row.status),
        ("Details", row.details),
    ]
    for label, entry in (("Left", row.left), ("Right", row.right)):
        if entry is not None:
            lines.append((label, f"{words.size(entry.size)}, {_moment(entry.mtime_ns)}"))
    return lines


def _moment(mtime_ns: int) -> str:
    """A time in UTC, as the settings and the reports give it."""
    if not mtime_ns:
        return "time unknown"
    try:
        return f"{datetime.fromtimestamp(mtime_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return "time out of range"
