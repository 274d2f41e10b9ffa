"""Writing one object: in one request when it is small, else in parts; and knowing afterwards what was written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from trueup import keys
from trueup.errors import NotFound, PreconditionFailed, StoreError
from trueup.stores.base import Entry, Metadata
from trueup.stores.budget import PART, UPLOADS, part_size
from trueup.stores.client import Client
from trueup.stores.media import guess
from trueup.stores.metadata import TOKEN, Options, add

if TYPE_CHECKING:
    from opendal.file import File

_SMALL: Final = 1 << 20
"""Bytes that need no room from the budget: as many workers as there may be hold one such body each."""


class Uploads:
    """The writing half of a cloud store.

    OpenDAL does not tell the ETag of what it wrote. A single request's is computed: the MD5, unless the bucket encrypts
    with KMS or customer keys. So the first such write of a store is looked at afterwards; where it shows otherwise
    every write is. Each write that is looked at carries a token in its metadata, which tells our object from another
    writer's.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._content_etags: bool | None = None
        """Whether ETag or listed MD5 of a single-request object is its MD5; None until one was looked at."""

    def write(
        self,
        key: str,
        body: Iterable[bytes],
        *,
        size: int | None = None,
        md5: str = "",
        if_absent: bool = False,
        if_match: Entry | None = None,
        metadata: Metadata | None = None,
    ) -> Entry:
        """As `Store.write` says."""
        client = self._client
        client.check(key)
        operator = client.operator
        if not client.bucket_seen:
            client.confirm()  # some servers make a bucket for whoever writes to it
        guard: Callable[[], None] | None = None
        options: Options = {"content_type": client.place.content_type or guess(key)}
        if client.place.cache_control:
            options["cache_control"] = client.place.cache_control
        if metadata is not None:
            add(metadata, options, client.place, operator.capability(), key)
        if if_absent or if_match is not None:
            guard = self._guard(key, if_match, options)
        pieces = _Pieces(key, body, size, md5)
        if (size is None or size <= _SMALL) and pieces.gather(_SMALL):
            return self._single(key, pieces, options)
        part = part_size(size)
        with UPLOADS.pieces(PART if size is not None and size <= PART else part) as count:
            if pieces.gather(PART):
                return self._single(key, pieces, options)
            token = os.urandom(8).hex()
            options["user_metadata"] = {**options.get("user_metadata", {}), TOKEN: token}
            # A body that raises leaves the writer to be dropped: closing it would publish what came so far. The parts
            # that were sent stay behind until the bucket's rule for unfinished uploads removes them.
            with client.asking("write", key):
                file = operator.open(key, "wb", chunk=part, concurrent=client.parts(count), **options)
            self._parts(key, file, pieces)
            pieces.verify()
            if guard is not None:
                guard()
            try:
                with client.asking("write", key):
                    file.close()
            except (PreconditionFailed, NotFound) as error:
                self._settle(key, pieces, options, error)
        return self._verified(key, pieces, token)

    def _guard(self, key: str, if_match: Entry | None, options: Options) -> Callable[[], None]:
        """Look whether it is as planned (absent, without a plan), have the server check it where it can, and return a
        second look for the end of a long upload: not every server checks conditions when parts are joined."""
        client = self._client
        can = client.conditions()

        def look() -> None:
            now = client.target(key, if_match)
            if now is not None and can.if_match and now.etag:
                options["if_match"] = f'"{now.etag}"'

        if if_match is None and can.if_absent:
            options["if_not_exists"] = True
        elif if_match is not None and if_match.etag and can.if_match:
            options["if_match"] = f'"{if_match.etag}"'
        else:
            look()
        return look

    def _single(self, key: str, pieces: _Pieces, options: Options) -> Entry:
        client = self._client
        data = pieces.joined()
        pieces.verify()
        token = ""
        if not self._content_etags:
            token = os.urandom(8).hex()
            options["user_metadata"] = {**options.get("user_metadata", {}), TOKEN: token}
        try:
            with client.asking("write", key):
                client.operator.write(key, data, **options)
        except (PreconditionFailed, NotFound) as error:
            self._settle(key, pieces, options, error)
        client.bucket_seen = True
        if not token:
            return self._written(key, pieces)
        return self._calibrate(key, pieces, token)

    def _settle(self, key: str, pieces: _Pieces, options: Options, error: StoreError) -> None:
        """A condition failed. When an answer got lost, the client's own second try fails so: then our bytes are
        there."""
        if "if_match" not in options and "if_not_exists" not in options:
            raise error
        try:
            now, found = self._client.look(key)
        except StoreError:
            raise self._client.drifted(key) from None
        ours = options.get("user_metadata", {}).get(TOKEN, "")
        if (ours and (found.user_metadata or {}).get(TOKEN) == ours) or (
            now.md5 == pieces.md5 and now.size == pieces.total
        ):
            return
        raise self._client.drifted(key) from None

    def _parts(self, key: str, file: File, pieces: _Pieces) -> None:
        client = self._client
        for piece in pieces:
            with client.asking("write", key):
                file.write(piece)

    def _written(self, key: str, pieces: _Pieces) -> Entry:
        md5 = pieces.md5
        if self._client.service == "s3":
            return Entry(key, pieces.total, 0, md5, md5, md5)
        return Entry(key, pieces.total, 0, f"md5:{md5}", md5)

    def _calibrate(self, key: str, pieces: _Pieces, token: str) -> Entry:
        """Look at what was written, and learn whether the next ones need looking at."""
        found = self._verified(key, pieces, token)
        if found.fingerprint:
            content = found.fingerprint in {pieces.md5, f"md5:{pieces.md5}"}
            self._content_etags = content
        return found

    def _verified(self, key: str, pieces: _Pieces, token: str) -> Entry:
        """What the store shows, if it is ours; else an entry without fingerprint."""
        bare = Entry(key, pieces.total, 0, "", pieces.md5)
        try:
            now, found = self._client.look(key)
        except NotFound:
            return bare
        shown = (found.user_metadata or {}).get(TOKEN)
        # A gateway that keeps no metadata at all still shows the content, where the ETag is that.
        ours = shown == token if shown is not None else now.md5 == pieces.md5
        if not ours or now.size != pieces.total:
            return bare
        return now._replace(md5=pieces.md5)


