"""A body on its way to a remote service."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from trueup.stores import files


class Counted:
    """A body on its way: its length and MD5 so far, and what it raised."""

    def __init__(self, key: str, body: Iterable[bytes], size: int | None, expected: str) -> None:
        self._key = key
        self._body = body
        self.size = size
        self._expected = expected
        self._total = 0
        self._digest = hashlib.md5(usedforsecurity=False)
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._body:
                self._total += len(piece)
                self._digest.update(piece)
                if self.size is not None and self._total > self.size:
                    self.verify()
                if piece:
                    yield piece
            self.verify()  # before the service takes the end of the body for the end of the file
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise

    def verify(self) -> str:
        """The hex MD5, if all is as expected, else a `StoreError`."""
        return files.checked(self._key, self._total, self._digest.hexdigest(), self.size, self._expected)
