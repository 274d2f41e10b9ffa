"""The pictures of the dashboard in the documentation. `python -m tests.web.pictures` draws them anew."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser

from tests.api.server import Server, serving
from tests.docs.pages import DOCS
from tests.web.browser import chromium, visit
from trueup import Pool, sync_records
from trueup.config import load

FOLDER = DOCS / "assets"
SETTINGS = """
[pool]
quota = "5MiB"
placement = "most-free"
[pool.providers.azure]
url = "azure"
quota = "6MiB"
[pool.providers.gcs]
url = "gcs"
[pool.providers.s3]
url = "s3"
quota = "8MiB"
[reconcile]
grace = "0s"
[sync.backup]
left = "./media"
right = "backup"
mode = "push"
delete = true
[sync.site]
left = "./site"
right = "published"
[records.sheets]
kind = "csv"
path = "{name}.csv"
[records.fields]
followers = "max"
videos = "max"
views = "max"
[[records.projects]]
id = "space"
name = "Space"
[schedule]
smart-sync-all-projects = "off"
cleanup-old-downloads = "off"
"""
SIZES = {"launch.mp4": 4600, "landing.mp4": 4300, "tour.mp4": 2400, "talk.mp3": 900, "poster.png": 300}
"""KiB."""


def prepare(folder: Path) -> None:
    """Somebody's folders, sheets and settings."""
    for name in ("azure", "gcs", "s3", "media", "backup", "site", "published"):
        (folder / name).mkdir()
    (folder / "trueup.toml").write_text(SETTINGS)
    for name, size in {"index.html": 4, "style.css": 2, "photos/moon.jpg": 180, "photos/mars.jpg": 240}.items():
        for place in ("site", "published", "media", "backup"):
            path = folder / place / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x" * (size << 10))


def live(server: Server) -> None:
    """What happened before the pictures are taken."""
    folder = server.folder
    settings = load(folder / "trueup.toml")
    with closing(Pool.from_config(settings)) as pool:
        stored = {name: pool.put([b"x" * (size << 10)], name) for name, size in SIZES.items()}
    today = datetime.now(UTC).replace(hour=6)
    for day in range(12):
        rows = [f"https://x.com/nasa,{81_400 + day**2 * 70},{2100 + day},{91_000 + day * 1300}"]
        rows.append(f"https://youtube.com/@esa,{41_900 + day * 45},{900 + day // 3},{52_000 + day * 410}")
        (folder / "Space.csv").write_text("profile_url,followers,videos,views\n" + "\n".join(rows) + "\n")
        sync_records(settings=settings, at=today - timedelta(days=11 - day))
    for name in ("site", "backup"):
        server.over(server.post(f"/api/sync/{name}").json["task_id"])
    (folder / "media" / "index.html").write_text("<h1>Changed</h1>\n" * 200)
    (folder / "media" / "photos" / "venus.jpg").write_bytes(b"v" * (320 << 10))
    (folder / "media" / "photos" / "mars.jpg").unlink()
    gone = stored["talk.mp3"]
    (folder / gone.provider / "talk.mp3").unlink()
    (folder / "gcs" / "left-behind.tmp").write_bytes(b"x" * 7000)
    server.over(server.post("/api/admin/sync-storage-stats").json["task_id"])


@contextmanager
def world(folder: Path) -> Iterator[Server]:
    """A server that has seen some days."""
    prepare(folder)
    with serving(folder) as server:
        live(server)
        yield server


def draw(browser: Browser, server: Server, folder: Path) -> None:
    """Every picture."""

    def taken(name: str, path: str, *, press: str = "", height: int = 760, **options: object) -> None:
        known = {"viewport": {"width": 1000, "height": height}, "color_scheme": "light"} | options
        with visit(browser, server.url, **known) as page:
            page.goto(path)
            if press:
                page.get_by_role("button", name=press).click()
                page.get_by_text("finished: ").wait_for()
            page.screenshot(path=folder / f"dashboard-{name}.png")

    taken("overview", "/")
    taken("preview", "/sync", press="Preview the sync backup")
    taken("reconcile", "/reconcile")
    taken("account", "/accounts/1")
    phone = {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark"}
    taken("phone", "/", **phone)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["TRUEUP_HOME"] = str(Path(temporary) / "state")
        with chromium() as running, world(Path(temporary)) as serves:
            draw(running, serves, FOLDER)
