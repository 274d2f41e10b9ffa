"""The application around the screens: themes, and which pair it opens."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from textual.app import App
from textual.theme import Theme

from trueup.config import Settings, SyncJob
from trueup.tui.dialogs import Choice
from trueup.tui.screen import SyncScreen

DARK = Theme(
    name="trueup-dark",
    primary="#7fb4ca",
    secondary="#98a8b8",
    accent="#c8a86b",
    success="#8fbf7f",
    warning="#e0b060",
    error="#e07a7a",
    foreground="#d6dbe0",
    background="#171b20",
    surface="#1f252c",
    panel="#2a323b",
    dark=True,
    variables={"muted": "#8f99a3", "track": "#3d4752"},
)
LIGHT = Theme(
    name="trueup-light",
    primary="#1f6f8b",
    secondary="#5b6b7a",
    accent="#8a6a1f",
    success="#2f7d32",
    warning="#9a5b00",
    error="#b3261e",
    foreground="#22272e",
    background="#fbfbf9",
    surface="#f0f1ee",
    panel="#e2e5e4",
    dark=False,
    variables={"muted": "#616b75", "track": "#c3c9cb"},
)


def _now() -> str:
    """The time of day, as the log shows it."""
    return time.strftime("%H:%M:%S")


class SyncApp(App[int]):
    """The terminal UI. Returns the exit code: 0, or 130 when somebody left while a run worked."""

    TITLE = "trueup"
    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - as Textual declares them
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]  # noqa: RUF012

    def __init__(
        self,
        jobs: Mapping[str, SyncJob],
        settings: Settings,
        *,
        clean: Callable[[str], str],
        clock: Callable[[], str] = _now,
    ) -> None:
        super().__init__()
        self._jobs = jobs
        self._settings = settings
        self._clean = clean
        self._clock = clock
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name

    def on_mount(self) -> None:
        """Open the pair, or let people choose."""
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):  # not on Windows, not outside the main thread
                asyncio.get_running_loop().add_signal_handler(number, self._told)
        if len(self._jobs) == 1:
            self._open(next(iter(self._jobs)))
        else:
            self.push_screen(Choice(self._jobs), self._open)

    def _told(self) -> None:
        """A signal from outside means what Ctrl+C means when it is meant to quit."""
        for screen in self.screen_stack:
            if isinstance(screen, SyncScreen):
                screen.action_leave()
                return
        self.exit(0)

    async def action_quit(self) -> None:
        """Quit as the screen does it: a run is stopped first."""
        if isinstance(self.screen, SyncScreen):
            self.screen.action_leave()
        elif len(self.screen_stack) > 2:
            self.pop_screen()
        else:
            self.exit(0)

    def _open(self, name: str | None) -> None:
        if not name and name not in self._jobs:
            self.exit(0)
            return
        self.push_screen(SyncScreen(name or "", self._jobs[name or ""], self._settings, self._clean, clock=self._clock))
