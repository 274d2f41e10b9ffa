"""A body on its way into a folder: `body`, and beside it `body.json`, which says what it is a part of.

Whoever finds both after a crash goes on where they end. Nothing in them is trusted that the server does not confirm.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from trueup.stores.oserror import translated

_TEXTS: Final = ("validator", "name")


class Body:
    """What is there of one URL's body. One process at a time works in a folder.

    Every method raises `StoreError` (`NoSpace` where the disk is full) for what the system says.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.path = folder / "body"
        self.size = 0
        """Bytes on disk."""
        self.total: int | None = None
        """Bytes of the whole, once known."""
        self.validator = ""
        self.name = ""
        self._digests: Mapping[str, str] = {}
        self._record = folder / "body.json"
        # Not the URL itself: it may hold a password.
        self._url = base64.b64encode(hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest()).decode()
        with self._told("written"):
            folder.mkdir(parents=True, exist_ok=True)
            self._recall()

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return self.size == self.total

    def begin(self, *, total: int | None, validator: str, name: str, digests: Mapping[str, str]) -> None:
        """Start over: an empty body of what an answer announces."""
        self.clear()
        self.total, self.validator, self.name, self._digests = total, validator, name, digests
        self._note()

    def know(self, total: int) -> None:
        """The length, which the first answer did not tell."""
        if self.total is None:
            self.total = total
            self._note()

    def clear(self) -> None:
        """Keep nothing."""
        with self._told("removed"):
            self._record.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
        self.size, self.total, self.validator, self.name, self._digests = 0, None, "", "", {}

    @contextmanager
    def appending(self) -> Iterator[IO[bytes]]:
        """The open file, for `append`."""
        with self._told("written"):
            file = self.path.open("ab", buffering=0)
        with file:
            yield file

    def append(self, file: IO[bytes], data: bytes) -> None:
        """The bytes that come next."""
        view = memoryview(data)
        while view:
            with self._told("written"):
                count = file.write(view)
            self.size += count
            view = view[count:]

    def differs(self) -> str:
        """The name of a digest which the complete body does not have, though the server said so; empty if all fit."""
        for name, digest in self._digests.items():
            with self._told("read"), self.path.open("rb") as file:
                if hashlib.file_digest(file, name.replace("-", "")).hexdigest() != digest:
                    return name
        return ""

    def _recall(self) -> None:
        """Take what lies there, if it is a part of this URL's body."""
        try:
            record = json.loads(self._record.read_bytes())
            size = self.path.stat().st_size
        except (FileNotFoundError, ValueError):
            record, size = None, 0
        if record is None or not self._usable(record):
            self.clear()
            return
        self.size, self.total = size, record["total"]
        self.validator, self.name, self._digests = record["validator"], record["name"], record["digests"]

    def _usable(self, record: Any) -> bool:  # noqa: ANN401 - it is what lay in a file
        if not isinstance(record, dict) or record.get("url") != self._url:
            return False
        total, digests = record.get("total", ""), record.get("digests")
        return (
            (total is None or isinstance(total, int))
            and all(isinstance(record.get(name), str) for name in _TEXTS)
            and isinstance(digests, dict)
            and all(name in {"sha-256", "md5"} for name in digests)
        )

    def _note(self) -> None:
        record = {
            "url": self._url,
            "total": self.total,
            "validator": self.validator,
            "name": self.name,
            "digests": dict(self._digests),
        }
        # Published whole: a record cut short by a crash would cost what was fetched.
        beside = self._record.with_suffix(".new")
        with self._told("written"):
            beside.write_text(json.dumps(record), "utf-8")
            os.replace(beside, self._record)  # noqa: PTH105 - one name for it everywhere
            self.path.touch()

    @contextmanager
    def _told(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise translated(error, str(self.path), verb) from error
