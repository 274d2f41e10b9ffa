"""The pages, as somebody sees them in Chromium."""

from __future__ import annotations

import re
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.server import Server
from tests.web.browser import visit
from tests.web.conftest import grow
from trueup import Pool, records
from trueup.config import Settings

PAGES = ("/", "/sync", "/reconcile", "/runs", "/records", "/records/p1", "/records/odd", "/runs/nonsense")


def test_the_overview_shows_how_full_each_provider_is(page: Page, settings: Settings):
    with closing(Pool.from_config(settings)) as pool:
        pool.put([b"x" * (512 << 10)], "half")
    page.goto("/")
    gauge = page.get_by_role("img", name="a: 512.0 KiB used, 0 B reserved, of 1.0 MiB")
    expect(gauge).to_be_visible()
    drawn = [gauge.locator(part).bounding_box() for part in (".track", ".used")]
    assert drawn[0]
    assert drawn[1]
    assert drawn[1]["width"] == pytest.approx(drawn[0]["width"] / 2, abs=1)
    expect(page.get_by_role("button", name="Run sync_storage_stats now")).to_be_visible()


def test_a_preview_says_what_a_sync_would_do_and_a_sync_does_it(page: Page, server: Server):
    odd = "<img src=x onerror=alert(1)>"
    (server.folder / "left" / odd).write_text("hello")
    page.goto("/sync")
    site = page.get_by_role("article", name="site")
    expect(site).to_contain_text("both ways; of two edits the right one wins; nothing is deleted")
    page.get_by_role("button", name="Preview the sync site").click()
    expect(page.get_by_role("status")).to_have_text("done: dry-run")
    expect(page.get_by_role("heading", name="What it would do")).to_be_visible()
    expect(page.get_by_role("row", name=f"{odd} copy right new planned 5 B")).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text=re.compile("^1$")).first).to_be_visible()
    assert not (server.folder / "right" / odd).exists()
    page.get_by_role("button", name="Sync now").click()
    expect(page.get_by_role("status")).to_have_text("done")
    expect(page.get_by_role("heading", name="What it did")).to_be_visible()
    expect(page.get_by_role("row", name=f"{odd} copy right new done 5 B")).to_be_visible()
    log = page.get_by_role("list", name="What the run says")
    expect(log.get_by_text(f"done: copy right {odd}")).to_be_visible()
    expect(log.get_by_text("finished: ok")).to_be_visible()
    assert (server.folder / "right" / odd).exists()
    done = page.url
    page.goto("/sync")
    site.get_by_role("definition").first.get_by_role("link").click()
    expect(page).to_have_url(done)
    page.goto("/sync")
    page.get_by_role("button", name="Preview the sync site").click()
    expect(page.get_by_text("Nothing to do: both sides agree.")).to_be_visible()
    expect(page.get_by_role("button", name="Sync now")).to_have_count(0)


def test_a_run_is_followed_while_it_works_and_cancelled(page: Page, server: Server):
    (server.folder / "many").mkdir()
    for number in range(40):
        (server.folder / "many" / f"{number:02}.bin").write_bytes(bytes([number]) * (50 << 10))
    page.goto("/sync")
    page.get_by_role("button", name="Start the sync slow").click()
    expect(page.get_by_text("planned: 40 to do")).to_be_visible()  # told by the stream, without loading the page again
    expect(page.get_by_text("done: copy right 01.bin")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("running")
    expect(page.get_by_text(re.compile(r"^\d+ of 40, .* KiB of 2.0 MiB"))).to_be_visible()
    assert 0 < page.get_by_role("progressbar", name="Progress").evaluate("(bar) => bar.position") < 1
    running = page.url
    page.goto("/sync")
    page.get_by_role("button", name="Start the sync slow").click()
    expect(page).to_have_url(running)  # there is one at a time: that one is shown
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert 0 < len(list((server.folder / "many there").glob("*.bin"))) < 40


def test_records_say_where_a_value_comes_from_and_how_it_grew(page: Page, settings: Settings):
    page.goto("/records/p1")
    expect(page.get_by_text("Nothing was merged yet. Press Sync")).to_be_visible()
    grow(settings, {"2026-11-01": 5})
    page.reload()
    page.get_by_role("link", name="x.com/nasa").click()
    expect(page.get_by_text("A line needs two days")).to_be_visible()
    grow(settings, {"2026-11-03": 1200, "2026-11-02": 9})
    records.pin("x.com/nasa", "followers", "1500", settings=settings)
    page.reload()
    expect(page.get_by_role("row", name=re.compile(r"followers 1,500 pin .*sheet"))).to_be_visible()
    expect(page.get_by_role("img", name="followers, from 5 on 2026-11-01 to 1,200 on 2026-11-03")).to_be_visible()


def test_a_phone_shows_each_page_without_scrolling_sideways(browser: Browser, server: Server):
    with visit(browser, server.url, viewport={"width": 320, "height": 640}) as page:
        for path in PAGES:
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, path


def test_the_colours_follow_the_system(browser: Browser, server: Server):
    seen = {}
    for scheme in ("light", "dark"):
        with visit(browser, server.url, color_scheme=scheme) as page:
            page.goto("/")
            seen[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert seen == {"light": "rgb(245, 247, 248)", "dark": "rgb(16, 22, 27)"}


def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Page):
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    preview = page.get_by_role("button", name="Preview the sync site")
    for _ in range(2):  # its name leads to its rules
        page.keyboard.press("Tab")
    expect(preview).to_be_focused()
    assert preview.evaluate("(button) => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("done")


def test_without_javascript_a_run_is_started_and_watched(browser: Browser, server: Server):
    with visit(browser, server.url, java_script_enabled=False) as page:
        page.goto("/")
        page.get_by_role("button", name="Preview the sync site").click()
        expect(page.get_by_role("status")).to_have_text("done: dry-run", timeout=20_000)  # the page loads itself again


def test_what_is_not_there_is_a_page_too(page: Page):
    for path, said in {
        "/runs/nonsense": "there is no run nonsense",
        "/records/nonsense": "there is no project nonsense",
    }.items():
        answer = page.goto(path)
        assert answer
        assert answer.status == 404
        expect(page.get_by_text(said)).to_be_visible()
        expect(page.get_by_role("link", name="To the overview")).to_be_visible()
