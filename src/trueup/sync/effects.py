"""Doing one item of a plan: each effect re-checks its own precondition and touches nothing else.

An item that is no longer as planned raises `PreconditionFailed` or `NotFound` and becomes a *drifted* outcome.
"""

from __future__ import annotations

import logging
import posixpath
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from trueup import keys
from trueup.errors import (
    BucketMissing,
    CredentialsExpired,
    Hidden,
    NoSpace,
    NotFound,
    PreconditionFailed,
    StoreError,
    Unaddressable,
    Unreachable,
)
from trueup.filters import Scope
from trueup.stores.base import Entry, Metadata, Store
from trueup.sync import trash
from trueup.sync.content import RACY_NS, is_racy
from trueup.sync.decide import Action
from trueup.sync.header import Header
from trueup.sync.item import Item
from trueup.sync.outside import in_the_way
from trueup.sync.pair import Agreed
from trueup.sync.sides import Sides

log = logging.getLogger("trueup.sync")

SYSTEMIC: Final = (Unreachable, CredentialsExpired, BucketMissing, NoSpace)
"""Errors that lie in the store, not in the item: every other item will meet them too."""

_CROWDED: Final = (StoreError, Unreachable)
"""Errors with which servers and systems say that too much is going on, in many words; all others say something else."""

_TARGETS: Final = {
    Action.COPY_RIGHT: "right",
    Action.DELETE_RIGHT: "right",
    Action.MOVE_RIGHT: "right",
    Action.COPY_LEFT: "left",
    Action.DELETE_LEFT: "left",
    Action.MOVE_LEFT: "left",
}


class Done(NamedTuple):
    """What became of one item, and what the baseline should learn from it."""

    item: Item
    outcome: str
    """done, failed or drifted."""
    error: str = ""
    bytes: int = 0
    agreed: tuple[Agreed, ...] = ()
    forgotten: tuple[str, ...] = ()
    wrote: Entry | None = None
    """The target as the effect left it."""
    systemic: bool = False
    """The failure lies in the store, not in the item: every other item will meet it too."""
    crowded: bool = False
    """The failure may be that too much was asked at once."""
    beside: tuple[tuple[str, Entry], ...] = ()
    """(side, entry) of the copies of a conflict's loser that were made."""

    def touched(self, side: str) -> list[str]:
        """Raw keys written on a side, to be flushed before the journal says so."""
        keys_there = [entry.key for where, entry in self.beside if where == side]
        if self.wrote is not None and target_side(self.item) == side:
            keys_there.append(self.wrote.key)
        return keys_there


def target_side(item: Item) -> str:
    """The side an item writes."""
    return _TARGETS[item.action]


def target_key(item: Item) -> str:
    """The raw key an item writes there."""
    return item.right_key if target_side(item) == "right" else item.left_key


@dataclass(slots=True, eq=False)
class Transfer:
    """One file that is being transferred."""

    key: str
    size: int
    done: int = 0


class Meter:
    """Counts the bytes that passed over all transfers, and holds them to a rate (bytes a second; 0 is none)."""

    def __init__(self, rate: int = 0) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = time.monotonic()
        self.total = 0
        self._running: dict[Transfer, None] = {}

    def through(self, body: Iterator[bytes], key: str, size: int) -> Iterator[bytes]:
        """The same bytes, counted and paced. `key` and `size` are those of the whole file, for who watches."""
        transfer = Transfer(key, size)
        self._running[transfer] = None
        try:
            for piece in body:
                self._take(len(piece))
                transfer.done += len(piece)
                yield piece
        finally:
            del self._running[transfer]

    @property
    def oldest(self) -> Transfer | None:
        """The transfer that has been running for the longest time."""
        running = list(self._running)  # one step, while other threads begin and end theirs
        return running[0] if running else None

    def passed(self, size: int) -> None:
        """Count bytes that went from server to server."""
        with self._lock:
            self.total += size

    def _take(self, size: int) -> None:
        with self._lock:
            self.total += size
            if not self._rate:
                return
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            pause = self._free_at - now
        time.sleep(pause)


