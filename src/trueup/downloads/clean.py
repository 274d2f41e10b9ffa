"""Removing what was fetched long ago, and what fetches that failed have left.

The table may be that of an application that had it before. Its records are its own: of those only one goes whose object
the pool's books have as well.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from trueup.catalog.base import COMPLETED, FAILED, OURS, RUNNING, Download, Downloads, now
from trueup.downloads.fetch import Holder
from trueup.errors import Busy, NotFound, TrueupError
from trueup.runs import run_lock

OVER: Final = timedelta(hours=1)
"""A fetch that failed, or showed no sign of life, so long ago will not be gone on with."""


@dataclass(slots=True)
class Cleaned:
    """What a clean-up did."""

    removed: int = 0
    """Records, with their objects."""
    failed: int = 0
    """Fetches that nobody went on with, marked so."""
    partial: int = 0
    """Folders with bytes of fetches that came to nothing."""
    left: int = 0
    """Old records of another application that name no object of the pool."""
    problems: list[str] = field(default_factory=list)
    """What could not be removed now."""


def clean_old(downloads: Downloads, holder: Holder, *, keep: timedelta) -> Cleaned:
    """Remove what was fetched longer than `keep` ago: the object, then the record. Of fetches that failed, the
    record."""
    done = Cleaned()
    for download in downloads.older(COMPLETED, now() - keep):
        try:
            ours = _is_ours(download) or holder.held(download.key, download.provider) is not None
        except TrueupError as error:
            done.problems.append(f"the download {download.id} was not removed: {error}")
            continue
        if not ours:
            done.left += 1
        elif _dropped(holder, download, download.key, download.provider, done):
            downloads.remove(download.id)
            done.removed += 1
    for download in filter(_is_ours, downloads.older(FAILED, now() - max(keep, OVER))):
        if _orphaned(holder, download, done):
            downloads.remove(download.id)
            done.removed += 1
    return done


def clean_failed(downloads: Downloads, holder: Holder, *, home: Path) -> Cleaned:
    """Mark what nobody goes on with as failed, and remove what failed fetches left: objects that no record names, and
    the bytes on this machine."""
    done = Cleaned()
    for download in filter(_is_ours, downloads.older(RUNNING, now() - OVER)):
        downloads.fail(download.id, "nobody went on with it")
        done.failed += 1
        _orphaned(holder, download, done)
    for download in filter(_is_ours, downloads.older(FAILED, now() - OVER)):
        _orphaned(holder, download, done)
    for folder in sorted(home.glob("downloads/*")):
        done.partial += _swept(folder)
    return done


def _is_ours(download: Download) -> bool:
    return download.id.startswith(OURS)


def _orphaned(holder: Holder, download: Download, done: Cleaned) -> bool:
    """Remove the object a failed fetch may have put in the pool before it ended. Whether none is left."""
    stored = holder.known(download.id)
    return stored is None or _dropped(holder, download, stored.key, stored.provider, done)


def _dropped(holder: Holder, download: Download, key: str, provider: str, done: Cleaned) -> bool:
    try:
        with suppress(NotFound):
            holder.delete(key, provider)
    except TrueupError as error:
        done.problems.append(f"the object of the download {download.id} was not removed: {error}")
        return False
    return True


def _swept(folder: Path) -> bool:
    """Remove the bytes of a fetch that nobody has touched for long, and nobody is at. Whether they were."""
    try:
        newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
        if time.time() - newest < OVER.total_seconds():
            return False
        with run_lock(folder / "lock", run="", what="this is being fetched"):
            shutil.rmtree(folder)
    except (Busy, OSError):  # somebody is at it, or was faster
        return False
    return True
