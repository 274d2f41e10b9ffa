"""Runs: what is under way, what was, what they say, and stopping them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from trueup.api.models import Run, RunDetail, RunId, Runs, run_of
from trueup.api.problems import Missing, described
from trueup.api.routes.storage import Here
from trueup.api.service import Service
from trueup.catalog.tasks import FAILURE, SUCCESS, UNDER_WAY
from trueup.jobs.registry import PARTS
from trueup.runs import RunLog, RunRecord

router = APIRouter()
_LOOK: Final = 0.5
"""Seconds between two looks at what a run said."""
_QUIET: Final = 15.0
"""Seconds after which a stream says that it is still there."""
_MOST: Final = 1000
_FAILED: Final = {"failed", "refused", "busy", "interrupted", "unknown"}
_STREAM: Final = {
    "itemSchema": {  # of one event; OpenAPI 3.2 has this name for it, and what reads 3.1 passes over it
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
        "required": ["event", "data"],
    },
    "example": 'event: end\ndata: {"event": "end", "state": "SUCCESS", "status": "ok"}\n\n',
}


@router.get("/api/runs", tags=["runs"], summary="The newest runs", responses=described(503))
def runs(service: Here, limit: Annotated[int, Query(ge=1, le=_MOST, description="How many.")] = 50) -> Runs:
    """Those that were queued, and those that somebody started by hand on this machine or over the shared database."""
    found: dict[str, Run] = {record.run: _by_hand(record) for record in service.history(limit)}
    found |= {task.id: run_of(task) for task in service.tasks.latest(limit, but=PARTS, brief=True)}
    newest = sorted(found.values(), key=lambda run: (run.created_at or datetime.min, run.id), reverse=True)  # noqa: DTZ901
    return Runs(runs=[Run(**{name: getattr(run, name) for name in Run.model_fields}) for run in newest[:limit]])


@router.get("/api/runs/{run_id}", tags=["runs"], summary="One run with its result", responses=described(404, 503))
def run(run_id: RunId, service: Here) -> RunDetail:
    """By its whole id."""
    task = service.tasks.get(run_id)
    if task is not None:
        return run_of(task)
    found = RunLog(service.settings.home).get(run_id)
    if found is None or found.run != run_id:
        found = next((record for record in service.history(_MOST) if record.run == run_id), None)
    if found is None:
        raise Missing(f"there is no run {run_id}")
    return _by_hand(found)


@router.post(
    "/api/runs/{run_id}/cancel",
    tags=["runs"],
    summary="Stop a run",
    status_code=202,
    responses=described(404, 503),
)
def cancel(run_id: RunId, service: Here) -> RunDetail:
    """What waits is revoked at once; what runs finishes what it is at. One that is over stays as it is."""
    task = service.queue.cancel(run_id)
    if task is None:
        raise Missing(f"there is no run {run_id} that could be stopped")
    return run_of(task)


@router.get(
    "/api/runs/{run_id}/events",
    tags=["runs"],
    summary="What a run says while it works",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": _STREAM}}, **described(404, 503)},
)
async def events(
    run_id: RunId,
    service: Here,
    last_event_id: Annotated[
        str, Header(pattern=r"^\d{0,12}$", description="The `id` of the last event that came.")
    ] = "",
) -> StreamingResponse:
    """Server-sent events, from the first one on or after `Last-Event-ID`; the last one is `end`."""
    await asyncio.to_thread(service.task, run_id)
    stream = _stream(service, run_id, int(last_event_id or 0))
    return StreamingResponse(stream, media_type="text/event-stream")


async def _stream(service: Service, run_id: str, after: int) -> AsyncIterator[str]:
    spoke = time.monotonic()
    while not service.closing.is_set():
        # Its state first: what it says after that is still to come.
        task = await asyncio.to_thread(service.task, run_id)
        for number, said in await asyncio.to_thread(service.tasks.said, run_id, after):
            after, spoke = number, time.monotonic()
            for event in said:
                # The number comes with the last one: whoever comes back gets the whole rest.
                mark = f"id: {number}\n" if event is said[-1] else ""
                yield f"{mark}event: {event['event']}\ndata: {json.dumps(event)}\n\n"
        if task.state not in UNDER_WAY:
            yield f"event: end\ndata: {json.dumps({'event': 'end', 'state': task.state, 'status': task.status})}\n\n"
            return
        if time.monotonic() - spoke > _QUIET:
            spoke = time.monotonic()
            yield ": still at it\n\n"
        await asyncio.sleep(_LOOK)


def _by_hand(record: RunRecord) -> RunDetail:
    started = datetime.fromisoformat(record.started)
    reason = record.summary.get("reason")
    return RunDetail(
        id=record.run,
        job=record.job,
        arguments={"name": record.name} if record.name else {},
        state=FAILURE if record.status in _FAILED else SUCCESS,
        status=record.status,
        error=str(reason) if reason else None,
        attempts=1,
        created_at=started,
        started_at=started,
        finished_at=started + timedelta(seconds=record.seconds),
        result=dict(record.summary),
    )
