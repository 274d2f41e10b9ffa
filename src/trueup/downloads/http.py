"""Fetching one http or https URL, with what the standard library has."""

from __future__ import annotations

from http.client import HTTPException, HTTPResponse
from importlib.metadata import version
from pathlib import Path
from typing import Final

from trueup.downloads.base import LATER, Fetched
from trueup.downloads.body import Body
from trueup.downloads.naming import name_of
from trueup.errors import FetchError, FetchUnfinished
from trueup.urls import headers
from trueup.urls.connection import answered
from trueup.urls.rules import Rules
from trueup.urls.target import Target
from trueup.urls.watch import Heard, Watch, back_off

_TRIES: Final = 5
"""Tries that bring nothing new, after which a fetch is given up."""
_PATIENCE: Final = 60.0
"""Seconds a server may ask to wait. Longer is for a later run."""
_COMPRESSED: Final = (".gz", ".tgz", ".svgz", ".br", ".bz2", ".xz", ".zst")
_PIECE: Final = 256 * 1024


class _Broken(Exception):
    """This try came to nothing; the next may do better. `wait` is what the server asked for, in seconds."""

    def __init__(self, why: str, *, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def fetch(url: str, folder: Path, rules: Rules, *, heard: Heard) -> Fetched:
    """The URL's body in `folder`, which is the fetch's own: what an earlier fetch of the same URL left there is gone on
    with where the server lets us, and a body that is complete there is kept where the server says that it has not
    changed.

    A connection that breaks is tried again, with growing waits, as long as that brings something new. At most ten
    redirects are followed, each checked like the URL itself. The body is what the server sent, byte for byte.

    Raises `UsageError` for a URL that is not http or https, `AddressRefused`, `FetchUnfinished` when a later fetch may
    succeed, `FetchError` when it will not, and `StoreError` (`NoSpace`) for the disk.
    """
    target = Target.parse(url)
    watch = Watch(target.shown, rules, heard)
    body = Body(folder, url)
    # A complete one waited for room, perhaps for days, and may have to begin anew: all of that is progress.
    most, tries = 0 if body.complete else body.size, 0
    while True:
        try:
            _take(target, body, rules, watch)
            if name := body.differs():
                body.clear()
                raise _Broken(f"what came does not have the {name} digest that the server tells")
            break
        except _Broken as broken:
            # More than ever before: a server that breaks off at the same byte each time makes no progress.
            tries = 1 if body.size > most else tries + 1
            most = max(most, body.size)
            wait = max(back_off(tries), broken.wait)
            if tries >= _TRIES or wait > min(_PATIENCE, watch.left()):
                raise FetchUnfinished(f"{target.shown} could not be fetched: {broken}", cure=LATER) from broken
            watch.pause(wait)
    watch.size, watch.total = body.size, body.total
    watch.report()
    return Fetched(path=body.path, name=body.name, size=body.size)


def _take(target: Target, body: Body, rules: Rules, watch: Watch) -> None:
    """One try, from where the body ends; about a complete one the server is only asked. Raises `_Broken` unless it is
    complete after it."""
    sent = {"User-Agent": f"trueup/{version('trueup')}", "Accept": "*/*", "Accept-Encoding": "identity"}
    sent["Connection"] = "close"
    kept = 0  # the code that lets us keep what is there
    if body.complete and body.validator:
        kept = 304
        sent["If-None-Match" if body.validator.startswith('"') else "If-Modified-Since"] = body.validator
    elif body.size and body.validator:
        kept = 206
        sent |= {"Range": f"bytes={body.size}-", "If-Range": body.validator}
    try:
        with answered(target, sent, rules, watch) as (final, answer):
            _accept(final, answer, body, rules, kept=kept)
            _stream(answer, body, rules, watch)
    except HTTPException as error:
        raise _Broken(f"the answer broke off or made no sense ({type(error).__name__})") from error
    except OSError as error:
        raise _Broken(str(error.strerror or error).lower()) from error


def _accept(final: Target, answer: HTTPResponse, body: Body, rules: Rules, *, kept: int) -> None:
    """Judge an answer by its header, and make the body ready for what it brings."""
    code = answer.status
    if headers.overloaded(code):
        raise _Broken(f"the server answered {code}", wait=headers.retry_after(answer.headers))
    if kept == 206 and code == 416:
        body.clear()
        raise _Broken("the server has no such part of it any more")
    if code not in {200, kept}:
        raise FetchError(f"{final.shown} cannot be fetched: the server answered {code}")
    if code != 304:
        _begin(final, answer, body)
    if body.total is not None and body.total > rules.max_size:
        total = body.total
        body.clear()
        raise rules.too_large(final.shown, total)


def _begin(final: Target, answer: HTTPResponse, body: Body) -> None:
    """Make the body ready for what an answer brings: all of it, or the part that was asked for."""
    name = name_of(
        disposition=answer.headers.get("Content-Disposition", ""),
        path=final.path,
        media_type=answer.headers.get("Content-Type", ""),
    )
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    # Some servers say so of a file which is itself compressed, and such a file is wanted as it is.
    if encoding not in {"", "identity"} and not name.lower().endswith(_COMPRESSED):
        raise FetchError(f"{final.shown} comes compressed ({encoding!r}), though it was asked for as it is")
    if answer.status == 206:
        _goes_on(answer, body)
    else:
        body.begin(
            total=None if answer.chunked else answer.length,
            validator=headers.validator(answer.headers),
            name=name,
            digests=headers.digests(answer.headers),
        )


def _goes_on(answer: HTTPResponse, body: Body) -> None:
    """Whether a part fits where the body ends; if not, start over."""
    place = headers.content_range(answer.headers)
    etag = answer.headers.get("ETag", "").strip()
    start, told = place or (-1, None)
    total = told if body.total is None else body.total
    # Without a total nobody could say when the body is complete: a part may be shorter than what was asked for.
    changed = etag and body.validator.startswith('"') and etag != body.validator
    if start != body.size or total is None or told not in {None, total} or changed:
        body.clear()
        raise _Broken("the server sent another part than the one asked for")
    body.know(total)


def _stream(answer: HTTPResponse, body: Body, rules: Rules, watch: Watch) -> None:
    """Take the body. Raises `_Broken` if it ends before it is complete."""
    with body.appending() as file:
        while not body.complete:
            watch.size, watch.total = body.size, body.total
            rest = _PIECE if body.total is None else min(_PIECE, body.total - body.size)
            data = answer.read1(rest)
            if not data:
                break
            if body.size + len(data) > rules.max_size:
                body.clear()
                raise rules.too_large(watch.shown, None)
            body.append(file, data)
    if body.total is None:
        body.know(body.size)  # it ended as it should: a chunked body that breaks off raises
    if not body.complete:
        raise _Broken(f"the connection ended after {body.size} of {body.total} bytes")
