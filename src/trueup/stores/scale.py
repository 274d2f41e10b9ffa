"""Keys as numbers, so that what lies between two of them can be estimated and halved (no I/O)."""

from __future__ import annotations

import string
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

TOP: Final = "\U0010ffff"
"""Above every key."""
_BITS: Final = 1024
"""Bits of the numbers."""
_LETTERS: Final = 256
"""Characters in one alphabet, at most."""
_KEPT: Final = 1000
"""Numbers remembered, at most."""


def shared(one: str, other: str) -> str:
    """What both begin with."""
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]


class Scale:
    """Turns keys into numbers in their order, and back. A key is read as digits; the alphabet of each is what was seen
    at its place: so many characters into so many folders down."""

    def __init__(self) -> None:
        self._alphabets: dict[tuple[int, int], str] = {}
        self._places: dict[str, int] = {}

    def learn(self, sample: Iterable[str]) -> None:
        """Let the alphabets grow by what these keys hold."""
        for key in sample:
            segment = offset = 0
            for character in key:
                known = self._alphabets.get((segment, offset), "")
                if character not in known and len(known) < _LETTERS:
                    self._alphabets[segment, offset] = "".join(sorted({*known, *_kin(character, known)}))
                    self._places.clear()
                segment, offset = (segment + 1, 0) if character == "/" else (segment, offset + 1)

    def place(self, key: str) -> int:
        """The number of a key. Keys that differ only in what was never seen may share one."""
        found = self._places.get(key)
        if found is not None:
            return found
        low, width, segment, offset = 0, 1 << _BITS, 0, 0
        for character in key:
            alphabet = self._alphabets.get((segment, offset), "")
            if not alphabet:
                break
            digit = bisect_left(alphabet, character)
            width //= len(alphabet)
            low += digit * width
            if not width or digit == len(alphabet) or alphabet[digit] != character:
                break
            segment, offset = (segment + 1, 0) if character == "/" else (segment, offset + 1)
        if len(self._places) >= _KEPT:
            self._places.clear()
        self._places[key] = low
        return low

    def above(self, prefix: str) -> str:
        """Above all keys that begin so and go on with a character that was seen there."""
        segment, offset = prefix.count("/"), len(prefix) - 1 - prefix.rfind("/")
        return prefix + self._alphabets.get((segment, offset), "")[-1:] + TOP

    def between(self, last: str, end: str) -> str:
        """A key about half way, no longer than need be; nobody knows whether it is between the two."""
        above, below = self.place(last), self.place(end)
        return self.key((above + below) // 2, (below - above) // 4)

    def key(self, place: int, room: int) -> str:
        """A key of about this number, with so much room for an error, and no longer than need be."""
        low, width, segment, offset = 0, 1 << _BITS, 0, 0
        key = ""
        while width > room and (alphabet := self._alphabets.get((segment, offset), "")):
            width //= len(alphabet)
            if not width:
                break
            digit = min(len(alphabet) - 1, (place - low) // width)
            low += digit * width
            key += alphabet[digit]
            segment, offset = (segment + 1, 0) if alphabet[digit] == "/" else (segment, offset + 1)
        return key


def _kin(character: str, known: str) -> str:
    """What is to be expected where a character was seen: other digits for a digit."""
    if character in string.digits:
        return string.digits
    if character in "abcdef" and all(each in "0123456789abcdef" for each in known):
        return "abcdef"
    return character
