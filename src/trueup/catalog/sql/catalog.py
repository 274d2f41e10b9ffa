"""Opening a SQL database: its tables, and what is kept in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from trueup.catalog.base import Catalog, Limits
from trueup.catalog.sql import migrate
from trueup.catalog.sql.corrections import SqlCorrections
from trueup.catalog.sql.downloads import SqlDownloads
from trueup.catalog.sql.engine import PATIENCE, clock, engine_of, reading, unusable
from trueup.catalog.sql.ledger import SqlLedger
from trueup.catalog.sql.locks import SqlLocks
from trueup.catalog.sql.outbox import SqlOutbox
from trueup.catalog.sql.runs import SqlRunLog
from trueup.catalog.sql.tasks import SqlTasks
from trueup.catalog.sql.version import Version


class SqlCatalog:
    """See `Catalog`."""

    def __init__(self, engine: sa.Engine, limits: Mapping[str, Limits]) -> None:
        self._engine = engine
        self.ledger = SqlLedger(engine, limits)
        self.corrections = SqlCorrections(engine, self.ledger)
        self.outbox = SqlOutbox(engine)
        self.downloads = SqlDownloads(engine)
        self.runs = SqlRunLog(engine)
        self.tasks = SqlTasks(engine)
        self.locks = SqlLocks(engine)

    def clock(self) -> datetime | None:
        """See `Catalog`."""
        if self._engine.dialect.name == "sqlite":
            return None
        with reading(self._engine) as db:
            return db.execute(sa.select(clock(self._engine))).scalar_one()

    def version(self) -> int | None:
        """See `Catalog`."""
        return self._version.now() if self._version is not None else None

    @cached_property
    def _version(self) -> Version | None:
        """Only a service asks often enough to need it."""
        file = Path(self._engine.url.database or "")
        return Version(file) if self._engine.dialect.name == "sqlite" and file.is_file() else None

    def close(self) -> None:
        """See `Catalog`."""
        version = vars(self).get("_version")
        if version is not None:
            version.close()
        self._engine.dispose()


def open_sql(url: str, limits: Mapping[str, Limits], patience: float = PATIENCE) -> Catalog:
    """The catalog in a SQL database. A SQLite file is made, and brought up to date; elsewhere `upgrade` does that when
    somebody asks. Raises `ConfigError`, `MissingExtra` and `TrueupError`."""
    return SqlCatalog(open_engine(url, patience), limits)


def open_engine(url: str, patience: float = PATIENCE) -> sa.Engine:
    """A SQL database whose tables are up to date. Raises as `open_sql` does."""
    engine = engine_of(url, patience=patience)
    try:
        if engine.dialect.name == "sqlite":
            migrate.upgrade(engine)
        else:
            migrate.require(engine)
    except SQLAlchemyError as error:
        engine.dispose()
        raise unusable(engine, error) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def upgrade(url: str) -> str:
    """Bring a database up to date; the revision it then has."""
    engine = engine_of(url)
    try:
        return migrate.upgrade(engine)
    except SQLAlchemyError as error:
        raise unusable(engine, error) from error
    finally:
        engine.dispose()


def check(url: str) -> str:
    """A database in words; nothing is made or changed. Raises as `open_sql` does."""
    engine = engine_of(url)
    name, file = engine.url.render_as_string(hide_password=True), engine.url.database
    try:
        if engine.dialect.name == "sqlite":
            if not (file and Path(file).exists()):
                return f"{name} is made when it is first used"
            if migrate.known(engine) != migrate.HEAD:
                return f"{name} is brought up to date when it is next used"
        migrate.require(engine)
    except SQLAlchemyError as error:
        raise unusable(engine, error) from error
    finally:
        engine.dispose()
    return f"{name} is up to date, at revision {migrate.HEAD}"
