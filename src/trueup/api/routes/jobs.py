"""Syncs and ingests of the settings, by their names."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query

from trueup.api.models import Diagnosed, IngestName, Queued, SyncName
from trueup.api.problems import Missing, described
from trueup.api.routes.storage import Here, queued
from trueup.errors import TrueupError
from trueup.ingest import diagnose

T = TypeVar("T")

router = APIRouter()
_AT_ONCE: Final = asyncio.Semaphore(4)
_PATIENCE: Final = 60.0
"""Seconds."""


@router.post(
    "/api/sync/{name}",
    tags=["sync"],
    summary="Bring the two places of a [sync.NAME] into agreement",
    status_code=202,
    responses=described(404, 409, 503),
)
def sync(
    name: SyncName, service: Here, *, dry_run: Annotated[bool, Query(description="Change nothing.")] = False
) -> Queued:
    """In the background; with `dry_run` nothing is changed, and the result says what would be."""
    if name not in service.settings.jobs:
        raise Missing(f"there is no [sync.{name}]")
    flags = {"dry_run": True} if dry_run else {}
    return queued(service, "sync_files", "Sync task queued successfully", name=name, **flags)


@router.post(
    "/api/ingest/{name}",
    tags=["ingest"],
    summary="Take each new file of an [ingest.NAME] once",
    status_code=202,
    responses=described(404, 409, 503),
)
def ingest(name: IngestName, service: Here) -> Queued:
    """In the background."""
    _known(service.settings.sections, name)
    return queued(service, "ingest_files", "Ingest task queued successfully", name=name)


@router.get(
    "/api/ingest/{name}/diagnose",
    tags=["ingest"],
    summary="Why files are not in every layer",
    responses=described(404, 503),
)
async def diagnosis(name: IngestName, service: Here) -> Diagnosed:
    """As `trueup diagnose NAME --json`. The one reading route that asks the server the files come from: so few do at a
    time, and none for long."""
    _known(service.settings.sections, name)
    ask = partial(diagnose, name, settings=service.settings)
    try:
        async with asyncio.timeout(_PATIENCE), _AT_ONCE:
            found = await _aside(ask)
    except TimeoutError:
        said = f"where the files of {name} come from did not answer within {_PATIENCE:.0f} seconds"
        raise TrueupError(said, cure="See what trueup diagnose says") from None
    return Diagnosed.model_validate(found.to_json())


def _known(sections: Any, name: str) -> None:  # noqa: ANN401 - the document of the settings
    if name not in sections.get("ingest", {}):
        raise Missing(f"there is no [ingest.{name}]")


async def _aside(work: Callable[[], T]) -> T:
    """In a thread of its own: whoever reads from a database needs those of the framework, and the server need not wait
    for it when it stops."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(how: Callable[[Any], None], value: object) -> None:
        def now() -> None:
            if not done.done():  # else nobody waits any more
                how(value)

        with suppress(RuntimeError):  # the server has stopped
            loop.call_soon_threadsafe(now)

    def run() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - for whoever waits
            settle(done.set_exception, error)
        else:
            settle(done.set_result, result)

    threading.Thread(target=run, name="diagnosis", daemon=True).start()
    return await done
