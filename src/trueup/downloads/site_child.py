"""The helper process that runs yt-dlp: `python -m trueup.downloads.site_child`.

A request comes as one JSON line, answers go as JSON lines. It ends with its parent: when nobody holds the other end of
its input any more, nobody wants the file.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from trueup.downloads import guard

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_OFTEN: Final = 0.2
"""Seconds between two reports."""

Say = Callable[[dict[str, object]], None]


class _TooLarge(Exception):
    """More bytes than are allowed."""


class _Silent:
    """yt-dlp's log. What matters comes as an exception."""

    def debug(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...


def main() -> None:
    """Read the request, do it, say how it went."""
    # What an extractor prints must not look like an answer.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(answer: dict[str, object]) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    request = json.loads(_line())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    refused = guard.install(allow_private=request["allow_private"])
    if "folder" in request:
        _fetch(request, say, refused)
    else:
        say({"known": _knows(request["url"])})


def _line() -> bytes:
    """Read with no buffer, which would take what the watching thread waits for."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _knows(url: str) -> bool:
    from yt_dlp.extractor import gen_extractor_classes
    from yt_dlp.plugins import load_all_plugins

    load_all_plugins()
    return any(one.IE_NAME != "generic" and one.suitable(url) for one in gen_extractor_classes())


def _fetch(request: dict[str, Any], say: Say, refused: list[str]) -> None:
    from yt_dlp import YoutubeDL

    after = 0.0

    def heard(progress: dict[str, Any]) -> None:
        nonlocal after
        size, total = progress.get("downloaded_bytes") or 0, progress.get("total_bytes")
        if max(size, total or 0) > request["max_size"]:
            raise _TooLarge
        if time.monotonic() >= after:
            after = time.monotonic() + _OFTEN
            say({"size": size, "total": total})

    try:
        with YoutubeDL(_options(request, heard)) as client:
            found = client.extract_info(request["url"])
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in there is said, in our words
        say(_failure(error, refused))
        return
    if found.get("_type", "video") != "video":
        say({"failed": "", "why": "it is a list of several, and one is fetched at a time"})
        return
    path = (found.get("requested_downloads") or [{}])[0].get("filepath")
    if not path:
        say({"failed": "", "why": "there is nothing that can be fetched as one file"})
        return
    say({"file": os.path.basename(path), "title": str(found.get("title") or ""), "extension": str(found["ext"])})  # noqa: PTH119 - a name


def _options(request: dict[str, Any], heard: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    return {
        "logger": _Silent(),
        "progress_hooks": [heard],
        "noprogress": True,
        "paths": {"home": request["folder"]},
        # Of another format or URL nothing is gone on with.
        "outtmpl": {"default": request["stem"] + ".%(format_id).40s.%(ext)s"},
        "continuedl": True,
        # One file as it is served: what needs a program to put it together is not fetched.
        "format": "b/ba/bv",
        "fixup": "never",
        "hls_prefer_native": True,
        "js_runtimes": {},
        "noplaylist": True,
        "extract_flat": "in_playlist",
        "playlist_items": "1",
        "cachedir": False,
        "updatetime": False,
        "proxy": "",
        "compat_opts": {"no-certifi"},  # one set of certificates for every fetch: the system's, or SSL_CERT_FILE
        "socket_timeout": 30,
        "retries": 5,
        "fragment_retries": 5,
        "skip_unavailable_fragments": False,  # a file with holes is none
        "extractor_retries": 2,
        "retry_sleep_functions": {"http": _pause, "fragment": _pause, "extractor": _pause},
    }


def _pause(n: int) -> float:
    return min(30.0, 0.5 * 2.0**n)


def _failure(error: Exception, refused: list[str]) -> dict[str, object]:
    """`failed` is what kind of failure it is, `why` the words of whoever knows best."""
    from yt_dlp.networking.exceptions import HTTPError, TransportError
    from yt_dlp.utils import ContentTooShortError, ExtractorError

    kind, why = "", str(error)
    for cause in _causes(error):
        if isinstance(cause, _TooLarge):
            return {"failed": "large", "why": ""}
        if isinstance(cause, ExtractorError) and cause.orig_msg:
            why = str(cause.orig_msg)
        if isinstance(cause, OSError) and cause.errno in _FULL:
            kind = "full"
        elif isinstance(cause, HTTPError):
            kind = "later" if cause.status in {408, 425, 429} or cause.status >= 500 else kind
        elif isinstance(cause, TransportError | ContentTooShortError):
            kind = kind or "later"
    if refused:
        return {"failed": "refused", "why": refused[-1]}
    return {"failed": kind, "why": why}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it. yt-dlp keeps that in attributes of its own as well."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            yield one
            told = getattr(one, "exc_info", None) or (None, None)
            waiting += [told[1], getattr(one, "cause", None), one.__cause__, one.__context__]


if __name__ == "__main__":
    main()
