"""Signing in with the API key, and out."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response

from trueup.api.gate import SIGN_IN
from trueup.api.routes.storage import Here
from trueup.api.session import LASTS, Sessions
from trueup.web.page import Page, form, go, page

router = APIRouter(route_class=Page)


@router.get(SIGN_IN)
def ask(request: Request, service: Here, next: str = "/") -> Response:  # noqa: A002 - the name in the URL
    """Without a key there is nobody to sign in."""
    return page(request, "sign-in.html", next=next, wrong=False) if service.config.api_key else go("/")


@router.post(SIGN_IN)
async def sign_in(request: Request, service: Here) -> Response:
    """With the right key, on to where one wanted to go."""
    given = await form(request)
    target, sessions = given.get("next", "/"), Sessions(service.config.api_key)
    if not service.config.api_key:
        return go("/")
    if not sessions.accepts(given.get("key", "")):
        return page(request, "sign-in.html", status=401, next=target, wrong=True)
    # Only to a page of ours: two slashes, or one turned round, lead to another host.
    answer = go(target if re.fullmatch(r"/(?![/\\])[!-~]*", target) else "/")
    answer.set_cookie(
        sessions.cookie, sessions.new(), max_age=LASTS, httponly=True, samesite="strict", secure=_encrypted(request)
    )
    return answer


@router.post("/sign-out")
def sign_out(service: Here) -> Response:
    """The browser forgets its cookie."""
    answer = go(SIGN_IN)
    answer.delete_cookie(Sessions(service.config.api_key).cookie, httponly=True, samesite="strict")
    return answer


def _encrypted(request: Request) -> bool:
    """Also where a server in front of this one speaks TLS. Who lies about it only hurts themselves."""
    return "https" in {request.url.scheme, request.headers.get("x-forwarded-proto")}
