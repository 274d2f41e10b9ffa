"""Where a report is unpacked: a folder that goes with its listing, or is swept by the next one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

from trueup.errors import Busy
from trueup.runs import run_lock

_WHO: Final = "listing"


@contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent` for as long as it is used. What killed processes left there is removed first.

    The folders are numbered, and whoever holds the lock beside one has it. The system drops the lock with the process,
    so what lies in a folder whose lock is free is nobody's.
    """
    for lock in parent.glob("*.lock"):
        with suppress(Busy), run_lock(lock, run=_WHO):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    with ExitStack() as held:
        own = next(folder for number in count() if _taken(folder := parent / str(number), held))
        own.mkdir(mode=0o700)  # what a bucket holds is nobody else's business
        try:
            yield own
        finally:
            shutil.rmtree(own, ignore_errors=True)


def _taken(folder: Path, held: ExitStack) -> bool:
    """Whether it is ours now: others may have it, or nobody could remove it."""
    with suppress(Busy):
        held.enter_context(run_lock(folder.with_suffix(".lock"), run=_WHO))
        return not folder.exists()
    return False
