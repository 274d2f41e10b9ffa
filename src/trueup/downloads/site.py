"""Fetching what a page shows: yt-dlp, in a helper process that may go no further than we do.

In a process of its own it can be ended in the middle of anything, can be held to the addresses and programs it may
reach (see `guard`), and costs the second its import takes only those who need it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from trueup import keys
from trueup.downloads.base import LATER, Fetched
from trueup.downloads.naming import clean
from trueup.errors import FetchError, FetchUnfinished, MissingExtra, NoSpace
from trueup.stores import media
from trueup.stores.interpreter import interpreter
from trueup.stores.oserror import translated
from trueup.urls.rules import Rules
from trueup.urls.target import Target
from trueup.urls.watch import Heard, Watch

_PATIENCE: Final = 60.0
"""Seconds in which the helper says whether a site is known; it takes about two."""
_STEP: Final = 0.2
_FILES: Final = re.compile(r"(audio|image|video)/.*|application/(gzip|pdf|x-bzip2|x-tar|x-xz|zip)")
"""Types of what nobody gives a page's name: some users' names end in `.me` or `.ai`, which are types too."""


def knows(url: str) -> bool:
    """Whether there is more to this URL than what it answers: a site whose pages yt-dlp can read. False without the
    extra `downloads`.

    To ask costs about two seconds of work, so a URL that ends like a file (`.zip`, `.mp4`) is taken for one unasked.
    Raises `UsageError` for what is no http or https URL, and `FetchUnfinished` when yt-dlp does not work.
    """
    last = Target.parse(url).path.rsplit("/", 1)[-1]
    # A wiki's page about a file is named `File:x.webm`.
    if find_spec("yt_dlp") is None or (":" not in last and _FILES.fullmatch(media.guess(last))):
        return False
    return _known(url)


@lru_cache(1024)
def _known(url: str) -> bool:
    with _helper({"url": url, "allow_private": False}, Path.cwd()) as answers:
        try:
            answer = answers.get(timeout=_PATIENCE)
        except queue.Empty:
            answer = None
    if answer is None:
        raise FetchUnfinished("yt-dlp does not say whether it knows this site", cure="See whether yt-dlp itself works")
    return bool(answer["known"])


def fetch(url: str, folder: Path, rules: Rules, *, heard: Heard) -> Fetched:
    """What a page shows, as one file in `folder`, which is the fetch's own: an earlier fetch of the same URL is gone
    on with, on yt-dlp's word that the file is the same. A page with several is refused.

    Raises `MissingExtra`, `UsageError`, `AddressRefused`, `FetchUnfinished` when a later fetch may succeed,
    `FetchError` when it will not, and `StoreError` (`NoSpace`) for the disk.
    """
    target = Target.parse(url)
    if find_spec("yt_dlp") is None:
        raise MissingExtra("fetching from a site's pages", "downloads")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise translated(error, str(folder), "made") from error
    watch = Watch(target.shown, rules, heard)
    request = {
        "url": url,
        "folder": str(folder.resolve()),
        "stem": hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        "max_size": rules.max_size,
        "allow_private": rules.allow_private,
    }
    with _helper(request, folder) as answers:
        done = _followed(answers, target, folder, rules, watch)
    if done is None:
        _emptied(folder)  # only now that its helper, which may have gone on writing, is gone
        raise rules.too_large(target.shown, None)
    path = folder / PurePosixPath(done["file"]).name
    size = path.stat().st_size
    if size > rules.max_size:
        path.unlink()
        raise rules.too_large(target.shown, size)
    watch.size = watch.total = size
    watch.report()
    title = re.sub(r"[/\\]", "_", done["title"]) or "download"
    return Fetched(path=path, name=clean(f"{title}.{done['extension']}"), size=size)


def _followed(
    answers: queue.Queue[dict[str, Any] | None], target: Target, folder: Path, rules: Rules, watch: Watch
) -> Mapping[str, Any] | None:
    """What the helper says last, if all went well; None when the fetch is larger than allowed."""
    while True:
        watch.tick()
        # Its own account of the size is not enough: not every way of fetching tells it.
        if _weight(folder) > rules.max_size:
            return None
        try:
            answer = answers.get(timeout=_STEP)
        except queue.Empty:
            continue
        if answer is None:
            raise FetchUnfinished(f"{target.shown} could not be fetched: yt-dlp ended unexpectedly", cure=LATER)
        if "file" in answer:
            return answer
        if answer.get("failed") == "large":
            return None
        if "failed" in answer:
            raise _failure(answer["failed"], answer["why"], target, rules)
        watch.size, watch.total = answer["size"], answer["total"]


def _failure(kind: str, why: str, target: Target, rules: Rules) -> Exception:
    # Addresses in its words may hold secrets.
    words = keys.display(re.sub(r"\w+://\S+", "its URL", " ".join(why.split())).removeprefix("ERROR: ")[:300])
    match kind:
        case "refused":
            return rules.refused(f"{target.shown} is not fetched: {words}")
        case "full":
            return NoSpace(f"{target.shown} cannot be fetched: the disk is full", cure="Free some space and run again")
        case "later":
            return FetchUnfinished(f"{target.shown} could not be fetched: {words}", cure=LATER)
        case _:
            return FetchError(f"{target.shown} cannot be fetched: {words}")


def _weight(folder: Path) -> int:
    """Bytes in the folder."""
    total = 0
    for entry in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the helper renames and removes as it works
            total += entry.stat().st_size
    return total


def _emptied(folder: Path) -> None:
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):
            entry.unlink()


@contextmanager
def _helper(request: Mapping[str, Any], folder: Path) -> Iterator[queue.Queue[dict[str, Any] | None]]:
    """The helper's answers; None is its end. It is gone when the block is left."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [interpreter(), "-P", "-m", "trueup.downloads.site_child"],  # -P: nothing is imported from the working folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(_path())},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stdout, answers), name="yt-dlp", daemon=True)
    reader.start()
    try:
        with contextlib.suppress(OSError):  # a helper that died at once is noticed by its missing answers
            # Through the pipe: arguments are open to other processes, and a URL may hold a password.
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        yield answers
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()


def _read(pipe: IO[bytes], answers: queue.Queue[dict[str, Any] | None]) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            answers.put(json.loads(line))
    answers.put(None)


def _path() -> list[str]:
    """Where the helper imports from: what the environment names in full, and where this process found the two. The
    rest of this process's path may hold the working folder, and yt-dlp takes plugins from all of it."""
    found = (find_spec(name) for name in ("trueup", "yt_dlp"))
    ours = [str(Path(spec.origin).parent.parent) for spec in found if spec and spec.origin]
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return list(dict.fromkeys([*(one for one in named if Path(one).is_absolute()), *ours]))
