"""Our reading of a cron line for the scheduler, whose own takes day 0 for Monday (apscheduler#455)."""

from __future__ import annotations

from datetime import UTC, datetime

from apscheduler.triggers.base import BaseTrigger

from trueup.jobs.cron import Cron


class CronTrigger(BaseTrigger):  # type: ignore[misc]  # the library has no types
    """The times of a cron line."""

    def __init__(self, cron: Cron) -> None:
        self._cron = cron

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The first time after the last one, and after now if it has never fired."""
        return next(self._cron.after((previous_fire_time or now).astimezone(UTC)), None)
