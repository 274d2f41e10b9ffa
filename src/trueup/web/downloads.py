"""Downloads: what was fetched, fetching more, signing again, removing."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import urldefrag

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from trueup.api.models import Wanted
from trueup.api.routes import downloads as api
from trueup.api.routes.storage import Here
from trueup.api.service import Service
from trueup.catalog.base import COMPLETED, FAILED, OURS, RUNNING, Download
from trueup.catalog.tasks import FAILURE, STARTED, SUCCESS, UNDER_WAY, Task
from trueup.downloads import downloads_config
from trueup.downloads.fetch import recorded_name
from trueup.errors import Busy, ConfigError, UsageError
from trueup.web.page import Form, Page, go, page

router = APIRouter(route_class=Page)
_LOOKED: Final = 200
"""Newest fetches among which those that are under way are looked for."""
_LONGEST: Final = 4096
"""Characters of a URL."""
_STATES: Final = {RUNNING: STARTED, COMPLETED: SUCCESS, FAILED: FAILURE}


class Row(NamedTuple):
    """One line of the list: a record, or a fetch in the queue that may have none yet."""

    at: datetime
    """When it began."""
    name: str
    url: str
    state: str
    """As of runs; empty for what only an application of its own knows."""
    status: str
    id: str = ""
    """The record's."""
    run: str = ""
    provider: str = ""
    size: int = 0
    error: str = ""
    ends: datetime | None = None
    """When its file is removed."""
    has_file: bool = False


@router.get("/downloads")
def downloads(request: Request, service: Here, run: str = "") -> Response:
    """The newest. With `run` also how that fetch ended, where it left no record that says so."""
    return _page(request, service, run=run)


@router.post("/downloads")
def add(request: Request, service: Here, given: Form) -> Response:
    """Fetch a URL; why not is said beside the field."""
    url = given.get("url", "").strip()
    if not 0 < len(url) <= _LONGEST:
        said = f"a URL of more than {_LONGEST:,} characters is not fetched" if url else "write the URL of a file"
        return _page(request, service, status=422, url=url[:_LONGEST], refused=said)
    try:
        service.pool.downloads.check(url)  # which says plainly what the description of the API only forbids
        queued = api.fetch(Wanted(url=url), service)
    except ValidationError:
        return _page(request, service, status=422, url=url, refused="this is no URL of a file")
    except UsageError as error:
        return _page(request, service, status=422, url=url, refused=str(error))
    except Busy as error:
        return _page(request, service, status=409, url=url, refused=str(error))
    return go(f"/downloads?run={queued.task_id}")


@router.post("/downloads/{download_id}/url")
def sign(request: Request, download_id: str, service: Here) -> Response:
    """A fresh link. It is in this answer alone: whoever has it can read the file."""
    found = api.download(download_id, service)
    return page(request, "link.html", name=_name(found.key, found.url), link=api.sign(download_id, service))


@router.get("/downloads/{download_id}/delete")
def ask(request: Request, download_id: str, service: Here) -> Response:
    """Whether it is meant."""
    found = api.download(download_id, service)
    return page(request, "delete.html", download=found, name=_name(found.key, found.url), busy=found.status == RUNNING)


@router.post("/downloads/{download_id}/delete")
def remove(download_id: str, service: Here) -> Response:
    """The file and the record."""
    api.remove(download_id, service)
    return go("/downloads")


def _page(
    request: Request, service: Service, *, status: int = 200, url: str = "", refused: str = "", run: str = ""
) -> Response:
    # Before the records: what is over by then has left its record.
    tasks = service.tasks.latest(_LOOKED, job="fetch_url")
    try:
        records = service.pool.downloads.ls()
    except ConfigError as error:
        return page(request, "downloads.html", status=status, without=str(error), rows=[], over=None)
    keep = downloads_config(service.settings).keep
    rows: list[Row] = []
    for task in tasks:
        if task.state in UNDER_WAY:
            # Its records are tries of it.
            records = [record for record in records if not _belongs(record, task)]
            rows.append(_queued(task))
    for record in records:
        ends = record.updated_at + keep if record.status == COMPLETED and record.id.startswith(OURS) else None
        rows.append(_recorded(record, ends))
    rows.sort(key=lambda row: row.at, reverse=True)
    over = next((task for task in tasks if task.id == run and task.state not in UNDER_WAY), None)
    if over is not None and any(_belongs(record, over) for record in records):
        over = None
    known = {"without": "", "url": url, "refused": refused, "rows": rows, "over": over}
    return page(request, "downloads.html", status=status, **known)


def _belongs(record: Download, task: Task) -> bool:
    try:
        named = recorded_name(str(task.arguments["url"]))
    except UsageError:  # handed in by hand; it will fail
        return False
    return record.url == named and task.created_at is not None and record.created_at >= task.created_at


def _queued(task: Task) -> Row:
    assert task.created_at is not None
    url = str(task.arguments["url"])
    return Row(task.created_at, _name("", url), url, task.state, "", run=task.id, error=task.error)


def _recorded(record: Download, ends: datetime | None) -> Row:
    return Row(
        at=record.created_at, name=_name(record.key, record.url), url=urldefrag(record.url).url,
        state=_STATES.get(record.status, ""), status=record.status, id=record.id, provider=record.provider,
        size=record.size, error=record.error, ends=ends, has_file=record.status == COMPLETED and bool(record.key),
    )  # fmt: skip


def _name(key: str, url: str) -> str:
    """What a person calls it: the file, else the end of its URL."""
    path = url.partition("?")[0].partition("#")[0].rstrip("/")
    return (key or path).rpartition("/")[2] or url
