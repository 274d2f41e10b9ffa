"""Opening the shared database: which one a URL means, and whether its tables are there."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from trueup.catalog import migrate
from trueup.catalog.base import Ledger, Limits
from trueup.catalog.sql import SqlLedger
from trueup.errors import ConfigError, MissingExtra, TrueupError

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_BUSY_SECONDS = 30


def open_ledger(url: str, limits: Mapping[str, Limits]) -> Ledger:
    """The books of a pool in the database of a URL. A SQLite file is made, and brought up to date; elsewhere
    `upgrade` does that when somebody asks. Raises `ConfigError`, `MissingExtra` and `TrueupError`."""
    engine = _engine(url)
    try:
        if engine.dialect.name == "sqlite":
            migrate.upgrade(engine)
        else:
            migrate.require(engine)
        return SqlLedger(engine, limits)
    except (OperationalError, DBAPIError) as error:
        engine.dispose()
        raise _unusable(engine, error) from error
    except BaseException:
        engine.dispose()
        raise


def upgrade(url: str) -> str:
    """Bring a database up to date; the revision it then has."""
    engine = _engine(url)
    try:
        return migrate.upgrade(engine)
    except SQLAlchemyError as error:
        raise _unusable(engine, error) from error
    finally:
        engine.dispose()


def _unusable(engine: sa.Engine, error: Exception) -> TrueupError:
    said = str(getattr(error, "orig", None) or error).partition("\n")[0]
    return TrueupError(
        f"the database {engine.url.render_as_string(hide_password=True)} cannot be used: {said}",
        cure="Check [database] url",
    )


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise ConfigError("[database] url is no database URL", cure="Write it like sqlite:///trueup.db") from None
    driver = _DRIVERS.get(parsed.get_backend_name())
    if driver is None:
        raise ConfigError(
            f"[database] url names {parsed.get_backend_name()}, which keeps no catalog",
            cure="Use sqlite:///… or postgresql://…",
        )
    parsed = parsed.set(drivername=driver)
    try:
        if driver == "sqlite":
            return _sqlite(parsed)
        return sa.create_engine(parsed, pool_pre_ping=True)
    except ModuleNotFoundError:
        raise MissingExtra("a PostgreSQL database", "postgres") from None


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where `begun` says
        connection.execute("pragma journal_mode=wal")
        # What was promised must not be forgotten over a power cut: an object would lie there without a row.
        connection.execute("pragma synchronous=full")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        reading: Any = connection.get_execution_options().get("reading", False)
        # A transaction that wants to write after it has read would find that another one was faster, and fail.
        connection.exec_driver_sql("begin" if reading else "begin immediate")

    return engine
