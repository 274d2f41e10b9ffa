"""`manage.py storage_sync_ui`: the door to the terminal UI."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from django.core.management.base import BaseCommand, CommandError

from trueup import keys
from trueup.config import Settings, SyncJob
from trueup.contrib.django import places
from trueup.errors import Interrupted, TrueupError, UsageError
from trueup.stores.credentials import SECRET


class Command(BaseCommand):
    """Sync the roots on a screen."""

    help = (
        "Open the terminal UI for STATIC_ROOT and static/, MEDIA_ROOT and media/ in the bucket: choose one, see what "
        "would be done, start it, watch it, take it back. Needs the extra 'tui'."
    )
    requires_system_checks = ()

    def handle(self, **_: object) -> None:
        """Raises `CommandError` where there is no Textual, no terminal or no bucket."""
        try:
            # Front ends never import each other; this is the one door between these two, and it opens by name.
            screen = import_module("trueup.tui")
            screen.require()
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise UsageError("the UI needs a terminal, and this is none", cure="Without one use update_storage")
            pairs, _unset, settings = places.pairs()
        except TrueupError as error:
            raise CommandError(str(error), returncode=error.exit_code) from error
        jobs = {pair.name: SyncJob(left=pair.left, right=pair.right) for pair in pairs}
        with _quiet_terminal():
            code: int = screen.open_ui(jobs, settings, clean=_cleaner(settings))
        if code == Interrupted.exit_code:
            os._exit(code)  # somebody asked twice: transfers that hang are not waited for, and the next run goes on


def _cleaner(settings: Settings) -> Callable[[str], str]:
    """Text as one line without control characters or the secrets of the stores."""
    options = [option for store in settings.stores.values() for option in store.options.items()]
    secrets = sorted({value for name, value in options if name in SECRET and value}, key=len, reverse=True)

    def clean(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return keys.display(" ".join(text.split()))

    return clean


@contextmanager
def _quiet_terminal() -> Iterator[None]:
    """Keep the log lines that `LOGGING` sends to the terminal off the screen; what it sends to files still goes
    there."""

    def silent(_: logging.LogRecord) -> bool:
        return False

    named = [logging.getLogger(name) for name in (None, "trueup", "trueup.sync")]
    streams = (sys.stdout, sys.stderr)
    handlers = [each for logger in named for each in logger.handlers if getattr(each, "stream", None) in streams]
    for handler in handlers:
        handler.addFilter(silent)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(silent)