class Effects:
    """Does items. Called from many threads; holds nothing that changes but the meter."""

    def __init__(self, sides: Sides, header: Header, meter: Meter, md5: Callable[[str, Entry], str]) -> None:
        self._sides = sides
        self._run = header.run
        self._config = header.config
        self._racy_after_ns = header.started_ns - RACY_NS
        self._scope = Scope(self._config.include, self._config.exclude)
        self._meter = meter
        self._md5 = md5

    def do(self, item: Item) -> Done:
        """Do one item. Never raises for what a store can do to it."""
        try:
            match item.action:
                case Action.COPY_LEFT | Action.COPY_RIGHT:
                    return self._copy(item)
                case Action.DELETE_LEFT | Action.DELETE_RIGHT:
                    return self._delete(item)
                case Action.MOVE_LEFT | Action.MOVE_RIGHT:
                    return self._move(item)
            raise ValueError(f"{item.action} has no effect")
        except (PreconditionFailed, NotFound) as error:
            if why := in_the_way(self._sides[target_side(item)], item.key, self._scope):
                return Done(item, "failed", why)
            return Done(item, "drifted", f"not as planned any more: {error}")
        except StoreError as error:
            log.debug("%s of %s failed", item.action, keys.display(item.key), exc_info=True)
            crowded = type(error) in _CROWDED
            return Done(item, "failed", str(error), systemic=isinstance(error, SYSTEMIC), crowded=crowded)
        except BaseException as error:  # one bad item is no bad run, and a panic of OpenDAL no Exception
            log.exception("%s of %s failed in an unforeseen way", item.action, keys.display(item.key))
            return Done(item, "failed", f"unforeseen {type(error).__name__}: {error}")

    def _copy(self, item: Item) -> Done:
        side = target_side(item)
        target, origin = self._sides[side], self._sides[_opposite(side)]
        source, replaced = (item.left, item.right) if side == "right" else (item.right, item.left)
        if source is None:
            raise PreconditionFailed("the source is not in the plan")
        agreed: list[Agreed] = []
        beside: list[tuple[str, Entry]] = []
        if replaced is not None:
            if item.reason == "conflict" and self._config.keep_loser:
                agreed.append(self._keep_loser(item, side, replaced, beside))
            if self._config.trash:
                trash.preserve(target, self._run, replaced)
        key = target_key(item)
        try:
            written = target.copy_from(origin, source, key, if_absent=replaced is None, if_match=replaced)
            if written is None:
                written = self._transfer(item, origin, source, target, key, md5=item.md5, replaced=replaced)
            else:
                self._meter.passed(source.size)
        except PreconditionFailed:
            # After a kill a conflict's loser lies on one side only: it is a new file there, and the conflict that is
            # settled again brings it to the other side as well.
            present = None if replaced is not None else self._equal(side, key, _opposite(side), source)
            if present is None:
                raise
            left, right = (source, present) if side == "right" else (present, source)
            return Done(item, "done", agreed=(self.agreed(item.key, left, right, present.md5),))
        left, right = (source, written) if side == "right" else (written, source)
        agreed.append(self.agreed(item.key, left, right, written.md5))
        return Done(item, "done", bytes=source.size, agreed=tuple(agreed), wrote=written, beside=tuple(beside))

    def _transfer(
        self, item: Item, origin: Store, source: Entry, target: Store, key: str, *, md5: str, replaced: Entry | None
    ) -> Entry:
        """Read on one side, and write on the other what is to be there instead of `replaced` (None: nothing)."""
        # A bucket that does not tell a time tells 0; a file may be of 1970.
        mtime_ns = source.mtime_ns if source.mtime_ns or origin.features.keeps_mtime else None
        carried = self._carried(origin, source, mtime_ns) if self._config.preserve else None
        with origin.read(source.key, expect=source) as body:
            return target.write(
                key,
                self._meter.through(body, item.key, source.size),
                size=source.size,
                md5=md5,
                if_absent=replaced is None,
                if_match=replaced,
                mtime_ns=carried.mtime_ns if carried is not None and carried.mtime_ns is not None else mtime_ns,
                metadata=carried,
                temporary=temporary_name(self._run, item.seq),
            )

    def _carried(self, origin: Store, source: Entry, mtime_ns: int | None) -> Metadata:
        """What of the source's metadata goes along, and its time where nobody noted another one."""
        keep = self._config.preserve
        found = origin.metadata(source.key, expect=source) if origin.features.metadata else Metadata()
        carried = found if "metadata" in keep else Metadata()
        return carried._replace(
            mtime_ns=(mtime_ns if found.mtime_ns is None else found.mtime_ns) if "mtime" in keep else carried.mtime_ns,
            content_type=found.content_type if "content-type" in keep else "",
        )

    def _keep_loser(self, item: Item, side: str, loser: Entry, made: list[tuple[str, Entry]]) -> Agreed:
        """Put the losing version beside the winner on both sides, under the first number that is free in whatever
        spelling; one that already holds these very bytes (an earlier try) is used again. What is written is added to
        `made`."""
        stores = self._sides
        for number in range(1, 10_000):
            name = conflict_name(loser.key, side, number)
            found = {
                where: found_spelled(stores[where], name, conflict_name(own, side, number))
                for where, own in (("left", item.left_key), ("right", item.right_key))
            }
            present = {where: entry for where, entry in found.items() if entry is not None}
            if any(entry.size != loser.size for entry in present.values()):
                continue
            if present and any(self._md5(where, entry) != self._md5(side, loser) for where, entry in present.items()):
                continue
            if side not in present:
                if stores[side].features.tree:  # a copy there could leave a temporary file nobody would find
                    present[side] = self._write_beside(item, side, loser, side, name, made)
                else:
                    present[side] = stores[side].copy(loser.key, name, if_match=loser)
                    made.append((side, present[side]))
            other = _opposite(side)
            if other not in present:
                present[other] = self._write_beside(item, side, present[side], other, name, made)
            md5 = present[other].md5 or present[side].md5
            return self.agreed(keys.normal(name), present["left"], present["right"], md5)
        raise PreconditionFailed(f"every conflict name for {keys.display(loser.key)} is taken")

    def _write_beside(
        self, item: Item, origin: str, source: Entry, side: str, name: str, made: list[tuple[str, Entry]]
    ) -> Entry:
        """Copy `source` of the side `origin` to a name on a side, and add it to `made`, unless it is there by now."""
        try:
            stores = self._sides
            written = self._transfer(item, stores[origin], source, stores[side], name, md5="", replaced=None)
        except PreconditionFailed:
            present = self._equal(side, name, origin, source)
            if present is None:
                raise
            return present
        made.append((side, written))
        return written

    def _equal(self, side: str, key: str, other: str, entry: Entry) -> Entry | None:
        """What lies under a key on a side, if it holds the very bytes of `entry` on the `other` side."""
        found = found_at(self._sides[side], key)
        if found is None or found.size != entry.size:
            return None
        md5 = self._md5(side, found)
        return found._replace(md5=md5) if md5 == self._md5(other, entry) else None

    def _delete(self, item: Item) -> Done:
        side = target_side(item)
        doomed, other_key = (item.right, item.left_key) if side == "right" else (item.left, item.right_key)
        if doomed is None:
            raise PreconditionFailed("the file to delete is not in the plan")
        self._confirm_absent(_opposite(side), other_key)
        self._remove(self._sides[side], doomed)
        return Done(item, "done", forgotten=(item.key,))

    def _remove(self, store: Store, entry: Entry) -> None:
        if self._config.trash:
            trash.take_away(store, self._run, entry)
        else:
            store.delete(entry.key, if_match=entry)

    def _move(self, item: Item) -> Done:
        side = target_side(item)
        other = _opposite(side)
        moved, fresh = (item.right, item.left) if side == "right" else (item.left, item.right)
        if moved is None or fresh is None:
            raise PreconditionFailed("the file to move is not in the plan")
        for spelling in {item.source, item.source_key}:
            self._confirm_absent(other, spelling)
        now = self._sides[other].stat(fresh.key)
        if (now.size, now.fingerprint) != (fresh.size, fresh.fingerprint):
            raise PreconditionFailed(f"{keys.display(fresh.key)} changed on the {other}")
        key = target_key(item)
        arrived = self._sides[side].move(moved.key, key, if_match=moved)
        left, right = (fresh, arrived) if side == "right" else (arrived, fresh)
        return Done(
            item,
            "done",
            agreed=(self.agreed(item.key, left, right, item.md5),),
            forgotten=(item.source,),
            wrote=arrived,
        )

    def drift(self, item: Item) -> str:
        """Why an item that only concerns the baseline is not as planned any more; empty if it still is."""
        try:
            for side, planned, key in (("left", item.left, item.left_key), ("right", item.right, item.right_key)):
                if planned is None:
                    self._confirm_absent(side, key)
                    continue
                now = self._sides[side].stat(planned.key)
                if (now.size, now.fingerprint) != (planned.size, planned.fingerprint):
                    return f"{keys.display(planned.key)} changed on the {side}"
        except StoreError as error:
            return str(error)
        return ""

    def _confirm_absent(self, side: str, key: str) -> None:
        """Absence is confirmed by asking, so that a listing that was too short can delete nothing. Nor can a disk that
        is not mounted any more, on which nothing is found."""
        store = self._sides[side]
        try:
            store.stat(key)
        except Hidden:
            raise PreconditionFailed(f"{keys.display(key)} cannot be seen on the {side}") from None
        except NotFound:
            if store.features.tree and not store.exists():
                raise Unreachable(f"the {side} ({store.url}) is not there any more") from None
            return
        raise PreconditionFailed(f"{keys.display(key)} is there on the {side}, although its listing did not show it")

    def agreed(self, key: str, left: Entry, right: Entry, md5: str) -> Agreed:
        """The baseline row for a pair that now agrees."""
        return Agreed(
            key, left.key, right.key, left.size, md5, self._trusted("left", left), self._trusted("right", right)
        )

    def _trusted(self, side: str, entry: Entry) -> str:
        """A fingerprint made of times says nothing about a file that was modified a moment ago."""
        return "" if is_racy(self._sides[side], entry, self._racy_after_ns) else entry.fingerprint


def temporary_name(run: str, seq: int) -> str:
    """What an item's unfinished local file is called, so that what a killed run leaves can be found."""
    return f"{run}-{seq}"


def conflict_name(key: str, side: str, number: int) -> str:
    """`a/name.ext` -> `a/name.conflict-left-1.ext`."""
    folder, name = posixpath.split(key)
    stem, extension = posixpath.splitext(name)
    return posixpath.join(folder, f"{stem}.conflict-{side}-{number}{extension}")


def found_at(store: Store, key: str) -> Entry | None:
    """What lies under a key."""
    try:
        return store.stat(key)
    except NotFound:
        return None


def found_spelled(store: Store, *known: str) -> Entry | None:
    """What lies under a key however a store spells it: as it is known to be, or in another form."""
    for spelling in keys.spellings(*known):
        with suppress(Unaddressable):  # a form that is too long, where no file can be
            if (found := found_at(store, spelling)) is not None:
                return found
    return None


def _opposite(side: str) -> str:
    return "left" if side == "right" else "right"
