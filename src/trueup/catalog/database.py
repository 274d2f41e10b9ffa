"""Which database a URL means."""

from __future__ import annotations

from collections.abc import Mapping

from trueup.catalog.base import Catalog, Limits


def open_catalog(url: str, limits: Mapping[str, Limits]) -> Catalog:
    """The shared database of a URL, with what each provider may hold. Raises `ConfigError`, `MissingExtra` and
    `TrueupError`."""
    from trueup.catalog.sql import open_sql

    return open_sql(url, limits)


def upgrade(url: str) -> str:
    """Bring a database up to date; the revision it then has."""
    from trueup.catalog.sql import upgrade

    return upgrade(url)


def check(url: str) -> str:
    """A database in words; nothing is made or changed. Raises as `open_catalog` does."""
    from trueup.catalog.sql import check

    return check(url)
