"""The main screen: one pair of places, what would be done, and what is being done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Horizontal
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Button, Checkbox, Input, Label, Select, Static

from trueup import events
from trueup.config import Settings, SyncJob
from trueup.errors import TrueupError
from trueup.sync.plan import Plan
from trueup.sync.report import SyncRun
from trueup.tui import dialogs, history, rows, words
from trueup.tui.controls import Controls
from trueup.tui.files import FileTable
from trueup.tui.keyline import KeyLine, always_first
from trueup.tui.log import Log
from trueup.tui.numbers import Numbers
from trueup.tui.runner import Broken, Ended, Made, Runner

DRAWN: Final = 0.1
"""Seconds between two looks at what the run said. Everything said in between is drawn at once."""
_LOGGED: Final = 100
"""Problems of single files written to the log at one look; the table shows all of them."""
_RESORTED: Final = 1.0
"""Seconds between two rearrangements of a filtered or sorted table during a run."""
_HINT: Final = "Refresh shows what would be done; Start asks before it does it."


class SyncScreen(Screen[None]):
    """One pair. It shows events and asks; every decision is the engine's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next", key_display="Tab"),
        Binding("enter,space", "press", "Press", show=False),
        Binding("ctrl+c", "stop", "Stop", key_display="^C", priority=True),
        Binding("ctrl+c", "leave", "Quit", key_display="^C", priority=True),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "start", "Start"),
        Binding("r", "refresh_plan", "Refresh"),
        Binding("u", "undo", "Undo"),
        Binding("l", "clear_log", "Clear Log"),
        Binding("t", "theme", "Light/Dark"),
        Binding("escape", "back", "Back to the table", show=False),
    ]

    def __init__(
        self, name: str, job: SyncJob, settings: Settings, clean: Callable[[str], str], *, clock: Callable[[], str]
    ) -> None:
        super().__init__()
        self._title = name
        self._job = job
        self._settings = settings
        self._clean = clean
        self._clock = clock
        self._config = job.options
        self._runner = Runner(settings, clean)
        self._leaving = False
        self._doing = ""
        """`plan`, `preview`, `sync` or `undo`; empty while nothing is done."""
        self._plan: Plan | None = None
        self._hidden = 0
        """Rows of the plan that the table has no room for."""
        self._resorted = 0.0
        self._width = 0
        self._warnings: set[str] = set()
        """What the run at hand warned of."""

    # What it is made of

    def compose(self) -> ComposeResult:
        """From top to bottom; see style.tcss for what changes in a wide or a tall terminal."""
        yield Static(id="places", markup=False)
        yield Controls(self._config, id="controls")
        yield Numbers(id="numbers")
        with Horizontal(id="find"):
            yield Label("Filter")
            yield Input(placeholder="words, as in: failed .jpg", compact=True, id="filter")
            yield Static(id="found", markup=False)
        yield FileTable(id="files")
        yield Log(clock=self._clock, id="log")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Look at what the run said, from now on."""
        self._table = self.query_one(FileTable)
        self._table.hint = _HINT
        self._numbers = self.query_one(Numbers)
        self._show_places()
        self._show_found()
        self._enable()
        self._table.focus()
        self.set_interval(DRAWN, self._look)

    def on_unmount(self) -> None:
        """Nothing goes on behind a screen that is gone, and a plan nobody applied goes with its temporary file."""
        self._runner.stop()
        self._drop_plan()

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """Those of the focus and of the screen; the keys that move and press come first and are always shown."""
        return always_first(super().active_bindings, self.focused)

    # What people do

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """What can be done now; what cannot is shown dimmed, and Ctrl+C means what it says."""
        match action:
            case "stop":
                return bool(self._doing) and not self._runner.stopping
            case "leave":
                return not self._doing or self._runner.stopping
            case "start" | "refresh_plan" | "undo":
                return None if self._doing else True
        return True

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        """A button is another way to press its key."""
        match event.button.id:
            case "start":
                self.action_start()
            case "stop":
                self.action_stop()
            case "refresh":
                self.action_refresh_plan()
            case "undo":
                self.action_undo()
            case "clear":
                self.action_clear_log()

    def action_press(self) -> None:
        """Press the button that has the focus."""
        if isinstance(self.focused, Button):
            self.focused.press()

    def action_start(self) -> None:
        """Plan, show the plan, ask, apply."""
        self._make_plan("preview")

    def action_refresh_plan(self) -> None:
        """Plan, and show the plan."""
        self._make_plan("plan")

    def action_stop(self) -> None:
        """Ask the run to stop."""
        if self._doing and not self._runner.stopping:
            self._runner.stop()
            self._say("stopping after the running files", "warning")
            self._enable()

    def action_leave(self) -> None:
        """Quit; while a run works, stop it first. Asked again, leave without waiting."""
        if not self._doing:
            self.app.exit(0)
        elif not self._leaving:
            self._leaving = True
            self._runner.stop()
            self._say("quitting after the running files; press Ctrl+C again to quit at once", "warning")
            self._enable()
        else:
            self.app.exit(130)

    def action_undo(self) -> None:
        """Ask whether to take the last run of this pair back."""
        try:
            record = history.last_run(self._settings, self._job.left, self._job.right)
        except (TrueupError, OSError) as error:
            self._say(str(error), "error")
            return
        if record is None:
            self._say("there is no run of these two places to undo")
            return
        question = dialogs.taking_back(record, self._places())
        self.app.push_screen(question, lambda yes: self._undo(record.run) if yes else None)

    def action_clear_log(self) -> None:
        """Empty the log."""
        self.query_one(Log).forget()

    def action_filter(self) -> None:
        """Go and type a filter."""
        self.query_one("#filter", Input).focus()

    def action_theme(self) -> None:
        """Dark to light, and back."""
        self.app.theme = "trueup-light" if self.app.theme == "trueup-dark" else "trueup-dark"
        self.call_after_refresh(self._colour_again)

    def _colour_again(self) -> None:
        """Text that is there already has the colours of the theme it was written in."""
        self._numbers.show()
        self.query_one(Log).write_again()

    def on_resize(self, event: Resize) -> None:
        """Break the lines of the log where the screen ends now."""
        if event.size.width != self._width:
            self._width = event.size.width
            self.call_after_refresh(self.query_one(Log).write_again)

    def action_back(self) -> None:
        """From the filter to the table: first the words go, then the focus."""
        words_field = self.query_one("#filter", Input)
        if words_field.has_focus and words_field.value:
            words_field.value = ""
        else:
            self._table.focus()

    @on(Controls.Changed)
    def changed(self, event: Controls.Changed) -> None:
        """Other rules: what was planned under the old ones is no answer any more."""
        self._config = event.config
        self._drop_plan()
        self._table.fill([])
        self._numbers.begin()
        self._show_places()

    @on(Input.Changed, "#filter")
    def typed(self, event: Input.Changed) -> None:
        """Filter as one types."""
        self._table.filter(event.value)

    @on(Input.Submitted, "#filter")
    def submitted(self) -> None:
        """Enter in the filter leads to what it found."""
        self._table.focus()

    @on(FileTable.Opened)
    def opened(self, event: FileTable.Opened) -> None:
        """Show everything about a row."""
        self.app.push_screen(dialogs.details(event.row))

    @on(FileTable.Changed)
    def rearranged(self) -> None:
        """Say how many rows there are."""
        self._show_found()

    # Beginning and ending work

    def _make_plan(self, doing: str) -> None:
        if self._doing:
            return
        self._drop_plan()
        self._begin(doing, "comparing")
        self._say(f"looking at {self._places()} ({words.rules(self._config)})")
        self._runner.plan(self._job.left, self._job.right, self._config)

    def _begin(self, doing: str, note: str = "") -> None:
        self._doing = doing
        self._warnings.clear()
        if note:
            self._numbers.begin(note)
        if isinstance(self.focused, Button | Select | Checkbox):
            self._table.focus()
        self._enable()

    def _end(self) -> None:
        self._doing = ""
        self._table.again()
        self._enable()
        if self._leaving:
            self.app.exit(0)

    def _undo(self, run: str) -> None:
        self._begin("undo", "putting back")
        self._table.fill([])
        self._say(f"undoing the run {run}")
        self._runner.undo(run)

    def _made(self, made: Made) -> None:
        """A plan is here: show it, and go on with what it was made for."""
        plan = self._plan = made.plan
        self._hidden = made.hidden
        self._table.fill(made.rows)
        self._numbers.planned(plan)
        asked = self._doing == "preview" and not self._runner.stopping
        self._end()
        if made.refusal:
            self._say(f"a guard refuses this: {made.refusal}", "error")
        if not plan.size():
            self._say("nothing to do: no change is needed", "success")
        else:
            self._say(f"{words.number(plan.size(), 'change')} planned, {words.size(sum(plan.bytes()))}")
        if not asked or self._leaving:
            return
        if not plan.size() and not made.refusal:
            self._apply(yes=True)  # changes no side, and remembers what agrees
            return
        variables = self.app.theme_variables
        colours = {"warning": variables["text-warning"], "error": variables["text-error"], "text": ""}
        self.app.push_screen(dialogs.preview(plan, made.refusal, self._places(), colours), self._apply)

    def _apply(self, yes: bool | None) -> None:  # noqa: FBT001 - an answer
        plan, self._plan = self._plan, None
        if plan is None:
            return
        if not yes:
            self._plan = plan
            self._say("nothing was changed")
            return
        self._begin("sync")
        self._runner.apply(plan)

    def _ended(self, run: SyncRun) -> None:
        """A run is over: say how."""
        self._numbers.ended(run)
        self._end()
        done, errors = self._numbers.done, self._numbers.errors
        what = f"{words.number(done, 'change')} {'undone' if run.job == 'undo' else 'made'}"
        said = f"{run.status}: {what}, {words.size(self._numbers.moved)} in {run.seconds:.1f} s"
        if errors:
            said += f"; {words.number(errors, 'error')}"
        style = {"ok": "success", "partial": "warning", "interrupted": "warning"}.get(run.status, "error")
        self._say(said, style)
        if run.reason and run.reason not in self._warnings:
            self._say(run.reason, style)

    def _broken(self, broken: Broken) -> None:
        stopped = broken.stopped
        self._numbers.rest("stopped" if stopped else "could not go on")
        self._end()
        self._say(broken.message, "warning" if stopped else "error")
        for line in broken.trace.splitlines():
            self._say(line, "muted")

    # What the run says

    def _look(self) -> None:
        """Draw everything that was said since the last look, once."""
        inbox = self._runner.inbox
        if not inbox:
            return
        finished: list[events.ItemFinished] = []
        while inbox:
            note = inbox.popleft()
            match note:
                case events.ItemFinished():
                    finished.append(note)
                case events.Listing():
                    self._numbers.listed(note)
                case events.Progress():
                    self._numbers.progressed(note)
                case events.Warned():
                    self._warnings.add(note.message)
                    self._say(note.message, "warning")
                case Made():
                    self._made(note)
                case Ended():
                    self._settle(finished)
                    finished = []
                    self._ended(note.run)
                case Broken():
                    self._settle(finished)
                    finished = []
                    self._broken(note)
        self._settle(finished)

    def _settle(self, finished: list[events.ItemFinished]) -> None:
        """Let rows, numbers and log say what became of so many actions."""
        if not finished:
            return
        unplanned, problems = [], []
        for event in finished:
            error = self._clean(event.error) if event.error else ""
            self._numbers.settled(event.outcome)
            if event.outcome != "done":
                problems.append((event, error))
            if self._doing == "undo":
                unplanned.append(rows.finished(event, error))
            elif (row := self._table.rows.find(event.action, event.key)) is not None:
                row.settle(event.outcome, error)
        for event, error in problems[:_LOGGED]:
            self._say(f"{event.outcome}: {event.action.replace('_', ' ')} {event.key}: {error}", "error")
        if len(problems) > _LOGGED:
            self._say(f"… and {len(problems) - _LOGGED:,} more; the table has them all", "error")
        if unplanned:
            self._table.add(unplanned)
        elif self._arranged() and time.monotonic() - self._resorted > _RESORTED:
            self._resorted = time.monotonic()
            self._table.again()
        else:
            self._table.refresh()
        self._numbers.show()

    def _arranged(self) -> bool:
        """Whether other rows may be shown, or in another order, after some changed."""
        return bool(self._table.rows.needle) or self._table.rows.column is not None

    # What the screen shows

    def _show_places(self) -> None:
        name = f"{self._title}: " if self._title else ""
        self.query_one("#places", Static).update(f"trueup  {name}{self._places()}")

    def _places(self) -> str:
        return self._clean(f"{self._job.left} {words.ARROWS[self._config.mode]} {self._job.right}")

    def _show_found(self) -> None:
        table = self._table.rows
        every = len(table.everything)
        text = f"{len(table.shown):,} of {every:,} rows" if table.needle else words.number(every, "row")
        if self._hidden:
            text += f" (+{self._hidden:,})"
        self.query_one("#found", Static).update(text)

    def _enable(self) -> None:
        """Let buttons and keys say what can be done."""
        self.query_one(Controls).enable(busy=bool(self._doing), stopping=self._runner.stopping)
        self.refresh_bindings()

    def _say(self, message: str, style: str = "") -> None:
        """A line in the log."""
        self.query_one(Log).say(self._clean(message), style)

    def _drop_plan(self) -> None:
        if self._plan is not None:
            self._plan.close()
            self._plan = None
