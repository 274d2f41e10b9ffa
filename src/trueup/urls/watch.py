"""The clock of a fetch: how far it is, how long it may still take, how long to wait between two tries."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from trueup.errors import FetchUnfinished
from trueup.urls.rules import Rules

Heard = Callable[[int, int | None], None]
"""Bytes that came, and of how many (None: not known). Called several times a second, also while nothing comes; what it
raises ends the fetch."""

_OFTEN: Final = 0.2
"""Seconds between two reports."""


class Watch:
    """How far a fetch is, and how long it may still take. `shown` is its URL as messages show it."""

    def __init__(self, shown: str, rules: Rules, heard: Heard) -> None:
        self.shown = shown
        self.size = 0
        self.total: int | None = None
        self._heard = heard
        self._rules = rules
        self._next = 0.0
        self._until = time.monotonic() + rules.timeout.total_seconds()

    def left(self) -> float:
        """Seconds, more than 0. Raises `FetchUnfinished` when none is left."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise FetchUnfinished(
                f"{self.shown} took longer than {self._rules.section} timeout allows",
                cure="Fetch it again to go on, or allow more time",
            )
        return left

    def tick(self) -> None:
        """To be called as often as possible: ends what takes too long, reports now and then."""
        self.left()
        if time.monotonic() >= self._next:
            self.report()

    def report(self) -> None:
        """Say how far it is."""
        self._heard(self.size, self.total)
        self._next = time.monotonic() + _OFTEN

    def pause(self, seconds: float) -> None:
        """Wait, and keep reporting."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.tick()
            time.sleep(min(left, _OFTEN))


def back_off(tries: int) -> float:
    """Seconds before the next try, for the number of tries that came to nothing: doubling, and never two alike."""
    return min(30.0, 0.25 * 2.0**tries) * random.uniform(0.5, 1)  # noqa: S311 - spreads load, hides nothing
