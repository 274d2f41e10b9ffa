"""Logging of the command line: the records of logger `trueup`, to stderr, from -v on."""

from __future__ import annotations

import json
import logging
import sys
import time
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
        """The record without secrets: a line (and a traceback), or a JSON line."""
        text = super().format(record)
        if self._ui.common.log_format == "json":
            row = {
                "event": "log",
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": text,
            }
            text = json.dumps(row)
        return self._ui.veil(text)


def configure(ui: Ui) -> None:
    """Set logger `trueup` up for this command."""
    logger = logging.getLogger("trueup")
    for old in logger.handlers[:]:
        logger.removeHandler(old)
    if not ui.common.verbose:
        # What a record would say reaches people as events and in the summary.
        logger.setLevel(logging.NOTSET)
        logger.addHandler(logging.NullHandler())
        return
    logger.setLevel(logging.INFO if ui.common.verbose == 1 else logging.DEBUG)
    logger.addHandler(_Stderr(ui))
