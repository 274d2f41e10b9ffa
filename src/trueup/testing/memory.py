"""A bucket in the memory of this process: flat keys, ETags that are MD5s, conditional writes and deletes."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar, NamedTuple

from trueup import keys
from trueup.errors import NotFound, PreconditionFailed, StoreError, Unaddressable
from trueup.stores.base import CHUNK, BytesPassHere, Entry, Features, Metadata


class _Object(NamedTuple):
    data: bytes
    mtime_ns: int
    md5: str
    metadata: Metadata = Metadata()


class MemoryStore(BytesPassHere):
    """One bucket. `MemoryStore("memory://name")` is a new one; `MemoryStore.named` gives the same one each time.

    Objects live as long as the store does. `put` and `contents` are for tests: `put` takes any key, also those that
    no store may be asked for, because real buckets hold them.
    """

    _named: ClassVar[dict[str, MemoryStore]] = {}
    _naming: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, url: str = "memory://") -> None:
        self._url = url.rstrip("/") if url != "memory://" else url
        self._objects: dict[str, _Object] = {}
        self._lock = threading.Lock()

    @classmethod
    def named(cls, url: str) -> MemoryStore:
        """The store of this URL in this process: `memory://a` is one place, however often it is opened."""
        with cls._naming:
            store = cls(url)
            return cls._named.setdefault(store.url, store)

    @classmethod
    def forget(cls) -> None:
        """Empty the names, between tests."""
        with cls._naming:
            cls._named.clear()

    def __repr__(self) -> str:
        return f"MemoryStore({self._url!r})"

    def put(self, key: str, data: bytes, *, mtime_ns: int | None = None) -> Entry:
        """Store an object as another program would: any key, no checks, any time (nanoseconds since 1970 UTC)."""
        made = _Object(bytes(data), time.time_ns() if mtime_ns is None else mtime_ns, _md5(data))
        with self._lock:
            self._objects[key] = made
        return _entry(key, made)

    def contents(self) -> dict[str, bytes]:
        """Every object's bytes, trueup's own included."""
        with self._lock:
            return {key: found.data for key, found in self._objects.items()}

    @property
    def url(self) -> str:
        return self._url

    @property
    def features(self) -> Features:
        return Features(tree=False, if_absent=True, if_match=True, delete_if_match=True, start=True, metadata=True)

    def guards_absent(self) -> bool:
        return True

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:  # noqa: ARG002
        start = keys.normal(start)
        with self._lock:
            found = sorted((keys.normal(key), key, made) for key, made in self._objects.items())
        for normal, key, made in found:
            if normal < start or keys.is_reserved(key):
                continue
            reason = self.unaddressable(key)
            if reason is None:
                yield _entry(key, made)
            elif key.endswith("/") and keys.unaddressable(key[:-1]) is None:
                yield Entry(key, fault="marker", detail="it marks a folder and holds nothing")
            else:
                yield Entry(key, fault="unaddressable", detail=reason)

    def stat(self, key: str) -> Entry:
        return _entry(key, self._find(key))

    def metadata(self, key: str, *, expect: Entry | None = None) -> Metadata:
        found = self._find(key)
        _require(key, found, expect)
        return found.metadata

    def exists(self) -> bool:
        return True

    def create(self) -> None:
        """Nothing to do: it is there."""

    @contextmanager
    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> Generator[Iterator[bytes], None, None]:
        found = self._find(key)
        _require(key, found, expect)
        end = len(found.data) if length is None else min(offset + length, len(found.data))
        yield (found.data[at : min(at + CHUNK, end)] for at in range(offset, end, CHUNK))

    def write(
        self,
        key: str,
        body: Iterable[bytes],
        *,
        size: int | None = None,
        md5: str = "",
        if_absent: bool = False,
        if_match: Entry | None = None,
        mtime_ns: int | None = None,  # noqa: ARG002 - a bucket dates its objects itself
        metadata: Metadata | None = None,
        temporary: str = "",  # noqa: ARG002 - nothing is ever half written
    ) -> Entry:
        self._check(key)
        name = keys.display(key)
        data = b"".join(body)
        if size is not None and len(data) != size:
            raise StoreError(f"'{name}' brought {len(data)} bytes, not the expected {size}", cure="Run again")
        found = _md5(data)
        if md5 and found != md5:
            raise StoreError(f"'{name}' brought other bytes than expected: its MD5 is {found}, not {md5}")
        with self._lock:
            present = self._objects.get(key)
            if if_absent and present is not None:
                raise PreconditionFailed(f"'{name}' is there already")
            if if_match is not None:
                if present is None:
                    raise PreconditionFailed(f"'{name}' is gone")
                _require(key, present, if_match)
            made = self._objects[key] = _Object(data, time.time_ns(), found, metadata or Metadata())
        return _entry(key, made)

    def discard(self, key: str, temporary: str) -> None:
        """Nothing to do: nothing is ever half written."""

    def copy(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        self._check(target)
        with self._lock:
            found = self._find(source)
            _require(source, found, if_match)
            made = self._objects[target] = found._replace(mtime_ns=time.time_ns())
        return _entry(target, made)

    def preserve(self, source: str, target: str, *, if_match: Entry | None = None) -> None:
        self.copy(source, target, if_match=if_match)

    def move(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        self._check(target)
        with self._lock:
            found = self._find(source)
            _require(source, found, if_match)
            if target in self._objects:
                raise PreconditionFailed(f"'{keys.display(target)}' is there already")
            made = self._objects[target] = found._replace(mtime_ns=time.time_ns())
            del self._objects[source]
        return _entry(target, made)

    def delete(self, key: str, *, if_match: Entry | None = None) -> None:
        with self._lock:
            if if_match is None:
                self._check(key)
                self._objects.pop(key, None)
                return
            _require(key, self._find(key), if_match)
            del self._objects[key]

    def flush(self, keys: Iterable[str]) -> None:
        """Nothing to do: memory does not survive a power cut."""

    def sign(self, key: str, *, ttl: timedelta) -> str:  # noqa: ARG002 - the contract's signature
        raise StoreError(f"memory has no URL for '{keys.display(key)}'", cure="Only clouds sign URLs")

    def unaddressable(self, key: str) -> str | None:
        return keys.unaddressable_in_cloud(key)

    def is_public(self, key: str) -> bool:  # noqa: ARG002 - nobody outside the process reaches it
        return False

    def clock_ahead_ns(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing to release; the objects stay."""

    def _check(self, key: str) -> None:
        reason = self.unaddressable(key)
        if reason is not None:
            raise Unaddressable(f"'{keys.display(key)}' cannot be asked for: {reason}")

    def _find(self, key: str) -> _Object:
        self._check(key)
        found = self._objects.get(key)
        if found is None:
            raise NotFound(f"'{keys.display(key)}' is not there")
        return found


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _entry(key: str, found: _Object) -> Entry:
    return Entry(key, len(found.data), found.mtime_ns, f"md5:{found.md5}", found.md5, found.md5)


def _require(key: str, found: _Object, planned: Entry | None) -> None:
    """Content is what counts here, as an ETag does: the same bytes written again are the same version."""
    if planned is None:
        return
    if planned.fingerprint:
        same = planned.fingerprint == f"md5:{found.md5}"
    else:
        same = planned.size == len(found.data) and planned.md5 in {"", found.md5}
    if not same:
        raise PreconditionFailed(f"'{keys.display(key)}' changed since it was looked at", cure="Run again")
