"""The first page: what each provider holds and how far its books are off, what ran, what runs next."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response

from trueup.api.routes import runs
from trueup.api.routes.storage import Here
from trueup.api.service import Service
from trueup.errors import ConfigError
from trueup.jobs import JOBS
from trueup.jobs.config import SCHEDULE
from trueup.web.findings import compared
from trueup.web.page import Page, page

router = APIRouter(route_class=Page)
_NEWEST = 8


class Gauge(NamedTuple):
    """One provider; shares are percent of the quota."""

    name: str
    used: int
    reserved: int
    quota: int
    files: int
    is_full: bool
    updated: datetime

    @property
    def used_share(self) -> float:
        """What of it is taken; all, where nothing may be held."""
        return min(100.0, 100 * self.used / self.quota) if self.quota else 100.0

    @property
    def reserved_share(self) -> float:
        """What of the rest is promised."""
        return min(100 - self.used_share, 100 * self.reserved / self.quota) if self.quota else 0.0


class Next(NamedTuple):
    """A job of the schedule."""

    job: str
    summary: str
    at: datetime | None
    """None: never by itself, or it has nothing to do."""


@router.get("/")
def overview(request: Request, service: Here) -> Response:
    """From the books alone: no cloud is asked."""
    found: dict[str, Any] = service.settings.sections.get("ingest", {})
    return page(
        request,
        "overview.html",
        gauges=_gauges(service),
        compared=compared(service),
        runs=runs.runs(service, _NEWEST).runs,
        next=[_next(service, name.replace("-", "_")) for name in SCHEDULE],
        syncs=sorted(service.settings.jobs),
        ingests=sorted(found),
    )


def _gauges(service: Service) -> list[Gauge]:
    try:
        pool = service.pool
    except ConfigError:
        return []
    return [
        Gauge(
            name=usage.provider, used=usage.total_size_bytes, reserved=usage.reserved_bytes, quota=quota,
            files=usage.file_count, is_full=usage.is_full, updated=usage.last_updated,
        )
        for usage, quota in pool.usage()
    ]  # fmt: skip


def _next(service: Service, job: str) -> Next:
    return Next(job, JOBS[job].summary, service.queue.next_run(job))