class _Pieces:
    """A body: what was read of it and not sent yet, its length and its MD5 so far."""

    def __init__(self, key: str, body: Iterable[bytes], size: int | None, md5: str) -> None:
        self._key = key
        self._rest = iter(body)
        self._ahead: list[bytes] = []
        self._size = size
        self._expected = md5
        self._hash = hashlib.md5(usedforsecurity=False)
        self.total = 0
        self._hashed = -1
        self._md5 = ""

    def gather(self, most: int) -> bool:
        """Read ahead up to `most` bytes, or a little more. Whether that was all of it."""
        if self.total > most:
            return False
        for piece in self._rest:
            self._take(piece)
            self._ahead.append(piece)
            if self.total > most:
                return False
        return True

    def joined(self) -> bytes:
        """What was read ahead, as one."""
        ahead, self._ahead = self._ahead, []
        return bytes(ahead[0]) if len(ahead) == 1 else b"".join(ahead)

    def __iter__(self) -> Iterator[bytes]:
        ahead, self._ahead = self._ahead, []
        ahead.reverse()
        while ahead:
            yield ahead.pop()
        for piece in self._rest:
            self._take(piece)
            yield piece

    def _take(self, piece: bytes) -> None:
        self.total += len(piece)
        if self._size is not None and self.total > self._size:
            raise self._wrong(f"more than the expected {self._size} bytes came")
        self._hash.update(piece)

    @property
    def md5(self) -> str:
        """Hex MD5 of what passed."""
        if self._hashed != self.total:
            self._hashed, self._md5 = self.total, self._hash.hexdigest()
        return self._md5

    def verify(self) -> None:
        """Raise unless the body was what it should be."""
        if self._size is not None and self.total != self._size:
            raise self._wrong(f"{self.total} bytes came where {self._size} were expected")
        if self._expected and self.md5 != self._expected:
            raise self._wrong("other bytes came than were expected")

    def _wrong(self, why: str) -> StoreError:
        cure = "It changed while it was read; run again"
        return StoreError(f"'{keys.display(self._key)}' was not written: {why}", cure=cure)
