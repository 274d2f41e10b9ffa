"""Runs: the list, one while it works, starting and stopping."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Query, Request, Response

from trueup.api.problems import Missing
from trueup.api.routes import runs as api
from trueup.api.routes.storage import Here
from trueup.api.service import Service
from trueup.catalog.tasks import UNDER_WAY
from trueup.errors import Busy
from trueup.jobs.config import SCHEDULE
from trueup.web.merged import merged
from trueup.web.page import Form, Page, go, page
from trueup.web.words import pretty, said

router = APIRouter(route_class=Page)
_SHOWN: Final = 100
"""Runs on one page."""
_PAGES: Final = 10
"""The log knows runs by the newest: the further back, the more of them are read."""
LINES: Final = 200
"""Of a run's log; `run.js` keeps as many."""
_ITEMS: Final = 100
"""Of what a run did, or would do."""
_ITEM: Final = {"key": "", "action": "", "reason": "", "outcome": "", "bytes": None, "error": None}
"""An ingest tells less of its files than a sync, and calls a key a path."""
_SHORT: Final = 20_000
"""Characters of a result that is shown as it is."""
_STARTED_HERE: Final = {name.replace("-", "_") for name in SCHEDULE} | {
    "sync_files",
    "ingest_files",
    "smart_sync_single_project",
}


class Outcome(NamedTuple):
    """What a run did, or would do."""

    counts: list[tuple[str, int]]
    """Those that are not zero."""
    items: list[Mapping[str, Any]]
    """The first."""
    left_out: int
    more: bool
    """Even the result does not hold them all."""


@router.get("/runs")
def runs(request: Request, service: Here, number: Annotated[int, Query(alias="page", ge=1, le=_PAGES)] = 1) -> Response:
    """The newest, or a page of older ones."""
    # One more than is shown says whether there is another page.
    found = api.runs(service, number * _SHOWN + 1).runs[(number - 1) * _SHOWN :]
    return page(
        request, "runs.html", runs=found[:_SHOWN], number=number, more=len(found) > _SHOWN, last=number == _PAGES
    )


@router.get("/runs/{run_id}")
def run(request: Request, run_id: str, service: Here) -> Response:
    """With what it said; while it works `run.js` follows it, and without JavaScript the page is loaded again."""
    found = api.run(run_id, service)
    told = pretty(found.result) if found.result else ""
    events = [event for _, told in service.tasks.said(run_id) for event in told if said(event)]
    return page(
        request,
        "run.html",
        run=found,
        live=found.state in UNDER_WAY,
        events=events[-LINES:],
        left_out=max(0, len(events) - LINES),
        outcome=_outcome(found.result or {}),
        merged=merged(found.result or {}),
        told=told if len(told) <= _SHORT else "",
    )


@router.post("/runs/{run_id}/cancel")
def cancel(run_id: str, service: Here) -> Response:
    """Ask it to stop."""
    api.cancel(run_id, service)
    return go(f"/runs/{run_id}")


@router.post("/start/{job}")
def start(job: str, service: Here, given: Form) -> Response:
    """Queue a job, and follow it; where it is under way already, follow that one."""
    if job not in _STARTED_HERE:
        raise Missing(f"no job '{job}' is started here")
    _known(service, job, given)
    dry = {"dry_run": True} if given.pop("dry_run", "") else {}
    try:
        return go(f"/runs/{service.queue.submit(job, {**given, **dry}).id}")
    except Busy as busy:
        if not busy.run:
            raise
        return go(f"/runs/{busy.run}")


def _known(service: Service, job: str, given: Mapping[str, str]) -> None:
    """Raise `Missing` for a name that the settings do not have."""
    names: Collection[str]
    match job:
        case "sync_files":
            field, names = "name", service.settings.jobs
        case "ingest_files":
            field, names = "name", service.settings.sections.get("ingest", {})
        case "smart_sync_single_project":
            field, names = "project", service.reader.projects
        case _:
            return
    if given.get(field, "") not in names:
        raise Missing(f"there is no '{given.get(field, '')}' to start")


def _outcome(result: Mapping[str, Any]) -> Outcome | None:
    """Of a sync, or an ingest; None of whatever else ran."""
    if "counts" not in result:
        return None
    counts = [(name.replace("_", " "), count) for name, count in result["counts"].items() if isinstance(count, int)]
    items = result.get("items", [])  # the log of what somebody ran by hand has none
    return Outcome(
        counts=[(name, count) for name, count in counts if count],
        items=[_ITEM | {"key": item.get("path", "")} | item for item in items[:_ITEMS]],
        left_out=max(0, len(items) - _ITEMS),
        more=bool(result.get("items_truncated")),
    )
