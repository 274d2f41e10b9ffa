"""Pairing: two listings and the baseline, merged by key in one streaming pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trueup.keys import normal
from trueup.stores.base import Entry, OutOfOrder


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


def pair(left: Iterable[Entry], right: Iterable[Entry], baseline: Iterable[Agreed]) -> Iterator[Pair]:
    """Merge three streams, each ascending by normal form. Raises `SideOutOfOrder` for a listing that is not.

    An entry with a fault veils its own key and everything below it on both sides (a `marker` veils nothing and has no
    partner). Two spellings of one normal form on one side become one such entry.
    """
    lefts, rights, rows = iter(left), iter(right), iter(baseline)
    _, left_key, left_entry = _step("left", lefts, None, "")
    _, right_key, right_entry = _step("right", rights, None, "")
    base = next(rows, None)
    veils: list[Entry] = []
    while True:
        key = left_key if left_key is not None else right_key
        if right_key is not None and (key is None or right_key < key):
            key = right_key
        if base is not None and (key is None or base.key < key):
            key = base.key
        if key is None:
            return
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
