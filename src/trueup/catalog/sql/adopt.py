"""A database that an application used before: its totals become our books, and its other tables are left alone.

Only columns are added, widened or filled; what the application keeps beside them stays as it is.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from trueup.catalog.base import now
from trueup.catalog.sql.tables import Moment
from trueup.errors import TrueupError

_BOOKS: Final = "storage_stats"
_NUMBERS: Final = ("total_size_bytes", "file_count", "reserved_bytes", "unowned_count", "unowned_bytes")
_FLAGS: Final = ("alert_sent", "is_full")
_PROCESSED: Final = "processed_files"
_ELSEWHERE: Final = "Name another database in [database] url"


def refuse_strangers(*names: str) -> None:
    """Raise `TrueupError` when a table of one of these names is there already: it is somebody else's."""
    there = sa.inspect(op.get_bind())
    for name in names:
        if there.has_table(name):
            raise TrueupError(f"the database has a table '{name}' that is not trueup's", cure=_ELSEWHERE)


def has_books() -> bool:
    """Whether an application kept totals here."""
    return bool(sa.inspect(op.get_bind()).has_table(_BOOKS))


def adopt_books() -> None:
    """Make an application's `storage_stats` fit to be written by us. What it counted belongs to no object of ours, so
    it becomes unowned; what it had promised has no reservation here, and is promised no more. Raises `TrueupError`
    where a column or a row stands in the way."""
    columns = {column["name"]: column for column in sa.inspect(op.get_bind()).get_columns(_BOOKS)}
    _check(columns)
    for name in _NUMBERS:
        _have(columns, sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    for name in _FLAGS:
        _have(columns, sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
    _have(columns, sa.Column("last_updated", sa.DateTime))
    if op.get_bind().dialect.name == "postgresql":
        _widen(columns)
    _fill(counted="unowned_bytes" in columns)
    _name_each_once()


def _check(columns: dict[str, Any]) -> None:
    if "provider" not in columns:
        raise TrueupError(f"the table '{_BOOKS}' has no column 'provider'", cure=_ELSEWHERE)
    sqlite = op.get_bind().dialect.name == "sqlite"
    fits: dict[str, tuple[type[Any], ...]] = {
        "provider": (sa.String,),
        # SQLite keeps flags as numbers and times as text, and takes `timestamp with time zone` for a number.
        **dict.fromkeys(_FLAGS, (sa.Boolean, sa.Integer) if sqlite else (sa.Boolean,)),
        **dict.fromkeys(_NUMBERS, (sa.Integer,)),
        "last_updated": (sa.DateTime, sa.String, sa.NUMERIC) if sqlite else (sa.DateTime,),
    }
    for name, column in columns.items():
        where = f"the column '{name}' of the table '{_BOOKS}'"
        if name in fits:
            if not isinstance(column["type"], fits[name]):
                raise TrueupError(f"{where} is of type {column['type']}, which cannot be used", cure=_ELSEWHERE)
        elif not column["nullable"] and not _fills_itself(column):
            raise TrueupError(
                f"{where} must have a value, and trueup has none for it", cure=f"Give it a default. {_ELSEWHERE} else"
            )


def _fills_itself(column: Any) -> bool:  # noqa: ANN401 - what the inspector tells differs by database
    given = column.get("default") is not None or column.get("identity") or column.get("computed")
    # SQLite counts up an integer that is the primary key.
    rowid = op.get_bind().dialect.name == "sqlite" and column["primary_key"] and isinstance(column["type"], sa.Integer)
    return bool(given or rowid)


def _have(columns: dict[str, Any], wanted: sa.Column[Any]) -> None:
    if wanted.name not in columns:
        op.add_column(_BOOKS, wanted)


def _widen(columns: dict[str, Any]) -> None:
    for name in _NUMBERS:
        if name in columns and not isinstance(columns[name]["type"], sa.BigInteger):
            op.alter_column(_BOOKS, name, type_=sa.BigInteger)
    op.alter_column(_BOOKS, "provider", type_=sa.Text)


def _fill(*, counted: bool) -> None:
    """Put a value where there is none."""
    names = (*_NUMBERS, *_FLAGS, "last_updated")
    books = sa.table(_BOOKS, *map(sa.column, names[:-1]), sa.column("last_updated", Moment))
    empty = {**dict.fromkeys(_NUMBERS, 0), **dict.fromkeys(_FLAGS, sa.false()), "last_updated": now()}
    for name, value in empty.items():
        op.execute(books.update().where(books.c[name].is_(None)).values({name: value}))
    op.execute(books.update().values(reserved_bytes=0))
    if not counted:
        op.execute(books.update().values(unowned_bytes=books.c.total_size_bytes, unowned_count=books.c.file_count))


def _name_each_once() -> None:
    """One row a provider, held by the database from now on."""
    provider = sa.column("provider", sa.Text)
    rows = sa.select(provider).select_from(sa.table(_BOOKS)).group_by(provider).order_by(provider)
    wrong = op.get_bind().scalars(rows.having(sa.or_(sa.func.count() > 1, provider.is_(None)))).all()
    if wrong:
        raise TrueupError(
            f"the table '{_BOOKS}' has not exactly one row for each of: {', '.join(map(repr, wrong))}",
            cure="Leave one row with the right totals for each provider",
        )
    there = sa.inspect(op.get_bind())
    keys: list[list[Any]] = [there.get_pk_constraint(_BOOKS)["constrained_columns"]]
    keys += [list(found["column_names"]) for found in there.get_unique_constraints(_BOOKS)]
    keys += [list(found["column_names"]) for found in there.get_indexes(_BOOKS) if found["unique"]]
    if ["provider"] not in keys:
        op.create_index("ux_storage_stats_provider", _BOOKS, ["provider"], unique=True)


def adopt_processed(*missing: sa.Column[Any]) -> bool:
    """Make an application's `processed_files` fit to be written by us, and say whether there is one. Its rows stay as
    they are and belong to every source. Raises `TrueupError` where a column stands in the way."""
    if not sa.inspect(op.get_bind()).has_table(_PROCESSED):
        return False
    columns = {column["name"]: column for column in sa.inspect(op.get_bind()).get_columns(_PROCESSED)}
    sqlite = op.get_bind().dialect.name == "sqlite"
    fits: dict[str, tuple[type[Any], ...]] = {
        "filename": (sa.String,),
        "success": (sa.Boolean, sa.Integer) if sqlite else (sa.Boolean,),
    }
    for name in fits:
        if name not in columns:
            raise TrueupError(f"the table '{_PROCESSED}' has no column '{name}'", cure=_ELSEWHERE)
    for name, column in columns.items():
        where = f"the column '{name}' of the table '{_PROCESSED}'"
        wanted = next((one for one in missing if one.name == name), None)
        kinds = fits.get(name) or (_kinds(wanted, sqlite=sqlite) if wanted is not None else None)
        if kinds and not isinstance(column["type"], kinds):
            raise TrueupError(f"{where} is of type {column['type']}, which cannot be used", cure=_ELSEWHERE)
        if kinds is None and not column["nullable"] and not _fills_itself(column):
            raise TrueupError(
                f"{where} must have a value, and trueup has none for it", cure=f"Give it a default. {_ELSEWHERE} else"
            )
    for absent in missing:
        if absent.name not in columns:
            op.add_column(_PROCESSED, absent)
    rows = sa.table(_PROCESSED, *(sa.column(name) for name in ("source", "success", "version")))
    op.execute(rows.update().where(rows.c.source.is_(None)).values(source=""))
    op.execute(rows.update().where(rows.c.success.is_(None)).values(success=sa.false()))
    op.execute(rows.update().where(rows.c.success.is_(sa.true())).values(version=1))
    ours = sa.text("source <> ''")  # an application may note a name as often as it likes
    op.create_index(
        "ux_processed_files_source_filename",
        _PROCESSED,
        ["source", "filename"],
        unique=True,
        sqlite_where=ours,
        postgresql_where=ours,
    )
    return True


def _kinds(column: sa.Column[Any], *, sqlite: bool) -> tuple[type[Any], ...]:
    """The types a column of this name may have."""
    if isinstance(column.type, sa.DateTime):
        return (sa.DateTime, sa.String, sa.NUMERIC) if sqlite else (sa.DateTime,)
    return (sa.Integer,) if isinstance(column.type, sa.Integer) else (sa.String,)
