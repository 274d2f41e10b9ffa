"""What a server shows that has seen some days: drift, findings and their filters; and the pictures of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.server import Server
from tests.web.browser import visit
from tests.web.pictures import FOLDER, draw, world


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with world(tmp_path_factory.mktemp("story")) as running:
        yield running


def rows(page: Page) -> list[str]:
    """The findings, each without its run."""
    found = page.get_by_role("region", name="Findings").get_by_role("row").all_inner_texts()
    return [" ".join(row.split("\t")[:6]) for row in found[1:]]


def test_drift_is_seen_at_once_and_findings_are_filtered(browser: Browser, server: Server):
    with visit(browser, server.url) as page:
        page.goto("/")
        azure, gcs, s3 = (page.get_by_role("article").filter(has_text=name) for name in ("azure", "gcs", "s3"))
        expect(azure).to_contain_text("In step with the cloud on")
        expect(gcs).to_contain_text("The cloud held 1 file more and 6.8 KiB more than the books on")
        expect(s3).to_contain_text("The cloud held 1 file fewer and 900.0 KiB less than the books on")
        expect(s3).to_contain_text("the books were made true")
        s3.get_by_role("link", name="What was found").click()
        orphan, missing = "left-behind.tmp orphan gcs – 6.8 KiB done", "talk.mp3 missing s3 900.0 KiB – done"
        assert rows(page) == [missing]
        page.get_by_role("combobox", name="Verdict").select_option("orphan")
        page.get_by_role("button", name="Filter").click()
        expect(page.get_by_text("Nothing was found of this kind.")).to_be_visible()
        page.get_by_role("link", name="Show all").first.click()
        assert rows(page) == [orphan, missing]
        page.get_by_role("combobox", name="Verdict").select_option("orphan")
        page.get_by_role("button", name="Filter").click()
        assert rows(page) == [orphan]
        (server.folder / "azure").rename(server.folder / "azure away")
        page.get_by_role("button", name="Compare now").click()
        expect(page.get_by_role("status")).to_have_text("done: partial")
        page.get_by_role("link", name="What it found").click()
        unread = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="azure"))
        expect(unread).to_have_text(re.compile("unknown.*is not there.*not touched", re.DOTALL))
        page.goto("/")
        expect(azure).to_contain_text("The cloud could not be read on")
        (server.folder / "azure away").rename(server.folder / "azure")


def test_the_pictures_are_of_what_is_shown_and_small(browser: Browser, server: Server, tmp_path: Path):
    draw(browser, server, tmp_path)
    drawn, kept = ({path.name: path for path in folder.glob("dashboard-*.png")} for folder in (tmp_path, FOLDER))
    assert drawn.keys() == kept.keys(), "draw them anew: python -m tests.web.pictures"
    for path in kept.values():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < 120_000


def test_many_findings_come_by_pages(server: Server):
    for number in range(10_001):
        (server.folder / "azure" / f"{number:05}").touch()
    server.over(server.post("/api/admin/sync-storage-stats").json["task_id"])
    filtered = "?provider=azure&verdict=orphan&"

    def shown(query: str) -> tuple[list[str], str, list[str]]:
        """The keys, how many of how many, and where the links to other pages lead."""
        text = unescape(server.get(f"/reconcile{query}").body.decode())
        assert "the first 10,000 findings are kept" in text
        [count] = re.findall(r"[\d,]+ to [\d,]+ of [\d,]+", text)
        links = re.findall(r'rel="(?:prev|next)" href="(.*?)"', text)
        return re.findall(r'<th scope="row">(\d{5})<', text), count, links

    assert shown(filtered) == (names(0, 500), "1 to 500 of 10,000", [f"{filtered}page=2"])
    last = (names(9_500, 10_000), "9,501 to 10,000 of 10,000", [f"{filtered}page=19"])
    assert shown(f"{filtered}page=20") == last
    for wrong in ("21", "0", "x"):
        assert server.get(f"/reconcile{filtered}page={wrong}").status == 404


def names(first: int, end: int) -> list[str]:
    return [f"{number:05}" for number in range(first, end)]
