"""Ingest: each job with its last run, and why its files are not everywhere they should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from trueup.api.models import Run
from trueup.api.problems import Missing
from trueup.api.routes import runs as api
from trueup.api.routes.storage import Here
from trueup.api.service import Service
from trueup.catalog.tasks import UNDER_WAY, Task
from trueup.config import table_of
from trueup.errors import Busy, ConfigError
from trueup.ingest.config import ingest_config
from trueup.stores.secrecy import scrubbed, secrets_of
from trueup.web.page import Page, go, page

router = APIRouter(route_class=Page)
_LOOKED: Final = 200
"""Newest runs among which those of a job are looked for."""
_SHOWN: Final = 200
"""Files of a diagnosis on one page."""
_DIAGNOSE: Final = "diagnose_files"
_INGESTED: Final = {"ingest_files", "ingest"}
_DIAGNOSED: Final = {_DIAGNOSE, "diagnose"}
"""In the queue, and by hand."""


class Known(NamedTuple):
    """One `[ingest.NAME]`."""

    name: str
    source: str = ""
    into: str = ""
    handler: str = ""
    trouble: str = ""
    """Why it cannot be run as it is written."""


@router.get("/ingest")
def jobs(request: Request, service: Here) -> Response:
    """Every job; no server is asked."""
    newest = api.runs(service, _LOOKED).runs
    found = [
        (_known(service, name), _last(newest, _INGESTED, name), _last(newest, _DIAGNOSED, name))
        for name in sorted(_sections(service))
    ]
    return page(request, "ingests.html", jobs=found)


@router.get("/ingest/{name:path}")
def job(request: Request, name: str, service: Here, cause: str = "") -> Response:
    """One job with its newest diagnosis, which may be under way: asking the server takes as long as it takes, so it is
    a run like others. With `cause` the files of that cause alone."""
    known = _required(service, name)
    diagnosis = _newest(service, name)
    result = (diagnosis.result or {}) if diagnosis is not None else {}
    files = [file for file in result.get("files", ()) if cause in {"", file["cause"]}]
    files.sort(key=lambda file: not file["matters"])
    causes: Mapping[str, int] = result.get("causes", {})
    count = causes.get(cause, 0) if cause else sum(causes.values())
    return page(
        request,
        "ingest.html",
        job=known,
        last=_last(api.runs(service, _LOOKED).runs, _INGESTED, name),
        diagnosis=diagnosis,
        waiting=diagnosis is not None and diagnosis.state in UNDER_WAY,
        result=result,
        layers=_layers(result),
        cause=cause,
        files=files[:_SHOWN],
        left_out=count - len(files[:_SHOWN]),
    )


@router.post("/ingest/{name:path}")
def diagnose(name: str, service: Here) -> Response:
    """Ask for a diagnosis; where one is under way already, wait for that."""
    _required(service, name)
    try:
        service.queue.submit(_DIAGNOSE, {"name": name})
    except Busy as busy:
        if not busy.run:
            raise
    return go(f"/ingest/{quote(name)}")


def _sections(service: Service) -> Mapping[str, Any]:
    return table_of(service.settings.sections.get("ingest", {}), "[ingest]")


def _required(service: Service, name: str) -> Known:
    if name not in _sections(service):
        raise Missing(f"there is no [ingest.{name}]")
    return _known(service, name)


def _known(service: Service, name: str) -> Known:
    try:
        config = ingest_config(name, service.settings)
    except ConfigError as error:
        return Known(name, trouble=str(error))
    source = config.source.name or scrubbed(config.source.url, secrets_of(config.source.options))
    return Known(name, source, str(config.into), config.handler)


def _last(newest: Iterable[Run], jobs: set[str], name: str) -> Run | None:
    return next((run for run in newest if run.job in jobs and run.arguments.get("name") == name), None)


def _newest(service: Service, name: str) -> Task | None:
    tasks = service.tasks.latest(_LOOKED, job=_DIAGNOSE, brief=True)
    found = next((task.id for task in tasks if task.arguments.get("name") == name), "")
    return service.tasks.get(found) if found else None


def _layers(result: Mapping[str, Any]) -> list[tuple[str, int | None, int]]:
    """Of each layer that could be looked at or should have been: how many files it has, and how many it lacks."""
    missing = result.get("missing_by_layer", {})
    return [
        (layer, count, missing[layer])
        for layer, count in result.get("counts", {}).items()
        if count is not None or layer == "server"
    ]
