"""Asking an API for fresh numbers: tries, waits, limits."""

from __future__ import annotations

from dataclasses import replace
from http.client import HTTPException
from importlib.metadata import version
from typing import Final
from urllib.parse import quote

from trueup.errors import AddressRefused, FetchError, FetchUnfinished, UsageError
from trueup.records.config import ParsedConfig, Project
from trueup.records.issues import PARSED_UNAVAILABLE, Trouble
from trueup.urls import headers
from trueup.urls.connection import answered
from trueup.urls.rules import Rules
from trueup.urls.target import Target
from trueup.urls.watch import Watch, back_off

_PIECE: Final = 256 * 1024
_SENT: Final = {
    "User-Agent": f"trueup/{version('trueup')}",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


class _Broken(Exception):
    """This try came to nothing; the next may do better. `wait` is what the server asked for, in seconds."""

    def __init__(self, why: str, *, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def ask(parsed: ParsedConfig, project: Project) -> bytes:
    """The body of the answer for a project. A server that is overloaded or breaks off is asked again, with growing
    waits, as long as `timeout` allows. Raises `Trouble`."""
    try:
        target = Target.parse(parsed.url.replace("{name}", quote(project.name, safe="")))
        return _tried(replace(target, private={**target.private, **parsed.headers}), parsed.rules)
    except (UsageError, FetchError) as error:
        raise Trouble(PARSED_UNAVAILABLE, f"[records.parsed] url: {error.message}") from error
    except AddressRefused as error:
        raise Trouble(PARSED_UNAVAILABLE, f"[records.parsed] url: {error}") from error


def _tried(target: Target, rules: Rules) -> bytes:
    watch, tries = Watch(target.shown, rules, lambda _done, _total: None), 0
    while True:
        try:
            return _asked(target, rules, watch)
        except _Broken as broken:
            why, asked_for = str(broken), broken.wait
        except HTTPException as error:
            why, asked_for = f"the answer broke off or made no sense ({type(error).__name__})", 0.0
        except OSError as error:
            why, asked_for = str(error.strerror or error).lower(), 0.0
        tries += 1
        wait = max(back_off(tries), asked_for)
        if wait > watch.left():
            raise FetchUnfinished(f"{target.shown} could not be asked: {why}")
        watch.pause(wait)


def _asked(target: Target, rules: Rules, watch: Watch) -> bytes:
    """One try."""
    with answered(target, _SENT, rules, watch) as (final, answer):
        code, total = answer.status, answer.length
        if headers.overloaded(code):
            raise _Broken(f"the server answered {code}", wait=headers.retry_after(answer.headers))
        if code != 200:
            raise FetchError(f"{final.shown} answered {code}")
        if encoding := answer.headers.get("Content-Encoding", "").strip().lower().removeprefix("identity"):
            raise FetchError(f"{final.shown} answered compressed ({encoding!r}), though it was asked for as it is")
        if total is not None and total > rules.max_size:
            raise rules.too_large(final.shown, total)
        body = bytearray()
        while data := answer.read1(_PIECE):
            body += data
            if len(body) > rules.max_size:
                raise rules.too_large(final.shown, None)
        if total is not None and len(body) < total:
            raise _Broken(f"the connection ended after {len(body)} of {total} bytes")
    return bytes(body)
