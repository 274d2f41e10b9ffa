"""Multipart ETags of S3: the MD5 of the parts' MD5s, a dash and the number of parts.

The rule is not in S3's reference but stable practice since 2010 and the same on R2, MinIO and SeaweedFS; it holds for
objects that are not encrypted with KMS keys. A match proves equal content; no match proves nothing.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from typing import Final

MIB: Final = 1 << 20
_USUAL_PART_SIZES: Final = tuple(n * MIB for n in (5, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 250, 256, 500, 512))
"""aws-cli and boto3 use 8 MiB, rclone 5 MiB, s5cmd 50 MiB, consoles 16 MiB; the rest are common choices."""

_MULTIPART: Final = re.compile(r"[0-9a-f]{32}-([1-9][0-9]{0,4})")


def part_count(etag: str) -> int:
    """The number of parts a multipart ETag names; 0 for any other ETag."""
    found = _MULTIPART.fullmatch(etag)
    return int(found[1]) if found else 0


def possible_part_sizes(size: int, parts: int) -> list[int]:
    """The usual part sizes (bytes) that cut `size` bytes into `parts` parts, and the even cut in whole MiB."""
    if not parts:
        return []
    even = math.ceil(size / parts / MIB) * MIB
    sizes = {*_USUAL_PART_SIZES, even, even - MIB}
    return sorted(part for part in sizes if part > 0 and math.ceil(size / part) == parts)


class MultipartHash:
    """Computes the MD5 and the multipart ETags for several part sizes in one pass."""

    def __init__(self, part_sizes: Iterable[int]) -> None:
        self._whole = hashlib.md5(usedforsecurity=False)
        self._cuts = [_Cut(size) for size in part_sizes]

    def update(self, data: bytes) -> None:
        """Take the next piece."""
        self._whole.update(data)
        for cut in self._cuts:
            cut.update(data)

    def md5(self) -> str:
        """Hex MD5 of everything so far."""
        return self._whole.hexdigest()

    def etags(self) -> set[str]:
        """The multipart ETag for each part size, without quotes."""
        return {cut.etag() for cut in self._cuts}


class _Cut:
    def __init__(self, part_size: int) -> None:
        self._size = part_size
        self._room = part_size
        self._part = hashlib.md5(usedforsecurity=False)
        self._parts = b""

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            piece = view[: self._room]
            self._part.update(piece)
            self._room -= len(piece)
            view = view[len(piece) :]
            if self._room == 0:
                self._close_part()

    def _close_part(self) -> None:
        self._parts += self._part.digest()
        self._part = hashlib.md5(usedforsecurity=False)
        self._room = self._size

    def etag(self) -> str:
        parts = self._parts
        if self._room != self._size:
            parts += self._part.digest()
        return f"{hashlib.md5(parts, usedforsecurity=False).hexdigest()}-{len(parts) // 16}"
