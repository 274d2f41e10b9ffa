"""Cron lines, whose times are UTC, as rules of a clock that is so many minutes ahead or behind (no I/O)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from trueup.errors import UsageError
from trueup.jobs.cron import EVERY_DAY, EVERY_MONTH, EVERY_WEEKDAY, Cron

_DAY: Final = 24 * 60
"""Minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Times of days that are allowed by each of the three."""

    times: tuple[int, ...]
    """Minutes since midnight, ascending."""
    days: tuple[int, ...] = EVERY_DAY
    months: tuple[int, ...] = EVERY_MONTH
    weekdays: tuple[int, ...] = EVERY_WEEKDAY
    """0 is Sunday."""


def rules(cron: Cron, offset: timedelta = timedelta()) -> list[Rule]:
    """What a cron line means by a clock which is ahead of UTC by an offset: whatever one of the rules allows. Raises
    `UsageError` where its days of months cannot be told by that clock."""
    minutes = round(offset.total_seconds() / 60)
    of_day = sorted(hour * 60 + minute for hour in cron.hours for minute in cron.minutes)
    by_shift: dict[int, list[int]] = {}
    for time in of_day:
        shift, local = divmod(time + minutes, _DAY)
        by_shift.setdefault(shift, []).append(local)
    if len(by_shift) > 1 and _every_day(cron):
        by_shift = {0: sorted(local for times in by_shift.values() for local in times)}
    found: list[Rule] = []
    for shift, times in sorted(by_shift.items()):
        found += _on_days(cron, tuple(times), 0 if _every_day(cron) else shift)
    return found


def _every_day(cron: Cron) -> bool:
    return cron.days == EVERY_DAY and cron.months == EVERY_MONTH and cron.weekdays == EVERY_WEEKDAY


def _on_days(cron: Cron, times: tuple[int, ...], shift: int) -> Iterator[Rule]:
    by_date = cron.days != EVERY_DAY
    by_weekday = cron.weekdays != EVERY_WEEKDAY
    if shift and (by_date or cron.months != EVERY_MONTH):
        raise UsageError(
            f"'{cron.text}' means times in UTC that are on another date here, which no such line can say",
            cure="Choose a time that is on the same date in both, or export it where the clock is UTC: TZ=UTC",
        )
    weekdays = tuple(sorted((day + shift) % 7 for day in cron.weekdays))
    if by_date or not by_weekday:
        yield Rule(times=times, days=cron.days, months=cron.months)
    if by_weekday:
        yield Rule(times=times, months=cron.months, weekdays=weekdays)


def in_one(found: Iterable[Rule]) -> list[Rule]:
    """For who takes days and weekdays in one rule as alternatives, as cron does: in two, both would start a job on a
    day that is meant by either."""
    by_times: dict[tuple[int, ...], Rule] = {}
    for rule in found:
        # Only alternatives have the same times.
        first = by_times.get(rule.times)
        by_times[rule.times] = replace(first, weekdays=rule.weekdays) if first is not None else rule
    return list(by_times.values())


def by_hour(times: tuple[int, ...]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """The hours that have the same minutes, by those minutes: what one line with lists can say."""
    minutes: dict[int, list[int]] = {}
    for time in times:
        minutes.setdefault(time // 60, []).append(time % 60)
    hours: dict[tuple[int, ...], list[int]] = {}
    for hour, found in minutes.items():
        hours.setdefault(tuple(found), []).append(hour)
    return {key: tuple(value) for key, value in hours.items()}


def listed(numbers: tuple[int, ...], every: tuple[int, ...], write: Callable[[int], str] = str) -> str:
    """`*`, or the numbers with commas."""
    return "*" if numbers == every else ",".join(write(number) for number in numbers)


def repeated(times: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Times of a day as few repetitions: the first, the step between two in minutes (0 for one alone), how many."""
    rest = list(times)
    while rest:
        count, step = 1, 0
        if len(rest) > 1:
            step = rest[1] - rest[0]
            while count < len(rest) and rest[count] == rest[0] + count * step:
                count += 1
        if count < 3 and len(rest) != count:
            count, step = 1, 0  # two that only happen to follow each other would break up what comes after them
        yield rest[0], step if count > 1 else 0, count
        del rest[:count]
