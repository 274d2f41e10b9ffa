"""Rows of cells as accounts and their values: headers, keys, what is wrong with them (no I/O)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trueup.records.cells import Absent, a1, folded, text, whole_number
from trueup.records.config import Field
from trueup.records.issues import (
    BAD_CELL,
    DUPLICATE_HEADER,
    DUPLICATE_KEY,
    MISSING_COLUMN,
    MISSING_KEY_COLUMN,
    EmptyTab,
    Issue,
    Trouble,
)
from trueup.records.locales import NumberForm
from trueup.records.merge import Value
from trueup.records.profile import profile_key

_TOTALS = frozenset("total totals sum summe gesamt average somme suma totale totaal итого всего".split())
"""The first word of a row that sums up the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One account's row."""

    number: int
    """As the sheet counts: the header is row 1."""
    profile_url: str
    values: Mapping[str, Value]
    """By field; what is absent is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a sheet says."""

    rows: dict[str, Row] = field(default_factory=dict)
    """By key."""
    issues: list[Issue] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    """The columns that are there, by name; the first is 0."""
    unread: set[tuple[str, str]] = field(default_factory=set)
    """Key and field of the cells that hold something else than a value."""
    nameless: set[int] = field(default_factory=set)
    """Rows with values of which nobody can tell whose they are."""


def read_table(grid: Iterable[Sequence[object]], key: str, fields: Mapping[str, Field], form: NumberForm) -> Table:
    """The rows below a header. Names of columns are compared without regard to case, and a space is as good as a `_`.
    Cells may be missing at the end of a row. Of several rows of one account the first counts.

    Raises `Trouble` where the header does not say which column is which.
    """
    table, lines = Table(), iter(grid)
    if (header := next(lines, None)) is None:
        raise EmptyTab
    places = _places(header, (key, *fields))
    if key not in places:
        raise Trouble(MISSING_KEY_COLUMN, f"there is no column {key} in the first row")
    table.places.update(places)
    table.issues.extend(Issue(kind=MISSING_COLUMN, field=name) for name in fields if name not in places)
    repeated: dict[str, list[int]] = {}
    columns = [(name, places[name], column.text) for name, column in fields.items() if name in places]
    for number, line in enumerate(lines, 2):
        if not (account := _account(line, number, places[key], table.issues)):
            if _holds_values(line, places, fields) and not _is_total(line, places[key]):
                table.nameless.add(number)
            continue
        url, name = account
        if name in table.rows:
            repeated.setdefault(name, [table.rows[name].number]).append(number)
            continue
        values: dict[str, Value] = {}
        for column, place, is_text in columns:
            cell = line[place] if place < len(line) else None
            said = text(cell) if is_text else whole_number(cell, form)
            if not isinstance(said, Absent):
                values[column] = said
            elif said.reason:
                named = a1(number, place + 1)
                table.unread.add((name, column))
                table.issues.append(Issue(kind=BAD_CELL, cell=named, key=name, field=column, reason=said.reason))
        table.rows[name] = Row(number=number, profile_url=url, values=values)
    table.issues.extend(Issue(kind=DUPLICATE_KEY, key=name, rows=tuple(rows)) for name, rows in repeated.items())
    return table


def _places(header: Sequence[object], wanted: Iterable[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    names = set(wanted)
    spelled = {folded(name): name for name in names}
    for place, cell in enumerate(header):
        name = spelled.get(folded(str(cell))) if cell is not None else None
        if name is None:
            continue
        if name in places:
            raise Trouble(
                DUPLICATE_HEADER, f"two columns are called {name}: {a1(1, places[name] + 1)} and {a1(1, place + 1)}"
            )
        places[name] = place
    return places


def _account(line: Sequence[object], number: int, place: int, issues: list[Issue]) -> tuple[str, str] | None:
    """URL and key of a row; None for one that is no account's."""
    cell = line[place] if place < len(line) else None
    said = text(cell)
    if isinstance(said, str):
        name = profile_key(said)
        if name is not None:
            return said, name
        if _is_total(line, place):
            return None
        said = Absent(f"{said[:40]!r} is no profile URL")
    filled = any(not isinstance(text(other), Absent) for other in line)
    if said.reason or filled:
        reason = said.reason or "the row has no profile URL"
        issues.append(Issue(kind=BAD_CELL, cell=a1(number, place + 1), reason=reason))
    return None


def _is_total(line: Sequence[object], place: int) -> bool:
    said = text(line[place] if place < len(line) else None)
    return isinstance(said, str) and folded(re.split(r"[\s:=]", said)[0]) in _TOTALS


def _holds_values(line: Sequence[object], places: Mapping[str, int], fields: Iterable[str]) -> bool:
    there = [places[name] for name in fields if name in places]
    return any(place < len(line) and isinstance(text(line[place]), str) for place in there)
