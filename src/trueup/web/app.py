"""Its pages, hung into the service's application."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from trueup.api.gate import STATIC
from trueup.web import downloads, findings, ingest, overview, records, runs, signing, syncs


def mount(app: FastAPI) -> None:
    """Add the pages to an application whose `state.service` is the service. They are not in its OpenAPI document."""
    for module in (overview, syncs, findings, ingest, records, downloads, runs, signing):
        app.include_router(module.router, include_in_schema=False)
    app.mount(STATIC.rstrip("/"), StaticFiles(directory=Path(__file__).parent / "static"))
