"""Records: syncing sheets, and reading what was merged."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from trueup import records
from trueup.api.models import (
    AccountId,
    Accounts,
    Growths,
    Project,
    ProjectId,
    Projects,
    Queued,
    SmartSync,
    Snapshots,
    SyncStatus,
)
from trueup.api.problems import Missing, described
from trueup.api.routes.storage import Here, queued
from trueup.api.service import Service
from trueup.catalog.tasks import PENDING, UNDER_WAY
from trueup.errors import TrueupError, UsageError
from trueup.jobs.registry import JOBS
from trueup.runs import stamped

router = APIRouter()
_LOOK: Final = 0.1
"""Seconds between two looks at whether a sync is over."""
_LATER: Final = "With `wait=false`; where nobody has begun after 30 seconds, or it takes longer than 15 minutes"
_UNBEGUN: Final = 30.0
"""Seconds in which somebody begins with it, where there is a worker."""
_LONGEST: Final = 900.0
"""Seconds that a request stays open."""


@router.post(
    "/api/admin/smart_sync",
    tags=["admin", "records"],
    summary="Merge sheets with fresh numbers",
    response_model=SmartSync,
    responses={202: {"model": Queued, "description": _LATER}, **described(404, 409, 503)},
)
async def smart_sync(
    service: Here,
    project_id: Annotated[str | None, Query(description="The id of one project; without it, every active one.")] = None,
    *,
    wait: Annotated[bool, Query(description="Answer when it is over.")] = True,
) -> Any:  # noqa: ANN401 - one of two
    """Every active project, or one. Answers when it is over, unless `wait=false`."""
    job, arguments = "smart_sync_all_projects", {}
    JOBS[job].needs(service.settings)
    if project_id is not None:
        _known(service, project_id)
        if project_id not in service.reader.active:
            raise UsageError(f"the project {project_id} is not active", cure="Write active = true")
        job, arguments = "smart_sync_single_project", {"project": project_id}
    told = await asyncio.to_thread(queued, service, job, "Records sync task queued successfully", **arguments)
    if not wait:
        return JSONResponse(told.model_dump(), 202)
    began = time.monotonic()
    while (task := await asyncio.to_thread(service.task, told.task_id)).state in UNDER_WAY:
        waited = time.monotonic() - began
        if service.closing.is_set() or waited > (_UNBEGUN if task.state == PENDING else _LONGEST):
            return JSONResponse(told.model_dump(), 202)
        await asyncio.sleep(_LOOK)
    if task.result is None:
        raise TrueupError(f"the sync {task.id} came to nothing: {task.error or task.status}")
    return JSONResponse(dict(task.result))


@router.get(
    "/api/admin/sync_status",
    tags=["admin", "records"],
    summary="The last sync, and the next",
    responses=described(404, 503),
)
def sync_status(service: Here) -> SyncStatus:
    """Answered from the read model alone."""
    at = service.queue.next_run("smart_sync_all_projects")
    known: dict[str, Any] = records.status(service.settings)
    return SyncStatus(**known | {"cache_enabled": bool(service.config.broker), "next_run": stamped(at) if at else None})


@router.get("/api/projects", tags=["records"], summary="Every project", responses=described(404, 503))
def projects(service: Here) -> Projects:
    """Of the settings, with how its last sync went."""
    known: Any = records.status(service.settings)["projects"]
    return Projects(projects=[Project(**project) for project in known])


@router.get(
    "/api/projects/{project_id:path}/accounts",
    tags=["records"],
    summary="The accounts of a project",
    response_model=Accounts,
    responses=described(404, 503),
)
async def accounts(project_id: ProjectId, service: Here) -> Response:
    """With their merged values; those whose rows are gone are left out."""
    found = await service.together.answer(f"accounts {project_id}", lambda: listed(service, project_id))
    return Response(found, media_type="application/json")


@router.get(
    "/api/projects/{project_id:path}/growth",
    tags=["records"],
    summary="How much its accounts grew",
    responses=described(404, 503),
)
def growth(
    project_id: ProjectId,
    service: Here,
    hours: Annotated[float, Query(gt=0, le=876_000, description="How far back.")] = 24,
) -> Growths:
    """The last snapshot of each against the newest that is so many hours older."""
    _known(service, project_id)
    [(_, found)] = records.grown(project_id, service.settings, hours=hours)
    return Growths(project_id=project_id, accounts=[one.to_json() for one in found])


@router.get(
    "/api/accounts/{account_id}/snapshots",
    tags=["records"],
    summary="The snapshots of an account",
    responses=described(404, 503),
)
def snapshots(
    account_id: AccountId, service: Here, days: Annotated[int, Query(ge=1, le=36_500, description="How far back.")] = 30
) -> Snapshots:
    """One a day, the newest first."""
    try:
        found: dict[str, Any] = records.history(str(account_id), service.settings, days=days)
    except UsageError as error:
        raise Missing(error.message) from error
    return Snapshots(**found)


def listed(service: Service, project_id: str) -> bytes:
    """The accounts of a project as JSON. Raises `Missing`."""
    _known(service, project_id)

    def form(found: records.Listing) -> bytes:
        return json.dumps({"project_id": project_id, "accounts": found.to_json()}, ensure_ascii=False).encode()

    return service.reader.accounts(project_id, form)


def _known(service: Service, project_id: str) -> None:
    """Raise `Missing` for a project that the settings do not have."""
    if project_id not in service.reader.projects:
        raise Missing(f"there is no project {project_id}")
