"""Celery's clock with our reading of cron lines. Two clocks that tick for the same time name the same task, and the
queue takes it once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from celery import beat
from celery.schedules import BaseSchedule

from trueup.jobs.cron import Cron
from trueup.jobs.pulse import Pulse


class CronSchedule(BaseSchedule):  # type: ignore[misc]  # the library has no types
    """The times of a cron line."""

    def __init__(self, cron: Cron) -> None:
        super().__init__()
        self.cron = cron

    def next_after(self, moment: datetime) -> datetime:
        """The first time after a moment."""
        return next(self.cron.after(_utc(moment)))

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """How long until the next time; never negative."""
        return max(timedelta(), self.next_after(last_run_at) - datetime.now(UTC))

    def is_due(self, last_run_at: datetime) -> tuple[bool, float]:
        """Whether a time has come since, and the seconds until the next one."""
        now = datetime.now(UTC)
        due = self.next_after(last_run_at) <= now
        following = self.next_after(now) if due else self.next_after(last_run_at)
        return due, (following - now).total_seconds()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CronSchedule) and other.cron == self.cron

    def __hash__(self) -> int:
        return hash(self.cron)

    def __reduce__(self) -> tuple[type[CronSchedule], tuple[Cron]]:
        return CronSchedule, (self.cron,)


class Scheduler(beat.Scheduler):  # type: ignore[misc]  # the library has no types
    """Names each task by the line and the time it is for. It keeps no file: it begins with the next time."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Celery's signature
        super().__init__(*args, **options)
        self._pulse = Pulse()

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:  # noqa: ANN401, FBT001, FBT002 - Celery's signature
        """Send it."""
        now = datetime.now(UTC)
        # The last time that has come: an entry that was late is for that one as well.
        slot = entry.schedule.cron.until(now) or now
        entry.options["task_id"] = f"beat-{entry.name}-{slot:%Y%m%dT%H%MZ}"
        # Nobody wants what is out of date: after a day without a worker, all of it would be done at once.
        entry.options["expires"] = max(60.0, (entry.schedule.next_after(now) - now).total_seconds())
        return super().apply_async(entry, producer, advance, **options)

    def tick(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - Celery's signature
        """Hand in what is due, and leave a sign of life."""
        wait = super().tick(*args, **options)
        self._pulse.tick()
        return wait

    def close(self) -> None:
        """Stop."""
        super().close()
        self._pulse.close()


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
