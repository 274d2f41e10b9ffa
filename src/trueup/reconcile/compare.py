"""What is believed beside what is there: merged by key in one pass, and judged. Nothing here does I/O.

A verdict is a candidate: whoever acts on one that is not `ok` looks a second time first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from trueup.keys import normal
from trueup.stores.base import Entry, OutOfOrder

OK: Final = "ok"
ORPHAN: Final = "orphan"
MISSING: Final = "missing"
SIZE_MISMATCH: Final = "size_mismatch"
HASH_MISMATCH: Final = "hash_mismatch"
MISPLACED: Final = "misplaced"
DUPLICATE: Final = "duplicate"
IN_FLIGHT: Final = "in_flight"
UNVERIFIABLE: Final = "unverifiable"
UNADDRESSABLE: Final = "unaddressable"
VERDICTS: Final = (
    *(OK, ORPHAN, MISSING, SIZE_MISMATCH, HASH_MISMATCH),
    *(MISPLACED, DUPLICATE, IN_FLIGHT, UNVERIFIABLE, UNADDRESSABLE),
)
"""In the order in which they are told."""


class Believed(NamedTuple):
    """One object as somebody's books have it."""

    key: str
    size: int | None
    """Bytes; None where the books do not say."""
    md5: str = ""
    """Hex; empty where the books do not say."""
    at: datetime | None = None
    """When the row was written, UTC; None where the books do not say."""
    lost: bool = False
    """The books know already that it is not there."""


_Item = TypeVar("_Item", Believed, Entry)


class Range(NamedTuple):
    """Keys from `start` to before `end`, both in normal form; empty: no end."""

    start: str = ""
    end: str = ""

    def held(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """What of a stream that ascends by spelled keys lies in the range, which ends it. Raises `OutOfOrder` for one
        that its spelling puts into this range and its normal form into another: nobody would meet it there."""
        for item in items:
            key = item.key if item.key.isascii() else normal(item.key)
            if self.end and key >= self.end:
                if item.key < self.end:
                    raise OutOfOrder(item.key)
                return
            if key < self.start:
                raise OutOfOrder(item.key)
            yield item


WHOLE: Final = Range()


class Match(NamedTuple):
    """One key: what is believed of it, what is there, or both."""

    key: str
    row: Believed | None
    entry: Entry | None
    veil: Entry | None = None
    """What hides this key, or what is below it: nothing is known of the key then."""


def matched(rows: Iterable[Believed], entries: Iterable[Entry]) -> Iterator[Match]:
    """Merge two streams that ascend by the normal form of their keys. Raises `OutOfOrder` for one that does not.

    Keys are the same only when they are spelled the same; two spellings of one normal form are two objects. Markers
    (`dir/` objects) are passed on as they are: they are nobody's.
    """
    veils: list[Entry] = []
    for here, there in _groups(_ascending(rows), _ascending(entries)):
        if not veils and len(here) == len(there) == 1 and here[0].key == there[0].key and not there[0].fault:
            yield Match(here[0].key, here[0], there[0])  # nearly all are so
            continue
        by_key = {entry.key: entry for entry in there}
        veils += [entry for entry in there if entry.fault and entry.fault != "marker"]
        if veils:  # a zero follows the slash: no key from there on lies below
            at = normal((here or there)[0].key)
            veils = [veil for veil in veils if at < f"{normal(veil.key)}0"]
        for row in here:
            found = by_key.pop(row.key, None)
            veil = next((veil for veil in veils if row.key == veil.key or row.key.startswith(f"{veil.key}/")), None)
            yield Match(row.key, row, None if veil is not None else found, veil)
        for entry in by_key.values():
            yield Match(entry.key, None, entry, entry if entry.fault else None)


def judge(row: Believed | None, entry: Entry | None, veil: Entry | None = None) -> str:
    """The verdict of one key by what is known of it now."""
    if veil is not None:
        return UNADDRESSABLE if veil.fault == "unaddressable" else UNVERIFIABLE
    if row is None:
        return ORPHAN if entry is not None else OK
    if entry is None:
        return OK if row.lost else MISSING
    if row.lost:
        return ORPHAN
    if row.size is not None and row.size != entry.size:
        return SIZE_MISMATCH
    if row.md5 and entry.md5 and row.md5.lower() != entry.md5:
        return HASH_MISMATCH
    return OK


def _ascending(items: Iterable[_Item]) -> Iterator[tuple[str, list[_Item]]]:
    """Items with the same normal form together."""
    group: list[_Item] = []
    last = ""
    for item in items:
        key = item.key if item.key.isascii() else normal(item.key)
        if group and key == last:
            group.append(item)
            continue
        if group:
            if key < last:
                raise OutOfOrder(item.key)
            yield last, group
        group, last = [item], key
    if group:
        yield last, group


def _groups(
    rows: Iterator[tuple[str, list[Believed]]], entries: Iterator[tuple[str, list[Entry]]]
) -> Iterator[tuple[list[Believed], list[Entry]]]:
    """Both streams, side by side, by normal form."""
    row, entry = next(rows, None), next(entries, None)
    while row is not None or entry is not None:
        if entry is None or (row is not None and row[0] < entry[0]):
            assert row is not None
            yield row[1], []
            row = next(rows, None)
        elif row is None or entry[0] < row[0]:
            yield [], entry[1]
            entry = next(entries, None)
        else:
            yield row[1], entry[1]
            row, entry = next(rows, None), next(entries, None)
