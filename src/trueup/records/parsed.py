"""Where fresh numbers come from: a file, a query, an API, a function; or the read model, which parsers write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trueup.errors import ConfigError, MissingExtra
from trueup.foreign import described, named_function
from trueup.records.config import Project, RecordsConfig
from trueup.records.fresh import Fresh
from trueup.records.grid import csv_grid
from trueup.records.issues import PARSED_UNAVAILABLE, Trouble
from trueup.records.table import read_table

if TYPE_CHECKING:
    import sqlalchemy as sa

Function = Callable[[str, Project], Mapping[str, object] | None]
Parsed = Callable[[Project, Collection[str]], Fresh]
"""Takes the keys that are asked for. Raises `Trouble`."""
_READING: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)


def open_parsed(config: RecordsConfig) -> Parsed | None:
    """The source that the settings name; None for the read model itself. Raises `ConfigError` and `MissingExtra`."""
    match config.parsed.kind:
        case "readmodel":
            return None
        case "csv":
            return lambda project, keys: _tabular(config, _file(config, project), keys)
        case "sql":
            engine = _engine(config.parsed.database)
            return lambda project, keys: _tabular(config, _query(engine, config.parsed.query, project), keys)
        case "http":
            from trueup.records.answer import read_answer
            from trueup.records.api import ask

            return lambda project, keys: read_answer(ask(config.parsed, project), config, keys)
        case _:
            function = _function(config)
            return lambda project, keys: _called(config, function, project, keys)


def _tabular(config: RecordsConfig, grid: Iterable[list[object]], keys: Collection[str]) -> Fresh:
    """A parser's table says nothing about which accounts there are: what nobody asked for is left out."""
    try:
        table = read_table(grid, config.key, config.fields, config.parsed.form)
    except Trouble as trouble:
        raise Trouble(PARSED_UNAVAILABLE, f"[records.parsed] {trouble.message}") from trouble
    asked = frozenset(keys)
    values = {key: row.values for key, row in table.rows.items() if key in asked}
    return Fresh(values=values, issues=[issue for issue in table.issues if issue.key in values])


def _file(config: RecordsConfig, project: Project) -> list[list[object]]:
    try:
        return [list(row) for row in csv_grid(Path(config.parsed.path.replace("{name}", project.name)))]
    except Trouble as trouble:
        raise Trouble(PARSED_UNAVAILABLE, f"[records.parsed] {trouble.message}") from trouble


def _engine(url: str) -> sa.Engine:
    import sqlalchemy as sa

    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
    try:
        return sa.create_engine(url, hide_parameters=True, poolclass=sa.NullPool)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"a database of {url.partition(':')[0]}", "postgres") from error
    except (ValueError, sa.exc.ArgumentError):  # what they say may hold a part of the password
        raise ConfigError(
            "[records.parsed] database is no URL", cure="Write it like postgresql://user@host/name, the password quoted"
        ) from None


def _query(engine: sa.Engine, query: str, project: Project) -> list[list[object]]:
    """The rows below the names of the columns. SQLite and PostgreSQL are kept from writing."""
    import sqlalchemy as sa

    file = engine.url.database or ""
    if engine.dialect.name == "sqlite" and not Path(file).is_file():  # opening it would make it
        raise Trouble(PARSED_UNAVAILABLE, f"[records.parsed] {file or 'its file'} is not there")
    statement = sa.text(query)
    named: dict[str, Any] = {"name": project.name, "id": project.id}
    try:
        with closing(engine.connect()) as db:
            if engine.dialect.name == "sqlite":
                db.connection.driver_connection.set_authorizer(_reads)  # type: ignore[union-attr]
            options = {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}
            asked = {name: value for name, value in named.items() if name in statement.compile().params}
            result = db.execution_options(**options).execute(statement, asked)
            return [list(result.keys()), *(list(row) for row in result)]
    except sa.exc.SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise Trouble(PARSED_UNAVAILABLE, f"[records.parsed] cannot be read: {said}") from error


def _reads(action: int, *_: object) -> int:
    """What SQLite may do for a query. `attach` and `vacuum into` make files, and `query_only` lets them."""
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _function(config: RecordsConfig) -> Function:
    spelled = config.parsed.function
    where = f"[records.parsed] function = {spelled!r}"
    return named_function(spelled, base=config.base, where=where)[0]


def _called(config: RecordsConfig, function: Function, project: Project, keys: Collection[str]) -> Fresh:
    fresh = Fresh()
    for key in keys:
        try:  # what it gives back is somebody else's as well: a value may refuse to be looked at
            fresh.take(key, dict(function(key, project) or {}), config.fields)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - `sys.exit()`, too, is the account's trouble alone
            fresh.failed[key] = described(error)
    return fresh
