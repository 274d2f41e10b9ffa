"""The top of the screen: the rules a pair is synced by, and the buttons."""

from __future__ import annotations

from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.message import Message
from textual.widgets import Button, Checkbox, Label, Select

from trueup.config import SyncConfig
from trueup.tui import words


class Tick(Checkbox):
    """A checkbox whose mark is there or not, also without colours."""

    BUTTON_INNER = " "

    def watch_value(self) -> None:
        """Draw the mark."""
        self.BUTTON_INNER = "x" if self.value else " "
        super().watch_value()


class Controls(Container):
    """Mode, preferred side, deletions; Start, Stop, Refresh, Undo, Clear Log."""

    class Changed(Message):
        """Other rules were chosen."""

        def __init__(self, config: SyncConfig) -> None:
            super().__init__()
            self.config = config

    def __init__(self, config: SyncConfig, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._config = config

    def compose(self) -> ComposeResult:
        """Two groups: beside each other in a wide terminal, else below each other."""
        config = self._config
        with Horizontal(id="options"):
            yield Label("Mode")
            modes = [(label, mode) for mode, label in words.MODES.items()]
            yield Select(modes, value=config.mode, allow_blank=False, compact=True, id="mode")
            yield Label("Prefer")
            sides = [(label, side) for side, label in words.PREFERENCES.items()]
            yield Select(sides, value=config.prefer, allow_blank=False, compact=True, id="prefer")
            yield Tick("Delete", value=config.delete, compact=True, id="delete", tooltip="Deletions travel too")
        with Horizontal(id="buttons"):
            yield Button("Start", id="start", variant="success", compact=True)
            yield Button("Stop", id="stop", variant="warning", compact=True)
            yield Button("Refresh", id="refresh", compact=True)
            yield Button("Undo", id="undo", compact=True)
            yield Button("Clear Log", id="clear", compact=True)

    def enable(self, *, busy: bool, stopping: bool) -> None:
        """Let everything say whether it can be used now."""
        for name in ("start", "refresh", "undo", "mode", "prefer", "delete"):
            self.query_one(f"#{name}").disabled = busy
        self.query_one("#stop").disabled = not busy or stopping

    @on(Select.Changed)
    def selected(self, event: Select.Changed) -> None:
        """Another mode, or another side is preferred."""
        event.stop()
        value = str(event.value)
        of_mode = event.select.id == "mode"
        self._change(replace(self._config, mode=value) if of_mode else replace(self._config, prefer=value))

    @on(Checkbox.Changed)
    def ticked(self, event: Checkbox.Changed) -> None:
        """Whether deletions travel."""
        event.stop()
        self._change(replace(self._config, delete=event.value))

    def _change(self, config: SyncConfig) -> None:
        if config != self._config:  # widgets also tell what they begin with
            self._config = config
            self.post_message(self.Changed(config))
