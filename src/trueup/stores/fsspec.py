"""Places through fsspec: `fsspec+PROTO://…` for every file system it knows.

fsspec unites what differs in all that matters here, and says so nowhere: whether `x` and `x/y` can both exist, what a
rename does, which of many keys of an info holds the time. What is known of a protocol is written down here; for all
others the careful answer is taken.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

from trueup import keys
from trueup.config import StoreConfig
from trueup.errors import TrueupError
from trueup.stores.base import CHUNK
from trueup.stores.fsspec_error import is_answer, translated
from trueup.stores.fsspec_info import found_of
from trueup.stores.fsspec_place import Place
from trueup.stores.remote import RemoteStore
from trueup.stores.remote_service import Files, Found, Traits
from trueup.stores.remote_tree import rename_over

_FLAT: Final = frozenset("abfs abfss adl gcs gs lakefs obs oci oss r2 s3 s3a tos tosfs".split())
"""Object stores: `x` and `x/y` can both exist. Everything else is taken for folders and files."""
_EXACT: Final = frozenset({"git", "github", "hf", "memory"})
"""Fingerprints there are made of contents, or of a finer clock than any two writes."""
_WHOLE: Final = frozenset({"box", "dropbox", "gdrive", "webdav"})
"""Removing a folder there removes what is in it, or looks before it removes."""

_READ: Final = 4 << 20
"""Bytes fetched at a time of a large file."""


def open_fsspec(config: StoreConfig) -> RemoteStore:
    """The store a `[stores.NAME]`, or a bare URL, means. Raises `ConfigError` and `MissingExtra`."""
    return RemoteStore(FileSystems(Place(config)))


class FileSystems:
    """Two pools of file systems, because few of them serve two threads at once: one to read, one for the rest. Who
    holds one to read may wait for one of the others, and nobody waits the other way round."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.url = place.url
        make: Callable[[], Files]
        if place.protocol == "ftp":
            from trueup.stores.ftp import FtpFiles

            make = partial(FtpFiles, place.make, place.root)
        else:
            make = partial(FsspecFiles, place.make, place.root, place.protocol)
        self._readers = _Pool(make, place.connections)
        self._workers = _Pool(make, place.connections)
        tree = place.protocol not in _FLAT
        self.traits = Traits(
            tree=tree,
            dated=tree and place.protocol not in _EXACT,
            renames=tree and place.protocol != "memory",
            removes_whole=place.protocol in _WHOLE,
            at_once=place.connections,
            retries=place.retries,
        )

    def session(self, *, reading: bool = False) -> Any:  # noqa: ANN401 - a context manager
        return (self._readers if reading else self._workers).session()

    def listing(self) -> None:
        return None

    def create(self) -> None:
        with self.session() as there:
            there.make_root()

    def unaddressable(self, key: str) -> str | None:
        if reason := keys.unaddressable(key):
            return reason
        if self._place.protocol == "ftp":
            if "\r" in key or "\n" in key:
                return "the name holds a line break, which ends an FTP command"
            if any(part != part.strip() for part in key.split("/")):
                return "a part of the name begins or ends with white space, which FTP servers trim"
        if max(len(part.encode()) for part in key.split("/")) > 255:
            return "a segment of the name is longer than 255 bytes"
        if len(key.encode()) > 4000:
            return "the name is longer than 4,000 bytes"
        return None

    def is_lost(self, error: Exception) -> bool:
        return not is_answer(error)

    def translated(self, error: Exception, key: str, verb: str) -> TrueupError:
        return translated(error, key, verb, self.url, self._place.scrub)

    def close(self) -> None:
        self._readers.close()
        self._workers.close()


class _Pool:
    """At most so many file systems; one that failed in an unclear way is thrown away, and one that comes back after the
    end, as from a listing that was not waited for."""

    def __init__(self, make: Callable[[], Any], size: int) -> None:
        self._make = make
        self._room = threading.BoundedSemaphore(size)
        self._idle: list[Any] = []
        self._process = os.getpid()
        self._closed = False

    @contextmanager
    def session(self) -> Iterator[Any]:
        with self._room:
            if self._process != os.getpid():  # connections of the parent are the parent's
                self._process, self._idle = os.getpid(), []
            try:
                there = self._idle.pop()
            except IndexError:
                there = self._make()
            try:
                yield there
            except TrueupError:
                self._keep(there)
                raise
            except BaseException as error:
                if isinstance(error, Exception) and is_answer(error):
                    self._keep(there)
                else:
                    there.close()
                raise
            self._keep(there)

    def _keep(self, there: Any) -> None:  # noqa: ANN401 - each kind has files of its own
        self._idle.append(there)
        if self._closed:
            self.close()

    def close(self) -> None:
        self._closed = True
        with suppress(IndexError):  # two may be at it
            while True:
                self._idle.pop().close()


class FsspecFiles:
    """The files of one file system; see `Files`."""

    def __init__(self, make: Callable[[], Any], root: str, protocol: str) -> None:
        self.fs = make()
        self._root = root
        self._protocol = protocol

    def path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root or "/"

    def look(self, key: str) -> Found | None:
        self.fs.invalidate_cache()
        try:
            info = self.fs.info(self.path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found_of(key, info, self._protocol)

    def names(self, folder: str) -> Iterable[Found]:
        self.fs.invalidate_cache()
        path = self.path(folder)
        for info in self.fs.ls(path, detail=True):
            whole = str(info["name"]).rstrip("/")
            name = whole.rpartition("/")[2]
            if whole == path.rstrip("/") or not name:
                continue  # the folder itself
            yield found_of(f"{folder}/{name}" if folder else name, info, self._protocol)

    def read(self, key: str, offset: int, length: int) -> Generator[bytes]:
        path = self.path(key)
        if length <= CHUNK:
            yield self.fs.cat_file(path, start=offset, end=offset + length)
            return
        with self.fs.open(path, "rb", block_size=_READ) as file:
            file.seek(offset)
            while length:
                piece = file.read(min(CHUNK, length))
                if not piece:
                    return
                length -= len(piece)
                yield piece

    def put(self, key: str, body: Iterable[bytes], size: int | None) -> None:  # noqa: ARG002 - streamed anyway
        file = self.fs.open(self.path(key), "wb")
        try:
            for piece in body:
                file.write(piece)
        except BaseException:
            with suppress(Exception):  # what it publishes lies under a temporary name, which is removed
                file.close()
            raise
        file.close()

    def rename(self, source: str, target: str) -> None:
        from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

        one, other = self.path(source), self.path(target)
        if type(self.fs).mv is AbstractFileSystem.mv:  # it would take * and ? in a name for a pattern
            self.fs.cp_file(one, other)
            self.fs.rm_file(one)
            return
        try:
            self.fs.mv(one, other)
        except FileExistsError:
            rename_over(lambda old, new: self.fs.mv(self.path(old), self.path(new)), self.remove, source, target)

    def copy(self, source: str, target: str) -> bool:
        try:
            self.fs.cp_file(self.path(source), self.path(target))
        except NotImplementedError:
            return False
        return True

    def remove(self, key: str) -> None:
        self.fs.rm_file(self.path(key))

    def make_folder(self, folder: str) -> None:
        self.fs.mkdir(self.path(folder), create_parents=False)

    def remove_folder(self, folder: str) -> None:
        self.fs.rmdir(self.path(folder))

    def make_root(self) -> None:
        self.fs.makedirs(self.path(""), exist_ok=True)

    def close(self) -> None:
        """Nothing that fsspec has a word for."""
