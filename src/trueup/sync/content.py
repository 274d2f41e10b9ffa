"""Answers to the two questions a plan asks of contents: whether one side changed, and whether both are equal.

An unchanged fingerprint answers without reading. Otherwise the MD5 decides: from the listing, from the hash cache, or
read once and remembered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from trueup.stores.base import Entry, Store
from trueup.stores.stopping import heed
from trueup.sync.decide import CLOCK_TOLERANCE_NS, State, needs_comparison
from trueup.sync.etag import MultipartHash, part_count, possible_part_sizes
from trueup.sync.pair import Agreed, Pair
from trueup.sync.state import PairState

RACY_NS: Final = 2_000_000_000
"""A file modified this shortly before it was seen could change again without showing it: the coarsest clock in use
(FAT) goes in steps of 2 s."""


def is_racy(store: Store, entry: Entry, since_ns: int) -> bool:
    """Whether an entry was modified after `since_ns`, where fingerprints are made of times. A time far ahead is no sign
    of it: the next edit would show."""
    if not since_ns < entry.mtime_ns <= time.time_ns() + RACY_NS:
        return False
    features = store.features
    return features.keeps_mtime or features.dated


class Answer(NamedTuple):
    """Both sides' states, and whether the contents are equal (False where nobody needs to know)."""

    left: State
    right: State
    equal: bool
    md5: str = ""
    """The MD5 (hex) both share, where it took reading to find them equal."""


_UNTOUCHED: Final = Answer(State.SAME, State.SAME, equal=False)


def quick_answer(pair: Pair, mode: str, compare: str) -> Answer | None:
    """The answer as far as fingerprints and sizes give it; None where contents must be asked."""
    _, here, there, base, _ = pair
    if (
        base is not None
        and here is not None
        and there is not None
        and here.fingerprint == base.left_print
        and there.fingerprint == base.right_print
        and here.size == base.size == there.size
        and base.left_print
        and base.right_print
    ):
        return _UNTOUCHED  # as most are, mostly
    left = _quick_state(here, base, left=True, compare=compare)
    right = _quick_state(there, base, left=False, compare=compare)
    if left is None or right is None:
        return None
    if not needs_comparison(left, right, mode):
        return Answer(left, right, equal=False)
    equal = _quick_equal(pair.left, pair.right, compare)
    return None if equal is None else Answer(left, right, equal)


def _quick_state(entry: Entry | None, base: Agreed | None, *, left: bool, compare: str) -> State | None:
    if base is None:
        return State.ABSENT if entry is None else State.NEW
    if entry is None:
        return State.DELETED
    if entry.size != base.size:
        return State.CHANGED
    if compare == "size":
        return State.SAME
    known = base.left_print if left else base.right_print
    if known and entry.fingerprint == known:
        return State.SAME
    if compare == "size-mtime" and known:
        return State.CHANGED
    if entry.md5 and base.md5:
        return State.SAME if entry.md5 == base.md5 else State.CHANGED
    return State.CHANGED if not base.md5 else None


def _quick_equal(left: Entry | None, right: Entry | None, compare: str) -> bool | None:
    if left is None or right is None or left.size != right.size:
        return False
    if compare == "size" or left.size == 0:
        return True
    if compare == "size-mtime":
        return abs(left.mtime_ns - right.mtime_ns) < CLOCK_TOLERANCE_NS
    if left.md5 and right.md5:
        # A KMS ETag can look like an MD5 and never equals one: unequal is then settled by reading.
        return True if left.md5 == right.md5 else None if _unsure(left) or _unsure(right) else False
    return None


def _unsure(entry: Entry) -> bool:
    """Whether the MD5 is only an ETag that looks like one."""
    return entry.fingerprint == entry.md5 != ""


