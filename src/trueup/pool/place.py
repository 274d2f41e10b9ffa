"""Which provider an upload goes to. Nothing here does I/O, and chance comes from outside."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple


class Room(NamedTuple):
    """What one provider has to offer."""

    provider: str
    free: int
    """Bytes."""
    weight: float = 1.0


def order(rooms: Sequence[Room], size: int, placement: str, *, chance: Random, turn: int) -> list[str]:
    """The providers with room for `size` bytes, the one to be tried first at the front.

    `random`; `most-free` room first; `round-robin`, where `turn` counts the uploads; or `weighted` chance.
    """
    able = [room for room in rooms if room.free >= size]
    if not able:
        return []
    match placement:
        case "most-free":
            able.sort(key=lambda room: (-room.free, room.provider))
        case "round-robin":
            first = turn % len(able)
            able = able[first:] + able[:first]
        case "weighted":
            # https://doi.org/10.1016/j.ipl.2005.11.003: each one's chance to come first is its share of the weights
            able.sort(key=lambda room: chance.random() ** (1 / room.weight), reverse=True)
        case _:
            chance.shuffle(able)
    return [room.provider for room in able]
