"""Pairing: two listings and the baseline, merged by key in one streaming pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import eq
from typing import Final, NamedTuple

from trueup.keys import normal
from trueup.stores.base import Entry, OutOfOrder

BLOCK: Final = 128
"""Keys that are compared at once: few, because one that was touched makes those after it go the long way."""


class SideOutOfOrder(Exception):
    """One side's listing met a key below its predecessor."""

    def __init__(self, side: str) -> None:
        super().__init__(side)
        self.side = side


class Agreed(NamedTuple):
    """One baseline row: what both sides held when they last agreed."""

    key: str
    """Normal form."""
    left_key: str
    right_key: str
    """The key as each side spells it."""
    size: int
    """Bytes."""
    md5: str
    """Hex, or empty where the run compared without contents."""
    left_print: str
    right_print: str
    """Fingerprints; empty means: ask the content next time."""


class Pair(NamedTuple):
    """What both sides and the baseline hold under one key (normal form)."""

    key: str
    left: Entry | None
    right: Entry | None
    base: Agreed | None
    veil: Entry | None = None
    """The faulty entry, here or above, that makes this key unknown: nothing may be done with it on either side."""


def pair(
    left: Iterable[Entry],
    right: Iterable[Entry],
    baseline: Iterable[Agreed],
    *,
    untouched: Callable[[Sequence[str]], bool] | None = None,
) -> Iterator[Pair]:
    """Merge three streams, each ascending by normal form. Raises `SideOutOfOrder` for a listing that is not.

    An entry with a fault veils its own key and everything below it on both sides (a `marker` veils nothing and has no
    partner). Two spellings of one normal form on one side become one such entry.

    Mostly nearly everything is as it was, and to make a pair of it is most of the work. So `untouched` is asked first
    about keys that follow each other, of which both sides hold what the baseline says and nothing is veiled: those for
    which it returns True are left out.
    """
    all_left, all_right, all_rows = iter(left), iter(right), iter(baseline)
    lefts, rights, rows = all_left, all_right, all_rows
    _, left_key, left_entry = _step("left", lefts, None, "")
    _, right_key, right_entry = _step("right", rights, None, "")
    base = next(rows, None)
    veils: list[Entry] = []
    compared = 0
    while True:
        key = left_key if left_key is not None else right_key
        if right_key is not None and (key is None or right_key < key):
            key = right_key
        if base is not None and (key is None or base.key < key):
            key = base.key
        if key is None:
            return
        if compared:
            compared -= 1
        elif (
            untouched is not None
            and not veils
            and left_entry is not None
            and right_entry is not None
            and base is not None
            and left_key == right_key == base.key
        ):
            left_block = _block("left", left_entry, lefts)
            right_block = _block("right", right_entry, rights)
            base_block = [base, *islice(rows, BLOCK - 1)]
            # Behind the last one a second spelling of it may come.
            same = _same(left_block, right_block, base_block)[:-1]
            first = len(same) if same and untouched(same) else 0
            left_entry, right_entry, base = left_block[first], right_block[first], base_block[first]
            key = left_key = right_key = base.key
            # What was put back is never more than the next block takes, so these do not nest.
            lefts = chain(left_block[first + 1 :], all_left)
            rights = chain(right_block[first + 1 :], all_right)
            rows = chain(base_block[first + 1 :], all_rows)
            compared = len(base_block) - first - 1
        here_left = here_right = None
        here_base = None
        if left_key == key:
            here_left, left_key, left_entry = _step("left", lefts, left_entry, key)
        if right_key == key:
            here_right, right_key, right_entry = _step("right", rights, right_entry, key)
        if base is not None and base.key == key:
            here_base = base
            base = next(rows, None)
        veil = None
        if here_left is not None and here_left.fault:
            veil = here_left
        elif here_right is not None and here_right.fault:
            veil = here_right
        if veil is not None:
            if veil.fault != "marker":  # a marker ends with a slash, so it is never another key, nor above one
                veils.append(veil)
        elif veils:
            veil = _covering(veils, key)
        yield Pair(key, here_left, here_right, here_base, veil)


def _block(side: str, held: Entry, entries: Iterator[Entry]) -> list[Entry]:
    """A side's next entries."""
    try:
        return [held, *islice(entries, BLOCK - 1)]
    except OutOfOrder as signal:
        raise SideOutOfOrder(side) from signal


def _same(lefts: Sequence[Entry], rights: Sequence[Entry], rows: Sequence[Agreed]) -> Sequence[str]:
    """The first keys of which both sides hold what the baseline says. Names of other than normal form do not count."""
    left_keys, left_sizes, _, left_prints, _, _, left_faults, _ = zip(*lefts, strict=True)
    right_keys, right_sizes, _, right_prints, _, _, right_faults, _ = zip(*rights, strict=True)
    keys, _, _, sizes, _, left_agreed, right_agreed = zip(*rows, strict=True)
    if not all(left_agreed) or not all(right_agreed) or any(left_faults) or any(right_faults):
        return ()
    same = len(rows)
    for seen, agreed in (
        (left_keys, keys), (left_sizes, sizes), (left_prints, left_agreed),
        (right_keys, keys), (right_sizes, sizes), (right_prints, right_agreed),
    ):  # fmt: skip
        if seen != agreed:
            same = min(same, [*map(eq, seen, agreed), False].index(False))
    return keys[:same]


def _step(
    side: str, entries: Iterator[Entry], held: Entry | None, key: str
) -> tuple[Entry | None, str | None, Entry | None]:
    """From a side's entry with this normal key to the next: what stands for the key, the next normal key, its entry.
    Spellings that share a normal form become one fault."""
    try:
        for entry in entries:
            following = entry.key
            if not following.isascii():
                following = normal(following)
            if following > key:
                return held, following, entry
            if following < key or held is None or entry.key == held.key:
                raise SideOutOfOrder(side)
            held = entry._replace(
                fault="unaddressable",
                detail=f"two names on one side have the same normal form: {held.key!a} and {entry.key!a}",
            )
    except OutOfOrder as signal:
        raise SideOutOfOrder(side) from signal
    return held, None, None


def _covering(veils: list[Entry], key: str) -> Entry | None:
    """The innermost veil over a key. Veils no later key can lie under are dropped: keys ascend, so once a key does not
    even begin with the veil's key, none will."""
    while veils and not key.startswith(normal(veils[-1].key)):
        veils.pop()
    return next((veil for veil in reversed(veils) if key.startswith(normal(veil.key) + "/")), None)
