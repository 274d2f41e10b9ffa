"""What goes wrong, as RFC 9457 has it: `application/problem+json`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from trueup.errors import Busy, ConfigError, NotFound, PoolFull, Refused, TrueupError, UsageError

log = logging.getLogger("trueup.api")

MEDIA_TYPE: Final = "application/problem+json"
_STATUSES: Final = (
    (Busy, 409),
    (ConfigError, 404),  # what was asked for is not set up here
    (NotFound, 404),
    (UsageError, 422),
    (PoolFull, 507),
    (Refused, 422),
)


MEANINGS: Final = {
    401: "there is a key, and it was not sent",
    403: "there is no key, and this comes from elsewhere than this machine, or from a page of another origin",
    404: "there is nothing of that id or name, or the settings have no section for it",
    405: "the route has no such method; `Allow` names those it has",
    409: "the job is under way already; `run` is the id of the one that is",
    413: "the body is larger than 64 KiB",
    422: "a parameter or the body is none that the route takes; `detail` says which",
    429: "too many requests; `Retry-After` says how many seconds to wait",
    500: "an unforeseen error; the server's log has it under the request's id",
    503: "a database, the broker or a place cannot be reached or used; nothing was queued",
}
"""What the statuses of problems mean."""


Pages = Callable[[str, int, str, Mapping[str, str]], Response]
"""Says on a page, for a path, with a status and further headers, why something is refused."""


class Problem(BaseModel):
    """Why a request was not answered as it was meant."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(examples=["sync_storage_stats is under way already. Wait for it, or cancel it"])
    request_id: str = Field(examples=["5f0c2a9e41d84d0f"])
    run: str | None = Field(default=None, description="Of a 409: the run that is under way.")


class Missing(HTTPException):
    """There is nothing of that id or name: 404."""

    def __init__(self, detail: str) -> None:
        super().__init__(404, detail)


def document(status: int, detail: str, request_id: str, **more: object) -> dict[str, Any]:
    """The JSON of a problem."""
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, "request_id": request_id, **more}


_SAID: Final = {
    401: "this needs the API key: Authorization: Bearer KEY, or X-API-Key",
    403: "without an API key only this machine is served",
    404: "there is no run 20261121T103400Z-3f9c1a",
    409: "sync_storage_stats is under way already. Wait for it, or cancel it",
    413: "the body is larger than 64 KiB",
    422: "query.limit: Input should be greater than or equal to 1",
    429: "too many requests",
    503: "the broker cannot be reached: Connection refused. Check [server] broker, and that it runs",
}
"""For the description: what each looks like."""


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Those a route may answer with, for OpenAPI."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {status: _described(status, schema) for status in (*statuses, 401, 403, 429)}


def _described(status: int, schema: Mapping[str, str]) -> dict[str, Any]:
    more = {"run": "20261121T103400Z-3f9c1a"} if status == HTTPStatus.CONFLICT else {}
    example = document(status, _SAID[status], "5f0c2a9e41d84d0f", **more)
    return {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }


def install(app: FastAPI, routes: Iterable[BaseRoute]) -> None:
    """Make problems of whatever a route raises, and of what none of them answers."""
    known = list(routes)

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The framework names the methods of one route alone; a path may have several.
            at = [route for route in known if route.matches(request.scope)[0] is not Match.NONE]
            headers["allow"] = ", ".join(sorted({method for route in at for method in getattr(route, "methods", ())}))
        if error.status_code == HTTPStatus.BAD_REQUEST:  # of the framework, where it was not even JSON
            return _answer(request, 422, "the body cannot be read as JSON")
        return _answer(request, error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        # Without the input: it may hold what nobody else should read.
        found = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        return _answer(request, 422, "; ".join(found))

    @app.exception_handler(TrueupError)
    def failed(request: Request, error: TrueupError) -> Response:
        more: dict[str, Any] = {"run": error.run} if isinstance(error, Busy) and error.run else {}
        return _answer(request, status_of(error), str(error), **more)

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> Response:
        request_id = request.scope.get("request_id", "")
        log.error("unforeseen error, request %s", request_id, exc_info=error, extra={"told": {"request": request_id}})
        return _answer(request, 500, "an unforeseen error; the server's log has it under the request's id")


def status_of(error: TrueupError) -> int:
    """What HTTP calls it."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 503)


def wants_page(path: str, headers: Mapping[str, str]) -> bool:
    """Whether a person asks with a browser, and not a program."""
    return "text/html" in headers.get("accept", "") and not path.startswith("/api/")


def _answer(
    request: Request, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    pages: Pages | None = request.app.state.pages
    if pages is not None and wants_page(request.url.path, request.headers):
        return pages(request.url.path, status, detail, headers or {})
    body = document(status, detail, request.scope.get("request_id", ""), **more)
    return JSONResponse(body, status, headers=dict(headers) if headers else None, media_type=MEDIA_TYPE)
