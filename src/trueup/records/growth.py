"""How much an account grew: its last snapshot against the newest that is a day older (no I/O)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from trueup.records.merge import Value

_SLACK: Final = 2.0
"""Hours: one for clocks that are put forward, one for runs that do not begin on the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An account at one time."""

    time: datetime
    """As clocks of the configured zone showed it. A day is from one time to the same time of the next day, so that the
    days on which clocks are changed are days as well."""
    date: date
    fields: Mapping[str, Value | None]


class Change(NamedTuple):
    """A field then and now."""

    before: int | None
    after: int | None

    @property
    def delta(self) -> int | None:
        """None where one of the two is unknown."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def percent(self) -> float | None:
        """Rounded to one place; None from nothing."""
        return None if self.delta is None or not self.before else round(100 * self.delta / self.before, 1)

    def to_json(self) -> dict[str, object]:
        """As documented."""
        return {"from": self.before, "to": self.after, "delta": self.delta, "percent": self.percent}


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What an account gained."""

    key: str
    days: int
    """Between the two snapshots; 0 where there is nothing to compare with."""
    gaps: tuple[date, ...]
    """Days between them without a snapshot."""
    fields: Mapping[str, Change]

    def to_json(self) -> dict[str, object]:
        """As documented."""
        return {
            "key": self.key,
            "days": self.days,
            "gaps": [day.isoformat() for day in self.gaps],
            "fields": {name: change.to_json() for name, change in self.fields.items()},
        }


def least(hours: float) -> float:
    """How many hours older a snapshot is at least, to be so many hours old for people: that of yesterday's run is a day
    old, even if today's began some seconds earlier."""
    return hours - min(_SLACK, hours / 12)


def earlier(snapshots: Iterable[Snapshot], last: Snapshot, hours: float) -> Snapshot | None:
    """The newest snapshot that is so much older than the last one."""
    old_enough = last.time - timedelta(hours=least(hours))
    return max((one for one in snapshots if one.time <= old_enough), key=lambda one: one.time, default=None)


def growth(
    key: str, snapshots: Sequence[Snapshot], fields: Iterable[str], *, hours: float = 24, days: Collection[date] = ()
) -> Growth | None:
    """What an account gained; None for one without snapshots. `fields` are those that hold numbers, `days` some more
    that have a snapshot."""
    if not snapshots:
        return None
    last = max(snapshots, key=lambda one: one.time)
    first = earlier(snapshots, last, hours)
    before = first.fields if first else {}
    there = {one.date for one in snapshots}.union(days)
    apart = (last.date - first.date).days if first else 0
    between = (last.date - timedelta(days=back) for back in range(apart - 1, 0, -1))
    return Growth(
        key=key,
        days=apart,
        gaps=tuple(day for day in between if day not in there),
        fields={name: Change(_number(before.get(name)), _number(last.fields.get(name))) for name in fields},
    )


def _number(value: Value | None) -> int | None:
    return value if isinstance(value, int) else None
