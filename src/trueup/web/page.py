"""How a page is made: templates, headers, errors as pages, forms."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException

from trueup import keys
from trueup.api.gate import SIGN_IN
from trueup.api.problems import status_of
from trueup.api.service import Service
from trueup.errors import TrueupError
from trueup.web import words

_HEADERS: Final = {
    # Nothing from elsewhere, and nothing written into the page: what a key or a sheet holds is never run.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # Forms must still say where they come from.
    "referrer-policy": "same-origin",
}
_templates: Final = Environment(
    loader=PackageLoader("trueup.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_templates.filters |= {
    "size": words.size, "moment": words.moment, "state": words.state, "value": words.value, "said": words.said,
    "files": words.files, "display": keys.display, "without_query": words.without_query,
}  # fmt: skip
_templates.globals |= {"job_words": words.job, "seconds": words.seconds, "surplus": words.surplus}


def page(request: Request, template: str, *, status: int = 200, **known: object) -> HTMLResponse:
    """A page of a template."""
    return written(request.app.state.service, request.url.path, template, status=status, **known)


def written(service: Service, path: str, template: str, *, status: int = 200, **known: object) -> HTMLResponse:
    """A page of a template, for a path."""
    known |= {"here": path, "locked": bool(service.config.api_key), "sign_in": SIGN_IN}
    text = _templates.get_template(template).render(known)
    # What a server or a file system calls its files may hold half a character.
    return HTMLResponse(text.encode("utf-8", "backslashreplace"), status, _HEADERS)


def go(path: str) -> RedirectResponse:
    """After a form: look at another page."""
    return RedirectResponse(path, 303)


async def form(request: Request) -> dict[str, str]:
    """What a form sent."""
    return dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True))


Form = Annotated[dict[str, str], Depends(form)]
"""For a route that is no coroutine: whatever waits for a database or a broker must not hold up everybody else."""


class Page(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI has it."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except TrueupError as error:
                return page(request, "trouble.html", status=status_of(error), said=error.message, cure=error.cure)
            except HTTPException as error:
                return page(request, "trouble.html", status=error.status_code, said=error.detail, cure="")
            except RequestValidationError:
                return page(request, "trouble.html", status=404, said="there is no such page", cure="")

        return answer
