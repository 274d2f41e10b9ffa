"""Fresh numbers from an API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.downloads.server import Site, answer, redirect, reset, serving
from tests.records.world import World

Page = Callable[[BaseHTTPRequestHandler], None]
ROW = {"profile_url": "x.com/a", "followers": 5, "views": 7}


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def api(world: World, site: Site) -> Callable[..., None]:
    """Settings with an API at `/numbers`, and what stands in its answer."""
    world.sheet(("https://x.com/a", 1, 1), ("https://x.com/b", 2, 2))

    def settings(page: Page | object = (), more: str = "", *, path: str = "/numbers", private: bool = True) -> None:
        site.pages["/numbers"] = page if callable(page) else saying(page)
        allowed = "allow_private_addresses = true" if private else ""
        parsed = f'[records.parsed]\nkind = "http"\nurl = "{site.url(path)}"\n{allowed}\n{more}\n'
        world.settings(parsed=parsed)

    return settings


def saying(document: object) -> Page:
    return lambda request: answer(request, 200, json.dumps(document).encode(), Content_Type="application/json")


def first(*pages: Page) -> Page:
    """One page for each request; the last one stays."""
    left = list(pages)

    def page(request: BaseHTTPRequestHandler) -> None:
        now = left.pop(0) if len(left) > 1 else left[0]
        now(request)

    return page


def failing(world: World, **options: Any) -> str:
    """What is told of a project that fails for want of fresh numbers, and stays as it was."""
    result = world.result(**options)
    assert (result["status"], result["error"]["code"]) == ("failed", "parsed_unavailable")
    assert world.accounts == {}
    return str(result["error"]["message"])


# ----- what an answer says


def test_an_answer_is_merged_with_the_sheet(world: World, api: Callable[..., None], site: Site):
    api([ROW, {"profile_url": "https://twitter.com/B?s=20", "followers": 1}, {"profile_url": "x.com/stranger"}])
    assert world.result()["status"] == "ok"
    assert world.accounts == {"x.com/a": (5, 7), "x.com/b": (2, 2)}
    assert site.seen[0]["Accept"] == "application/json"


def test_rows_and_fields_are_found_where_the_settings_say(world: World, api: Callable[..., None]):
    rows = [{"user": {"link": "x.com/a"}, "stats": {"fans": 50}, "views": 60}, {"user": {"link": "x.com/b"}}]
    api(
        {"data": {"items": rows}},
        'rows = "data.items"\nfields = { profile_url = "user.link", followers = "stats.fans" }',
    )
    assert world.result()["issues"] == []
    assert world.accounts == {"x.com/a": (50, 60), "x.com/b": (2, 2)}


def test_a_path_that_no_row_has_is_told(world: World, api: Callable[..., None]):
    api([ROW], 'fields = { followers = "stats.fans" }')
    (issue,) = world.result()["issues"]
    assert issue == {"kind": "missing_column", "field": "followers", "reason": "no row of the answer has stats.fans"}


def test_the_name_of_a_project_is_escaped_in_the_url(world: World, api: Callable[..., None], site: Site):
    api([ROW], path="/numbers?project={name}&all=1")
    settings = world.folder / "trueup.toml"
    settings.write_text(settings.read_text().replace('name = "A"', 'name = "A/ä&b=?"'))
    (world.folder / "sheets/A.csv").rename(world.folder / "sheets/x.csv")
    settings.write_text(settings.read_text().replace("{name}.csv", "x.csv"))
    assert world.result()["status"] == "ok"
    assert site.seen[0][":path"] == "/numbers?project=A%2F%C3%A4%26b%3D%3F&all=1"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (9, 9),
        ("9", 9),
        (9.0, 9),
        (None, 1),
        ("", 1),
        (0, 1),
    ],
)
def test_whole_numbers_count_however_they_are_spelled(world: World, api: Callable[..., None], said: object, kept: int):
    api([ROW | {"followers": said}])
    assert world.result()["issues"] == []
    assert world.accounts["x.com/a"] == (kept, 7)


@pytest.mark.parametrize(
    "said", [True, False, 9.5, "9,000", "9.000", "many", -9, 2**63, 1e300, float("nan"), [9], {"count": 9}, "#REF!"]
)
def test_what_is_no_whole_number_counts_for_nothing_and_is_told(world: World, api: Callable[..., None], said: object):
    api([ROW | {"followers": said}])
    (issue,) = world.result()["issues"]
    assert (issue["kind"], issue["key"], issue["field"]) == ("bad_cell", "x.com/a", "followers")
    assert world.accounts["x.com/a"] == (1, 7)


@pytest.mark.parametrize("said", ["half \ud800 a character", ["a", "b"], {"first": "a"}])
def test_a_text_that_no_database_keeps_is_told(world: World, api: Callable[..., None], said: object):
    api([ROW | {"bio": said}])
    settings = world.folder / "trueup.toml"
    settings.write_text(settings.read_text() + '[records.fields.bio]\nrule = "parsed"\ntype = "text"\n')
    (issue,) = [issue for issue in world.result()["issues"] if issue["kind"] == "bad_cell"]
    assert issue["field"] == "bio"
    assert world.accounts["x.com/a"] == (5, 7)


def test_of_two_rows_of_one_account_the_first_counts_and_both_are_told(world: World, api: Callable[..., None]):
    api([ROW, ROW | {"profile_url": "https://www.x.com/A/", "followers": 900}, {"profile_url": "x.com/z"}] * 2)
    (issue,) = world.result()["issues"]
    assert issue == {"kind": "duplicate_key", "key": "x.com/a", "rows": [1, 2, 4, 5]}
    assert world.accounts["x.com/a"] == (5, 7)


def test_rows_without_a_key_are_left_out(world: World, api: Callable[..., None]):
    api([{"followers": 9}, ROW, {"profile_url": None}, {"profile_url": "\ud800"}, "row", None, 7, [ROW]])
    assert world.result()["issues"] == []
    assert world.accounts["x.com/a"] == (5, 7)


def test_an_empty_list_says_nothing(world: World, api: Callable[..., None]):
    api([])
    assert world.result()["status"] == "ok"
    assert world.accounts == {"x.com/a": (1, 1), "x.com/b": (2, 2)}


@pytest.mark.parametrize(
    ("body", "more", "said"),
    [
        (b"<!doctype html><title>Sign in</title>", "", "its answer is a web page, and no JSON"),
        (b'[{"profile_url": "x.com/a", "vie', "", "its answer is no JSON from character 28 on"),
        (b"", "", "its answer is no JSON"),
        (b"\xff\xfe\xfd", "", "its answer is no JSON"),
        (b"[" * 100_000, "", "its answer is no JSON"),
        (b"[" + b"9" * 10_000 + b"]", "", "its answer is no JSON"),
        (b'{"data": []}', "", "there is no list in its answer"),
        (b'{"data": {"items": 5}}', 'rows = "data.items"', "there is no list at 'data.items' in its answer"),
        (b"[]", 'rows = "data.items"', "there is no list at 'data.items'"),
        (b'[{"url": "x.com/a"}, {"url": "x.com/b"}]', "", "none of the 2 rows has a profile URL at 'profile_url'"),
    ],
)  # fmt: skip
def test_an_answer_of_another_form_fails_its_project(
    world: World, api: Callable[..., None], body: bytes, more: str, said: str
):
    api(lambda request: answer(request, 200, body), more)
    assert said in failing(world)


# ----- who is asked, and with what


def test_headers_go_to_the_host_of_the_url_and_to_nobody_else(
    world: World, api: Callable[..., None], site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PLATFORM", "Bearer 123456")
    (world.folder / "key.txt").write_text("abcdef\n")
    secrets = 'headers = { authorization = "env:PLATFORM", "X-API-Key" = "file:key.txt", User-Agent = "bot" }'
    api([ROW], secrets)
    site.pages["/moved"] = redirect("/numbers")
    with serving() as stranger:
        stranger.pages["/numbers"] = saying([ROW])
        site.pages["/away"] = redirect(stranger.url("/numbers"))
        for path in ("/numbers", "/moved", "/away"):
            settings = world.folder / "trueup.toml"
            settings.write_text(settings.read_text().replace(site.url("/numbers"), site.url(path)))
            assert world.result()["status"] == "ok"
            settings.write_text(settings.read_text().replace(site.url(path), site.url("/numbers")))
        away = {name.lower() for name in stranger.seen[0]}
    for seen in site.seen:
        assert (seen["Authorization"], seen["X-Api-Key"], seen["User-Agent"]) == ("Bearer 123456", "abcdef", "bot")
    assert not away & {"authorization", "x-api-key"}


def test_a_private_address_is_not_asked_unless_that_is_allowed(world: World, api: Callable[..., None], site: Site):
    api([ROW], private=False)
    said = failing(world)
    assert "which is loopback" in said
    assert "set [records.parsed] allow_private_addresses = true" in said
    assert site.connections == 0


def test_a_redirect_to_another_scheme_is_not_followed(world: World, api: Callable[..., None]):
    api(redirect("file:///etc/passwd"))
    assert "redirects to where nothing is fetched" in failing(world)


def test_redirects_without_end_are_given_up(world: World, api: Callable[..., None]):
    api(redirect("/numbers"))
    assert "redirects more than 10 times" in failing(world)


# ----- servers in trouble


def test_an_overloaded_server_is_asked_again_when_it_says(world: World, api: Callable[..., None], site: Site):
    api(
        first(
            lambda request: answer(request, 429, Retry_After="1"), lambda request: answer(request, 503), saying([ROW])
        )
    )
    began = time.monotonic()
    assert world.result()["status"] == "ok"
    assert time.monotonic() - began > 1
    assert len(site.seen) == 3


def test_an_answer_that_breaks_off_is_asked_for_again(world: World, api: Callable[..., None]):
    body = json.dumps([ROW]).encode()

    def broken(request: BaseHTTPRequestHandler) -> None:
        answer(request, 200, body[:20], Content_Length=str(len(body)))

    api(first(broken, reset, saying([ROW])))
    assert world.result()["status"] == "ok"
    assert world.accounts["x.com/a"] == (5, 7)


def test_a_server_that_stays_overloaded_is_given_up_in_time(world: World, api: Callable[..., None], site: Site):
    api(lambda request: answer(request, 503), 'timeout = "2s"')
    began = time.monotonic()
    assert "/numbers could not be asked: the server answered 503" in failing(world)
    assert time.monotonic() - began < 5
    assert len(site.seen) > 1


def test_a_server_that_asks_for_more_patience_than_there_is_is_not_waited_for(
    world: World, api: Callable[..., None], site: Site
):
    api(lambda request: answer(request, 429, Retry_After="3600"))
    assert "the server answered 429" in failing(world)
    assert len(site.seen) == 1


def test_a_server_that_drips_is_given_up_in_time(world: World, api: Callable[..., None]):
    def drip(request: BaseHTTPRequestHandler) -> None:
        answer(request, 200, b"[", Content_Length="1000")
        for _ in range(50):
            time.sleep(0.1)
            request.wfile.write(b" ")

    api(drip, 'timeout = "1s"')
    assert "took longer than [records.parsed] timeout allows" in failing(world)


@pytest.mark.parametrize("code", [401, 403, 404, 204])
def test_a_server_that_refuses_is_asked_once(world: World, api: Callable[..., None], site: Site, code: int):
    api(lambda request: answer(request, code))
    assert f"/numbers answered {code}" in failing(world)
    assert len(site.seen) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_an_answer_that_is_too_large_is_not_read(world: World, api: Callable[..., None], announced: bool):
    def large(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if announced:
            request.send_header("Content-Length", str(10**12))
        request.end_headers()
        while True:
            request.wfile.write(b" " * 65536)

    api(large, 'max_size = "1MiB"')
    assert "more than the 1048576 bytes of [records.parsed] max_size" in failing(world)


def test_a_compressed_answer_is_told(world: World, api: Callable[..., None]):
    api(lambda request: answer(request, 200, b"\x1f\x8b", Content_Encoding="gzip"))
    assert "answered compressed ('gzip')" in failing(world)


def test_of_two_projects_only_the_one_without_an_answer_fails(world: World, api: Callable[..., None]):
    api([ROW], path="/{name}")
    world.sheet(("x.com/c", 3, 3), name="B")
    settings = world.folder / "trueup.toml"
    settings.write_text(settings.read_text() + '[[records.projects]]\nid = "p-B"\nname = "numbers"\n')
    (world.folder / "sheets/B.csv").rename(world.folder / "sheets/numbers.csv")
    done = world.sync()
    assert [result.status for result in done.results] == ["failed", "ok"]
    assert list(world.accounts) == ["x.com/c"]
