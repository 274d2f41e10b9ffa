"""An SFTP session for what is asked a thousand times: looking at files, listing folders, reading small files.

asyncssh's own client sends each request in a packet of its own with an empty one before it. Here all that is asked in
one turn of the loop travels in one packet, and a request need not wait for the answer to another one about the same
file: servers must work off such requests in their order (draft-ietf-secsh-filexfer-02, section 6.1).
"""

from __future__ import annotations

import asyncio
import stat
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import asyncssh
from asyncssh.constants import (
    FILEXFER_TYPE_DIRECTORY,
    FILEXFER_TYPE_REGULAR,
    FILEXFER_TYPE_SPECIAL,
    FILEXFER_TYPE_SYMLINK,
)

if TYPE_CHECKING:
    from asyncssh import SSHClientChannel, SSHClientConnection

_VERSION: Final = 3
_INIT, _OPEN, _CLOSE, _READ, _LSTAT, _FSTAT, _OPENDIR, _READDIR, _STAT = 1, 3, 4, 5, 7, 8, 11, 12, 17
_IS_VERSION, _IS_STATUS, _IS_HANDLE, _IS_DATA, _IS_NAMES, _IS_ATTRIBUTES = 2, 101, 102, 103, 104, 105
_FOR_READING: Final = b"\0\0\0\1\0\0\0\0"
"""The flags of an open, and no attributes."""
_SIZE, _OWNER, _PERMISSIONS, _TIMES, _MORE = 1, 2, 4, 8, 1 << 31
"""Which attributes follow."""
_LONGEST: Final = 16 << 20
"""Bytes; what says it is longer is no answer."""
_AHEAD: Final = 2
"""How often more names of a folder are asked for before the first came: the end of most folders comes along."""
_PATIENCE: Final = 5.0
"""Seconds for a server to open what it should not have been asked to open."""
_ERRORS: Final = {
    1: asyncssh.SFTPEOFError,
    2: asyncssh.SFTPNoSuchFile,
    3: asyncssh.SFTPPermissionDenied,
    4: asyncssh.SFTPFailure,
    5: asyncssh.SFTPBadMessage,
    6: asyncssh.SFTPNoConnection,
    7: asyncssh.SFTPConnectionLost,
    8: asyncssh.SFTPOpUnsupported,
    10: asyncssh.SFTPNoSuchPath,
}
_TYPES: Final = {
    stat.S_IFREG: FILEXFER_TYPE_REGULAR,
    stat.S_IFDIR: FILEXFER_TYPE_DIRECTORY,
    stat.S_IFLNK: FILEXFER_TYPE_SYMLINK,
}
READ_MOST: Final = 32768
"""Bytes that every server gives in one answer."""


