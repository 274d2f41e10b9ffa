"""The log pane: what was said, with the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from rich.text import Text
from textual.widgets import RichLog

_REMEMBERED: Final = 1_000
"""Lines it keeps."""


class Log(RichLog):
    """Lines with a time; `clock` tells it."""

    def __init__(self, *, clock: Callable[[], str], id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(wrap=True, markup=False, highlight=False, min_width=20, max_lines=_REMEMBERED, id=id)
        self._clock = clock
        self._said: deque[tuple[str, str, str]] = deque(maxlen=_REMEMBERED)
        """Time, message and style."""

    def say(self, message: str, style: str = "") -> None:
        """Add a line. `style` is empty, `muted`, `success`, `warning` or `error`."""
        line = (self._clock(), message, style)
        self._said.append(line)
        self._write(line)

    def forget(self) -> None:
        """Be empty."""
        self._said.clear()
        self.clear()

    def write_again(self) -> None:
        """Write every line once more: it keeps the width and the colours it was written with."""
        self.clear()
        for line in self._said:
            self._write(line)

    def _write(self, line: tuple[str, str, str]) -> None:
        at, message, style = line
        variables = self.app.theme_variables
        colour = {"": "", "muted": variables["muted"]}.get(style) or variables.get(f"text-{style}", "")
        self.write(Text.assemble((f"{at} ", variables["muted"]), (message, colour)))
