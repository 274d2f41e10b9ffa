"""Cron lines, read once and in one way for every scheduler: five fields, 0 and 7 are Sunday (no I/O)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from trueup.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from cronsim import CronSim

_FIELDS: Final = 5
EVERY_DAY: Final = tuple(range(1, 32))
EVERY_MONTH: Final = tuple(range(1, 13))
EVERY_WEEKDAY: Final = tuple(range(7))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A cron line, and what its fields allow. Its times are UTC."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    """0 is Sunday. Where days and weekdays are both restricted, one of them is enough, as cron has it."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times after a moment, which knows its zone, one after the other."""
        return _simulator(self.text, moment)

    def until(self, moment: datetime) -> datetime | None:
        """The last time up to a moment."""
        return next(_simulator(self.text, moment.replace(microsecond=0) + timedelta(seconds=1), back=True), None)


def parse_cron(text: str, *, where: str) -> Cron:
    """Read a line such as `*/30 * * * *`. Raises `ConfigError`, whose message `where` begins, and `MissingExtra`."""
    line = " ".join(text.split())
    fields = line.split(" ")
    # What goes beyond the five fields means something else, or nothing, to most schedulers.
    if len(fields) != _FIELDS or re.search(r"[#@?]|\dL|\bLW?\b", line.upper()):
        raise _unusable(text, where, "five fields are needed: minute, hour, day, month, weekday")
    try:
        read = _simulator(line, datetime(2000, 1, 1))  # noqa: DTZ001 - only its fields are looked at
    except ValueError as error:
        raise _unusable(text, where, str(error)) from error
    cron = Cron(
        text=line,
        minutes=_numbers(read.minutes),
        hours=_numbers(read.hours),
        days=_numbers(read.days),
        months=_numbers(read.months),
        weekdays=_numbers({number % 7 for number in read.weekdays if isinstance(number, int)}),
    )
    if read.day_and and cron.days != EVERY_DAY and cron.weekdays != EVERY_WEEKDAY:
        # A field that begins with a star is met together with the other one by some crons, and by others instead of it.
        raise _unusable(text, where, "a step over every day and a weekday together mean different things to schedulers")
    if not read.day_and and (cron.days == EVERY_DAY or cron.weekdays == EVERY_WEEKDAY):
        return replace(cron, days=EVERY_DAY, weekdays=EVERY_WEEKDAY)  # one of the two is enough, and one always holds
    return cron


def _numbers(found: set[int]) -> tuple[int, ...]:
    return tuple(sorted(found))


def _simulator(line: str, moment: datetime, *, back: bool = False) -> CronSim:
    try:
        from cronsim import CronSim, CronSimError
    except ModuleNotFoundError:
        raise MissingExtra("a schedule", "server") from None
    try:
        return CronSim(line, moment, reverse=back)
    except CronSimError as error:
        raise ValueError(str(error).lower()) from None


def _unusable(text: str, where: str, why: str) -> ConfigError:
    return ConfigError(f"{where} = '{text}' is no cron line: {why}", cure='Write it like "0 3 * * *" (UTC), or "off"')
