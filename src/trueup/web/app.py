"""Its pages, hung into the service's application."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, Response
from starlette.staticfiles import StaticFiles

from trueup.api.gate import STATIC
from trueup.api.problems import Pages
from trueup.api.service import Service
from trueup.web import downloads, findings, ingest, overview, records, runs, signing, syncs
from trueup.web.page import written


def mount(app: FastAPI) -> Pages:
    """Add the pages to an application whose `state.service` is the service. They are not in its OpenAPI document.
    Returns what makes a page of a refusal."""
    for module in (overview, syncs, findings, ingest, records, downloads, runs, signing):
        app.include_router(module.router, include_in_schema=False)
    app.mount(STATIC.rstrip("/"), StaticFiles(directory=Path(__file__).parent / "static"))
    service: Service = app.state.service

    def refused(path: str, status: int, said: str, headers: Mapping[str, str]) -> Response:
        answer = written(service, path, "trouble.html", status=status, said=said, cure="")
        answer.headers.update(headers)
        return answer

    return refused
