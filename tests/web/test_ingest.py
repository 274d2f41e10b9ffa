"""Ingest with its diagnosis, as somebody sees it in Chromium."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.server import SETTINGS, Server, serving, world
from tests.web.browser import visit

SOON = 30_000
"""Milliseconds in which a job begins and ends on a busy machine."""
ODD = "<img src=x onerror=alert(1)>"
JOBS = """
[ingest.mute]
source = "sftp://bot@127.0.0.1:{port}/stats"
into = "from mute"
[ingest."{odd}/?a=b#c%2f"]
source = "drop"
"""


class Mute:
    """A server that takes connections and says nothing until it `goes`."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.reached = threading.Event()
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                taken, _ = self.listener.accept()
            except OSError:
                return
            self._taken.append(taken)
            self.reached.set()

    def go(self) -> None:
        # Whoever waits in `accept` would keep it open.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for taken in self._taken:
            taken.close()


@pytest.fixture(scope="module")
def mute() -> Iterator[Mute]:
    server = Mute()
    yield server
    if server.listener.fileno() >= 0:
        server.go()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mute: Mute) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    world(folder, SETTINGS + JOBS.format(port=mute.port, odd=ODD))
    (folder / "go on").touch()
    with serving(folder) as running:
        yield running


def test_a_diagnosis_explains_every_file_until_all_is_well(page: Page, server: Server):
    drop = server.folder / "drop"
    (drop / f"{ODD}.txt").write_text("one")
    page.goto("/ingest")
    page.get_by_role("link", name="stats").click()
    expect(page.get_by_text("Nobody looked lately. Press Diagnose")).to_be_visible()
    page.get_by_role("button", name="Diagnose").click()
    files = page.get_by_role("list", name="Files").get_by_role("listitem")
    expect(files).to_have_count(1, timeout=SOON)
    for said in (f"{ODD}.txt", "the next run takes it", "never seen: matters"):
        expect(files).to_contain_text(said)
    expect(page.get_by_text("1 file not taken yet: trueup ingest stats")).to_be_visible()
    page.get_by_role("button", name="Start the ingest stats").click()
    expect(page.get_by_role("status")).to_have_text("done", timeout=SOON)
    page.goto("/ingest/stats")
    page.get_by_role("button", name="Diagnose again").click()
    expect(page.get_by_text("every file is where it should be")).to_be_visible(timeout=SOON)
    expect(page.get_by_text("healthy")).to_be_visible()
    (drop / (long := "very-long-" * 20)).write_text("x")
    (drop / os.fsdecode(b"half\xff.txt")).write_text("x")
    page.set_viewport_size({"width": 320, "height": 640})
    page.get_by_role("button", name="Diagnose again").click()
    expect(files).to_have_count(2, timeout=SOON)
    expect(files.get_by_text(long)).to_be_visible()
    expect(files.get_by_text(r"half\udcff.txt")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.get_by_role("link", name="refused 1").click()
    expect(files).to_have_count(1)
    page.goto("/ingest")
    row = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="stats", exact=True))
    expect(row).to_contain_text("attention")
    expect(row.get_by_role("link", name="Last run of stats")).to_have_text("done")


def test_no_page_waits_for_a_server_that_says_nothing(page: Page, browser: Browser, server: Server, mute: Mute):
    page.goto("/ingest/mute")
    page.get_by_role("button", name="Diagnose").click()
    assert mute.reached.wait(30)
    expect(page.get_by_text("The server is being asked, since")).to_be_visible(timeout=SOON)
    expect(page.get_by_role("progressbar", name="Diagnosis")).to_be_visible()
    with visit(browser, server.url, java_script_enabled=False) as plain:
        plain.goto("/ingest/mute")
        expect(plain.get_by_text("The server is being asked, since")).to_be_visible()
        plain.get_by_role("button", name="Cancel").click()
        expect(plain.get_by_role("status")).to_contain_text("cancelled", timeout=SOON)
    expect(page.get_by_text("Nothing is known from it")).to_be_visible(timeout=SOON)  # without loading the page again
    mute.go()
    page.get_by_role("button", name="Diagnose again").click()
    why = page.get_by_text(f"the server cannot be read: sftp://bot@127.0.0.1:{mute.port}/stats")
    expect(why).to_be_visible(timeout=SOON)
    expect(page.get_by_text("unknown", exact=True)).to_be_visible()
    expect(page.get_by_text("Nothing was concluded. See that the server can be reached")).to_be_visible()


def test_a_job_that_is_not_well_written_says_what_is_missing(page: Page):
    page.goto("/ingest")
    page.get_by_role("link", name=ODD).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{ODD}/?a=b#c%2f")
    expect(page.get_by_text("has no into. Write it in quotes")).to_be_visible()
    expect(page.locator("main").get_by_role("button")).to_have_count(0)


def test_another_site_cannot_ask_for_a_diagnosis(server: Server):
    assert server.post("/ingest/stats", b"", Origin="https://elsewhere.example").status == 403


def test_without_a_job_or_a_pool_the_pages_say_what_to_write(tmp_path_factory: pytest.TempPathFactory):
    with serving(world(tmp_path_factory.mktemp("empty"), "")) as bare:
        assert b"[ingest.NAME]" in bare.get("/ingest").body
        assert b"[pool.providers.NAME]" in bare.get("/downloads").body
        assert bare.get("/ingest/nonsense").status == bare.get("/downloads/nonsense/delete").status == 404
