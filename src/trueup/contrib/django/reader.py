"""A file object that reads a stored object while it is read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from trueup.stores.base import Entry, Store

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK: Final = 4 << 20
"""Bytes fetched at once, and held: a reader that takes its time keeps no connection and no more memory than this."""


class ObjectReader(io.RawIOBase):
    """One version of one object, from its beginning or any other place. What changes while it is read raises
    `PreconditionFailed`: nobody gets the beginning of one version and the end of another."""

    def __init__(self, store: Store, entry: Entry) -> None:
        super().__init__()
        self._store = store
        self._entry = entry
        self._position = 0
        self._block = bytearray()
        self._begins = 0
        """Where in the object the block begins."""

    def readable(self) -> bool:
        """It is for nothing else."""
        return True

    def seekable(self) -> bool:
        """Any place, at the price of one request."""
        return True

    def tell(self) -> int:
        """Bytes before the next one that is read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; nothing is read for it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._entry.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Bytes from the block, after fetching the one that is needed."""
        target = memoryview(buffer).cast("B")
        found = self._found()
        if not found and self._position < self._entry.size and target:
            found.release()
            self._fetch()
            found = self._found()
        count = min(len(found), len(target))
        target[:count] = found[:count]
        self._position += count
        return count

    def _fetch(self) -> None:
        self._block, self._begins = bytearray(), self._position  # the old block goes first
        with self._store.read(self._entry.key, expect=self._entry, offset=self._position, length=BLOCK) as pieces:
            for piece in pieces:
                self._block += piece

    def _found(self) -> memoryview:
        at = self._position - self._begins
        return memoryview(self._block)[at:] if at >= 0 else memoryview(b"")
