"""The screen, driven by keys and clicks over real folders."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import RichLog, Static

from trueup.config import SyncConfig, SyncJob, load
from trueup.tui.app import SyncApp
from trueup.tui.files import FileTable
from trueup.tui.screen import SyncScreen

SMALL, LARGE = (80, 24), (160, 50)

Scenario = Callable[["Driver"], Awaitable[None]]


class Driver:
    """A person at the keyboard."""

    def __init__(self, app: SyncApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> SyncScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, SyncScreen))

    @property
    def table(self) -> FileTable:
        return self.screen.query_one(FileTable)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"it did not come to that; on the screen:\n{self.text()}"
            await self.pilot.pause(0.02)
        await self.pilot.pause()

    async def idle(self) -> None:
        """Until nothing is being done any more."""
        await self.until(lambda: not self.screen._doing and not self.screen._runner.inbox)

    async def asked(self) -> None:
        """Until a question stands there."""
        await self.until(lambda: not isinstance(self.app.screen, SyncScreen))

    def rows(self) -> list[tuple[str, str, str]]:
        return [(row.verb, row.name, row.status) for row in self.table.rows.shown]

    def log(self) -> str:
        return "\n".join(line.text.rstrip() for line in self.screen.query_one(RichLog).lines)

    def statistics(self) -> str:
        return str(self.screen.query_one("#statistics", Static).content)

    def text(self) -> str:
        """The screen as text, line by line."""
        width, height = self.app.size
        console = Console(width=width, height=height, file=open("/dev/null", "w"), record=True)  # noqa: PTH123, SIM115
        with console.file:
            console.print(self.app.screen._compositor.render_update(full=True, simplify=False))
        return "\n".join(line.rstrip() for line in console.export_text().split("\n")).rstrip("\n") + "\n"


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with something to do in both directions."""
    left, right = tmp_path / "site", tmp_path / "bucket"
    write(left / "index.html", "hello\n")
    write(left / "img" / "cat.jpg", "x" * 3_000)
    write(right / "notes.txt", "new on the right\n")
    return left, right


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def job(**options: object) -> SyncJob:
    """The folders of `places`, as somebody in that folder names them."""
    return SyncJob(left="./site", right="./bucket", options=SyncConfig(**options))  # type: ignore[arg-type]


def play(
    scenario: Scenario,
    *jobs: SyncJob,
    names: tuple[str, ...] = ("",),
    size: tuple[int, int] = SMALL,
    clean: Callable[[str], str] = lambda text: text,
) -> SyncApp:
    """Run a scenario on a screen of that size, and return the application it left."""

    async def run() -> SyncApp:
        app = SyncApp(dict(zip(names, jobs or (job(),), strict=True)), load(), clean=clean, clock=lambda: "12:00:00")
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await scenario(Driver(app, pilot))
        return app

    return asyncio.run(run())
