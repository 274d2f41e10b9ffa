"""Listing a remote folder: several folders at once, sorted outside memory, no link followed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Final, Protocol

from trueup import keys
from trueup.errors import AccessDenied, ListingUnfinished, NotFound, StoreError, Unaddressable
from trueup.stores.base import Entry
from trueup.stores.remote_service import Found
from trueup.stores.sort import sorted_entries
from trueup.stores.walk import before

_FAULTS: Final = {
    "link": "it is a link, and links are not followed",
    "special": "it is a device, a pipe or a socket, not a file",
    "unreadable": "the service does not tell its size",
}


class Walked(Protocol):
    """The store that is listed."""

    @property
    def url(self) -> str: ...

    def exists(self) -> bool: ...

    def listed(self) -> Generator[Entry] | None:
        """Every entry in any order, where the service lists in a way of its own."""
        ...

    def folder(self, key: str) -> list[Found]:
        """What is in one folder; `NotFound`, `AccessDenied` and so on."""
        ...

    def unaddressable(self, key: str) -> str | None: ...


def walk(store: Walked, start: str, at_once: int) -> Generator[Entry, None, None]:
    """Every file with a normal key of at least `start`, in key order, and a fault for all that cannot be seen; a fault
    above `start` too. Raises `NotFound` for a missing root, and `ListingUnfinished` when the service breaks off."""
    start = keys.normal(start)
    if not store.exists():
        raise NotFound(f"the folder {store.url} is not there")
    own = store.listed()
    entries = _found(store, start, at_once) if own is None else _later(own, start)
    yield from sorted_entries(entries, where=store.url)
    if not store.exists():
        raise ListingUnfinished(f"the folder {store.url} went away under the listing", cure="Run again")


def _found(store: Walked, start: str, at_once: int) -> Generator[Entry, None, None]:
    waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]  # folders, with the numbers of those above them
    going: deque[tuple[str, tuple[str, ...], Future[list[Found]]]] = deque()
    with ThreadPoolExecutor(at_once, "listing") as pool:
        try:
            while waiting or going:
                while waiting and len(going) < at_once:
                    folder, above = waiting.pop()
                    going.append((folder, above, pool.submit(store.folder, folder)))
                folder, above, future = going.popleft()
                for entry, is_folder in _sorted_out(store, folder, future.result):
                    if is_folder and entry.fingerprint in above:
                        yield Entry(entry.key, fault="link", detail="it leads back to a folder above it")
                    elif is_folder:
                        if not start or not before(entry.key, start):
                            waiting.append((entry.key, (*above, entry.fingerprint) if entry.fingerprint else above))
                    elif not start or _from(entry, start):
                        yield entry
        finally:
            for _, _, future in going:
                future.cancel()


def _later(entries: Generator[Entry], start: str) -> Generator[Entry, None, None]:
    with closing(entries):
        for entry in entries:
            if not start or _from(entry, start):
                yield entry


def _from(entry: Entry, start: str) -> bool:
    return not before(entry.key, start) if entry.fault else keys.normal(entry.key) >= start


def _sorted_out(
    store: Walked, folder: str, result: Callable[[], list[Found]]
) -> Generator[tuple[Entry, bool], None, None]:
    """The entries of one folder; True with a subfolder, which has only its key."""
    try:
        inside = result()
    except NotFound:
        if not folder:
            raise
        return  # gone since its parent was read: absent
    except (AccessDenied, Unaddressable) as error:
        if not folder:
            raise
        yield Entry(folder, fault="unreadable", detail=f"the folder cannot be read: {error.message}"), False
        return
    except StoreError as error:
        if not folder:
            raise
        raise ListingUnfinished(f"the listing broke off: {error.message}", cure=error.cure) from error
    for kind, entry in inside:
        if keys.is_reserved(entry.key):
            continue
        if reason := store.unaddressable(entry.key):
            yield Entry(entry.key, fault="unaddressable", detail=reason), False
        elif kind == "file":
            yield entry, False
        elif kind == "folder":
            yield entry, True
        else:
            yield Entry(entry.key, fault=kind, detail=_FAULTS[kind]), False
