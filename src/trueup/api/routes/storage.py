"""The pool: its numbers, and making them true."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from trueup.api.models import Queued, RunId, StorageStats, TaskStatus
from trueup.api.problems import Missing, described
from trueup.api.service import Service, service_of

router = APIRouter()
Here = Annotated[Service, Depends(service_of)]
_LATER = "Task will run in the background. Check logs for results."


def queued(service: Service, job: str, message: str, **arguments: Any) -> Queued:  # noqa: ANN401 - arguments of jobs
    """Queue a job, and say so. Raises `Busy` and `UsageError`."""
    return Queued(message=message, task_id=service.queue.submit(job, arguments).id, status=_LATER)


class _Plain(APIRoute):
    """Takes nothing but the service: no parameters are looked for in what is asked most often."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def handle(request: Request) -> Response:
            answer: Response = await self.endpoint(await service_of(request))
            return answer

        return handle


async def stats(service: Here) -> Response:
    """Answered from the books alone. Needs no key."""

    def look() -> bytes:
        return json.dumps(service.storage()).encode()  # typed already: validating it again would double the time

    found = await service.together.answer("storage", look, service.storage_version)
    return Response(found, media_type="application/json")


router.add_api_route(
    "/api/storage/stats",
    stats,
    tags=["storage"],
    summary="How much each provider holds",
    response_model=StorageStats,
    responses=described(503),
    route_class_override=_Plain,
)


@router.post(
    "/api/admin/sync-storage-stats",
    tags=["admin"],
    summary="Compare the pool's books with what the clouds hold",
    status_code=202,
    responses=described(409, 503),
)
def sync_storage_stats(service: Here) -> Queued:
    """The books are made true in the background."""
    return queued(service, "sync_storage_stats", "Storage sync task queued successfully")


@router.get(
    "/api/admin/sync-storage-stats/status/{task_id}",
    tags=["admin"],
    summary="How that is getting on",
    responses=described(404, 503),
)
def sync_storage_stats_status(task_id: RunId, service: Here) -> TaskStatus:
    """The result is the JSON of `trueup reconcile`."""
    task = service.task(task_id)
    if task.job != "sync_storage_stats":
        raise Missing(f"there is no such task {task_id}")
    result = dict(task.result) if task.result is not None else None
    return TaskStatus(task_id=task.id, state=task.state, result=result, error=task.error or None)  # type: ignore[arg-type]  # one of those six


@router.post(
    "/api/admin/cleanup-old-downloads",
    tags=["admin"],
    summary="Remove what was fetched long ago",
    status_code=202,
    responses=described(409, 503),
)
def cleanup_old_downloads(service: Here) -> Queued:
    """In the background."""
    return queued(service, "cleanup_old_downloads", "Clean-up task queued successfully")


@router.post(
    "/api/admin/cleanup-failed-downloads",
    tags=["admin"],
    summary="Remove what failed fetches have left",
    status_code=202,
    responses=described(409, 503),
)
def cleanup_failed_downloads(service: Here) -> Queued:
    """In the background."""
    return queued(service, "cleanup_failed_downloads", "Clean-up task queued successfully")
