from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.api.server import Server, serving, world
from tests.web.browser import chromium, visit


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for a module: without a key."""
    with serving(world(tmp_path_factory.mktemp("server"))) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with visit(browser, server.url) as opened:
        yield opened


def trueup(folder: Path, *words: str) -> None:
    """The command, beside the server."""
    environ = os.environ | {"TRUEUP_HOME": str(folder / "state")}
    subprocess.run([sys.executable, "-m", "trueup", *words], cwd=folder, env=environ, check=True, capture_output=True)


def grow(folder: Path, followers: dict[str, int]) -> None:
    """Merge another number on each of several days."""
    for day, number in followers.items():
        (folder / "Project A.csv").write_text(
            f"profile_url,followers\nhttps://x.com/nasa,{number}\nhttps://x.com/esa,7\n"
        )
        trueup(folder, "records", "sync", "--at", f"{day}T10:00:00Z")
