"""What `sync --watch` shows: each pass that did something, each new trouble once, and how things stand meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trueup.cli import render
from trueup.cli.live import Listener
from trueup.cli.ui import Ui

if TYPE_CHECKING:
    from trueup.sync.report import SyncRun


class Shown:
    """Tells a watch to people, or to a program that reads JSON lines."""

    def __init__(self, ui: Ui, listener: Listener, *, undoable: bool) -> None:
        self._ui = ui
        self._listener = listener
        self._undoable = undoable
        self._begun = False
        self._since = ""

    def told(self, run: SyncRun) -> None:
        """One pass."""
        self._since = ""
        if run.status in {"failed", "busy", "refused"}:
            goes_on = "The watch waits for it to change" if run.status == "refused" else "The watch tries again"
            self._ui.refuse(f"{run.reason}. {goes_on}", status=run.status)
        else:
            render.show(self._ui, run, undoable=self._undoable)
        self._ui.line(run.to_json())

    def waiting(self, in_step: bool) -> None:  # noqa: FBT001 - called by the watch
        """Between two passes."""
        if not self._begun:
            self._begun = True
            self._ui.out(("watching for changes; Ctrl-C ends it", "dim"))
        if in_step:
            self._since = self._since or time.strftime("%H:%M")
        self._listener.rest(f"in step since {self._since}" if in_step else "not in step yet")
