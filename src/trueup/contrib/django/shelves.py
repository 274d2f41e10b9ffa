"""Where the files of each FileField are: the providers of the site's books."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from django.conf import DEFAULT_STORAGE_ALIAS
from django.conf import settings as site
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import DefaultStorage, Storage, storages

from trueup.config import Settings, StoreConfig
from trueup.contrib.django.backends import place_of
from trueup.contrib.django.filefields import Column, columns
from trueup.contrib.django.places import place
from trueup.errors import ConfigError, TrueupError
from trueup.stores.secrecy import scrubbed

SETTING = "TRUEUP_STORAGES"
_TELLING = ("endpoint", "account_name", "connection_string")
"""Options that say whose bucket it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Where the files of one column are."""

    column: Column
    provider: str
    prefix: str = ""
    """What comes before each name there: a storage may keep its files within another one's place."""


class Shelves(NamedTuple):
    """All of them."""

    shelves: list[Shelf]
    places: dict[str, StoreConfig | TrueupError]
    """By provider; or why nothing can be said of it."""


class _Found(NamedTuple):
    column: Column
    alias: str
    """Of its storage, in STORAGES; empty where it is not there."""
    place: StoreConfig | TrueupError


def shelves(settings: Settings) -> Shelves:
    """Every column, with the place of its storage. A provider is called by the alias of the storage in STORAGES, else
    by its place, or by its field where that does not tell its place. Raises `ConfigError`."""
    found = list(_found(settings))
    made = Shelves([], {})
    for column, alias, where in found:
        if isinstance(where, TrueupError):
            name = alias or column.label
            made.places[name] = where
            made.shelves.append(Shelf(column=column, provider=name))
    known = [(each.place, each) for each in found if isinstance(each.place, StoreConfig)]
    # The outermost first; of two names for one place, that of STORAGES.
    for where, each in sorted(known, key=lambda pair: (len(pair[0].url), not pair[1].alias)):
        homes = ((name, _below(where, outer)) for name, outer in made.places.items() if isinstance(outer, StoreConfig))
        provider, below = next(((name, way) for name, way in homes if way is not None), ("", ""))
        if not provider:
            provider = each.alias or where.url
            if provider in made.places:  # a bucket of the same name, at another endpoint
                provider = each.column.label
            made.places[provider] = where
        made.shelves.append(Shelf(column=each.column, provider=provider, prefix=below))
    return made


def elsewhere(named: str, settings: Settings) -> Shelves:
    """The columns whose files are in the default storage, to be looked for in the place `named` instead. Raises
    `ConfigError`."""
    provider = scrubbed(named, ())
    made = Shelves([], {provider: place(named, settings)})
    found = list(_found(settings))
    usual = next((each.place for each in found if each.alias == DEFAULT_STORAGE_ALIAS), None)
    for column, alias, where in found:
        below = "" if alias == DEFAULT_STORAGE_ALIAS else None
        if isinstance(where, StoreConfig) and isinstance(usual, StoreConfig):
            below = _below(where, usual)
        if below is not None:
            made.shelves.append(Shelf(column=column, provider=provider, prefix=below))
    return made


def _found(settings: Settings) -> Iterator[_Found]:
    given = getattr(site, SETTING, {})
    named: dict[str, str] = {str(name): str(value) for name, value in given.items()}
    every = [(column, _alias(column.field.storage)) for column in columns()]
    known = {alias or column.label for column, alias in every}
    if wrong := sorted(named.keys() - known):
        raise ConfigError(f"{SETTING}: no FileField is kept in {wrong[0]!r}", cure=f"Known: {', '.join(sorted(known))}")
    for column, alias in every:
        name = alias or column.label
        try:
            yield _Found(column, alias, _place(column.field.storage, named.get(name, ""), settings))
        except ConfigError as error:
            cure = error.cure or f'Name its place in the settings: {SETTING} = {{"{name}": "…"}}'
            yield _Found(column, alias, ConfigError(error.message, cure=cure))


def _place(storage: Storage, named: str, settings: Settings) -> StoreConfig:
    try:
        return place(named, settings) if named else place_of(storage, settings)
    except ImproperlyConfigured as error:  # a lazy storage is made only now
        raise ConfigError(f"the storage cannot be used: {' '.join(str(error).split())}") from error


def _alias(storage: Storage) -> str:
    """What STORAGES calls it; empty for one that is not there."""
    if isinstance(storage, DefaultStorage):
        return DEFAULT_STORAGE_ALIAS
    for alias in storages.backends:
        with suppress(ImproperlyConfigured):  # one that no field uses may be unusable
            if storages[alias] is storage:
                return str(alias)
    return ""


def _below(inner: StoreConfig, outer: StoreConfig) -> str | None:
    """The way from a place down to one within it, with a slash at its end; empty for the same place, and None for one
    that is elsewhere."""
    if any(inner.options.get(name) != outer.options.get(name) for name in _TELLING):
        return None
    above, below = (f"{each.url.removeprefix('file://').rstrip('/')}/" for each in (outer, inner))
    return below.removeprefix(above) if below.startswith(above) else None
