"""What every way of fetching shares: its result, its clock, and who hears of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trueup.downloads.config import Rules
from trueup.errors import AddressRefused, FetchError, FetchUnfinished

Heard = Callable[[int, int | None], None]
"""Bytes on disk, and of how many (None: not known). Called several times a second, also while nothing comes; what it
raises ends the fetch, and what came is kept."""

LATER: Final = "What came is kept; fetch it again to go on"
_OFTEN: Final = 0.2
"""Seconds between two reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A complete file."""

    path: Path
    name: str
    """What to call it: one clean path segment of at most 150 bytes."""
    size: int
    """Bytes."""


class Watch:
    """How far a fetch is, and how long it may still take. `shown` is its URL as messages show it."""

    def __init__(self, shown: str, rules: Rules, heard: Heard) -> None:
        self.shown = shown
        self.size = 0
        self.total: int | None = None
        self._heard = heard
        self._next = 0.0
        self._until = time.monotonic() + rules.timeout.total_seconds()

    def left(self) -> float:
        """Seconds, more than 0. Raises `FetchUnfinished` when none is left."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise FetchUnfinished(
                f"{self.shown} took longer than [downloads] timeout allows",
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


def refused(message: str) -> AddressRefused:
    """The error of a URL that leads where it must not."""
    return AddressRefused(message, cure="If that is meant, set [downloads] allow_private_addresses = true")


def too_large(shown: str, size: int | None, rules: Rules) -> FetchError:
    """The error of a file above the limit; `size` None where only that is known."""
    holds = f"holds {size} bytes" if size is not None else "goes on"
    return FetchError(
        f"{shown} {holds}, more than the {rules.max_size} bytes of [downloads] max_size", cure="Raise max_size"
    )
