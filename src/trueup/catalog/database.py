"""Which database the settings mean, and opening it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trueup.catalog.base import Catalog, Limits
from trueup.config import Settings
from trueup.errors import ConfigError, MissingExtra
from trueup.runs import RunRecord

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from trueup.catalog.sql.processed import Processed

_DEFAULT: Final = "sqlite:///trueup.db"


def database_of(settings: Settings) -> str:
    """The URL of the shared database. A SQLite file in a settings file is relative to that file. Raises
    `ConfigError`."""
    section = settings.sections.get("database", {})
    if not isinstance(section, dict):
        raise ConfigError("[database] must be a table")
    for name in section:
        if name != "url":
            raise ConfigError(f"[database] {name} is unknown", cure="Known: url")
    url = str(section.get("url", _DEFAULT))
    found = re.fullmatch(r"sqlite:///([^/:].*)", url)
    if found and settings.path is not None:
        return f"sqlite:///{settings.path.resolve().parent / found[1]}"
    return url


def is_there(url: str) -> bool:
    """False for a SQLite file that nobody has made yet."""
    file = url.removeprefix("sqlite:///")
    return file == url or Path(file).exists()


def runs_in(url: str, limit: int) -> list[RunRecord]:
    """The newest runs that a database knows; none where it is not there yet. Raises what `open_catalog` does."""
    if not is_there(url):
        return []
    with closing(open_catalog(url, {})) as catalog:
        return catalog.runs.latest(limit)


def open_catalog(url: str, limits: Mapping[str, Limits], *, patience: float | None = None) -> Catalog:
    """The shared database of a URL, with what each provider may hold. `patience` is how many seconds a SQL database may
    be busy with others before it cannot be used. Raises `ConfigError`, `MissingExtra` and `TrueupError`."""
    if _is_mongo(url):
        with _extra():
            from trueup.catalog.mongo import open_mongo
        return open_mongo(url, limits)
    from trueup.catalog.sql import open_sql

    return open_sql(url, limits) if patience is None else open_sql(url, limits, patience)


def open_processed(url: str, source: str) -> Processed:
    """Which files of a source were taken. Raises `ConfigError`, `MissingExtra` and `TrueupError`."""
    _require_sql(url)
    from trueup.catalog.sql.processed import open_sql

    return open_sql(url, source)


def may_share(url: str) -> bool:
    """Whether a database is there in which `open_shared` may find something."""
    return not _is_mongo(url) and is_there(url)


def open_shared(url: str) -> Engine:
    """The SQL database in which workers share what they work at together. Raises `ConfigError`, `MissingExtra` and
    `TrueupError`."""
    if _is_mongo(url):
        raise ConfigError(
            "what many machines hand to each other is kept in a SQL database",
            cure='Name one: [database] url = "postgresql://…"',
        )
    from trueup.catalog.sql import open_engine

    return open_engine(url)


def check_processed(url: str) -> str:
    """The database of a job that takes files in words, as `check` does. Raises as `open_processed` does."""
    _require_sql(url)
    return check(url)


def _require_sql(url: str) -> None:
    if _is_mongo(url):
        raise ConfigError(
            "files are taken with the help of a SQL database, in which a handler writes as well",
            cure='Name one for the job: [ingest.NAME] database = "sqlite:///ingest.db"',
        )


def upgrade(url: str) -> str:
    """Bring a database up to date; the revision it then has."""
    if _is_mongo(url):
        with _extra():
            from trueup.catalog.mongo import upgrade
        return upgrade(url)
    from trueup.catalog import sql

    return sql.upgrade(url)


def check(url: str) -> str:
    """A database in words; nothing is made or changed. Raises as `open_catalog` does."""
    if _is_mongo(url):
        with _extra():
            from trueup.catalog.mongo import check
        return check(url)
    from trueup.catalog import sql

    return sql.check(url)


def _is_mongo(url: str) -> bool:
    return url.startswith(("mongodb://", "mongodb+srv://"))


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError:
        raise MissingExtra("a MongoDB database", "mongo") from None
