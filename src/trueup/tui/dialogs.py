"""What the screen asks before it acts, and what it shows when somebody wants to know more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, OptionList, Static
from textual.widgets.option_list import Option

from trueup.config import SyncJob
from trueup.runs import RunRecord
from trueup.sync.plan import Plan
from trueup.tui import words
from trueup.tui.history import effects
from trueup.tui.keyline import KeyLine
from trueup.tui.rows import Row, described


class Question(ModalScreen[bool]):
    """A title, some lines, and one or two buttons. Answers whether the first of two was pressed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next", key_display="Tab"),
        Binding("space", "press", "Press", key_display="Enter/Space"),
        Binding("escape", "dismiss(False)", "Back", key_display="Esc"),
        Binding("ctrl+c", "dismiss(False)", "Back", show=False, priority=True),
    ]

    def __init__(self, title: str, body: Text, *, go: str = "", careful: bool = False, back: str = "Cancel") -> None:
        super().__init__()
        self._title = title
        self._body = body
        self._go = go
        self._careful = careful
        self._back = back

    def compose(self) -> ComposeResult:
        """Title, body, buttons."""
        with Vertical(classes="dialog -careful" if self._careful else "dialog"):
            yield Static(self._title, classes="title", markup=False)
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(self._body)
            with Horizontal(classes="answers"):
                if self._go:
                    yield Button(self._go, id="go", variant="error" if self._careful else "success", compact=True)
                yield Button(self._back, id="back", compact=True)
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Whoever presses Enter without reading deletes nothing."""
        self.query_one("#back" if self._careful or not self._go else "#go", Button).focus()

    @on(Button.Pressed)
    def answer(self, event: Button.Pressed) -> None:
        """Close with the answer."""
        self.dismiss(event.button.id == "go")

    def action_press(self) -> None:
        """Press the button that has the focus."""
        if isinstance(self.focused, Button):
            self.focused.press()


def preview(plan: Plan, refusal: str, places: str, colours: Mapping[str, str]) -> Question:
    """What a plan would do, before it is done. `colours` are those of the theme, by name."""
    counts = plan.counts()
    right, left = plan.bytes()
    moved = {"copy_right": right, "copy_left": left}
    deletes = counts["delete_right"] + counts["delete_left"]
    body = Text.assemble((f"{places}\n", "bold"), (f"{words.rules(plan.header.config)}\n\n", "dim"))
    for action, meaning in words.EFFECTS.items():
        if not counts[action]:
            continue
        line = f"{counts[action]:>9,}  {meaning}"
        line += f"  ({words.size(moved[action])})" if action in moved else ""
        body.append(f"{line}\n", colours["warning" if action.startswith("delete") else "text"])
    for note in _notes(counts):
        body.append(f"{note}\n", "dim")
    if plan.header.unchanged + counts["adopt"]:
        body.append(f"{plan.header.unchanged + counts['adopt']:>9,}  need nothing\n", "dim")
    if refusal:
        body.append(f"\nA guard refuses this: {refusal}.\n", colours["error"])
        body.append("\nWhat a guard refuses can be forced on the command line only.\n", "dim")
        return Question("Refused", body, careful=True, back="Close")
    if plan.header.config.trash:
        body.append("\nWhat is overwritten or deleted stays in the trash for Undo.\n", "dim")
    else:
        body.append("\nThere is no trash for this pair: what is overwritten or deleted is gone.\n", colours["warning"])
    title = f"{words.number(plan.size(), 'change')}, {words.size(right + left)}"
    if deletes:
        title += f", {words.number(deletes, 'file')} to be deleted"
    return Question(title, body, go="Delete and sync" if deletes else "Sync", careful=deletes > 0)


def _notes(counts: Mapping[str, int]) -> Iterator[str]:
    for note, meaning in words.NOTES.items():
        if counts.get(note):
            yield f"{counts[note]:>9,}  {meaning}"


def taking_back(record: RunRecord, places: str) -> Question:
    """Whether a run should be undone."""
    body = Text.assemble(
        (f"{places}\n", "bold"), (f"run {record.run}, {record.started[:19].replace('T', ' ')} UTC\n\n", "dim")
    )
    for action, count in effects(record).items():
        if count:
            body.append(f"{count:>9,}  {words.EFFECTS[action]}\n")
    body.append(
        "\nEach file is put back only where it still is as the run left it. What was put back is held: later syncs "
        "skip it until it changes.\n",
        "dim",
    )
    return Question("Undo the last run?", body, go="Undo", back="Cancel")


def details(row: Row) -> Question:
    """Everything about one row."""
    body = Text()
    for label, text in described(row):
        body.append(f"{label:<9}", "dim")
        body.append(f"{text}\n")
    return Question("Details", body, back="Close")


class Choice(ModalScreen[str]):
    """Which of several named syncs to open. Answers its name, empty for none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss('')", "Quit", key_display="Esc"),
        Binding("ctrl+c", "dismiss('')", "Quit", show=False, priority=True),
    ]

    def __init__(self, jobs: Mapping[str, SyncJob]) -> None:
        super().__init__()
        self._jobs = jobs

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(classes="dialog"):
            yield Static("Which places? Enter opens them.", classes="title")
            yield OptionList(
                *(
                    Option(
                        Text.assemble(
                            (name, "bold"), (f"  {job.left} {words.ARROWS[job.options.mode]} {job.right}", "dim")
                        ),
                        id=name,
                    )
                    for name, job in self._jobs.items()
                )
            )
        yield KeyLine(id="keys")

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Close with the name."""
        self.dismiss(event.option_id or "")
