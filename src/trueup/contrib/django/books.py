"""What the site's FileFields say is stored, as books for `reconcile`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections

from trueup.config import StoreConfig
from trueup.contrib.django.filefields import Column
from trueup.contrib.django.shelves import Shelf, Shelves
from trueup.errors import TrueupError
from trueup.reconcile import Source
from trueup.reconcile.source import Row
from trueup.stores.secrecy import scrubbed, secrets_of

log = logging.getLogger("trueup.reconcile")


class SiteBooks:
    """The rows of every column. Where one cannot be read, nothing is said of the whole provider: what lies there may be
    in that column."""

    def __init__(self, found: Shelves) -> None:
        self._shelves = found.shelves
        self._places = dict(found.places)

    def source(self) -> Source:
        """As `reconcile` takes them."""
        return Source(
            name="django",
            where="the site",
            identity=f"django {sorted(map(_told, connections))} {sorted(self._places)}",
            read=self._read,
            again=self._again,
            place=self._place,
            providers=tuple({shelf.provider for shelf in self._shelves}),
        )

    def _read(self) -> Iterator[Row]:
        present = []
        for shelf in self._shelves:
            try:
                if shelf.column.absent():
                    continue
                yield from _rows(shelf, shelf.column.names())
            except (Error, ImproperlyConfigured) as error:
                self._places[shelf.provider] = _unreadable(shelf.column, error)
            else:
                present.append(shelf)
        self._shelves = present

    def _again(self, provider: str, keys: Sequence[str]) -> Iterator[Row]:
        for shelf in self._shelves:
            names = [key.removeprefix(shelf.prefix) for key in keys if key.startswith(shelf.prefix)]
            if shelf.provider != provider or not names:
                continue
            try:
                yield from _rows(shelf, shelf.column.among(names))
            except (Error, ImproperlyConfigured) as error:
                raise _unreadable(shelf.column, error) from error

    def _place(self, provider: str) -> StoreConfig:
        found = self._places[provider]
        if isinstance(found, TrueupError):
            raise found
        log.info("%s is %s", provider, scrubbed(found.url, secrets_of(found.options)))
        return found


def _rows(shelf: Shelf, names: Iterator[str]) -> Iterator[Row]:
    return ({"provider": shelf.provider, "key": shelf.prefix + name} for name in names)


def _told(database: str) -> str:
    """Which database an alias means."""
    said = connections.settings[database]
    return str([said.get(name) for name in ("ENGINE", "HOST", "PORT", "NAME")])


def _unreadable(column: Column, error: Exception) -> TrueupError:
    secrets = secrets_of({name: str(value) for name, value in connections.settings[column.database].items()})
    said = scrubbed(" ".join(str(error).split()), secrets)
    return TrueupError(
        f"{column.label} cannot be read from the database '{column.database}': {said}",
        cure="Has `python manage.py migrate` run?",
    )
