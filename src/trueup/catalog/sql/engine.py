"""Engines: which driver a URL means, and how its connections are shared.

Threads of one process would only wait for each other inside the database, where waiting costs more: SQLite has one
writer, and looks again after ever longer naps; in PostgreSQL all wait for one row. So few connections do, and the pool
wakes whoever waited longest.
"""

from __future__ import annotations

import sqlite3
import time
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, IntegrityError

from trueup.catalog.base import now
from trueup.catalog.sql.tables import Moment
from trueup.errors import ConfigError, DatabaseUnavailable, MissingExtra, TrueupError

_DRIVERS: Final = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
PATIENCE: Final = 30.0
"""Seconds in which others may have a SQLite file, or all connections, to themselves."""
_IDLE_SECONDS: Final = 1
"""A connection that nobody used for so long is tried before it is used again."""
_SHARED: Final = {"max_overflow": 0, "hide_parameters": True}
"""No connection beyond the pool: it would be made and closed again for one statement. And no values in what an error
says: they are rows of somebody's."""


class _Pool(sa.QueuePool):
    __module__ = sa.QueuePool.__module__  # by which SQLAlchemy names its log: not among ours

    def connect(self) -> sa.pool.PoolProxiedConnection:
        try:
            return super().connect()
        except sa.exc.TimeoutError as error:  # of SQLAlchemy itself: no database has said it
            raise DatabaseUnavailable(
                "the database is busy: others had all of its connections for too long", cure="Try again"
            ) from error


def engine_of(url: str, *, plainly: bool = True, patience: float = PATIENCE) -> sa.Engine:
    """The engine of a URL; nothing is contacted. What the database refuses becomes a `TrueupError`, unless not
    `plainly`: then somebody else's code works with it, which may want to know. Raises `ConfigError` and
    `MissingExtra`."""
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise _no_url() from None
    driver = _DRIVERS.get(parsed.get_backend_name())
    if driver is None:
        raise ConfigError(
            f"[database] url names {parsed.get_backend_name()}, which keeps no catalog",
            cure="Use sqlite:///…, postgresql://… or mongodb://…",
        )
    parsed = parsed.set(drivername=driver)
    try:
        engine = _sqlite(parsed, patience) if driver == "sqlite" else _postgres(parsed, patience)
    except ArgumentError:  # a form that only the driver knows to be wrong
        raise _no_url() from None
    except ModuleNotFoundError:
        raise MissingExtra("a PostgreSQL database", "postgres") from None
    if plainly:
        _say_plainly(engine)
    return engine


def _no_url() -> ConfigError:
    # Without its words: they may hold a password.
    return ConfigError("[database] url is no database URL", cure="Write it like sqlite:///trueup.db")


def _say_plainly(engine: sa.Engine) -> None:
    """Make `TrueupError` of what the database refuses; but a duplicate is for who asked."""

    @sa.event.listens_for(engine, "handle_error", retval=True)
    def failed(context: sa.engine.ExceptionContext) -> TrueupError | None:
        if isinstance(context.sqlalchemy_exception, IntegrityError):
            return None
        return unusable(engine, context.original_exception)


def unusable(engine: sa.Engine, error: BaseException) -> TrueupError:
    """What a database said that cannot be used: `DatabaseUnavailable` where that may pass by itself."""
    cause = getattr(error, "orig", None) or error
    said = str(cause).partition("\n")[0]
    name = engine.url.render_as_string(hide_password=True)
    cure = "Others are writing there: try again" if said == "database is locked" else "Check [database] url"
    kind = DatabaseUnavailable if _passes(engine, cause) else TrueupError
    return kind(f"the database {name} cannot be used: {said}", cure=cure)


def _passes(engine: sa.Engine, error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):  # which calls a missing table an operational error as well
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    return isinstance(error, engine.dialect.loaded_dbapi.OperationalError)


def reading(engine: sa.Engine) -> sa.Connection:
    """A connection for one statement that reads. It needs no transaction, whose beginning and end would cost more."""
    if engine.dialect.name == "sqlite":
        return engine.connect().execution_options(reading=True)
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def clock(engine: sa.Engine, later: timedelta = timedelta()) -> sa.ColumnElement[datetime]:
    """The time, or so much later, by the database's own clock when it is read, not when the transaction began. A SQLite
    file has this machine's."""
    if engine.dialect.name == "sqlite":
        return sa.literal(now() + later, Moment)
    return sa.func.timezone("UTC", sa.func.clock_timestamp() + sa.literal(later, sa.Interval), type_=Moment)


def _postgres(url: sa.URL, patience: float) -> sa.Engine:
    import psycopg

    engine = sa.create_engine(url, poolclass=_Pool, pool_size=8, pool_timeout=patience, **_SHARED)

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:  # noqa: ANN401 - psycopg is an extra
        # A column of somebody else's may have a time zone; what is written without one is in UTC.
        connection.execute("set time zone 'UTC'")
        connection.commit()

    @sa.event.listens_for(engine, "checkin")
    def returned(_connection: object, record: sa.pool.ConnectionPoolEntry) -> None:
        record.info["since"] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def taken(connection: Any, record: sa.pool.ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401
        # The server may have been restarted meanwhile. Asking each time would be a third of all that is asked.
        if time.monotonic() - record.info.get("since", time.monotonic()) > _IDLE_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except psycopg.Error as error:
                raise sa.exc.DisconnectionError from error

    return engine


def _sqlite(url: sa.URL, patience: float) -> sa.Engine:
    options = {"timeout": patience, "check_same_thread": False}
    engine = sa.create_engine(url, connect_args=options, poolclass=_Pool, pool_size=1, pool_timeout=patience, **_SHARED)

    @sa.event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where `begun` says
        connection.execute("pragma journal_mode=wal")
        # What was promised must not be forgotten over a power cut: an object would lie there without a row.
        connection.execute("pragma synchronous=full")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        if not connection.get_execution_options().get("reading", False):
            # A transaction that wants to write after it has read would find that another one was faster, and fail.
            try:
                connection.connection.cursor().execute("begin immediate")
            except sqlite3.Error as error:  # nobody makes SQLAlchemy's of it here
                raise unusable(engine, error) from error

    return engine
