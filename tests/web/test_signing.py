"""Signing in with the key: what the cookie is, and what opens nothing."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.api.server import SETTINGS, Server, serving, world
from tests.web.browser import visit
from trueup.api import session
from trueup.api.session import LASTS, Sessions

KEY = "correct-horse-battery"
COOKIE = Sessions(KEY).cookie


class Told(NamedTuple):
    status: int
    to: str
    cookie: str
    text: str


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = SETTINGS + '[sync.far]\nleft = "sftp://bot:hunter22@127.0.0.1:1/left"\nright = "right"\n'
    with serving(world(tmp_path_factory.mktemp("locked"), settings), key=KEY) as running:
        yield running


def ask(server: Server, path: str, fields: dict[str, str] | None = None, **headers: str) -> Told:
    """As a browser would, which follows nothing; `fields` are those of a form on a page of ours."""
    method, body = ("GET", None) if fields is None else ("POST", urlencode(fields))
    sent = {"Accept": "text/html"} | ({"Origin": server.url} if fields is not None else {})
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    line = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        line.request(method, path, body, sent)
        answer = line.getresponse()
        text = answer.read().decode()
        return Told(answer.status, answer.headers["Location"] or "", answer.headers["Set-Cookie"] or "", text)
    finally:
        line.close()


def sign_in(server: Server, key: str = KEY, next_page: str = "/", **headers: str) -> Told:
    return ask(server, "/sign-in", {"key": key, "next": next_page}, **headers)


def opens(server: Server, cookie: str) -> bool:
    """Whether pages and routes take this value of the cookie; what they say where they do not."""
    page = ask(server, "/runs", Cookie=f"{COOKIE}={cookie}")
    route = ask(server, "/api/runs", Accept="*/*", Cookie=f"{COOKIE}={cookie}")
    assert (page.status, route.status) in {(200, 200), (303, 401)}
    return page.status == 200


def test_whoever_has_no_key_is_led_to_where_one_signs_in(locked: Server):
    assert ask(locked, "/runs/some%20run")[:3] == (303, "/sign-in?next=%2Fruns%2Fsome%2520run", "")
    assert ask(locked, "/reconcile?provider=%C3%BC").to == "/sign-in?next=%2Freconcile%3Fprovider%3D%25C3%25BC"
    assert ask(locked, "/", Accept="*/*").status == 401
    # A button that was pressed after the cookie ended.
    assert ask(locked, "/start/sync_storage_stats", {})[:2] == (303, "/sign-in?next=%2F")
    assert ask(locked, "/start/sync_storage_stats", {}, Accept="*/*").status == 401
    assert ask(locked, "/sign-in").status == 200
    assert ask(locked, "/static/style.css").status == 200


def test_a_key_that_a_proxy_adds_is_in_nobody_s_way(locked: Server):
    value = Sessions(KEY).new()
    told = {"Cookie": f"{COOKIE}={value}", "Authorization": "Bearer of-the-proxy"}
    assert ask(locked, "/runs", **told).status == 200
    assert ask(locked, "/runs", Authorization="Bearer of-the-proxy").status != 200


@pytest.mark.parametrize("beside", ['prefs={"a":1}', "a=b c", "bad cookie", "x[y]=1", '"', "=x", "foo", "é=1"])
def test_cookies_of_other_applications_are_in_nobody_s_way(locked: Server, beside: str):
    value = Sessions(KEY).new()
    for cookie in (f"{beside}; {COOKIE}={value}", f"{COOKIE}={value}; {beside}"):
        assert ask(locked, "/runs", Cookie=cookie.encode().decode("latin-1")).status == 200


def test_what_is_refused_is_a_page_for_a_browser_and_a_problem_for_a_program(locked: Server):
    signed_in = f"{COOKIE}={Sessions(KEY).new()}"
    for path, status in (("/nosuch", 404), ("/runs/%00", 404), ("/start/nosuch", 405)):
        told = ask(locked, path, Cookie=signed_in)
        assert (told.status, "To the overview" in told.text) == (status, True)
        assert '"status":' in ask(locked, path, Cookie=signed_in, Accept="*/*").text.replace('": ', '":')
    foreign = ask(locked, "/start/sync_storage_stats", {}, Cookie=signed_in, Origin="https://example.com")
    assert (foreign.status, "this comes from a page of another origin" in foreign.text) == (403, True)
    assert "That did not work" in sign_in(locked, key="x" * 70_000).text
    for job, field in (("sync_files", "name"), ("ingest_files", "name"), ("smart_sync_single_project", "project")):
        assert ask(locked, f"/start/{job}", {field: "nope"}, Cookie=signed_in).status == 404


def test_the_right_key_gives_a_cookie_that_scripts_and_other_sites_cannot_use(locked: Server):
    told = sign_in(locked, next_page="/runs?limit=5")
    assert (told.status, told.to) == (303, "/runs?limit=5")
    value, *flags = told.cookie.removeprefix(f"{COOKIE}=").split("; ")
    assert {flag.lower() for flag in flags} == {"httponly", "samesite=strict", "path=/", f"max-age={LASTS}"}
    assert opens(locked, value)
    assert "secure" in sign_in(locked, X_Forwarded_Proto="https").cookie.lower().split("; ")
    assert KEY not in told.cookie


def test_no_page_shows_a_password(locked: Server):
    cookie = f"{COOKIE}={Sessions(KEY).new()}"
    assert "sftp://bot:***@127.0.0.1:1/left" in ask(locked, "/sync", Cookie=cookie).text
    assert "hunter22" not in "".join(ask(locked, path, Cookie=cookie).text for path in ("/", "/sync"))


def test_a_wrong_key_gives_none_and_is_not_repeated(locked: Server):
    for wrong in ("", "guess-battery", KEY[:-1], KEY + " ", "ü\x00"):
        told = sign_in(locked, wrong)
        assert (told.status, told.cookie) == (401, "")
        assert "That is not the key" in told.text
        assert not wrong or wrong not in told.text


def test_a_cookie_that_was_changed_opens_nothing(locked: Server):
    good = Sessions(KEY).new()
    until, salt, signature = good.split(".")
    assert opens(locked, good)
    for bad in (
        f"{int(until) + 1}.{salt}.{signature}",
        f"{until}.{salt[::-1]}.{signature}",
        f"{until}.{salt}.{signature[:-1]}",
        f"{until}.{salt}.{'0' * len(signature)}",
        f"{until}.{salt}.",
        f"{until}{salt}{signature}",
        "..",
        "x.y.z",
        KEY,
        '"\\351"',
    ):
        assert not opens(locked, bad), bad


def test_a_cookie_ends_by_itself_and_with_its_key(locked: Server, monkeypatch: pytest.MonkeyPatch):
    assert not opens(locked, Sessions("another-key").new())
    now = session.time.time()
    monkeypatch.setattr(session.time, "time", lambda: now - LASTS + 600)
    assert opens(locked, Sessions(KEY).new())
    monkeypatch.setattr(session.time, "time", lambda: now - LASTS - 1)
    assert not opens(locked, Sessions(KEY).new())


def test_a_page_of_another_origin_does_nothing_in_the_name_of_who_signed_in(locked: Server):
    cookie = f"{COOKIE}={Sessions(KEY).new()}"
    for path in ("/start/sync_storage_stats", "/sign-out", "/api/admin/sync-storage-stats"):
        for origin in ("https://example.com", "null", "http://127.0.0.1:1", ""):
            assert ask(locked, path, {}, Cookie=cookie, Origin=origin).status == 403
    assert sign_in(locked, Origin="https://example.com").status == 403  # nor does it sign anybody in
    assert ask(locked, "/start/nonsense", {}, Cookie=cookie).status == 404  # one of ours is heard


def test_signing_in_never_leads_to_another_host(locked: Server):
    for elsewhere in (
        "//example.com",
        "/\\example.com",
        "https://example.com/",
        "example.com",
        "javascript:alert(1)",
        "/\t/example.com",
        "\n//example.com",
        "/a\r\nSet-Cookie: a=b",
        "",
    ):
        told = sign_in(locked, next_page=elsewhere)
        assert (told.status, told.to) == (303, "/"), elsewhere


def test_keys_and_signatures_are_compared_in_a_time_that_tells_nothing(monkeypatch: pytest.MonkeyPatch):
    sessions, compared = Sessions(KEY), []
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(session.hmac, "compare_digest", watched)
    assert [sessions.accepts(key) for key in ("", KEY[0], KEY + "x" * 1000, KEY)] == [False, False, False, True]
    assert [sessions.knows(cookie) for cookie in ("", "1.2.3", "x" * 1000, sessions.new())] == [False] * 3 + [True]
    assert compared == [(32, 32)] * 8


def test_whoever_guesses_has_to_wait(tmp_path: Path):
    settings = SETTINGS + '[server]\nrate_limit = "3/hour"\n'
    with serving(world(tmp_path, settings), key=KEY) as limited:
        assert [sign_in(limited, f"guess {number}").status for number in range(4)] == [401, 401, 401, 429]
        assert sign_in(limited).status == 429
        assert opens(limited, Sessions(KEY).new())  # who signed in before is not shut out


def test_without_a_key_this_machine_needs_none(server: Server):
    assert ask(server, "/").status == 200
    assert "Sign out" not in ask(server, "/").text
    for told in (ask(server, "/sign-in"), sign_in(server)):
        assert told[:3] == (303, "/", "")
    assert ask(server, "/", Host="example.com").status == 403
    assert ask(server, "/start/sync_storage_stats", {}, Origin="https://example.com").status == 403


def test_somebody_signs_in_where_they_wanted_to_go_and_out_again(browser: Browser, locked: Server):
    with visit(browser, locked.url) as page:
        page.goto("/records")
        expect(page.get_by_label("API key")).to_be_focused()
        page.keyboard.type("not the key")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("That is not the key")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(re.compile("/records$"))
        expect(page.get_by_role("heading", name="Records")).to_be_visible()
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()
        assert page.context.cookies() == []
        page.goto("/records")
        expect(page).to_have_url(re.compile("/sign-in"))


def test_somebody_is_signed_in_at_two_servers_of_one_host(locked: Server, tmp_path: Path):
    jar: dict[str, str] = {}  # of a browser, to which ports of a host are one place

    def browse(server: Server, path: str, fields: dict[str, str] | None = None) -> Told:
        told = ask(server, path, fields, Cookie="; ".join(f"{name}={value}" for name, value in jar.items()))
        name, _, value = told.cookie.partition(";")[0].partition("=")
        jar.update({name: value} if name else {})
        return told

    with serving(world(tmp_path, SETTINGS), key="another-key") as other:
        for server, key in ((locked, KEY), (other, "another-key")):
            assert browse(server, "/sign-in", {"key": key, "next": "/"}).status == 303
        assert [browse(server, "/runs").status for server in (locked, other)] == [200, 200]
        assert browse(locked, "/sign-out", {}).status == 303
        assert [browse(server, "/runs").status for server in (locked, other)] == [303, 200]
        assert ask(other, "/sign-out", {}).cookie == ""  # whose name is nothing to strangers