class Contents:
    """Reads contents where they must be read. Safe from many threads; `save` is for the one that owns the state."""

    def __init__(self, stores: Mapping[str, Store], state: PairState) -> None:
        self._stores = stores
        self._state = state
        self._lock = threading.Lock()
        self._fresh: list[tuple[str, str, str, int, str]] = []

    def answer(self, pair: Pair, mode: str, compare: str) -> Answer:
        """The full answer for a pair. Raises `StoreError` when a side cannot be read."""
        left = self._state_of("left", pair.left, pair.base, compare)
        right = self._state_of("right", pair.right, pair.base, compare)
        if not needs_comparison(left, right, mode):
            return Answer(left, right, equal=False)
        if pair.left is None or pair.right is None:
            raise ValueError("a comparison needs both entries")
        equal = _quick_equal(pair.left, pair.right, compare)
        if equal is not None:
            return Answer(left, right, equal)
        shared = self._shared_md5(pair.left, pair.right)
        return Answer(left, right, bool(shared), shared)

    def _state_of(self, side: str, entry: Entry | None, base: Agreed | None, compare: str) -> State:
        state = _quick_state(entry, base, left=side == "left", compare=compare)
        if state is not None:
            return state
        if entry is None or base is None:
            raise ValueError("only an entry with a baseline can be in question")
        return State.SAME if self.md5(side, entry) == base.md5 else State.CHANGED

    def _shared_md5(self, left: Entry, right: Entry) -> str:
        """The MD5 of both, sizes being equal; empty when they differ. A multipart ETag is tried against the other
        side's bytes first, because reading a disk is cheaper than reading a bucket."""
        for side, entry, other_side, other in (("left", left, "right", right), ("right", right, "left", left)):
            parts = part_count(other.etag)
            if parts and not entry.etag and not self._cached(other_side, other):
                digest = MultipartHash(possible_part_sizes(other.size, parts))
                self._read(side, entry, digest)
                self._remember(side, entry, digest.md5())
                if other.etag in digest.etags():
                    self._remember(other_side, other, digest.md5())
                    return digest.md5()
        ours, theirs = self.md5("left", left), self.md5("right", right)
        if ours != theirs and (_unsure(left) or _unsure(right)):
            # An ETag that is no MD5, as with KMS, equals none by chance: only a difference asks for the bytes.
            ours, theirs = self.md5("left", left, trust_etag=False), self.md5("right", right, trust_etag=False)
        return ours if ours == theirs else ""

    def md5(self, side: str, entry: Entry, *, trust_etag: bool = True) -> str:
        """Hex MD5 of one version: known, cached, or read once. An ETag that only looks like an MD5 counts unless
        `trust_etag` is off."""
        if entry.md5 and (trust_etag or not _unsure(entry)):
            return entry.md5
        if known := self._cached(side, entry):
            return known
        digest = MultipartHash(())
        self._read(side, entry, digest)
        self._remember(side, entry, digest.md5())
        return digest.md5()

    def _cached(self, side: str, entry: Entry) -> str:
        if not entry.fingerprint:
            return ""
        with self._lock:
            return self._state.cached_md5(side, entry.key, entry.fingerprint, entry.size)

    def _read(self, side: str, entry: Entry, digest: MultipartHash) -> None:
        with self._stores[side].read(entry.key, expect=entry) as body:
            for piece in body:
                heed()
                digest.update(piece)

    def _remember(self, side: str, entry: Entry, md5: str) -> None:
        """Nothing is remembered of a file modified a moment ago: the next edit may leave its fingerprint as it is."""
        if entry.fingerprint and not is_racy(self._stores[side], entry, time.time_ns() - RACY_NS):
            with self._lock:
                self._fresh.append((side, entry.key, entry.fingerprint, entry.size, md5))

    def save(self, *, least: int = 1) -> None:
        """Write what was computed to the hash cache, if there is that much of it."""
        if len(self._fresh) < least:
            return
        with self._lock:
            fresh, self._fresh = self._fresh, []
            with self._state.transaction():
                self._state.cache_md5s(fresh)