class QuickSession(asyncssh.SSHClientSession[bytes]):
    """One session. Each request returns a future at once, and fails with asyncssh's errors."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._unsent: list[bytes] = []
        self._arrived = bytearray()
        self._channel: SSHClientChannel[bytes] | None = None

    @classmethod
    async def begun(cls, connection: SSHClientConnection) -> QuickSession:
        """A new session on a connection."""
        _, session = await connection.create_session(cls, subsystem="sftp", encoding=None)
        assert isinstance(session, cls)
        await session.greet()
        return session

    async def greet(self) -> None:
        """Agree on the version, which takes the place of a request's number."""
        await self._ask(_INIT)

    @property
    def is_open(self) -> bool:
        return self._channel is not None

    def close(self) -> None:
        """End it; what was asked and not answered fails as with a lost connection."""
        if self._channel is not None:
            self._channel.abort()

    # ----- requests -----

    def stat(self, path: bytes) -> asyncio.Future[asyncssh.SFTPAttrs]:
        return self._ask(_STAT, _string(path))

    def lstat(self, path: bytes) -> asyncio.Future[asyncssh.SFTPAttrs]:
        return self._ask(_LSTAT, _string(path))

    def open(self, path: bytes) -> asyncio.Future[bytes]:
        """A handle for reading."""
        return self._ask(_OPEN, _string(path), _FOR_READING)

    def read(self, handle: bytes, offset: int, size: int) -> asyncio.Future[bytes]:
        """At most `size` bytes; `SFTPEOFError` behind the end."""
        return self._ask(_READ, _string(handle), offset.to_bytes(8, "big"), size.to_bytes(4, "big"))

    def fstat(self, handle: bytes) -> asyncio.Future[asyncssh.SFTPAttrs]:
        return self._ask(_FSTAT, _string(handle))

    def shut(self, handle: bytes) -> asyncio.Future[None]:
        """Give a handle back."""
        return self._ask(_CLOSE, _string(handle))

    async def withdraw(self, opened: asyncio.Future[bytes]) -> None:
        """Close what was opened too early. A server that hangs in opening it, as in a pipe, is left: the others'
        requests are lost with the session, and asked again in another one."""
        await asyncio.wait([opened], timeout=_PATIENCE)
        if not opened.done():
            opened.cancel()
            self.close()
        elif not opened.cancelled() and opened.exception() is None:
            self.shut(opened.result())

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        """The names in a folder, with attributes."""
        handle: bytes = await self._ask(_OPENDIR, _string(path))
        coming = deque(self._ask(_READDIR, _string(handle)) for _ in range(_AHEAD))
        try:
            while True:
                names = await coming.popleft()
                coming.append(self._ask(_READDIR, _string(handle)))
                for name in names:
                    yield name
        except asyncssh.SFTPEOFError:
            return
        finally:
            self.shut(handle)

    def _ask(self, kind: int, *parts: bytes) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        if self._channel is None:
            _fail(future, asyncssh.SFTPConnectionLost("the session is over"))
            return future
        number = _VERSION if kind == _INIT else self._number
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._asked[number] = future
        body = b"".join((bytes([kind]), number.to_bytes(4, "big"), *parts))
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(_string(body))
        return future

    def _send(self) -> None:
        together, self._unsent = b"".join(self._unsent), []
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(together)

    # ----- answers, as asyncssh passes them on -----

    def connection_made(self, chan: SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel = None
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                _fail(future, exc or asyncssh.SFTPConnectionLost("the session ended"))

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if datatype is not None:  # what the server says to a person
            return
        arrived = self._arrived
        arrived += data
        start = 0
        while len(arrived) >= start + 4:
            begin = start + 4
            end = begin + int.from_bytes(arrived[start:begin], "big")
            if end - begin > _LONGEST:
                self.close()
                return
            if end > len(arrived):
                break
            if end - begin < 5:  # neither kind nor number
                self.close()
                return
            self._answered(bytes(arrived[begin:end]))
            start = end
        del arrived[:start]

    def _answered(self, packet: bytes) -> None:
        kind, number = packet[0], int.from_bytes(packet[1:5], "big")
        future = self._asked.pop(_VERSION if kind == _IS_VERSION else number, None)
        if future is None or future.done():
            return
        try:
            result = _understood(kind, _Answer(packet, 5))
        except (ValueError, LookupError):
            _fail(future, asyncssh.SFTPBadMessage("the answer makes no sense"))
            return
        if isinstance(result, Exception):
            _fail(future, result)
        else:
            future.set_result(result)


class _Answer:
    """Takes the parts of an answer, one after the other."""

    def __init__(self, packet: bytes, start: int) -> None:
        self._packet = packet
        self._at = start

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self._bytes(size), "big")

    def string(self) -> bytes:
        return self._bytes(self.number())

    def _bytes(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._packet):
            raise ValueError("the answer is too short")
        return self._packet[start : self._at]

    def attributes(self) -> asyncssh.SFTPAttrs:
        flags = self.number()
        found = asyncssh.SFTPAttrs()
        if flags & _SIZE:
            found.size = self.number(8)
        if flags & _OWNER:
            found.uid, found.gid = self.number(), self.number()
        if flags & _PERMISSIONS:
            mode = self.number()
            found.permissions = mode & 0xFFFF
            found.type = _TYPES.get(stat.S_IFMT(mode), FILEXFER_TYPE_SPECIAL)
        if flags & _TIMES:
            found.atime, found.mtime = self.number(), self.number()
        if flags & _MORE:
            found.extended = [(self.string(), self.string()) for _ in range(self.number())]
        return found

    def name(self) -> asyncssh.SFTPName:
        filename, longname = self.string(), self.string()
        return asyncssh.SFTPName(filename, longname, self.attributes())


def _understood(kind: int, answer: _Answer) -> object:
    """What an answer says: bytes, attributes, names; an exception where it says that something failed."""
    if kind in {_IS_HANDLE, _IS_DATA}:
        return answer.string()
    if kind == _IS_ATTRIBUTES:
        return answer.attributes()
    if kind == _IS_NAMES:
        return [answer.name() for _ in range(answer.number())]
    if kind == _IS_STATUS:
        return _failure(answer)
    if kind == _IS_VERSION:
        return None
    raise ValueError(f"no answer is of kind {kind}")


def _failure(answer: _Answer) -> Exception | None:
    code = answer.number()
    if code == 0:
        return None
    try:
        reason = answer.string().decode("utf-8", "replace")
    except ValueError:  # some servers leave it out
        reason = ""
    return _ERRORS[code](reason) if code in _ERRORS else asyncssh.SFTPError(code, reason)


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    future.set_exception(error)
    future.exception()  # seen, or asyncio would complain where nobody waits for the answer
