"""Buckets and containers: S3, Cloudflare R2, Google Cloud Storage and Azure Blob, through OpenDAL."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from trueup import keys
from trueup.config import StoreConfig
from trueup.errors import BucketMissing, NotFound, PreconditionFailed, StoreError, Unreachable
from trueup.stores import listing
from trueup.stores.base import CHUNK, Entry, Features, Metadata, OutOfOrder, Store
from trueup.stores.budget import DOWNLOADS, PART
from trueup.stores.client import Client, same
from trueup.stores.credentials import place
from trueup.stores.metadata import told
from trueup.stores.rows import unaddressable
from trueup.stores.sort import sorted_entries
from trueup.stores.uploads import Uploads

if TYPE_CHECKING:
    from opendal import Operator
    from opendal.file import File

    from trueup.stores.leftovers import Leftovers
    from trueup.stores.ranges import Sample

_READ: Final = 4 << 20
"""Bytes in one ranged request of a large download."""

_SMALL: Final = 1 << 20
"""Bytes of a download that needs no room from the budget."""

_TRANSFERS: Final = 96
"""4,000 small files to a server 50 ms away took 11.6 s with 32 at once, 4.5 s with 96, and no less with 128; next door
it makes no difference. Between two clouds it is twice as many connections."""

_COPY_LIMIT: Final = 5 << 30
"""S3 copies larger objects only in parts, which OpenDAL does not do; 5 GiB counts for all, to be simple."""


class CloudStore:
    """One bucket, or a prefix in it. Nothing is contacted, and OpenDAL is not imported, before the first operation.

    `features` tells what is known without asking. The conditions are probed by the first `write` or `delete` that has
    one, because a probe writes to the bucket; until then they are False.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._uploads = Uploads(client)

    @classmethod
    def open(cls, config: StoreConfig, environ: Mapping[str, str]) -> CloudStore:
        """The store a `[stores.NAME]` or a bare URL means. Raises `ConfigError`."""
        return cls(Client(place(config, environ)))

    def __repr__(self) -> str:
        return f"CloudStore({self.url!r})"

    @property
    def url(self) -> str:
        return self._client.place.url

    @property
    def features(self) -> Features:
        known = self._client.probed
        return Features(
            tree=False,
            if_absent=known.if_absent,
            if_match=known.if_match,
            delete_if_match=known.delete_if_match,
            start=self._client.place.starts,
            metadata=True,
            sign=not {"skip_signature", "profile"} & self._client.place.options.keys(),
            transfers=_TRANSFERS,
        )

    def guards_absent(self) -> bool:
        return self._client.conditions().if_absent

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry]:
        start = keys.normal(start)
        place = self._client.place
        if not ordered:
            return _from(start, sorted_entries(listing.entries(place, ordered=False), where=place.url))
        # At a bucket's root, names that begin with "/" need the listing from below them.
        on_server = start if place.starts and (place.prefix or start > "/\U0010ffff") else ""
        entries = listing.entries(place, start=on_server)
        return _only_from(on_server, entries) if on_server else _from(start, entries)

    def sampling(self) -> AbstractContextManager[Sample]:
        """For `trueup.stores.ranges`: one helper process answers all samples."""
        return listing.sampling(self._client.place)

    def stat(self, key: str) -> Entry:
        self._client.check(key)
        return self._client.stat(key)

    def metadata(self, key: str, *, expect: Entry | None = None) -> Metadata:
        client = self._client
        client.check(key)
        now, found = client.look(key)
        if expect is not None and not same(now, expect):
            raise client.drifted(key)
        return told(found)

    def exists(self) -> bool:
        try:
            self._client.confirm()
        except BucketMissing:
            return False
        return True

    def create(self) -> None:
        self._client.confirm()

    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        return self._reading(key, expect, offset, length)

    @contextmanager
    def _reading(self, key: str, expect: Entry | None, offset: int, length: int | None) -> Iterator[Iterator[bytes]]:
        client = self._client
        client.check(key)
        if expect is None or not expect.etag:  # every read is pinned to one version
            expect = client.stat(key) if expect is None else client.require(key, expect)
        wanted = max(0, expect.size - offset)
        if length is not None:
            wanted = min(wanted, length)
        whole = wanted == expect.size
        # GCS documents If-Match for its other API only: its answer is verified here.
        verify = client.service == "gcs"
        if not wanted and not whole:
            yield iter(())
        elif wanted <= PART:
            if wanted <= _SMALL:
                yield self._one_piece(key, expect, offset, wanted, verify=verify)
            else:
                with DOWNLOADS.pieces(wanted, 1):
                    yield self._one_piece(key, expect, offset, wanted, verify=verify)
        else:
            with DOWNLOADS.pieces(_READ) as count:
                with client.asking("read", key):
                    file = client.operator.open(
                        key, "rb", chunk=_READ, concurrent=client.parts(count), if_match=f'"{expect.etag}"'
                    )
                try:
                    yield self._stream(key, file, expect, offset, wanted, verify=verify)
                finally:
                    file.close()

    def _one_piece(self, key: str, expect: Entry, offset: int, wanted: int, *, verify: bool) -> Iterator[bytes]:
        client = self._client
        operator, match = client.operator, f'"{expect.etag}"'
        with client.asking("read", key):
            if wanted == expect.size:
                data = operator.read(key, if_match=match)
            else:
                data = operator.read(key, offset=offset, size=wanted, if_match=match)
        client.bucket_seen = True
        if len(data) != wanted:
            raise client.drifted(key)
        if verify:
            self._verify(key, expect, hashlib.md5(data, usedforsecurity=False).hexdigest(), wanted)
        yield data

    def _stream(
        self, key: str, file: File, expect: Entry, offset: int, wanted: int, *, verify: bool
    ) -> Iterator[bytes]:
        client = self._client
        digest = hashlib.md5(usedforsecurity=False) if verify else None
        with client.asking("read", key):
            if offset:
                file.seek(offset)
        left = wanted
        while left:
            with client.asking("read", key):
                data = file.read(min(CHUNK, left))
            if not data:
                raise Unreachable(f"'{keys.display(key)}' in {self.url} broke off {left} bytes before its end")
            left -= len(data)
            if digest is not None:
                digest.update(data)
            yield data
        if digest is not None:
            self._verify(key, expect, digest.hexdigest(), wanted)

    def _verify(self, key: str, expect: Entry, md5: str, wanted: int) -> None:
        if wanted == expect.size and expect.md5:
            if md5 != expect.md5:
                raise self._client.drifted(key)
        else:
            self._client.require(key, expect)

    def write(
        self,
        key: str,
        body: Iterable[bytes],
        *,
        size: int | None = None,
        md5: str = "",
        if_absent: bool = False,
        if_match: Entry | None = None,
        mtime_ns: int | None = None,  # noqa: ARG002 - a bucket sets it itself
        metadata: Metadata | None = None,
        temporary: str = "",  # noqa: ARG002 - nothing of an unfinished write is seen
    ) -> Entry:
        return self._uploads.write(
            key, body, size=size, md5=md5, if_absent=if_absent, if_match=if_match, metadata=metadata
        )

    def discard(self, key: str, temporary: str) -> None:
        pass

    def copy(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        client = self._client
        client.check(source)
        client.check(target)
        before = client.require(source, if_match) if if_match else client.stat(source)
        return self._copy(source, target, before, before.md5 or (if_match.md5 if if_match else ""))

    def _copy(self, source: str, target: str, before: Entry, md5: str) -> Entry:
        """Copy the version that was seen just now."""
        client = self._client
        if before.size > _COPY_LIMIT or not self._copied(client.operator, source, target):
            metadata = self.metadata(source, expect=before)
            with self.read(source, expect=before) as body:
                return self.write(target, body, size=before.size, md5=md5, metadata=metadata)
        return self._arrived(client, before, target, md5)

    def _arrived(self, source: Client, before: Entry, target: str, md5: str) -> Entry:
        """What a copy of `before` shows. No cloud copies under a condition, so a source that changed in between is
        noticed by what arrived, or by looking at it again."""
        after = self._client.stat(target)
        if after.size != before.size or (after.md5 and md5 and after.md5 != md5):
            raise source.drifted(before.key)
        if not (after.md5 and md5):
            source.require(before.key, before)
        return after._replace(md5=after.md5 or md5)

    def _copied(self, operator: Operator, source: str, target: str) -> bool:
        """Copy on the server; False where it cannot."""
        from opendal.exceptions import Unsupported

        client = self._client
        try:
            with client.asking("copy", source):
                try:
                    operator.copy(source, target)
                except Unsupported:
                    return False
        except StoreError as error:
            if "EntityTooLarge" in error.message or "InvalidRequest" in error.message:
                return False
            raise
        return True

    def copy_from(
        self, origin: Store, source: Entry, target: str, *, if_absent: bool = False, if_match: Entry | None = None
    ) -> Entry | None:
        """Between two prefixes of one bucket. No cloud copies under a condition, so both are looked at first; and a
        small object is better read and written, where the server guards that against other writers."""
        client = self._client
        if not isinstance(origin, CloudStore) or source.size > _COPY_LIMIT:
            return None
        theirs = origin._client  # noqa: SLF001 - one of our own kind
        if not client.shares_bucket(theirs):
            return None
        can = client.conditions()
        if source.size <= PART and (can.if_match if if_match is not None else can.if_absent):
            return None
        theirs.check(source.key)
        client.check(target)
        if if_absent or if_match is not None:
            client.target(target, if_match)
        before = theirs.require(source.key, source)
        if not self._copied(client.bucket, theirs.place.prefix + source.key, client.place.prefix + target):
            return None
        return self._arrived(theirs, before, target, before.md5 or source.md5)

    def preserve(self, source: str, target: str, *, if_match: Entry | None = None) -> None:
        self.copy(source, target, if_match=if_match)

    def move(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        client = self._client
        client.check(source)
        client.check(target)
        try:
            client.stat(target)
        except NotFound:
            pass
        else:
            raise PreconditionFailed(f"'{keys.display(target)}' in {self.url} is there already")
        before = client.require(source, if_match) if if_match else self.stat(source)
        after = self._copy(source, target, before, before.md5 or (if_match.md5 if if_match else ""))
        self.delete(source, if_match=before)
        return after

    def delete(self, key: str, *, if_match: Entry | None = None) -> None:
        client = self._client
        client.check(key)
        operator = client.operator
        if if_match is None:
            with client.asking("delete", key):
                operator.delete(key)
            return
        etag = if_match.etag
        can = client.conditions().delete_if_match
        if not etag or not can:
            etag = client.require(key, if_match).etag
        try:
            with client.asking("delete", key):
                if can and etag:
                    operator.delete(key, if_match=f'"{etag}"')
                else:
                    operator.delete(key)
        except PreconditionFailed:
            client.stat(key)  # raises NotFound where that is the reason
            raise client.drifted(key) from None

    def flush(self, keys: Iterable[str]) -> None:
        pass

    @property
    def leftovers(self) -> Leftovers | None:
        """Uploads in parts that nobody finished; None where they cannot be asked for."""
        from trueup.stores.leftovers import Leftovers

        return Leftovers.of(self._client.place)

    @property
    def longest_url(self) -> timedelta | None:
        """How long a URL that `sign` makes may work; None where nothing limits it."""
        from trueup.stores.signing import longest

        return longest(self._client.place)

    def sign(self, key: str, *, ttl: timedelta) -> str:
        from trueup.stores.signing import check, sign

        self._client.check(key)
        check(self._client.place, ttl)
        return sign(self._client.signer(), self._client.place, key, ttl)

    def unaddressable(self, key: str) -> str | None:
        return unaddressable(key, self._client.service, self._client.place.prefix)

    def is_public(self, key: str) -> bool:
        return self._client.is_public(key)

    def clock_ahead_ns(self) -> int:
        # Servers tell their clock in whole seconds, rounded down.
        before = time.time()
        told = self._client.confirm()
        ahead = told + 0.5 - (before + time.time()) / 2
        return round(ahead * 1e9) if told and abs(ahead) > 1 else 0

    def close(self) -> None:
        pass


def _from(start: str, entries: Generator[Entry]) -> Generator[Entry]:
    """The entries from `start` on."""
    if not start:
        return entries
    return _later(start, entries)


def _later(start: str, entries: Generator[Entry]) -> Generator[Entry]:
    with closing(entries):
        for entry in entries:
            if keys.normal(entry.key) >= start:
                yield entry


def _only_from(start: str, entries: Generator[Entry]) -> Generator[Entry]:
    """The entries of a listing that began at `start`. Raises `OutOfOrder` for one that a server lists above it, though
    its normal form is below: who asks for what is below would never see it."""
    with closing(entries):
        for entry in entries:
            if keys.normal(entry.key) >= start:
                yield entry
            elif entry.key >= start:
                raise OutOfOrder(entry.key)
