from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.server import SETTINGS, Server, serving, world
from tests.web.browser import chromium, visit
from trueup.config import Settings, load

expect.set_options(timeout=20_000)
MORE = """
[sync.slow]
left = "many"
right = "many there"
workers = 1
bwlimit = "100KiB"
[schedule]
smart-sync-all-projects = "off"
[[records.projects]]
id = "odd"
name = "Odd"
[[records.projects]]
id = "big"
name = "Big"
[[records.projects]]
id = "team/accounts/1"
name = "Team"
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all: without a key."""
    with serving(world(tmp_path_factory.mktemp("server"), SETTINGS + MORE)) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with visit(browser, server.url) as opened:
        yield opened


@pytest.fixture
def settings(server: Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The server's own, for what is done beside it."""
    monkeypatch.setenv("TRUEUP_HOME", str(server.folder / "state"))
    monkeypatch.chdir(server.folder)
    return load()


def grow(settings: Settings, followers: dict[str, int]) -> None:
    """Merge another number on each of several days."""
    from trueup import sync_records

    for day, number in followers.items():
        rows = f"https://x.com/nasa,{number}\nhttps://x.com/esa,7\n"
        Path("Project A.csv").write_text(f"profile_url,followers\n{rows}")
        sync_records("p1", settings=settings, at=f"{day}T10:00:00Z")
