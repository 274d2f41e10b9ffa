"""A server that nobody has set up yet: each page says what to do."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.api.server import serving
from tests.web.browser import visit

SAID = {
    "/": ("There is no pool. Write [pool.providers.NAME]", "Nothing ran yet. Write [sync.NAME]"),
    "/sync": ("No pair is named. Write [sync.NAME]",),
    "/reconcile": ("The books were never compared", "write [pool.providers.NAME]"),
    "/records": ("There are no projects. Write [records]",),
    "/runs": ("Nothing ran yet. Start a job",),
}


def test_what_is_empty_says_what_to_do(browser: Browser, tmp_path: Path):
    (tmp_path / "trueup.toml").write_text("")
    with serving(tmp_path) as server, visit(browser, server.url) as page:
        for path, texts in SAID.items():
            answer = page.goto(path)
            assert answer
            assert answer.status == 200
            for text in texts:
                expect(page.locator(".empty", has_text=text)).to_be_visible()
