"""The application: routes, the door in front of them, its description."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from trueup import __version__
from trueup.api import problems
from trueup.api.description import describe
from trueup.api.gate import Gate
from trueup.api.problems import Pages
from trueup.api.routes import downloads, health, jobs, records, runs, storage
from trueup.api.service import Service

_TAGS: Final = ("admin", "storage", "records", "downloads", "sync", "ingest", "runs")
_ABOUT: Final = """\
Brings two places that should agree into agreement, and keeps them there.

Long work is queued, and answers 202 with a task id: see `/api/runs/{id}`. A job that is under way answers 409 with its
id. Errors are problem details (RFC 9457).
"""


def create_app(service: Service) -> FastAPI:
    """The application over an open service, which it closes when it ends; with the dashboard, where the extra `web`
    is there."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPIOffline(  # /docs is Swagger's page, with nothing from elsewhere
        title="trueup",
        version=__version__,
        description=_ABOUT,
        lifespan=lifespan,
        openapi_tags=[{"name": name} for name in _TAGS],
        redoc_url=None,
        swagger_ui_parameters={"validatorUrl": None},  # it would load a picture from there, and tell it our address
    )
    app.state.service = service
    routers = [module.router for module in (storage, records, downloads, jobs, runs, health)]
    for router in routers:
        app.include_router(router)
    problems.install(app, [route for router in routers for route in router.routes])
    pages: Pages | None = None
    if find_spec("jinja2") is not None:
        from trueup.web import mount

        pages = mount(app)
    app.state.pages = pages
    app.add_middleware(Gate, config=service.config, metrics=service.metrics, pages=pages)

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app, keyed=bool(service.config.api_key))
        return app.openapi_schema

    vars(app)["openapi"] = described
    return app
