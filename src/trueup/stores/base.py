"""What a store is: the one protocol every place implements, and the record of what it can do.

The docstrings here are the contract; `trueup.testing.StoreContract` holds every store to them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple, Protocol

CHUNK = 1 << 20
"""Bytes in one piece of a streamed body."""


_LARGEST = (1 << 63) - 1


def storable_ns(time_ns: int) -> int:
    """A time as SQLite can keep it: what lies before 1677 or after 2262 is taken for those."""
    return max(-_LARGEST, min(time_ns, _LARGEST))


def storable_size(size: int) -> int:
    """Bytes as SQLite can keep them: a server may tell any number."""
    return max(0, min(size, _LARGEST))


class Entry(NamedTuple):
    """One file or object as a listing or a stat showed it. A named tuple, because a million of these are made in a run
    (0.25 us each; a frozen dataclass takes 1.1 us)."""

    key: str
    """Relative key as the store spells it (not normalised)."""
    size: int = 0
    """Bytes."""
    mtime_ns: int = 0
    """Modification time, nanoseconds since 1970 UTC; for a cloud the server's LastModified; 0 when unknown."""
    fingerprint: str = ""
    """Fingerprint. While it stays the same the content is the same; when it differs the content may differ.
    Local: mtime, ctime and inode. Cloud: ETag, or `md5:…` where the listing gives an MD5. Empty: ask again."""
    md5: str = ""
    """Hex MD5 of the content where the store tells it without reading, else empty."""
    etag: str = ""
    """ETag without quotes, where the store has one: what `if_match` takes."""
    fault: str = ""
    """Empty for an ordinary file. Otherwise the reason why this entry, and everything below it, is *not seen*:
    `link`, `special`, `unreadable`, `unaddressable`, `marker` (a `dir/` object: skipped, hides nothing)."""
    detail: str = ""
    """With `fault`: the sentence that explains it to a person."""


class Metadata(NamedTuple):
    """What an object says of itself beside its bytes. Empty: nothing."""

    mtime_ns: int | None = None
    """When the content was modified, as somebody noted it there (nanoseconds since 1970 UTC): a bucket's own
    LastModified is the time of the upload. None: nobody did."""
    content_type: str = ""
    content_disposition: str = ""
    content_encoding: str = ""
    user: Mapping[str, str] = MappingProxyType({})
    """Names and values of the users' own; names in small letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What a store can really do. A feature a server only claims to have is False until it was probed."""

    tree: bool
    """Paths are folders and files: `x` and `x/y` cannot both exist."""
    folds_case: bool = False
    """`A` and `a` are one file."""
    if_absent: bool = False
    """`write(if_absent=True)` is atomic on the server."""
    if_match: bool = False
    """`write(if_match=…)` is atomic on the server."""
    delete_if_match: bool = False
    """`delete(if_match=…)` is atomic on the server."""
    start: bool = False
    """`list(start=…)` begins at the key on the server, not by skipping here."""
    sign: bool = False
    """`sign` works."""
    metadata: bool = False
    """`metadata` tells, and `write(metadata=…)` keeps."""
    keeps_mtime: bool = False
    """`write(mtime_ns=…)` sets the modification time that `stat` later shows."""
    transfers: int = 32
    """As many small files at once as keep the way to it busy."""
    dated: bool = False
    """Fingerprints are made of times, so that of a file modified a moment ago says little; so it is, too, wherever
    `keeps_mtime` is True."""


