"""What goes wrong, as RFC 9457 has it: `application/problem+json`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

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


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Those a route may answer with, for OpenAPI."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in (*statuses, 401, 403, 429)
    }


def install(app: FastAPI) -> None:
    """Make problems of whatever a route raises."""

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        return _answer(request, error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # Without the input: it may hold what nobody else should read.
        found = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        return _answer(request, 422, "; ".join(found))

    @app.exception_handler(TrueupError)
    def failed(request: Request, error: TrueupError) -> JSONResponse:
        more: dict[str, Any] = {"run": error.run} if isinstance(error, Busy) and error.run else {}
        return _answer(request, status_of(error), str(error), **more)

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> JSONResponse:
        log.error("unforeseen error", exc_info=error)
        return _answer(request, 500, "an unforeseen error; the server's log has it under the request's id")


def status_of(error: TrueupError) -> int:
    """What HTTP calls it."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 503)


def _answer(
    request: Request, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
) -> JSONResponse:
    body = document(status, detail, request.scope.get("request_id", ""), **more)
    return JSONResponse(body, status, headers=dict(headers) if headers else None, media_type=MEDIA_TYPE)
