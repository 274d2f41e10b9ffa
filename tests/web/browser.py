"""Chromium as somebody's browser, which reaches nothing but this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

PROGRAM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    assert PROGRAM.is_file(), f"no Chromium at {PROGRAM}: install it, or name another one, CHROMIUM=/path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A visitor who was never here before. What the page asks of others fails the test, and whatever its console calls
    an error, but that a page itself is a 404 or the like."""
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(20_000)
    page, wrong = context.new_page(), []

    def heard(said: ConsoleMessage) -> None:
        if said.type == "error" and said.location["url"] != page.url:
            wrong.append(said.text)

    page.on("request", lambda sent: wrong.append(sent.url) if not sent.url.startswith(f"{url}/") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", heard)
    try:
        yield page
    finally:
        context.close()
    assert not wrong, wrong
