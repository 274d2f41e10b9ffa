"""The pictures of the terminal UI: a real run, drawn. `python -m tests.tui.picture` draws them anew."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path

from tests.docs.pages import DOCS
from tests.docs.picture import FONTS
from tests.tui.conftest import Driver, write
from trueup.config import SyncConfig, SyncJob, load
from trueup.sync import sync
from trueup.tui.app import SyncApp

SIZE = (104, 30)
RUNNING = DOCS / "assets" / "ui.svg"
ASKING = DOCS / "assets" / "ui-preview.svg"
PICTURES = {"running": RUNNING, "asking": ASKING}


def prepare(folder: Path) -> None:
    """A site that was synced once and has changed on both sides since."""
    site, bucket = folder / "site", folder / "bucket"
    for name in ("index.html", "about.html", "img/cat.jpg", "old/draft.html", "old/notes.html"):
        write(site / name, name * 400)
    sync("./site", "./bucket")
    for name in ("index.html", "about.html"):
        write(site / name, name * 500)
    write(bucket / "about.html", "edited on the right, too\n" * 40)
    for number in range(1, 19):
        write(site / "img" / f"holiday-{number:02}.jpg", "x" * (90_000 + number * 7_919))
    write(bucket / "reports" / "2026-11.csv", "a,b\n" * 3_000)
    (site / "old" / "draft.html").unlink()
    (site / "old" / "notes.html").unlink()


async def shoot(picture: str, *, size: tuple[int, int] = SIZE, light: bool = False) -> str:
    """The screen while a run works, or while it asks, as SVG. To be called in the folder that was prepared."""
    job = SyncJob(left="./site", right="./bucket", options=SyncConfig(delete=True, workers=2, bwlimit=700_000))
    app = SyncApp({"site": job}, load(), clean=lambda text: text, clock=lambda: "10:34:07")
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        user = Driver(app, pilot)
        if light:
            await user.press("t")
        await user.press("s")
        await user.asked()
        await pilot.pause(0.3)
        if picture == "running":
            (Path("site") / "img" / "holiday-02.jpg").unlink()
            await user.press("shift+tab", "enter")
            await user.until(lambda: user.screen._numbers.moved > 1_500_000)
            await pilot.pause(0.3)
        drawn = app.export_screenshot(title="trueup ui site", simplify=True)
        await user.press("ctrl+c")
        await user.idle()
    return bare(drawn)


def bare(drawn: str) -> str:
    """The picture with the fonts of whoever looks at it: nothing is fetched."""
    drawn = re.sub(r"<!--.*?-->\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"terminal-\d+", "ui", drawn)
    return re.sub(r"font-family: ?[^;]*;", f"font-family: {FONTS};", drawn)


def draw(picture: str, **options: bool) -> str:
    """One picture, of a session in a folder of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        before = Path.cwd()
        os.environ["TRUEUP_HOME"] = f"{temporary}/state"
        os.chdir(temporary)
        try:
            prepare(Path(temporary))
            return asyncio.run(shoot(picture, **options))
        finally:
            os.chdir(before)
            del os.environ["TRUEUP_HOME"]


if __name__ == "__main__":
    for name, path in PICTURES.items():
        path.write_text(draw(name), "utf-8")
