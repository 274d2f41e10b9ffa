"""Spreadsheets in this process: tabs, cells, ranges, with what the real ones do to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Value = str | int | float | bool | None

_COLUMNS: Final = 26
_ROWS: Final = 1000
"""Of a new tab."""
_RANGE: Final = re.compile(r"([A-Za-z]{1,3})?(\d+)?(?::([A-Za-z]{1,3})?(\d+)?)?")
_TAB: Final = re.compile(r"(?:(?P<quoted>'(?:[^']|'')+')|(?P<plain>[^'!:]+))(?:!(?P<cells>[^!]+))?")
_COMMA: Final = frozenset("de es fr it nl pl pt ru".split())
"""Some languages that write 1,5."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. Plain values may stand for cells wherever rows are given."""

    value: Value = None
    """What it comes to. A text that begins with `#`, beside a formula, is an error: `#REF!`."""
    formula: str = ""
    """What was typed, when that was a formula: `=SUM(A1:A3)`."""
    shown: str = ""
    """What people see, where that is more than the value."""
    date: bool = False
    """A number that counts days, shown as a date."""
    spilled: bool = False
    """The formula of another cell put it there."""


class BadRange(Exception):
    """What Google says about it."""


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of a tab; rows and columns from 0, the ends excluded."""

    tab: Tab
    top: int
    left: int
    bottom: int
    right: int

    def __str__(self) -> str:
        """As Google names it in answers."""
        title = self.tab.title
        quoted = title if re.fullmatch(r"[A-Za-z_]\w*", title, re.ASCII) else "'" + title.replace("'", "''") + "'"
        first, last = f"{_letters(self.left)}{self.top + 1}", f"{_letters(self.right - 1)}{self.bottom}"
        return f"{quoted}!{first}" if first == last else f"{quoted}!{first}:{last}"


class Tab:
    """One tab. Cells are named like `B2`."""

    def __init__(self, title: str, number: int, rows: Iterable[Sequence[Value | Cell]] = ()) -> None:
        self.title = title
        self.number = number
        self.rows = 0
        self.columns = 0
        self._cells: list[list[Cell]] = []
        self.replace(rows)

    def replace(self, rows: Iterable[Sequence[Value | Cell]]) -> None:
        """Another content."""
        self._cells = [[_cell(one) for one in row] for row in rows]
        self.rows = max(_ROWS, len(self._cells))
        self.columns = max(_COLUMNS, *map(len, self._cells), 0)

    @property
    def values(self) -> list[list[Value]]:
        """What the cells come to, without what is empty at the ends."""
        return _trimmed([[cell.value if cell.value is not None else "" for cell in row] for row in self._cells])

    def insert(self, row: int, cells: Sequence[Value | Cell] = ()) -> None:
        """Put a row in; the first is 1."""
        self._cells.insert(row - 1, [_cell(one) for one in cells])
        self.rows += 1

    def delete(self, row: int) -> None:
        """Take a row out."""
        del self._cells[row - 1]
        self.rows -= 1

    def __getitem__(self, name: str) -> Cell:
        """A cell by its name."""
        area = self.area(name)
        return self._at(area.top, area.left)

    def __setitem__(self, name: str, value: Value | Cell) -> None:
        """Type a value, or put a cell."""
        area = self.area(name)
        self.put(area.top, area.left, _cell(value))

    def put(self, row: int, column: int, cell: Cell) -> None:
        """The same; both from 0."""
        while len(self._cells) <= row:
            self._cells.append([])
        line = self._cells[row]
        line.extend(Cell() for _ in range(column + 1 - len(line)))
        line[column] = cell

    def area(self, named: str = "") -> Area:
        """What `B2`, `A:C`, `A2:C` or nothing (all of it) names. Raises `BadRange`."""
        found = _RANGE.fullmatch(named)
        if not found:
            raise BadRange(f"Unable to parse range: {named}")
        left, top, right, bottom = found.groups()
        if ":" not in named:
            right, bottom = left, bottom or top
        area = Area(
            self,
            int(top) - 1 if top else 0,
            _number(left) - 1 if left else 0,
            min(int(bottom), self.rows) if bottom else self.rows,
            min(_number(right), self.columns) if right else self.columns,
        )
        if area.top >= self.rows or area.left >= self.columns:
            raise BadRange(
                f"Range ({self.title}!{named}) exceeds grid limits. Max rows: {self.rows}, max columns: {self.columns}"
            )
        return area

    def cells(self, area: Area) -> Iterator[list[Cell]]:
        """Row by row, as far as there are any."""
        for row in range(area.top, min(area.bottom, len(self._cells))):
            yield [self._at(row, column) for column in range(area.left, min(area.right, len(self._cells[row])))]

    def _at(self, row: int, column: int) -> Cell:
        line = self._cells[row] if row < len(self._cells) else []
        return line[column] if column < len(line) else Cell()


class Book:
    """A spreadsheet."""

    def __init__(
        self, book_id: str, title: str, tabs: Mapping[str, Iterable[Sequence[Value | Cell]]], locale: str
    ) -> None:
        self.id = book_id
        self.title = title
        self.locale = locale
        self.shared = True
        """Whether the service account may see it."""
        self.editable = True
        """Whether it may write."""
        self.written: list[str] = []
        """The ranges that were written so far, as Google names them."""
        self.tabs = {name: Tab(name, number, rows) for number, (name, rows) in enumerate(tabs.items())}

    def __getitem__(self, title: str) -> Tab:
        """A tab by its title."""
        return self.tabs[title]

    def area(self, named: str) -> Area:
        """What a range names, like `'Project A'!A:C`. Raises `BadRange`."""
        found = _TAB.fullmatch(named)
        title = found["quoted"][1:-1].replace("''", "'") if found and found["quoted"] else found and found["plain"]
        if found and title in self.tabs:
            return self.tabs[title].area(found["cells"] or "")
        first = next(iter(self.tabs.values()))
        if found and found["plain"] and not found["cells"] and _RANGE.fullmatch(named):
            return first.area(named)
        if not found and _RANGE.fullmatch(named):
            return first.area(named)
        raise BadRange(f"Unable to parse range: {named}")

    def render(self, area: Area, how: str, dates: str) -> list[list[Value]]:
        """The values of an area, `how` being a ValueRenderOption and `dates` a DateTimeRenderOption; what is empty at
        the ends is left out."""
        return _trimmed([[self._rendered(cell, how, dates) for cell in row] for row in area.tab.cells(area)])

    def _rendered(self, cell: Cell, how: str, dates: str) -> Value:
        if cell.value is None and not cell.formula:
            return ""
        if how == "FORMULA" and cell.formula:
            return cell.formula
        if how == "FORMATTED_VALUE" or (cell.date and dates == "FORMATTED_STRING"):
            return self.shown(cell)
        return cell.value if cell.value is not None else ""

    def shown(self, cell: Cell) -> str:
        """What people see."""
        if cell.shown or cell.value is None:
            return cell.shown
        if isinstance(cell.value, bool):
            return str(cell.value).upper()
        text = str(cell.value)
        return text.replace(".", ",") if isinstance(cell.value, float) and self.locale[:2] in _COMMA else text


def written(value: Value, how: str) -> Cell:
    """What becomes of a value, `how` being a ValueInputOption."""
    if how == "RAW" or not isinstance(value, str):
        return Cell(None if value == "" else value)
    if value.startswith("="):
        return Cell("#ERROR!", formula=value)  # nothing is computed here
    if re.fullmatch(r"-?\d+", value):
        return Cell(int(value))
    if re.fullmatch(r"-?\d*\.\d+", value):
        return Cell(float(value))
    if value.upper() in {"TRUE", "FALSE"}:
        return Cell(value.upper() == "TRUE")
    return Cell(value.removeprefix("'") or None)


def extended(value: Value) -> dict[str, Any]:
    """A value as an ExtendedValue."""
    match value:
        case bool():
            return {"boolValue": value}
        case int() | float():
            return {"numberValue": value}
    return {"stringValue": value}


def _cell(given: Value | Cell) -> Cell:
    return given if isinstance(given, Cell) else Cell(None if given == "" else given)


def _trimmed(rows: list[list[Value]]) -> list[list[Value]]:
    for row in rows:
        while row and row[-1] == "" and isinstance(row[-1], str):
            row.pop()
    while rows and not rows[-1]:
        rows.pop()
    return rows


def _letters(column: int) -> str:
    letters, column = "", column + 1
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def _number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
