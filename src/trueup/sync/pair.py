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
    lefts, rights, rows = _distinct("left", left), _distinct("right", right), iter(baseline)
    left_key, left_entry = next(lefts, _END)
    right_key, right_entry = next(rights, _END)
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
            here_left = left_entry
            left_key, left_entry = next(lefts, _END)
        if right_key == key:
            here_right = right_entry
            right_key, right_entry = next(rights, _END)
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


_END: tuple[str | None, Entry | None] = (None, None)


def _covering(veils: list[Entry], key: str) -> Entry | None:
    """The innermost veil over a key. Veils no later key can lie under are dropped: keys ascend, so once a key does not
    even begin with the veil's key, none will."""
    while veils and not key.startswith(normal(veils[-1].key)):
        veils.pop()
    return next((veil for veil in reversed(veils) if key.startswith(normal(veil.key) + "/")), None)


def _distinct(side: str, entries: Iterable[Entry]) -> Iterator[tuple[str | None, Entry | None]]:
    """Normal keys with their entries, strictly ascending; spellings that share a normal form become one fault."""
    held_key: str | None = None
    held: Entry | None = None
    try:
        for entry in entries:
            key = entry.key
            if not key.isascii():
                key = normal(key)
            if held_key is not None:
                if key > held_key:
                    yield held_key, held
                elif key == held_key and held is not None and entry.key != held.key:
                    entry = held._replace(  # noqa: PLW2901 - the two become one
                        fault="unaddressable",
                        detail=f"two names on one side have the same normal form: {held.key!a} and {entry.key!a}",
                    )
                else:
                    raise SideOutOfOrder(side)
            held_key, held = key, entry
    except OutOfOrder as signal:
        raise SideOutOfOrder(side) from signal
    if held_key is not None:
        yield held_key, held
