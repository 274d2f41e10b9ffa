"""What the bytes of an object say, where what its cloud tells of them is no proof.

S3 tells an ETag, which is the MD5 of most objects. Where a bucket encrypts with KMS or customer keys it looks like one
and is not: equal proves the content, and a difference proves nothing.
"""

from __future__ import annotations

import hashlib
from typing import Final

from trueup.errors import NotFound, StoreError
from trueup.reconcile.compare import OK, Believed, judge
from trueup.stores.base import Entry, Store

_ENOUGH: Final = 16
"""So many ETags that were no MD5 are a bucket of them."""


def told(entry: Entry) -> str:
    """The MD5 that a cloud vouches for; empty where it tells none."""
    return entry.md5 if entry.md5 != entry.etag else ""


def read_md5(store: Store, entry: Entry) -> str:
    """The MD5 of what lies there, which is read. Raises `StoreError`, also for what changed since it was looked at."""
    digest = hashlib.md5(usedforsecurity=False)
    with store.read(entry.key, expect=entry) as body:
        for piece in body:
            digest.update(piece)
    return digest.hexdigest()


class Contents:
    """The objects of one store. Safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._others = 0

    def settled(self, row: Believed | None, entry: Entry) -> Entry | StoreError | None:
        """An object that seems to differ from its row, with the MD5 of its bytes where only its ETag said so; without
        one where the ETags of the whole bucket are none. None for one that is gone, and why it cannot be read."""
        if row is None or row.lost or not entry.md5 or told(entry) or judge(row, entry) == OK:
            return entry
        if self._others >= _ENOUGH:
            return entry._replace(md5="")
        try:
            md5 = read_md5(self._store, entry)
        except NotFound:
            return None
        except StoreError as error:
            return error
        self._others += md5 != entry.md5
        return entry._replace(md5=md5)
