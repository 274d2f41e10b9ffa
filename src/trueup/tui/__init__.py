"""The terminal UI: one pair of places on the screen, with the same events as the command line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from trueup.config import Settings, SyncJob
from trueup.errors import MissingExtra

__all__ = ["open_ui", "require"]


def open_ui(jobs: Mapping[str, SyncJob], settings: Settings, *, clean: Callable[[str], str] = lambda text: text) -> int:
    """Show the terminal UI until somebody quits it, and return the exit code: 0, or 130 for leaving a running sync.

    One job opens at once, several let people choose; the name of a nameless pair is empty. `clean` makes text fit to
    be shown: one line without control characters or secrets. Raises `MissingExtra` without Textual.
    """
    require()
    from trueup.tui.app import SyncApp

    with _silent():
        return SyncApp(jobs, settings, clean=clean).run() or 0


def require() -> None:
    """Raises `MissingExtra` without Textual."""
    if find_spec("textual") is None:
        raise MissingExtra("the terminal UI", "tui")


@contextmanager
def _silent() -> Iterator[None]:
    """Keep log lines off the terminal while the screen is there; what they say reaches people as events. What goes to
    a file still goes there."""
    logger = logging.getLogger("trueup")
    before = logger.handlers
    kept = [handler for handler in before if getattr(handler, "stream", None) not in (sys.stdout, sys.stderr)]
    logger.handlers = [logging.NullHandler(), *kept]
    try:
        yield
    finally:
        logger.handlers = before
