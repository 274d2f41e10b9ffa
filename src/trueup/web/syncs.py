"""Syncs: each pair of the settings with its rules and its last runs, previewed and started."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from fastapi import APIRouter, Request, Response

from trueup.api.models import Run
from trueup.api.routes import runs as api
from trueup.api.routes.storage import Here
from trueup.config import SyncConfig, SyncJob
from trueup.stores.secrecy import scrubbed
from trueup.web.page import Page, page

router = APIRouter(route_class=Page)
_LOOKED: Final = 200
"""Newest runs among which those of a pair are looked for."""
_WAYS: Final = {"two-way": ("⇄", "both ways"), "push": ("→", "left to right only"), "pull": ("←", "right to left only")}
_CONFLICTS: Final = {
    "none": "conflicts are left to you",
    "newer": "of two edits the newer wins",
    "older": "of two edits the older wins",
    "larger": "of two edits the larger wins",
    "smaller": "of two edits the smaller wins",
    "left": "of two edits the left one wins",
    "right": "of two edits the right one wins",
}


class Pair(NamedTuple):
    """One `[sync.NAME]`."""

    name: str
    left: str
    right: str
    arrow: str
    rules: str
    synced: Run | None
    previewed: Run | None


@router.get("/sync")
def syncs(request: Request, service: Here) -> Response:
    """Every pair; no place is asked."""
    newest = api.runs(service, _LOOKED).runs
    pairs = [_pair(name, job, newest) for name, job in sorted(service.settings.jobs.items())]
    return page(request, "syncs.html", pairs=pairs)


def _pair(name: str, job: SyncJob, newest: Iterable[Run]) -> Pair:
    mine = [run for run in newest if _is_of(run, name, job)]
    synced = next((run for run in mine if not run.arguments.get("dry_run")), None)
    previewed = next((run for run in mine if run.arguments.get("dry_run")), None)
    arrow, way = _WAYS[job.options.mode]
    return Pair(
        name, scrubbed(job.left, ()), scrubbed(job.right, ()), arrow, _rules(way, job.options), synced, previewed
    )


def _is_of(run: Run, name: str, job: SyncJob) -> bool:
    about = run.arguments.get("name")
    # Whoever started it by hand may have named the places.
    return about == name if run.job == "sync_files" else run.job == "sync" and about == f"{job.left} {job.right}"


def _rules(way: str, options: SyncConfig) -> str:
    told = [way]
    if options.mode == "two-way":
        told.append(_CONFLICTS[options.prefer])
    told.append("deletes are carried over" if options.delete else "nothing is deleted")
    return "; ".join(told)
