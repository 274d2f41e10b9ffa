"""Listing a remote folder: several folders at once, sorted outside memory, no link followed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import closing
from queue import SimpleQueue
from threading import Thread
from typing import Final, Protocol

from trueup import keys
from trueup.errors import AccessDenied, ListingUnfinished, NotFound, StoreError, Unaddressable
from trueup.stores.base import Entry
from trueup.stores.remote_service import Found
from trueup.stores.sort import sorted_entries
from trueup.stores.stopping import apart, awaited
from trueup.stores.walk import before

_FAULTS: Final = {
    "link": "it is a link, and links are not followed",
    "special": "it is a device, a pipe or a socket, not a file",
    "unreadable": "the service does not tell its size",
}
_LINGER: Final = 0.5
"""Seconds."""


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
    if not apart(store.exists):
        raise NotFound(f"the folder {store.url} is not there")
    own = store.listed()
    entries = _found(store, start, at_once) if own is None else _later(own, start)
    yield from sorted_entries(entries, where=store.url)
    if not apart(store.exists):
        raise ListingUnfinished(f"the folder {store.url} went away under the listing", cure="Run again")


def _found(store: Walked, start: str, at_once: int) -> Generator[Entry, None, None]:
    waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]  # folders, with the numbers of those above them
    going: deque[tuple[str, tuple[str, ...], Future[list[Found]]]] = deque()
    with closing(_Readers(store, at_once)) as readers:
        while waiting or going:
            while waiting and len(going) < at_once:
                folder, above = waiting.pop()
                going.append((folder, above, readers.begin(folder)))
            folder, above, future = going.popleft()
            for entry, is_folder in _sorted_out(store, folder, future):
                if is_folder and entry.fingerprint in above:
                    yield Entry(entry.key, fault="link", detail="it leads back to a folder above it")
                elif is_folder:
                    if not start or not before(entry.key, start):
                        waiting.append((entry.key, (*above, entry.fingerprint) if entry.fingerprint else above))
                elif not start or _from(entry, start):
                    yield entry


class _Readers:
    """Threads that read folders. One that hangs in a server that does not answer holds up neither who closes them nor
    the end of the process, so they are no `ThreadPoolExecutor`."""

    def __init__(self, store: Walked, at_once: int) -> None:
        self._store = store
        self._at_once = at_once
        self._waiting: SimpleQueue[tuple[str, Future[list[Found]]] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._closed = False

    def begin(self, folder: str) -> Future[list[Found]]:
        """Read a folder as soon as a thread is free; at most `at_once` are asked for at a time."""
        if len(self._threads) < self._at_once:
            thread = Thread(target=self._work, name="listing", daemon=True)
            self._threads.append(thread)
            thread.start()
        future: Future[list[Found]] = Future()
        self._waiting.put((folder, future))
        return future

    def _work(self) -> None:
        while (asked := self._waiting.get()) is not None and not self._closed:
            folder, future = asked
            try:
                future.set_result(self._store.folder(folder))
            except BaseException as error:  # noqa: BLE001 - raised where the folder is waited for
                future.set_exception(error)

    def close(self) -> None:
        """Let the threads end. What they are at is waited for a moment, so that their connections are back when the
        store is closed."""
        self._closed = True
        until = time.monotonic() + _LINGER
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


def _later(entries: Generator[Entry], start: str) -> Generator[Entry, None, None]:
    with closing(entries):
        for entry in entries:
            if not start or _from(entry, start):
                yield entry


def _from(entry: Entry, start: str) -> bool:
    return not before(entry.key, start) if entry.fault else keys.normal(entry.key) >= start


def _sorted_out(store: Walked, folder: str, future: Future[list[Found]]) -> Generator[tuple[Entry, bool], None, None]:
    """The entries of one folder; True with a subfolder, which has only its key."""
    try:
        inside = awaited(future)
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
