"""What our visitor notices: a check that hears nothing proves nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.api.server import Server
from tests.web.browser import visit

SCRIPTS = {
    "document.images[0].src = 'http://elsewhere.example/x.png'": "elsewhere.example",
    "fetch('http://127.0.0.1:1/').catch(() => null)": "127.0.0.1:1",
    "fetch('/nonsense')": "the server responded with a status of 404",
    "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')": "Applying inline style violates",
    "setTimeout(() => { throw new Error('oh dear') })": "oh dear",
    "console.error('dear me')": "dear me",
}


def misbehave(browser: Browser, server: Server) -> None:
    with visit(browser, server.url) as page:
        page.goto("/runs")
        for script in SCRIPTS:
            page.evaluate(f"{{ {script} }}")
        page.wait_for_timeout(500)


def test_a_visitor_notices_what_a_page_must_not_do(browser: Browser, server: Server):
    with pytest.raises(AssertionError) as noticed:
        misbehave(browser, server)
    assert [said for said in SCRIPTS.values() if said not in str(noticed.value)] == []
