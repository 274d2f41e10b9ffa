"""Which cells of a sheet get a merged value (no I/O).

Nothing that a person would miss is written over: no formula, no text that could not be read, nothing that was edited
since it was merged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from trueup.records.cells import EXACT, a1
from trueup.records.config import Field
from trueup.records.issues import CELL_EDITED, FORMULA_KEPT, ROW_MOVED, Issue
from trueup.records.merge import SHEET, SUM, Value
from trueup.records.readmodel import Account
from trueup.records.table import Table

_NOT_BACK: Final = frozenset({SHEET, SUM})
"""Rules that would take what was written for something that a person said: a sum would grow with each run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell and what it shall hold."""

    key: str
    field: str
    value: Value
    row: int
    """The header's is 1."""
    column: int
    """The first is 0."""


def wanted(table: Table, accounts: Iterable[Account], fields: Mapping[str, Field]) -> list[Cell]:
    """The cells that hold something else than was merged. A pin stays out of the sheet, so that taking it away brings
    back what stands there."""
    cells = []
    back = [name for name, column in fields.items() if column.rule not in _NOT_BACK and name in table.places]
    for account in accounts:
        row = table.rows.get(account.key)
        for name in back if row else ():
            assert row is not None
            value = account.values.get(name)
            if value is None or value == row.values.get(name):
                continue
            # Sheets holds no larger number exactly.
            large = isinstance(value, int) and value > EXACT
            if not large and name not in account.pins and (account.key, name) not in table.unread:
                cell = Cell(key=account.key, field=name, value=value, row=row.number, column=table.places[name])
                cells.append(cell)
    return cells


def decide(
    cells: Iterable[Cell], before: Table, now: Table, formulas: Collection[tuple[int, int]]
) -> tuple[list[Cell], list[Issue]]:
    """Of the cells that were `wanted` those that may be written, where they are now, and why not the others.

    `before` is the table that was merged, `now` the same tab read again, `formulas` rows and columns of its cells that
    nobody typed a value into, both from 1.
    """
    writes: list[Cell] = []
    issues: list[Issue] = []
    moved: set[str] = set()
    for cell in cells:
        row = now.rows.get(cell.key)
        if (row is None or row.number != cell.row) and cell.key not in moved:
            moved.add(cell.key)
            rows = (cell.row, row.number) if row else (cell.row,)
            issues.append(Issue(kind=ROW_MOVED, key=cell.key, rows=rows, reason="" if row else "the row is gone"))
        if row is None or cell.field not in now.places:
            continue
        here = replace(cell, row=row.number, column=now.places[cell.field])
        name = a1(here.row, here.column + 1)
        stands = row.values.get(cell.field)
        if stands == cell.value:
            continue
        if (here.row, here.column + 1) in formulas:
            issues.append(Issue(kind=FORMULA_KEPT, cell=name, key=cell.key, field=cell.field))
        elif stands != before.rows[cell.key].values.get(cell.field) or (cell.key, cell.field) in now.unread:
            issues.append(Issue(kind=CELL_EDITED, cell=name, key=cell.key, field=cell.field))
        else:
            writes.append(here)
    return writes, issues
