"""What is uploaded: a file, or bytes as they come."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from trueup.errors import UsageError
from trueup.stores.base import CHUNK


class Source(Protocol):
    """Bytes for one upload."""

    size: int | None
    """Bytes, where they are known before."""

    def body(self) -> Iterator[bytes] | None:
        """The bytes from the beginning; None when they cannot be had a second time."""
        ...

    def md5(self) -> str:
        """Hex MD5, read for it; empty where the bytes can be had only once."""
        ...


class FileSource:
    """A file, which may be read again for another provider."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        try:
            if not self._path.is_file():
                raise UsageError(
                    f"{self._path} is not there" if not self._path.exists() else f"{self._path} is no file"
                )
            self.size: int | None = self._path.stat().st_size
        except (OSError, ValueError) as error:
            raise UsageError(f"{str(path)!r} cannot be read: {error}") from None

    def body(self) -> Iterator[bytes]:
        """The file's bytes, and an error when it is no longer of its size."""
        try:
            with self._path.open("rb") as file:
                yield from iter(lambda: file.read(CHUNK), b"")
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read: {error.strerror}") from error

    def md5(self) -> str:
        """Read for it."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.body():
            digest.update(piece)
        return digest.hexdigest()


class StreamSource:
    """Bytes that come once: an open file, a pipe, an iterable. Raises `UsageError` for what only looks like one."""

    def __init__(self, stream: BinaryIO | Iterable[bytes]) -> None:
        _refuse_lookalikes(stream)
        self.size: int | None = None
        self._taken = False
        self._pieces = iter(lambda: stream.read(CHUNK), b"") if isinstance(stream, io.IOBase) else iter(stream)

    def body(self) -> Iterator[bytes] | None:
        """The bytes, the first time."""
        if self._taken:
            return None
        self._taken = True
        return self._pieces

    def md5(self) -> str:
        """Not known before."""
        return ""


def _refuse_lookalikes(stream: object) -> None:
    if isinstance(stream, bytes | bytearray | memoryview):  # whose parts are numbers
        raise UsageError("bytes are not taken as they are", cure="Wrap them: io.BytesIO(data)")
    if isinstance(stream, io.TextIOBase):
        raise UsageError("this file is open for text, and gives no bytes", cure='Open it with the mode "rb"')
