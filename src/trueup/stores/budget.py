"""The bytes of parts and chunks that may be in memory at once, over all files of the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PART: Final = 8 << 20
"""Bytes in a part of an upload that is not large, and in the largest object that travels in one piece."""

MOST_PARTS: Final = 9_500
"""S3 allows 10,000 parts; a source that grows meets the size check, not the limit."""

_UNKNOWN: Final = 16 << 20
"""Part size when the length is not known: 9,500 of them are 148 GiB."""


class Budget:
    """A number of bytes that transfers take from and give back to."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def pieces(self, size: int, most: int = 4) -> Iterator[int]:
        """How many pieces of `size` bytes one transfer may have in flight: 1 to `most`, at most half of what is free,
        so that the next one finds room. Waits for room for one; a piece larger than the whole budget gets all of it."""
        cost = min(size, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= cost)
            count = max(1, min(most, self._free // cost // 2))
            self._free -= count * cost
        try:
            yield count
        finally:
            with self._changed:
                self._free += count * cost
                self._changed.notify_all()


UPLOADS: Final = Budget(64 << 20)
DOWNLOADS: Final = Budget(32 << 20)
"""Two budgets, because a copy between clouds holds one while it waits for the other: with one, all could wait for
ever."""


def part_size(size: int | None) -> int:
    """Bytes a part should have, so that an upload of `size` bytes stays below the number of parts S3 allows."""
    if size is None:
        return _UNKNOWN
    part = PART
    while part * MOST_PARTS < size:
        part += PART
    return part
