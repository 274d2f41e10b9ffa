"""Which database a URL means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from trueup.catalog.base import Catalog, Limits
from trueup.errors import MissingExtra


def open_catalog(url: str, limits: Mapping[str, Limits]) -> Catalog:
    """The shared database of a URL, with what each provider may hold. Raises `ConfigError`, `MissingExtra` and
    `TrueupError`."""
    if _is_mongo(url):
        with _extra():
            from trueup.catalog.mongo import open_mongo
        return open_mongo(url, limits)
    from trueup.catalog.sql import open_sql

    return open_sql(url, limits)


def upgrade(url: str) -> str:
    """Bring a database up to date; the revision it then has."""
    if _is_mongo(url):
        with _extra():
            from trueup.catalog.mongo import upgrade as make_indexes
        return make_indexes(url)
    from trueup.catalog.sql import upgrade as migrate

    return migrate(url)


def _is_mongo(url: str) -> bool:
    return url.startswith(("mongodb://", "mongodb+srv://"))


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError:
        raise MissingExtra("a MongoDB database", "mongo") from None
