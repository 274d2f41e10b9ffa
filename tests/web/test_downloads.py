"""Downloads, as somebody sees them in Chromium."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.server import SETTINGS, Server, serving, world
from tests.downloads.server import File, Held, Site, answer
from tests.downloads.server import serving as site_serving
from tests.servers import kinds
from tests.web.browser import visit

SOON = 30_000
"""Milliseconds in which a job begins and ends on a busy machine."""
ODD = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with site_serving() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, moto_server: dict[str, str]) -> Iterator[Server]:
    """Its pool is a bucket, which has links."""
    bucket = kinds.make_s3_bucket(moto_server)
    options = "\n".join(f"{name} = {json.dumps(value)}" for name, value in bucket.options.items())
    settings = SETTINGS.replace('url = "a"', f'url = "bucket"\n[stores.bucket]\nurl = "{bucket.url}"\n{options}')
    with serving(world(tmp_path_factory.mktemp("server"), settings)) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_fetched(server: Server) -> None:
    for one in server.get("/api/downloads").json["downloads"]:
        server("DELETE", f"/api/downloads/{one['id']}")


def rows(page: Page):
    return page.get_by_role("list", name="Downloads").get_by_role("listitem")


def fetch(page: Page, url: str) -> None:
    page.goto("/downloads")
    page.get_by_label("URL of a file").fill(url)
    page.get_by_role("button", name="Fetch").click()


def test_a_url_is_fetched_and_shown_while_it_is_on_its_way(page: Page, site: Site):
    go_on = threading.Event()

    def slow(request):
        go_on.wait(60)
        answer(request, 200, b"hello")

    site.pages["/slow.txt"] = slow
    page.goto("/downloads")
    expect(page.get_by_text("Nothing was fetched yet. Write a URL above")).to_be_visible()
    fetch(page, site.url("/slow.txt"))
    expect(rows(page)).to_contain_text("running", timeout=SOON)
    field = page.get_by_label("URL of a file")
    field.fill("https://the next one")
    go_on.set()
    expect(rows(page)).to_contain_text("done", timeout=SOON)
    expect(page.get_by_role("status")).to_have_text("slow.txt: done")
    expect(rows(page)).to_contain_text("5 B at a")
    expect(rows(page)).to_contain_text("kept until")
    expect(field).to_be_focused()  # the page was not loaded again under somebody's hands
    expect(field).to_have_value("https://the next one")


def test_a_new_link_reads_the_file_until_that_is_deleted(browser: Browser, server: Server, site: Site):
    site.pages["/file.txt"] = File(b"hello")
    with visit(browser, server.url, java_script_enabled=False) as page:
        fetch(page, site.url("/file.txt"))
        server.over(page.url.partition("?run=")[2])
        page.get_by_role("link", name="Load the page again").or_(page.get_by_text("done")).first.wait_for()
        page.goto("/downloads")
        page.get_by_role("button", name="New link to file.txt").click()
        link = page.get_by_label("Link, which works until").input_value()
        with urllib.request.urlopen(link, timeout=20) as found:
            assert found.read() == b"hello"
        page.get_by_role("link", name="Downloads").first.click()
        page.get_by_role("link", name="Delete file.txt").click()
        page.get_by_role("link", name="Keep it").click()
        expect(rows(page)).to_have_count(1)
        page.get_by_role("link", name="Delete file.txt").click()
        expect(page.get_by_text("The file (5 B at a) and its record are removed")).to_be_visible()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("Nothing was fetched yet")).to_be_visible()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(link, timeout=20)


def test_what_takes_too_long_is_cancelled(page: Page, site: Site):
    site.pages["/held.bin"] = held = Held()
    fetch(page, site.url("/held.bin"))
    assert held.reached.wait(30)
    page.get_by_role("button", name="Cancel held.bin").click()
    expect(page.get_by_role("status")).to_contain_text("cancelled", timeout=SOON)
    page.goto("/downloads")
    expect(rows(page)).to_contain_text("failed")
    page.get_by_role("link", name="Delete held.bin").click()
    expect(page.get_by_text("The record is removed; it has no file")).to_be_visible()


def test_why_a_url_is_refused_stands_beside_the_field(page: Page):
    for url, why in {
        "": "Write the URL of a file.",
        ODD: "This URL has no scheme. Name one that begins with https:// or http://.",
        "javascript:alert(1)": "A URL of the scheme 'javascript' is not fetched.",
        "https://bot:secret@host/file": "A URL with a user or password is not queued",
    }.items():
        fetch(page, url)
        expect(page.get_by_role("alert")).to_contain_text(why)
        field = page.get_by_label("URL of a file")
        expect(field).to_be_focused()
        expect(field).to_have_value(url)
        expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("Nothing was fetched yet")).to_be_visible()


def test_whatever_files_are_called_is_text_and_stays_on_a_phone(browser: Browser, server: Server, site: Site):
    long = "long" * 60
    site.pages["/odd"] = File(b"x", headers={"Content-Disposition": f'attachment; filename="{ODD}.txt"'})
    site.pages[f"/{long}"] = File(b"x")
    urls = (site.url(f"/odd?<b>{ODD}</b>"), site.url(f"/{long}"), site.url("/not there"))
    sent = [server.post("/api/downloads", {"url": url}).json["task_id"] for url in urls]
    for task in sent:
        server.over(task)
    with visit(browser, server.url, viewport={"width": 320, "height": 640}) as page:
        page.goto("/downloads")
        expect(rows(page)).to_have_count(3)
        for said in ("the server answered 404", long[:100], "/odd?…"):
            expect(rows(page).filter(has_text=said)).to_have_count(1)
        assert page.locator("main img, main b").count() == 0
        for path in (page.url, page.get_by_role("link", name=f"Delete {long[:100]}").get_attribute("href")):
            page.goto(path or "")
            assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_what_a_browser_would_not_send_is_refused_too(server: Server):
    assert server.post("/downloads", f"url=https://host/{'x' * 5000}".encode()).status == 422
    assert server.post("/downloads", b"url=%ED%A0%80%FF").status == 422  # half a character
    for path in ("/downloads", "/downloads/x/url", "/downloads/x/delete"):
        assert server.post(path, b"url=https://host/", Origin="https://elsewhere.example").status == 403
        assert server.post(path, b"url=nothing").status == (422 if path == "/downloads" else 404)
