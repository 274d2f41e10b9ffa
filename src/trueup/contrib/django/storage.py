"""A file storage for Django over any place trueup knows."""

from __future__ import annotations

import io
import posixpath
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final

from django.conf import settings as site
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import File
from django.core.files.storage import Storage
from django.utils.deconstruct import deconstructible
from django.utils.encoding import filepath_to_uri
from django.utils.timezone import make_naive
from django.views.decorators.debug import sensitive_variables

from trueup import keys
from trueup.contrib.django.places import place, read_settings
from trueup.contrib.django.reader import ObjectReader
from trueup.errors import Hidden, NotFound, PreconditionFailed, TrueupError
from trueup.stores import Entry, OutOfOrder, Store, open_store

_ATTEMPTS: Final = 5
"""How often another name is tried; the second one is random, so more only fail for what no name helps against."""


@deconstructible(path="trueup.contrib.django.storage.TrueupStorage")
class TrueupStorage(Storage):
    """Files in a place of trueup's: a folder, a URL or a `[stores.NAME]`.

    `store`: the place. A bucket in S3 or R2 takes its credentials from the database, the settings or the environment,
    as the commands do. `url_ttl`: seconds for which a signed URL works. `base_url`: what URLs begin with where the
    store cannot sign, or with `signed=False`.

    A file is never overwritten: the name is changed instead. A missing file is `FileNotFoundError`, a name that leads
    elsewhere `SuspiciousFileOperation`, and any other trouble one of `trueup.errors`.
    """

    def __init__(self, store: str, base_url: str | None = None, *, url_ttl: int = 3600, signed: bool = True) -> None:
        self.place = str(store)
        """As it was named."""
        self._base_url = base_url if base_url is None or base_url.endswith("/") else f"{base_url}/"
        self._url_ttl = timedelta(seconds=url_ttl)
        self._signed = signed
        self._opened: Store | None = None
        self._opening = threading.Lock()

    def __repr__(self) -> str:
        return f"TrueupStorage({self.place!r})"

    @property
    def store(self) -> Store:
        """The place, opened when it is first needed: after a server has forked its workers."""
        with self._opening:
            if self._opened is None:
                self._opened = _opened(self.place)
            return self._opened

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        if mode not in {"rb", "r"}:
            raise ValueError(f"a file in {self.place} is opened for reading or saved anew, not opened with {mode!r}")
        reader = io.BufferedReader(ObjectReader(self.store, self._stat(name)))
        return File(reader if mode == "rb" else io.TextIOWrapper(reader, encoding="utf-8"), name)

    def _save(self, name: str, content: File[Any]) -> str:
        name = self._key(name)
        for _ in range(_ATTEMPTS):
            try:
                self.store.write(name, _bytes(content), if_absent=True)
            except Hidden:
                raise
            except NotFound:  # the folder itself, before its first file
                self.store.create()
            except PreconditionFailed:  # somebody else was quicker, or a folder of this name is there
                path = PurePosixPath(name)
                ending = "".join(path.suffixes)
                other = self.get_alternative_name(path.name.removesuffix(ending), ending)
                name = self.get_available_name(str(path.with_name(other)))
            else:
                return name
        raise FileExistsError(f"'{keys.display(name)}' cannot be saved in {self.place}: something is in its way")

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is fine."""
        if not name:
            raise ValueError("The name must be given to delete().")
        self.store.delete(self._key(name))

    def exists(self, name: str) -> bool:
        """Whether the name is taken."""
        key = self._key(name)
        try:
            self.store.stat(key)
        except Hidden as error:  # a link, say: nothing can be saved there
            if any(map(self._is_hidden, keys.parents(key))):
                raise SuspiciousFileOperation(str(error)) from error
            return True
        except NotFound:
            return False
        return True

    def _is_hidden(self, key: str) -> bool:
        try:
            self.store.stat(key)
        except Hidden:
            return True
        except NotFound:
            return False
        return False

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Folders and files in a folder. A bucket has to list everything below it for that."""
        prefix = "" if path in {"", ".", "/"} else f"{self._key(path)}/"
        try:
            return _names(self.store.list(prefix), prefix)
        except OutOfOrder:
            return _names(self.store.list(prefix, ordered=False), prefix)
        except NotFound:
            raise FileNotFoundError(f"{self.place} is not there") from None

    def size(self, name: str) -> int:
        """Bytes."""
        return self._stat(name).size

    def get_modified_time(self, name: str) -> datetime:
        """When it was last written: aware with `USE_TZ`, else in local time."""
        found = datetime.fromtimestamp(self._stat(name).mtime_ns / 1e9, UTC)
        return found if site.USE_TZ else make_naive(found)

    def url(self, name: str | None) -> str:
        """A URL that works for a while where the store signs; else `base_url` and the name."""
        key = self._key(name or "")
        if self._signed and self.store.features.sign:
            return self.store.sign(key, ttl=self._url_ttl)
        if self._base_url is None:
            raise ValueError(f"{self.place} cannot sign URLs, and the storage has no base_url")
        return self._base_url + str(filepath_to_uri(key))

    def _stat(self, name: str) -> Entry:
        try:
            return self.store.stat(self._key(name))
        except NotFound as error:
            raise FileNotFoundError(str(error)) from error

    def _key(self, name: str) -> str:
        """The key of a name. What leads out of the place, or to trueup's own files in it, is refused."""
        path = str(name).replace("\\", "/")
        key = posixpath.normpath(path) if path else ""
        if path.startswith("/") or ".." in path.split("/"):
            raise SuspiciousFileOperation(f"'{keys.display(path)}' leads out of {self.place}")
        reason = "it belongs to trueup" if keys.is_reserved(key) else self.store.unaddressable(key)
        if reason:
            raise SuspiciousFileOperation(f"'{keys.display(path)}' is no name for a file in {self.place}: {reason}")
        return key


@sensitive_variables()  # an error report shows the variables of every function, down to this one
def _opened(named: str) -> Store:
    settings = read_settings()
    config = place(named, settings)
    try:
        return open_store(config, settings.environ)
    except TrueupError as error:
        raise error.with_traceback(None) from None


def _bytes(content: File[Any]) -> Iterator[bytes]:
    for chunk in content.chunks():
        yield chunk if isinstance(chunk, bytes) else chunk.encode()


def _names(listing: Generator[Entry], prefix: str) -> tuple[list[str], list[str]]:
    """The folders and the files right below a prefix."""
    folders: dict[str, None] = {}
    files = []
    depth, prefix = prefix.count("/"), keys.normal(prefix)
    with closing(listing):
        for entry in listing:
            normal = keys.normal(entry.key)
            if not normal.startswith(prefix):
                if normal > prefix:
                    break
                continue  # what hides everything below a folder above this one
            name, *below = entry.key.split("/")[depth:]
            if name and below:
                folders[name] = None
            elif name and not entry.fault:
                files.append(name)
    return list(folders), files
