"""One line of progress: a label, a bar, and what there is to say about it."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.widget import Widget


class Gauge(Widget):
    """`label ━━━━━━━━──────  63%  note`. A share of None is an empty bar without a number."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"gauge--done", "gauge--rest", "gauge--label", "gauge--note"}

    def __init__(self, label: str, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._label = label
        self.share: float | None = None
        self.note = ""

    def show(self, share: float | None, note: str) -> None:
        """A share from 0 to 1, and the text behind the bar."""
        if (share, note) != (self.share, self.note):
            self.share, self.note = share, note
            self.refresh()

    def render(self) -> Text:
        """The line."""
        width = self.size.width
        room = max(10, min(60, width // 3))
        share = min(1.0, max(0.0, self.share or 0.0))
        filled = int(share * room)
        percent = "" if self.share is None else f"{int(share * 100)}%"
        line = Text.assemble(
            (f"{self._label:<5}", self.get_component_rich_style("gauge--label", partial=True)),
            ("━" * filled, self.get_component_rich_style("gauge--done", partial=True)),
            ("─" * (room - filled), self.get_component_rich_style("gauge--rest", partial=True)),
            f" {percent:>4}  ",
            (self.note, self.get_component_rich_style("gauge--note", partial=True)),
            no_wrap=True,
            overflow="ellipsis",
        )
        line.truncate(width, overflow="ellipsis")
        return line
