"""Syncs and ingests of the settings, by their names."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from trueup.api.models import Diagnosed, IngestName, Queued, SyncName
from trueup.api.problems import Missing, described
from trueup.api.routes.storage import Here, queued
from trueup.ingest import diagnose

router = APIRouter()


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
def diagnosis(name: IngestName, service: Here) -> Diagnosed:
    """As `trueup diagnose NAME --json`. The one reading route that asks the server the files come from."""
    _known(service.settings.sections, name)
    return Diagnosed.model_validate(diagnose(name, settings=service.settings).to_json())


def _known(sections: Any, name: str) -> None:  # noqa: ANN401 - the document of the settings
    if name not in sections.get("ingest", {}):
        raise Missing(f"there is no [ingest.{name}]")
