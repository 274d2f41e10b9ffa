"""Logging of the command line: the records of logger `trueup`, to stderr, from -v on; of a service, everybody's."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import replace
from typing import TextIO

from trueup.cli.ui import Ui


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is at that moment."""

    def __init__(self, ui: Ui) -> None:
        super().__init__(sys.stderr)
        self._ui = ui
        if ui.common.log_format == "text":
            self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))

    def format(self, record: logging.LogRecord) -> str:
        """The record without secrets: a line (and a traceback), or a JSON line with what else the record tells."""
        text = super().format(record)
        if self._ui.common.log_format == "json":
            row = {
                "event": "log",
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": text,
                **getattr(record, "told", {}),
            }
            return self._ui.veil.json(row)
        return self._ui.veil(text)


def configure(ui: Ui) -> None:
    """Set logger `trueup` up for this command."""
    logger, root = logging.getLogger("trueup"), logging.getLogger()
    for old in logger.handlers[:]:
        logger.removeHandler(old)
    for old in [handler for handler in root.handlers if isinstance(handler, _Stderr)]:
        root.removeHandler(old)
    if not ui.common.verbose:
        # What a record would say reaches people as events and in the summary.
        logger.setLevel(logging.NOTSET)
        logger.addHandler(logging.NullHandler())
        return
    logger.setLevel(logging.INFO if ui.common.verbose == 1 else logging.DEBUG)
    logger.addHandler(_Stderr(ui))


def configure_service(ui: Ui) -> None:
    """The same for a command that stays: it speaks unless it is to be quiet, and what the libraries under it have to
    say is in the same form."""
    if not ui.common.quiet:
        ui.common = replace(ui.common, verbose=max(1, ui.common.verbose))
    configure(ui)
    others = _Stderr(ui)
    others.setLevel(logging.ERROR if ui.common.quiet else logging.WARNING)
    others.addFilter(lambda record: not record.name.startswith("trueup"))
    logging.getLogger().addHandler(others)
    logging.captureWarnings(capture=True)
