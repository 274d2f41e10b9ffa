"""Whether the keys of a listing ascend."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from operator import lt

from trueup import keys


class Order(Exception):
    """A key came below its predecessor."""

    def __init__(self, key: str, before: int) -> None:
        super().__init__(key)
        self.before = before
        """How many of the keys that were looked at came before it."""


def ascending(names: Sequence[str], last: str, last_normal: str) -> str:
    """The normal form of the last of these names, which follow one. Raises `Order` where they do not ascend by their
    normal forms. Two spellings of one name have one normal form: they may follow each other, in their own order."""
    if names[0] > last_normal and "".join(names).isascii() and all(map(lt, names, islice(names, 1, None))):
        return names[-1]  # as most are, by the million
    for number, name in enumerate(names):
        normal = keys.normal(name)
        if normal <= last_normal and (normal != last_normal or name <= last):
            raise Order(name, number)
        last, last_normal = name, normal
    return last_normal
