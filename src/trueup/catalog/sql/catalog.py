"""Opening a SQL database: its engine, its tables, and what is kept in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from trueup.catalog.base import Catalog, Limits
from trueup.catalog.sql import migrate
from trueup.catalog.sql.downloads import SqlDownloads
from trueup.catalog.sql.ledger import SqlLedger
from trueup.catalog.sql.outbox import SqlOutbox
from trueup.catalog.sql.runs import SqlRunLog
from trueup.errors import ConfigError, MissingExtra, TrueupError

_DRIVERS: Final = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_BUSY_SECONDS: Final = 30


class SqlCatalog:
    """See `Catalog`."""

    def __init__(self, engine: sa.Engine, limits: Mapping[str, Limits]) -> None:
        self._engine = engine
        self.ledger = SqlLedger(engine, limits)
        self.outbox = SqlOutbox(engine)
        self.downloads = SqlDownloads(engine)
        self.runs = SqlRunLog(engine)

    def close(self) -> None:
        """See `Catalog`."""
        self._engine.dispose()


def open_sql(url: str, limits: Mapping[str, Limits]) -> Catalog:
    """The catalog in a SQL database. A SQLite file is made, and brought up to date; elsewhere `upgrade` does that when
    somebody asks. Raises `ConfigError`, `MissingExtra` and `TrueupError`."""
    engine = _engine(url)
    try:
        if engine.dialect.name == "sqlite":
            migrate.upgrade(engine)
        else:
            migrate.require(engine)
        return SqlCatalog(engine, limits)
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
            cure="Use sqlite:///…, postgresql://… or mongodb://…",
        )
    parsed = parsed.set(drivername=driver)
    try:
        if driver == "sqlite":
            return _sqlite(parsed)
        return _postgres(parsed)
    except ModuleNotFoundError:
        raise MissingExtra("a PostgreSQL database", "postgres") from None


def _postgres(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, pool_pre_ping=True)

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:  # noqa: ANN401 - psycopg is an extra
        # A column of somebody else's may have a time zone; what is written without one is in UTC.
        connection.execute("set time zone 'UTC'")
        connection.commit()

    return engine


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
