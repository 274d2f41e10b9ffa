"""Reading one file on an SFTP server: as planned, not through a link, and the same at the end as at the beginning.

Every function is a coroutine over one connection, and raises what the tree raises.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from trueup.stores import files
from trueup.stores.base import Entry
from trueup.stores.sftp_tree import RemoteTree, is_file

if TYPE_CHECKING:
    from asyncssh import SFTPAttrs, SFTPClient, SFTPClientFile

    from trueup.stores.sftp_quick import QuickSession


async def read_small(
    quick: QuickSession, *, tree: RemoteTree, key: str, expect: Entry, offset: int, length: int | None
) -> bytes | None:
    """The bytes in two round trips: what is most likely the file as planned is opened while it is looked at, and closed
    while it is read. None where the server gives less than it was asked for."""
    await tree.reach(quick, key)
    path = tree.path(key)
    looked, opened = quick.lstat(path), quick.open(path)
    try:
        before = await tree.source(quick, key, expect, looked)
    except Exception:
        await quick.withdraw(opened)
        raise
    handle = await opened
    wanted = _wanted(before, offset, length)
    reading = quick.read(handle, offset, wanted) if wanted else None
    after, closed = quick.fstat(handle), quick.shut(handle)
    await asyncio.wait([future for future in (reading, after, closed) if future])
    _confirm(key, before, after.result())
    closed.result()
    data = reading.result() if reading else b""
    return data if len(data) == wanted else None


async def read_whole(
    client: SFTPClient, *, tree: RemoteTree, key: str, expect: Entry, offset: int, length: int | None
) -> list[bytes]:
    """The bytes in one piece, or none."""
    opened = await opened_for_reading(client, tree=tree, key=key, expect=expect)
    try:
        wanted = opened.wanted(offset, length)
        data = await read_piece(opened.file, offset, wanted, client) if wanted else b""
        await opened.confirm(key)
    finally:
        await opened.file.close()
    if len(data) != wanted:
        raise files.changed(key, "while it was read")
    return [data] if data else []


async def opened_for_reading(client: SFTPClient, *, tree: RemoteTree, key: str, expect: Entry | None) -> Opened:
    """The file, open; `confirm` it after its last byte."""
    await tree.reach(client, key)
    before = await tree.source(client, key, expect)
    return Opened(await client.open(tree.path(key), "rb"), before)


async def read_piece(file: SFTPClientFile, offset: int, size: int, _: SFTPClient) -> bytes:
    """Some bytes of an open file; fewer at its end."""
    return cast("bytes", await file.read(size, offset))  # opened for bytes, which its type does not say


@dataclass(frozen=True, slots=True)
class Opened:
    """A file open for reading, and what it was then."""

    file: SFTPClientFile
    before: SFTPAttrs

    def wanted(self, offset: int, length: int | None) -> int:
        """How many bytes there are to read."""
        return _wanted(self.before, offset, length)

    async def confirm(self, key: str) -> None:
        """Raise `PreconditionFailed` unless it is still the same."""
        _confirm(key, self.before, await self.file.stat())


def _wanted(found: SFTPAttrs, offset: int, length: int | None) -> int:
    left = max(0, (found.size or 0) - offset)
    return left if length is None else min(left, length)


def _confirm(key: str, before: SFTPAttrs, now: SFTPAttrs) -> None:
    if not is_file(now) or (now.size, now.mtime) != (before.size, before.mtime):
        raise files.changed(key, "while it was read")
