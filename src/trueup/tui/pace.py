"""How fast a run is, and how long it will still take."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

WINDOW: Final = 5.0
"""Seconds that are looked back on: long enough to be calm, short enough to follow the network."""
_LEAST: Final = 0.5
"""Seconds before which a rate is a guess that nobody should see."""


class Mark(NamedTuple):
    """How far a run was at one moment."""

    at: float
    """Seconds of a clock that only goes forward."""
    actions: int
    bytes: int


class Pace:
    """Bytes and actions a second over the last moments."""

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque()

    def mark(self, at: float, *, actions: int, amount: int) -> None:
        """Note how far the run is: so many actions and so many bytes are done."""
        self._marks.append(Mark(at, actions, amount))
        while len(self._marks) > 2 and at - self._marks[1].at >= WINDOW:
            self._marks.popleft()

    @property
    def bytes_rate(self) -> float:
        """Bytes a second; 0 while it is not known."""
        return self._rate("bytes")

    def left(self, *, actions: int, amount: int) -> float | None:
        """Seconds until so many further actions and bytes are done; None while nobody can know."""
        times = []
        for field, rest in (("bytes", amount), ("actions", actions)):
            rate = self._rate(field)
            if rest > 0 and rate > 0:
                times.append(rest / rate)
        return max(times, default=None)

    def _rate(self, field: str) -> float:
        if len(self._marks) < 2:
            return 0.0
        first, last = self._marks[0], self._marks[-1]
        seconds = last.at - first.at
        if seconds < _LEAST:
            return 0.0
        return max(0.0, float(getattr(last, field) - getattr(first, field)) / seconds)
