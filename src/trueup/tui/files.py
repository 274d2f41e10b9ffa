"""The table of files: it draws the lines that can be seen, and no others, so that any number of rows is fluid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from trueup.tui import words
from trueup.tui.rows import COLUMNS, Row, Rows

_ACTION: Final = 13
_SIZE: Final = 10
_STATUS: Final = 8
_GAP: Final = 2
_FILE: Final = 0.62
"""The file's share of what the narrow columns leave; the details have the rest."""

_VERBS: Final = {"copy": "files--copy", "move": "files--move", "delete": "files--delete"}
_STATUSES: Final = {
    "planned": "files--quiet",
    "skipped": "files--quiet",
    "done": "files--copy",
    "failed": "files--error",
    "drifted": "files--error",
}


class FileTable(ScrollView, can_focus=True):
    """The rows of a plan or a run. A click on a header sorts, Enter shows a row's details."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("files--header", "files--sorted", "files--cursor", "files--hint"),
        *("files--copy", "files--move", "files--delete", "files--error", "files--note", "files--quiet"),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "edge(0)", "First", show=False),
        Binding("end", "edge(1)", "Last", show=False),
        Binding("enter,space", "open", "Details", show=False),
        *(Binding(str(n), f"sort({n - 1})", f"Sort by {name}", show=False) for n, name in enumerate(COLUMNS, 1)),
    ]

    class Opened(Message):
        """Somebody wants to see everything about a row."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    class Changed(Message):
        """Other rows are shown, or in another order."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.rows = Rows()
        self.hint = ""
        """What stands there while there are no rows."""
        self.cursor = 0

    # What it shows

    def fill(self, rows: Iterable[Row]) -> None:
        """Show other rows, from the top."""
        self.rows.fill(rows)
        self.cursor = 0
        self.scroll_to(y=0, animate=False)
        self._rearranged()

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows in one go."""
        self.rows.add(rows)
        self._rearranged()

    def filter(self, text: str) -> None:
        """Show the rows with these words only."""
        self.rows.filter(text)
        self.cursor = 0
        self.scroll_to(y=0, animate=False)
        self._rearranged()

    def again(self) -> None:
        """Order and filter once more, after rows changed. The cursor stays with its row."""
        row = self._row()
        self.rows.again()
        if row is not None and row in self.rows.shown:
            self.cursor = self.rows.shown.index(row)
        self._rearranged()

    def _rearranged(self) -> None:
        self.cursor = max(0, min(self.cursor, len(self.rows.shown) - 1))
        self.virtual_size = Size(0, len(self.rows.shown) + 1)
        self.refresh()
        self.post_message(self.Changed())

    def _row(self) -> Row | None:
        shown = self.rows.shown
        return shown[self.cursor] if self.cursor < len(shown) else None

    # What people do with it

    def action_move(self, lines: int) -> None:
        """Move the cursor."""
        self._go(self.cursor + lines)

    def action_page(self, pages: int) -> None:
        """Move the cursor by what is visible at once."""
        self._go(self.cursor + pages * max(1, self._visible - 1))

    def action_edge(self, end: int) -> None:
        """Go to the first row, or the last one."""
        self._go(len(self.rows.shown) - 1 if end else 0)

    def action_open(self) -> None:
        """Ask for the details of the row under the cursor."""
        row = self._row()
        if row is not None:
            self.post_message(self.Opened(row))

    def action_sort(self, column: int) -> None:
        """Sort by a column: up, down, and back to the order of the plan."""
        row = self._row()
        self.rows.sort(column)
        if row is not None:
            self.cursor = self.rows.shown.index(row)
        self._rearranged()
        self._go(self.cursor)

    def on_click(self, event: events.Click) -> None:
        """A header sorts; a row gets the cursor, and is opened by a second click."""
        place = event.get_content_offset(self)
        if place is None:
            return
        if place.y == 0:
            edge = 0
            for column, width in enumerate(self._widths()):
                edge += width + _GAP
                if place.x < edge:
                    self.action_sort(column)
                    return
            return
        row = self.scroll_offset.y + place.y - 1
        if row < len(self.rows.shown):
            self._go(row)
            if event.chain == 2:
                self.action_open()

    def _go(self, row: int) -> None:
        self.cursor = max(0, min(row, len(self.rows.shown) - 1))
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + self._visible:
            self.scroll_to(y=self.cursor - self._visible + 1, animate=False)
        self.refresh()

    @property
    def _visible(self) -> int:
        return max(1, self.scrollable_content_region.height - 1)

    # How it looks

    def _widths(self) -> tuple[int, int, int, int, int]:
        rest = max(20, self.scrollable_content_region.width - _ACTION - _SIZE - _STATUS - 4 * _GAP - 1)
        file = int(rest * _FILE)
        return _ACTION, file, _SIZE, _STATUS, rest - file

    def render_line(self, y: int) -> Strip:
        """One line of what can be seen. The header stays on top."""
        width = self.scrollable_content_region.width
        if y == 0:
            return self._header(width)
        index = self.scroll_offset.y + y - 1
        if index >= len(self.rows.shown):
            return self._empty(y, width)
        return self._line(self.rows.shown[index], width, cursor=index == self.cursor and self.has_focus)

    def _header(self, width: int) -> Strip:
        style = self.get_component_rich_style("files--header")
        chosen = self.get_component_rich_style("files--sorted")
        cells = []
        for column, (name, room) in enumerate(zip(COLUMNS, self._widths(), strict=True)):
            is_chosen = column == self.rows.column
            title = f"{name} {'▼' if self.rows.descending else '▲'}" if is_chosen else name
            cells.append(Segment(_fit(title, room, right=column == 2), chosen if is_chosen else style))
        return _joined(cells, style, width)

    def _empty(self, y: int, width: int) -> Strip:
        if y != 2 or not self.hint or self.rows.shown:
            return Strip.blank(width, self.rich_style)
        hint = "No row holds these words" if self.rows.everything else self.hint
        text = set_cell_size(f" {hint}", width)
        return Strip([Segment(text, self.get_component_rich_style("files--hint"))], width)

    def _line(self, row: Row, width: int, *, cursor: bool) -> Strip:
        plain = self.get_component_rich_style("files--cursor") if cursor else self.rich_style
        action, file, size, status, details = self._widths()
        verb = row.action.partition("_")[0]

        def styled(name: str) -> Style:
            return plain if cursor else self.get_component_rich_style(name)

        cells = [
            Segment(_fit(row.verb, action), styled(_VERBS.get(verb, "files--note"))),
            Segment(_fit(row.name, file, end=True), plain),
            Segment(_fit(words.size(row.size), size, right=True), plain),
            Segment(_fit(row.status, status), styled(_STATUSES.get(row.status, "files--quiet"))),
            Segment(_fit(row.details, details), styled("files--quiet" if row.status != "failed" else "files--error")),
        ]
        return _joined(cells, plain, width)


def _fit(text: str, room: int, *, right: bool = False, end: bool = False) -> str:
    """Text in exactly so many cells: cut with an ellipsis, at the front where the `end` says more."""
    taken = len(text) if text.isascii() else cell_len(text)
    if taken > room:
        if not end:
            return set_cell_size(text, room - 1) + "…"
        kept = text[-(room - 1) :]
        while cell_len(kept) > room - 1:
            kept = kept[1:]
        return " " * (room - 1 - cell_len(kept)) + "…" + kept
    return " " * (room - taken) + text if right else text + " " * (room - taken)


def _joined(cells: list[Segment], plain: Style, width: int) -> Strip:
    """Cells with a gap between them, one space in front, as wide as the table."""
    segments = [Segment(" ", plain)]
    for number, cell in enumerate(cells):
        if number:
            segments.append(Segment(" " * _GAP, plain))
        segments.append(cell)
    return Strip(segments).adjust_cell_length(width, plain)
