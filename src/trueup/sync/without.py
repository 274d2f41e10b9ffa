"""A store as if one folder of it were not there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import cast

from trueup import keys
from trueup.errors import Hidden
from trueup.stores.base import Entry, Store


def without(store: Store, folder: str) -> Store:
    """The store as if nothing were at the key `folder` or below it. Used on both sides of a run, so that neither takes
    for new or deleted what the other has there."""
    return cast("Store", _Without(store, folder))


class _Without:
    """Everything else is the store's own, whatever methods it has."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = keys.normal(folder)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def _covers(self, key: str) -> bool:
        return f"{keys.normal(key)}/".startswith(f"{self._folder}/")

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:
        with closing(self._store.list(start, ordered=ordered)) as entries:
            for entry in entries:
                if not self._covers(entry.key):
                    yield entry

    def stat(self, key: str) -> Entry:
        if self._covers(key):  # never "not found": an absence would be a reason to delete it on the other side
            raise Hidden(f"'{keys.display(key)}' belongs to trueup's own state")
        return self._store.stat(key)
