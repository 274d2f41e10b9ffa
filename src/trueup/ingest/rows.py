"""Handlers that are built in: the rows of a CSV or NDJSON file into a table.

A table that is not there is made, with a column `trueup_file` that says where each row came from. Where a table has
that column, a file that comes again replaces its rows; elsewhere its rows are added.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from trueup.errors import TrueupError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from trueup.ingest.handler import File

ORIGIN: Final = "trueup_file"
_CHUNK: Final = 1000
_TRUE: Final = frozenset({"true", "t", "yes", "y", "1"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "0"})

Values = Mapping[str, Any]


def into(table: str, kind: str) -> Callable[[File, sa.Connection], None]:
    """The handler that puts the rows of a file into a table; `kind` is `csv` or `ndjson`."""

    def handle(file: File, db: sa.Connection) -> None:
        read = _csv if kind == "csv" else _ndjson
        with file.path.open(encoding="utf-8-sig", newline="" if kind == "csv" else None) as lines:
            _put(table, file.key, read(lines), db)

    return handle


def _put(name: str, key: str, rows: Iterator[Values], db: sa.Connection) -> None:
    import sqlalchemy as sa

    first = list(itertools.islice(rows, 1))
    if not sa.inspect(db).has_table(name):
        if not first:
            return
        _make(name, first[0], db)
    table = sa.Table(name, sa.MetaData(), autoload_with=db)
    columns = dict(table.columns.items())
    if ORIGIN in columns:
        db.execute(table.delete().where(columns[ORIGIN] == key))
    numbered = enumerate(itertools.chain(first, rows), 1)
    while chunk := list(itertools.islice(numbered, _CHUNK)):
        told = [_told(name, number, row, columns) for number, row in chunk]
        if ORIGIN in columns:
            told = [row | {ORIGIN: key} for row in told]
        # Rows may lack some columns: those of the same shape go together.
        for _, same in itertools.groupby(told, key=list):
            db.execute(table.insert(), list(same))


def _make(name: str, row: Values, db: sa.Connection) -> None:
    import sqlalchemy as sa

    kinds: dict[type, type[Any]] = {bool: sa.Boolean, int: sa.BigInteger, float: sa.Double}
    columns = [sa.Column(column, kinds.get(type(value), sa.Text)) for column, value in row.items()]
    sa.Table(name, sa.MetaData(), *columns, sa.Column(ORIGIN, sa.Text, nullable=False, index=True)).create(db)


def _told(table: str, number: int, row: Values, columns: Mapping[str, sa.Column[Any]]) -> dict[str, Any]:
    """A row as its table takes it."""
    told = {}
    for name, value in row.items():
        if name not in columns:
            raise TrueupError(f"row {number}: the table {table} has no column {name!r}")
        try:
            told[name] = _value(value, columns[name])
        except (ValueError, InvalidOperation) as error:
            raise TrueupError(
                f"row {number}: {value!r} does not fit the column {name!r} of {table} ({columns[name].type})"
            ) from error
    return told


def _value(value: object, column: sa.Column[Any]) -> object:
    if isinstance(value, dict | list):
        return json.dumps(value)
    kind = column.type.python_type
    if not isinstance(value, str):
        if isinstance(value, float) and kind is int and not value.is_integer():  # PostgreSQL would round it
            raise ValueError(value)
        return value
    if kind is str:
        return value
    if not value.strip():
        return None
    if kind is bool:
        text = value.strip().lower()
        if text not in _TRUE | _FALSE:
            raise ValueError(value)
        return text in _TRUE
    made: dict[type, Callable[[str], object]] = {
        int: int, float: float, Decimal: Decimal, datetime: datetime.fromisoformat, date: date.fromisoformat,
    }  # fmt: skip
    return made[kind](value.strip()) if kind in made else value


def _csv(lines: Iterable[str]) -> Iterator[Values]:
    rows = csv.reader(lines, strict=True)
    try:
        header = next(rows, [])
        if len(set(header)) != len(header):
            raise TrueupError("the header names a column twice")
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise TrueupError(f"line {rows.line_num} has {len(row)} cells, and the header {len(header)}")
            yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise TrueupError(f"line {rows.line_num}: {error}") from error


def _ndjson(lines: Iterable[str]) -> Iterator[Values]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise TrueupError(f"line {number} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise TrueupError(f"line {number} is no JSON object")
        yield row
