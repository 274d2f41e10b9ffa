"""The door: who may ask, how often, how much; and a line in the log for each request."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import MutableMapping
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import quote, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trueup.api.metrics import Metrics
from trueup.api.problems import MEDIA_TYPE, Pages, document, wants_page
from trueup.api.session import Sessions
from trueup.jobs.config import Rate, ServerConfig

log = logging.getLogger("trueup.api")

LARGEST: Final = 64 << 10
"""Bytes of a request's body: none of ours is larger."""
OPEN: Final = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/api/storage/stats")}
"""What needs no key."""
SIGN_IN: Final = "/sign-in"
"""The page where a browser gets its cookie."""
STATIC: Final = "/static/"
"""What pages look like is no secret."""
_HEALTH: Final = {"/healthz", "/readyz"}
_FORWARDED: Final = {
    "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-server", "x-real-ip",
}  # fmt: skip
"""By which proxies tell that they are one."""
_SAFE: Final = {"GET", "HEAD"}
_KNOWN: Final = 10_000
"""Askers of whom it is known how much they asked."""


class _Refused(Exception):
    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


class Gate:
    """Wraps the application. With `pages`, whoever has no key is led to where one can sign in, and is told on a page
    what is refused."""

    def __init__(self, app: ASGIApp, config: ServerConfig, metrics: Metrics, *, pages: Pages | None) -> None:
        self._app = app
        self._sessions = Sessions(config.api_key) if config.api_key else None
        self._pages = pages
        self._limiter = Limiter(config.rate) if config.rate else None
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = _headers(scope)
        asked = headers.get("x-request-id", "")
        scope["request_id"] = asked if re.fullmatch(r"[\w.-]{1,64}", asked, re.ASCII) else secrets.token_hex(8)
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [
                    (b"x-request-id", scope["request_id"].encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"cache-control", b"no-cache" if scope["path"].startswith(STATIC) else b"no-store"),
                ]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        try:
            self._check(scope, headers)
            receive = await _limited(receive, headers)
            await self._app(scope, receive, answer)
        except _Refused as refused:
            if self._pages and refused.status != HTTPStatus.SEE_OTHER and wants_page(scope["path"], headers):
                await self._pages(scope["path"], refused.status, refused.detail, refused.headers)(
                    scope, receive, answer
                )
                return
            body = json.dumps(document(refused.status, refused.detail, scope["request_id"])).encode()
            told = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **refused.headers}
            pairs = [(name.encode(), value.encode()) for name, value in told.items()]
            await answer({"type": "http.response.start", "status": refused.status, "headers": pairs})
            await answer({"type": "http.response.body", "body": body})
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path_format", "")
            self._metrics.answered(scope["method"], route, status, seconds)
            if log.isEnabledFor(logging.INFO):
                line = "%s %s %d in %.1f ms, from %s, request %s"
                path = json.dumps(scope["path"])[1:-1]  # what a line of the log cannot be broken with
                about = {
                    "event": "request", "method": scope["method"], "path": scope["path"], "route": route,
                    "status": status, "seconds": round(seconds, 6), "client": _client(scope),
                    "request": scope["request_id"],
                }  # fmt: skip
                values = (scope["method"], path, status, seconds * 1000, _client(scope), scope["request_id"])
                log.info(line, *values, extra={"told": about})

    def _check(self, scope: Scope, headers: MutableMapping[str, str]) -> None:
        client = _client(scope)
        given = _given_keys(headers) if self._sessions else []
        right = self._sessions is not None and any(map(self._sessions.accepts, given))
        cookie = _cookie(headers, self._sessions.cookie) if self._sessions and self._pages and not right else ""
        signed_in = bool(cookie) and self._sessions is not None and self._sessions.knows(cookie)
        if self._limiter is not None and scope["path"] not in _HEALTH:
            # Whoever guesses has one allowance for all guesses, and uses up nobody's who has the key.
            wait = self._limiter.wait((_household(client), right or signed_in))
            if wait:
                raise _Refused(429, "too many requests", {"retry-after": str(max(1, round(wait + 0.5)))})
        if "\0" in scope["path"]:
            raise _Refused(404, "no name has a NUL in it")  # which some databases cannot even look for
        if self._sessions is None:
            _only_from_here(client, headers)
        elif signed_in or (self._pages and scope["path"] == SIGN_IN):
            if scope["method"] not in _SAFE:
                _only_from_our_pages(headers)
        elif not right and not self._is_open(scope):
            if self._pages and wants_page(scope["path"], headers):
                raise _Refused(303, "sign in first", {"location": f"{SIGN_IN}?next={quote(_way_back(scope), safe='')}"})
            said = "this needs the API key: Authorization: Bearer KEY, or X-API-Key"
            raise _Refused(401, said, {"www-authenticate": "Bearer"})

    def _is_open(self, scope: Scope) -> bool:
        asked = (scope["method"], scope["path"])
        return asked in OPEN or (self._pages is not None and asked[0] == "GET" and asked[1].startswith(STATIC))


