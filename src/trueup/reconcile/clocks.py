"""Whose clock dates rows and objects, and what is young by it.

A store dates its objects itself, and its clock is measured: they are judged by that. Who dates rows is not known: the
database (`default now()`), an application's machine, or for the pool's own books the machine that uploaded. When that
one and this one agree, ours is right for its rows; when ours is the one that is off, most likely the database's is. So
a row is young if it is by either of the two. That is late at worst, by what they differ, and never too early.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

TOLERANCE: Final = timedelta(seconds=5)
"""A smaller difference is nobody's concern: measuring has its own."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_ZERO: Final = timedelta()


def here() -> datetime:
    """This machine's clock, UTC."""
    return datetime.now(UTC)


def measured(ask: Callable[[], datetime | None]) -> timedelta:
    """How far another clock is ahead of this machine's; nothing where it has none."""
    before = here()
    told = ask()
    return told - (before + (here() - before) / 2) if told is not None else _ZERO


def difference(whose: str, ahead: timedelta) -> str | None:
    """A clock that is off, in words; None where it is not."""
    if abs(ahead) <= TOLERANCE:
        return None
    side = "ahead of" if ahead > _ZERO else "behind"
    return f"the clock of {whose} is {_amount(ahead)} {side} this machine's, which says {here():%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Young:
    """When something is dated that is young: nanoseconds since 1970."""

    after: int
    until: int
    """Up to a grace ahead of every clock. What is dated later would stay in flight for ever: it is judged, and said."""

    def holds(self, at: int) -> bool:
        """Whether a date is that of something young."""
        return self.after < at <= self.until

    def beyond(self, what: str, at: int) -> str:
        """A date that cannot be, in words; empty for the others."""
        ahead = timedelta(microseconds=(at - self.until) // 1000)
        return f"{what} is dated {_amount(ahead)} too far in the future" if ahead > TOLERANCE else ""


def young(grace: timedelta, ahead: timedelta, since: datetime | None = None) -> Young:
    """What is younger than `grace`, or dated after `since` (by this machine's clock), by a clock that is so much ahead
    of this machine's."""
    now = here()
    after = now - grace if since is None else min(now - grace, since)
    return Young(nanoseconds(after + ahead), nanoseconds(now + grace + ahead))


def young_by_either(grace: timedelta, ahead: timedelta, since: datetime | None = None) -> Young:
    """What is young by this machine's clock, or by one that is so much ahead of it, or in between."""
    ours, theirs = young(grace, _ZERO, since), young(grace, ahead, since)
    return Young(min(ours.after, theirs.after), max(ours.until, theirs.until))


def nanoseconds(at: datetime) -> int:
    """A moment as nanoseconds since 1970, to the microsecond."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def _amount(difference: timedelta) -> str:
    return str(timedelta(seconds=round(abs(difference.total_seconds()))))
