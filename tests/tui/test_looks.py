"""Every screen as text, in a small and in a large terminal: tests/tui/screens. `UPDATE_SCREENS=1` writes them anew;
read the difference before you commit it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.docs.session import RUN_ID
from tests.tui import picture
from tests.tui.conftest import LARGE, SMALL, Driver, job, play
from trueup.config import SyncJob

SCREENS = Path(__file__).parent / "screens"


def steady(text: str) -> str:
    """The screen without what is different each time: run ids, times, seconds."""
    text = RUN_ID.sub("20261121T103400Z-3f9c1a", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "2026-11-21 10:34:00 UTC", text)
    return re.sub(r"\b\d+\.\d s\b", "0.1 s", text)


def lose(*names: str) -> None:
    for name in names:
        path = Path("site", name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()


async def idle(user: Driver) -> None:
    await user.pilot.pause(0.2)


async def planned(user: Driver) -> None:
    await user.press("r")
    await user.until(user.rows)
    await user.idle()


async def asking(user: Driver) -> None:
    await user.press("s")
    await user.asked()


async def refused(user: Driver) -> None:
    lose("index.html", "about.html", "img", "old")
    await asking(user)


async def finished(user: Driver) -> None:
    await asking(user)
    lose("img/holiday-02.jpg")
    await user.press("shift+tab", "enter")
    await user.idle()


async def details(user: Driver) -> None:
    await planned(user)
    await user.press("enter")
    await user.asked()


async def filtered(user: Driver) -> None:
    await planned(user)
    await user.press("2", "2", "slash", *"html")
    await user.pilot.pause()


async def undoing(user: Driver) -> None:
    await user.press("u")
    await user.asked()


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("scene", [idle, planned, asking, refused, finished, details, filtered, undoing])
def test_the_screen_looks_as_it_did(scene: Callable[[Driver], Awaitable[None]], size: tuple[int, int], tmp_path: Path):
    picture.prepare(tmp_path)
    seen = []

    async def scenario(user: Driver) -> None:
        await scene(user)
        await user.pilot.pause(0.2)
        seen.append(user.text())

    play(scenario, job(delete=True), names=("site",), size=size)
    compare(f"{scene.__name__}-{size[0]}x{size[1]}", seen[0], size)


def test_the_list_of_pairs_looks_as_it_did(tmp_path: Path):
    seen = []

    async def scenario(user: Driver) -> None:
        await user.pilot.pause(0.2)
        seen.append(user.text())

    play(scenario, job(), SyncJob(left="media", right="s3://bucket/media"), names=("site", "media"))
    compare("choosing-80x24", seen[0], SMALL)


def compare(name: str, text: str, size: tuple[int, int]) -> None:
    shown = steady(text)
    lines = text.splitlines()
    assert len(lines) <= size[1]
    assert max(map(len, lines)) <= size[0]
    file = SCREENS / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        file.write_text(shown, "utf-8")
    assert shown == file.read_text("utf-8")


@pytest.mark.parametrize("name", picture.PICTURES)
def test_the_pictures_of_the_guide_are_small_and_fetch_nothing(name: str):
    kept = picture.PICTURES[name].read_text("utf-8")
    assert len(kept) < 100_000
    assert "http" not in kept.replace("http://www.w3.org/2000/svg", "")
    assert "site:" in kept