class Limiter:
    """So many requests in so many seconds for each asker, who may save up what they do not use."""

    def __init__(self, rate: Rate) -> None:
        self._most = float(rate.requests)
        self._refill = rate.requests / rate.seconds
        self._left: dict[tuple[str, bool], tuple[float, float]] = {}

    def wait(self, asker: tuple[str, bool]) -> float:
        """Take one; the seconds until there is one where there is none."""
        now = time.monotonic()
        left, since = self._left.pop(asker, (self._most, now))
        left = min(self._most, left + (now - since) * self._refill)
        if len(self._left) >= _KNOWN:
            self._left.pop(next(iter(self._left)))  # who has not asked for the longest time
        self._left[asker] = (left - 1 if left >= 1 else left, now)
        return 0.0 if left >= 1 else (1 - left) / self._refill


@lru_cache
def is_loopback(host: str) -> bool:
    """Whether a host's name or address means this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _only_from_here(client: str, headers: MutableMapping[str, str]) -> None:
    """Without a key. A page elsewhere must not reach us through somebody's browser: by its own name that leads here,
    or by asking from there."""
    host = headers.get("host", "")
    if not _FORWARDED.isdisjoint(headers):
        # The proxy is on this machine; whoever asks it may be anywhere.
        raise _Refused(403, "without an API key nothing is served through a proxy")
    if client and not is_loopback(client):
        raise _Refused(403, "without an API key only this machine is served")
    if not is_loopback(_hostname(f"//{host}")):
        raise _Refused(403, "without an API key the Host header must name this machine, like localhost")
    if "origin" in headers:
        _only_from_our_pages(headers)
    if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-dest") != "document":
        # An image's address, say: it comes without an Origin. To follow a link that leads here is somebody's own will.
        raise _Refused(403, "this comes from a page of another origin")


def _only_from_our_pages(headers: MutableMapping[str, str]) -> None:
    """A browser sends its cookie along whoever made it ask, but it says who did."""
    host = headers.get("host", "").lower()
    if headers.get("origin", "").lower() not in {f"http://{host}", f"https://{host}"}:
        raise _Refused(403, "this comes from a page of another origin")


def _way_back(scope: Scope) -> str:
    """What was asked for, as it was written; after a form, the overview."""
    if scope["method"] not in _SAFE:
        return "/"
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string", b"")
    return str((raw + b"?" + query if query else raw).decode("latin-1"))


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _given_keys(headers: MutableMapping[str, str]) -> list[str]:
    """One right one is enough: what is in front of us may send a token of its own along."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return [key for key in (token.strip() if scheme.lower() == "bearer" else "", headers.get("x-api-key", "")) if key]


def _cookie(headers: MutableMapping[str, str], wanted: str) -> str:
    """Whatever stands beside it: every application of a host has its cookies sent to all of them."""
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == wanted), "")


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _household(client: str) -> str:
    """The address, or the network of one who has as many addresses as he likes."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client
    return client if address.version == 4 else str(ip_network((address, 64), strict=False))


def _client(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


async def _limited(receive: Receive, headers: MutableMapping[str, str]) -> Receive:
    """The body, read up to the limit."""
    declared = headers.get("content-length", "")
    if not declared and "transfer-encoding" not in headers:
        return receive
    if declared.isdecimal() and int(declared) > LARGEST:
        raise _too_large()
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LARGEST:
            raise _too_large()
    read = False

    async def again() -> Any:  # noqa: ANN401 - a message of ASGI
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _too_large() -> _Refused:
    return _Refused(413, f"the body is larger than {LARGEST >> 10} KiB", {"connection": "close"})
