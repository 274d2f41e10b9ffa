"""Small helpers of the conformance suites."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Final

from trueup.errors import StoreError
from trueup.stores.base import Entry, OutOfOrder, Store

RACERS: Final = 8
"""Threads that do one thing at once."""


def content(
    store: Store, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
) -> bytes:
    """What the store reads under a key, in one piece."""
    with store.read(key, expect=expect, offset=offset, length=length) as body:
        return b"".join(body)


def listing(store: Store, start: str = "", *, ordered: bool = True) -> list[Entry]:
    """A whole listing; where the store turns out not to list in order, the sorted one."""
    try:
        return list(store.list(start, ordered=ordered))
    except OutOfOrder:
        return list(store.list(start, ordered=False))


def md5_of(data: bytes) -> str:
    """Hex MD5."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def names_of(entries: list[Entry]) -> list[str]:
    """Their keys."""
    return [entry.key for entry in entries]


def broken(*pieces: bytes) -> Iterator[bytes]:
    """A body that fails after these pieces."""
    yield from pieces
    raise ZeroDivisionError("the body broke")


def race(action: Callable[[int], object]) -> list[object]:
    """Run `action` in eight threads at once; what each returned or raised (`StoreError` only)."""
    barrier = Barrier(RACERS)

    def run(number: int) -> object:
        barrier.wait()
        try:
            return action(number)
        except StoreError as error:
            return error

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(run, range(RACERS)))