class Store(Protocol):
    """One place that holds bytes under keys. Safe to use from many threads.

    Every method raises the errors of `trueup.errors` and no other: `NotFound`, `AccessDenied`, `BucketMissing`,
    `Unreachable` (after retries), `Unaddressable`, `NoSpace`, `PreconditionFailed`, or plain `StoreError`.
    Messages name the key and never hold a secret.
    """

    @property
    def url(self) -> str:
        """Canonical URL without credentials, equal for two spellings of the same place: endpoint, bucket and prefix."""
        ...

    @property
    def features(self) -> Features:
        """What this store can do. May probe the server at the first call (which writes below `.trueup/`)."""
        ...

    def guards_absent(self) -> bool:
        """Whether `write(if_absent=True)` is atomic, found out now where nobody knows it yet (which writes and removes
        a small object below `.trueup/`)."""
        ...

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry]:
        """Every entry with `key >= start`, in ascending order of `trueup.keys.normal(key)`.

        Names of trueup's own (`keys.is_reserved`) are left out. What cannot be seen is an entry with a `fault`, in
        its place in the order, never a silent gap. Raises `ListingUnfinished` when the listing broke off, and
        `OutOfOrder` when the store turned out not to list in order: the caller then asks again with `ordered=False`,
        which sorts outside memory and always succeeds. Closing the iterator early is allowed. A missing root raises
        `NotFound`.
        """
        ...

    def stat(self, key: str) -> Entry:
        """The entry now. `NotFound` when there is no file (a folder is not a file); its kind `Hidden` when something
        else is there that is never followed or read, such as a link."""
        ...

    def metadata(self, key: str, *, expect: Entry | None = None) -> Metadata:
        """What the object says of itself; nothing where the store keeps no such thing. With `expect` (the entry as
        planned) anything else raises `PreconditionFailed`."""
        ...

    def exists(self) -> bool:
        """Whether the root is there: a folder, or a bucket that answers. A prefix in a bucket always is."""
        ...

    def create(self) -> None:
        """Make the root of a tree. Buckets are never created."""
        ...

    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes of one object from `offset`, at most `length` of them, in pieces of at most `CHUNK` bytes or so.

        With `expect` (the entry as planned) reading anything else raises `PreconditionFailed`. A source that breaks
        off, or changes while it is read, raises before the iterator ends: who saw it end has seen one whole version.
        """
        ...

    def write(
        self,
        key: str,
        body: Iterable[bytes],
        *,
        size: int | None = None,
        md5: str = "",
        if_absent: bool = False,
        if_match: Entry | None = None,
        mtime_ns: int | None = None,
        metadata: Metadata | None = None,
        temporary: str = "",
    ) -> Entry:
        """Store the body under the key, whole or not at all, and return what was written: size, MD5 computed from the
        bytes that passed, and the fingerprint the object will show in a listing.

        `size` is the expected length and `md5` the expected hex MD5 (empty: unknown): anything else is a `StoreError`
        and nothing is published. An exception out of
        `body` publishes nothing and passes through. `if_absent` and `if_match` (the entry as planned) raise
        `PreconditionFailed`; where the server cannot check them (see `features`) the store looks first, then acts.
        The returned fingerprint is empty when another writer may have come between.
        `metadata` is kept with the object where the store can; what it leaves empty, the store decides.
        `temporary`: a tree writes to `.trueup-<temporary>` beside the target first; the caller names it so that what a
        killed process leaves can be found. Missing folders are made; nothing is written through a link."""
        ...

    def discard(self, key: str, temporary: str) -> None:
        """Remove what an interrupted `write(key, temporary=…)` left behind, if anything."""
        ...

    def copy(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        """An independent copy inside this store, replacing the target; the bytes do not pass here where the store can
        do without. `if_match` is the source as planned. Returns the target's entry."""
        ...

    def copy_from(
        self, origin: Store, source: Entry, target: str, *, if_absent: bool = False, if_match: Entry | None = None
    ) -> Entry | None:
        """Copy an object of another store, as planned, without its bytes passing here, and all it says of itself with
        it. None, and nothing done, where that is not possible: then its bytes are to be read and written. `if_absent`
        and `if_match` mean the target, as in `write`. Returns the target's entry."""
        ...

    def preserve(self, source: str, target: str, *, if_match: Entry | None = None) -> None:
        """Keep the present version of `source` under `target`, as cheaply as possible (a hard link will do), because
        `source` is about to be replaced or removed. `if_match` is the source as planned."""
        ...

    def move(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        """Move inside this store; an existing target is `PreconditionFailed`. `if_match` is the source as planned.
        Returns the target's entry. Folders that become empty on a tree are removed (never the root)."""
        ...

    def delete(self, key: str, *, if_match: Entry | None = None) -> None:
        """Remove one object. Absent is fine, unless `if_match` is given: then `NotFound`. Folders that become empty
        on a tree are removed (never the root)."""
        ...

    def flush(self, keys: Iterable[str]) -> None:
        """Make what was written or moved under these keys survive a power cut (fsync of files and folders). Clouds
        have nothing to do."""
        ...

    def sign(self, key: str, *, ttl: timedelta) -> str:
        """A URL that reads this one object until `ttl` has passed, and can do nothing else. Raises `UsageError` for a
        longer time than the service grants."""
        ...

    def unaddressable(self, key: str) -> str | None:
        """Why this store cannot hold an object of this name, or None."""
        ...

    def is_public(self, key: str) -> bool:
        """Whether anybody, without credentials, can read this object."""
        ...

    def clock_ahead_ns(self) -> int:
        """Nanoseconds by which the clock that dates this store's entries is ahead of this machine's, measured now."""
        ...

    def close(self) -> None:
        """Release connections and helper processes."""
        ...


class BytesPassHere:
    """What a store answers that can take nothing from another one but bytes."""

    def copy_from(
        self,
        origin: Store,  # noqa: ARG002 - the contract's signature
        source: Entry,  # noqa: ARG002
        target: str,  # noqa: ARG002
        *,
        if_absent: bool = False,  # noqa: ARG002
        if_match: Entry | None = None,  # noqa: ARG002
    ) -> Entry | None:
        return None


class PlainFiles(BytesPassHere):
    """What a store of files answers, which say nothing of themselves."""

    def guards_absent(self) -> bool:
        return False

    def metadata(self, key: str, *, expect: Entry | None = None) -> Metadata:  # noqa: ARG002 - the same
        return Metadata()


class OutOfOrder(Exception):
    """A listing met a key below its predecessor."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key
