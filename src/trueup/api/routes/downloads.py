"""URLs into the pool."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter

from trueup.api.models import Download, DownloadId, Downloads, Link, Queued, Wanted
from trueup.api.problems import Missing, described
from trueup.api.routes.storage import Here, queued
from trueup.api.service import Service
from trueup.catalog import base
from trueup.errors import Busy, NotFound

router = APIRouter()


@router.post(
    "/api/downloads",
    tags=["downloads"],
    summary="Fetch a URL into the pool",
    status_code=202,
    responses=described(404, 409, 422, 503),
)
def fetch(wanted: Wanted, service: Here) -> Queued:
    """In the background. The result of the task has the id of the download; the task's own id finds it as well."""
    service.pool.downloads.check(wanted.url)
    return queued(service, "fetch_url", "Download task queued successfully", url=wanted.url)


@router.get("/api/downloads", tags=["downloads"], summary="The newest downloads", responses=described(404, 503))
def downloads(service: Here) -> Downloads:
    """At most 50."""
    return Downloads(downloads=[Download(**row._asdict()) for row in service.pool.downloads.ls()])


@router.get("/api/downloads/{download_id}", tags=["downloads"], summary="One download", responses=described(404, 503))
def download(download_id: DownloadId, service: Here) -> Download:
    """By its id, or that of the task that fetched it."""
    return Download(**_found(service, download_id)._asdict())


@router.post(
    "/api/downloads/{download_id}/url",
    tags=["downloads"],
    summary="Sign its URL again",
    responses=described(404, 503),
)
def sign(download_id: DownloadId, service: Here) -> Link:
    """A URL that reads the file for a while."""
    found = _found(service, download_id)
    if found.status != base.COMPLETED:
        raise Missing(f"the download {download_id} has no file")
    url, ends = service.pool.link(found.key)
    return Link(url=url, expires_at=ends)


@router.delete(
    "/api/downloads/{download_id}",
    tags=["downloads"],
    summary="Remove a download and its file",
    status_code=204,
    responses=described(404, 409, 503),
)
def remove(download_id: DownloadId, service: Here) -> None:
    """The file in the pool, then the record."""
    found = _found(service, download_id)
    if found.status == base.RUNNING:
        raise Busy(f"the download {download_id} is under way", cure="Wait for it, or cancel it")
    with suppress(NotFound):
        if found.key:
            service.changed_pool.delete(found.key, found.provider)
    service.changed_pool.downloads.forget(found.id)


def _found(service: Service, word: str) -> base.Download:
    task = service.tasks.get(word)
    if task is not None and task.job == "fetch_url":
        word = str((task.result or {}).get("id", ""))
    found = service.pool.downloads.get(word) if word else None
    if found is None:
        raise Missing(f"there is no such download {word}".rstrip())
    return found
