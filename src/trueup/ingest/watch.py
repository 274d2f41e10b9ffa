"""Pass after pass, for as long as somebody wants new files taken."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from trueup import events
from trueup.config import Settings
from trueup.errors import TrueupError, UsageError
from trueup.ingest.config import ingest_config
from trueup.ingest.job import Job, opened
from trueup.ingest.report import IngestRun
from trueup.ingest.verbs import Wish, memory_of, pass_over

_TICK: Final = 0.2
"""Seconds between two looks at the stop switch."""
_LONGEST: Final = 10
"""While the source cannot be read, the pause grows up to so many times the usual one."""


def watch(
    name: str,
    settings: Settings,
    wish: Wish,
    *,
    told: Callable[[IngestRun], None],
    listener: events.Listener = events.ignore,
    stopped: Callable[[], bool],
) -> int:
    """Take what is new every `poll`, until `stopped()` says so. `told` gets each pass of which something came, and each
    trouble once. Returns the exit code of the last pass; being stopped between two passes is no failure.

    The pauses vary by a tenth, so that many of these do not ask a server at the same moment, and grow while the source
    cannot be read. Raises `UsageError` and `ConfigError`, and `TrueupError` for a database that cannot be used from the
    beginning.
    """
    poll = ingest_config(name, settings).poll
    pause = poll
    code: int | None = None
    trouble: str | None = None
    with ExitStack() as stack:
        job: Job | None = None
        while True:
            if job is None:
                job = _opened(name, settings, stack, again=code is not None)
            run = pass_over(name, settings, wish, listener=listener, stopped=stopped, within=job, eventful=True)
            wish, code = Wish(), run.exit_code
            if run.status != "failed":
                pause = poll
            else:
                pause = min(2 * pause, _LONGEST * poll)
                stack.close()  # a connection that broke is made anew
                job = None
            if run.eventful and (run.reason is None or run.reason != trouble):
                told(run)
            trouble = run.reason
            if run.status == "interrupted" or _waited(pause * random.uniform(0.9, 1.1), stopped):  # noqa: S311
                return code


def _opened(name: str, settings: Settings, stack: ExitStack, *, again: bool) -> Job | None:
    """The job. A database that is away is this pass's trouble, which says so; but one that never was there is a
    mistake."""
    try:
        return stack.enter_context(opened(name, settings, memory_of(name, settings)))
    except UsageError:
        raise
    except TrueupError:
        if not again:
            raise
        return None


def _waited(seconds: float, stopped: Callable[[], bool]) -> bool:
    """Wait; whether a stop came."""
    end = time.monotonic() + seconds
    while not stopped():
        left = end - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(_TICK, left))
    return True
