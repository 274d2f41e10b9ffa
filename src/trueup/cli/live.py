"""A run while it works: its events on stderr, a progress bar on a terminal, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from trueup import events
from trueup.cli import words
from trueup.cli.ui import Ui
from trueup.errors import TrueupError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.status import Status


class Listener:
    """Renders the events of one run, and remembers its id."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._bar = _Bar(ui) if wants_bar(ui) else None
        self._json = ui.common.log_format == "json"
        self.run = ""

    def __call__(self, event: events.Event) -> None:
        """Say it, or draw it."""
        self.run = event.run
        if self._json:
            self._ui.event(event.to_json())
        elif isinstance(event, events.Warned):
            self._ui.warn(event.message)
        elif self._bar is not None:
            self._bar.show(event)

    def rest(self, text: str) -> None:
        """Show a text between two runs."""
        if self._bar is not None:
            self._bar.rest(text)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()


def wants_bar(ui: Ui) -> bool:
    """Whether progress is drawn: on a terminal, unless it was asked for otherwise."""
    common = ui.common
    quiet = common.quiet or common.verbose or common.log_format == "json"
    return not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class _Bar:
    """The progress bar: first what was listed, then what was done."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._status: Status | None = None
        self._in_bytes = False
        self._settled = 0

    def show(self, event: events.Event) -> None:
        """Bring the bar up to date."""
        match event:
            case events.RunStarted():
                self._settled = 0
            case events.Listing():
                progress, task = self._started()
                detail = words.number(max(event.left_entries, event.right_entries), "file")
                if self._settled:  # new files are copied meanwhile
                    detail += f", {self._settled:,} copied"
                progress.update(task, description="comparing", detail=detail)
            case events.Planned() if event.actions:
                progress, task = self._started()
                total = event.bytes_right + event.bytes_left
                self._in_bytes = total > 0
                progress.reset(task, total=total or event.actions, description="syncing", detail="")
            case events.Progress() if self._progress is not None and self._task is not None:
                done = event.bytes_done if self._in_bytes else event.actions_done
                speed = self._progress.tasks[0].speed
                detail = f"{event.actions_done:,} of {words.number(event.actions, 'change')}"
                if self._in_bytes:
                    detail += f"  {words.size(event.bytes_done)} of {words.size(event.bytes)}"
                    detail += f"  {words.size(speed)}/s" if speed else ""
                self._progress.update(self._task, completed=done, detail=detail)
            case events.ItemFinished():
                self._settled += event.outcome == "done"
            case events.RunFinished():
                self.close()

    def rest(self, text: str) -> None:
        """A text in its place."""
        self.close()
        from rich.console import Console

        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self._status = console.status(text)
        self._status.start()
        self._ui.through = console

    def close(self) -> None:
        """Remove it."""
        if self._status is not None:
            self._ui.through = None
            self._status.stop()
            self._status = None
        if self._progress is not None:
            self._ui.through = None
            self._progress.stop()
            self._progress = None

    def _started(self) -> tuple[Progress, TaskID]:
        if self._progress is None or self._task is None:
            self.close()
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

            console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[detail]}", markup=False),
                TimeRemainingColumn(compact=True, elapsed_when_finished=False),
                console=console,
                transient=True,
                refresh_per_second=8,
            )
            self._task = self._progress.add_task("comparing", total=None, detail="")
            self._progress.start()
            self._ui.through = console
        return self._progress, self._task


class StopSwitch:
    """The first SIGINT or SIGTERM asks the run to stop, the second ends the process.

    A thread reads the signals from a socket that the interpreter's C handler writes to, so they are seen even while
    the main thread waits inside a library.
    """

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._stop = threading.Event()

    def stopped(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop.is_set()

    def _watch(self, reader: socket.socket) -> None:
        wanted = {signal.SIGINT, signal.SIGTERM}
        while received := reader.recv(1):
            if received[0] not in wanted:
                continue
            if self._stop.is_set():
                os._exit(130)
            self._stop.set()
            self._ui.say("stopping after the running actions; press Ctrl-C again to stop at once")

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Take the signals over, as long as the block lasts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        before_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
        watcher = threading.Thread(target=self._watch, args=(reader,), name="signals", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before_fd)
            writer.close()
            watcher.join(timeout=1)
            reader.close()


def _close(file: TextIO, path: Path) -> None:
    try:
        file.close()
    except OSError as error:
        raise TrueupError(f"{path} cannot be written: {error.strerror}", cure="Name another file") from error


@contextmanager
def replacing(path: Path | None) -> Iterator[TextIO | None]:
    """A file to write, named as `path`, that takes its place only when the block ends well and has not closed it.
    Raises `UsageError` where it cannot be opened, `TrueupError` where not all of it can be written."""
    if path is None:
        yield None
        return
    special = path.exists() and not path.is_file()
    part = path if special else path.with_name(f".trueup-{os.getpid()}-{path.name}")
    try:
        file = open(path, "w", encoding="utf-8", opener=lambda _, flags: os.open(part, flags, 0o666))  # noqa: SIM115 - below
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", cure="Name another file") from error
    try:
        with file:
            yield file
            if not file.closed:
                _close(file, path)
                if not special:
                    part.replace(path)
    finally:
        if not special:
            part.unlink(missing_ok=True)
