"""How far a run is: progress of the whole and of the current file, and the statistics."""

from __future__ import annotations

import time

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from trueup import events, keys
from trueup.sync.plan import Plan
from trueup.sync.report import SyncRun
from trueup.tui import words
from trueup.tui.gauge import Gauge
from trueup.tui.pace import Pace


class Numbers(Vertical):
    """Two gauges and a line of statistics. It counts what it is told, and draws when `show` is called."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.total = 0
        """Changes to make."""
        self.done = 0
        self.errors = 0
        self.bytes = 0
        """Bytes that will move, and those that did."""
        self.moved = 0
        self._pace = Pace()

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Gauge("All", id="overall")
        yield Gauge("File", id="current")
        yield Static(id="statistics", markup=False)

    def on_mount(self) -> None:
        """Zeros."""
        self._overall = self.query_one("#overall", Gauge)
        self._current = self.query_one("#current", Gauge)
        self.show()

    def begin(self, note: str = "") -> None:
        """Count from zero."""
        self.total = self.done = self.errors = self.bytes = self.moved = 0
        self._pace = Pace()
        self.rest(note)
        self.show()

    def rest(self, note: str) -> None:
        """No progress is known, or none is made any more."""
        self._overall.show(None, note)
        self._current.show(None, "")

    def planned(self, plan: Plan) -> None:
        """So much is to be done."""
        self.total, self.bytes = plan.size(), sum(plan.bytes())
        self.done = self.errors = self.moved = 0
        self._overall.show(0.0, f"{words.number(self.total, 'change')} to make")
        self._current.show(None, "")
        self.show()

    def listed(self, event: events.Listing) -> None:
        """So much was seen."""
        self._overall.show(None, f"comparing: {event.left_entries:,} files left, {event.right_entries:,} right")

    def settled(self, outcome: str) -> None:
        """One action came to its end."""
        if outcome == "done":
            self.done += 1
        elif outcome != "skipped":
            self.errors += 1

    def progressed(self, event: events.Progress) -> None:
        """So far is the run, and so far is the file that is under way."""
        self._pace.mark(time.monotonic(), actions=event.actions_done, amount=event.bytes_done)
        self.moved = event.bytes_done
        parts = [f"{event.actions_done:,} of {event.actions:,}"]
        if rate := self._pace.bytes_rate:
            parts.append(f"{words.size(rate)}/s")
        left = self._pace.left(actions=event.actions - event.actions_done, amount=event.bytes - event.bytes_done)
        if left is not None:
            parts.append(f"{words.clock(left)} left")
        share = event.bytes_done / event.bytes if event.bytes else event.actions_done / max(1, event.actions)
        self._overall.show(share, "  ".join(parts))
        if event.current:
            name = keys.display(event.current).rpartition("/")[2]
            share = event.current_done / max(1, event.current_bytes)
            whole = words.size(event.current_bytes)
            if share:
                self._current.show(share, f"{name}  {words.size(event.current_done)} of {whole}")
            else:  # a small file passes in one piece
                self._current.show(None, f"{name}  {whole}")
        self.show()

    def ended(self, run: SyncRun) -> None:
        """The run is over; its own counts are the last word."""
        self.done = sum(run.counts[name] for name in words.EFFECTS)
        self.errors = run.counts["failed"] + run.counts["drifted"]
        self.moved = run.bytes_right + run.bytes_left
        self.total = max(self.total, self.done + self.errors)
        complete = run.status in {"ok", "partial"} or not self.total
        what = f"{run.job} {run.status}" if run.job == "undo" else run.status
        self._overall.show(1.0 if complete else self.done / self.total, f"{what}, {run.seconds:.1f} s")
        self._current.show(None, "")
        self.show()

    def show(self) -> None:
        """Draw the statistics."""
        moved = words.size(self.moved)
        if self.bytes:
            moved += f" of {words.size(self.bytes)}"
        variables = self.app.theme_variables
        line = Text()
        for label, number, colour in (
            ("Total", f"{self.total:,}", ""),
            ("Synced", f"{self.done:,}", variables["text-success"] if self.done else ""),
            ("Errors", f"{self.errors:,}", variables["text-error"] if self.errors else ""),
            ("Bytes", moved, ""),
        ):
            line.append(f"{label} ", variables["muted"])
            line.append(f"{number}   ", colour)
        self.query_one("#statistics", Static).update(line)
