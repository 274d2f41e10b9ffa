"""What a listing's helper process tells its parent, and how.

Frames: four bytes of length, then a marshalled tuple: `("rows", [row, ...])` with rows in the order of `Entry`'s
fields, `("columns", [key, ...], [size, ...], ...)` with those fields of a page in which nothing has a fault,
`("order", key)`, `("broken", why)`, `("error", class, text)`, `("finished", count)`.
"""

from __future__ import annotations

import marshal
import os
from typing import Any, Final

PAGE: Final = 1000
"""Rows in one frame, at most."""
HEARTBEAT: Final = 2.0
"""Seconds after which rows are sent though they fill no page: the parent takes long silence for a stall."""


def send(frame: tuple[Any, ...]) -> None:
    """Write one frame; the parent being gone ends the process."""
    write(packed(frame))


def packed(frame: tuple[Any, ...]) -> bytes:
    """One frame as it is written."""
    data = marshal.dumps(frame)
    return len(data).to_bytes(4, "big") + data


def write(data: bytes) -> None:
    """Write what was packed; the parent being gone ends the process."""
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        os._exit(1)


def receive(descriptor: int, length: int) -> bytes:
    """Exactly `length` bytes, fewer only at the end of the stream."""
    parts: list[bytes] = []
    while length:
        part = os.read(descriptor, length)
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
