"""A sheet that cannot be read: what is there is merged, what people typed meanwhile is merged later."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

import pytest

from tests.records.world import GoogleWorld
from trueup.cli import main
from trueup.testing.sheets import SheetsServer

SHORT = 'deadline = "300ms"\ntimeout = "200ms"'
"""For what never ends."""
FRESH = '[records.parsed]\nkind = "csv"\npath = "fresh.csv"'


@pytest.fixture
def merged(google: GoogleWorld) -> GoogleWorld:
    """A sheet that was merged once; since then it was edited, and there are fresh numbers."""
    google.sheet(("x.com/a", 100, 5))
    google.fresh(("x.com/a", 50, 6))
    assert google.sync("2026-10-01T10:00:00Z").status == "ok"
    google.sheet(("x.com/a", 300, 5), ("x.com/b", 1, 1))
    google.fresh(("x.com/a", 60, 9), ("x.com/b", 2, 2))
    google.server.requests.clear()
    return google


def test_too_many_requests_are_waited_out(merged: GoogleWorld):
    merged.server.fail(429, times=2)
    result = merged.result()
    assert (result["status"], result["attempts"], result["error"]) == ("ok", 3, None)
    assert merged.accounts["x.com/a"][0] == 300
    assert [asked.status for asked in merged.server.requests] == [200, 429, 429, 200, 200]


def test_google_is_not_asked_before_it_wants_to_be(merged: GoogleWorld):
    merged.server.fail(429, times=1, retry_after=1)
    began = time.monotonic()
    assert merged.result()["attempts"] == 2
    assert 1 <= time.monotonic() - began < 15


@pytest.mark.parametrize("after", [3600, "Fri, 31 Dec 2100 23:59:59 GMT", "9" * 400])
def test_a_wait_beyond_the_deadline_is_not_begun(merged: GoogleWorld, after: float | str):
    merged.server.fail(503, retry_after=after)
    began = time.monotonic()
    assert merged.result()["status"] == "degraded"
    assert time.monotonic() - began < 15
    assert merged.server.count() == 1


def test_all_that_is_read_in_a_run_has_one_deadline(merged: GoogleWorld):
    merged.settings(parsed=FRESH, sheets='deadline = "4s"')
    merged.server.fail(503, on="spreadsheets.get", times=1, retry_after=2)
    merged.server.fail(503, on="values.batchGet", retry_after=2)
    assert merged.result()["status"] == "degraded"
    assert merged.server.count("values.batchGet") == 1


@pytest.mark.parametrize("after", ["Sat, 01 Jan 2000 00:00:00 GMT", "-5", "soon", "Sat, 01 Jan 2000 00:00:00"])
def test_a_wait_that_is_over_or_makes_no_sense_is_our_own(merged: GoogleWorld, after: str):
    merged.server.fail(429, times=1, retry_after=after)
    assert merged.result()["attempts"] == 2


@pytest.mark.parametrize(("on", "reason"), [("sheets.", "RATE_LIMIT_EXCEEDED"), ("drive.", "userRateLimitExceeded")])
def test_a_limit_that_calls_itself_forbidden_is_waited_out(merged: GoogleWorld, on: str, reason: str):
    merged.settings(sheets='spreadsheet = "The numbers"')
    (book,) = merged.server.books.values()
    book.title = "The numbers"
    merged.server.fail(403, times=1, on=on, reason=reason)
    result = merged.result()
    assert (result["status"], result["attempts"]) == ("ok", 2)


FAULTS: dict[str, tuple[str, Callable[[SheetsServer], object]]] = {
    "endless 503": ("sheets_unavailable", lambda server: server.fail(503)),
    "endless 429": ("sheets_unavailable", lambda server: server.fail(429)),
    "a page for people": ("sheets_bad_answer", lambda server: server.fail("html")),
    "a page that blocks": ("sheets_bad_answer", lambda server: server.fail("blocked")),
    "half of the answer": ("sheets_bad_answer", lambda server: server.fail("truncated")),
    "an empty answer": ("sheets_bad_answer", lambda server: server.fail("empty")),
    "an answer of another kind": ("sheets_bad_answer", lambda server: server.fail("list")),
    "half of the values": ("sheets_bad_answer", lambda server: server.fail("truncated", on="values.batchGet")),
    "a hanging server": ("sheets_unavailable", lambda server: server.fail("hang")),
    "a closed connection": ("sheets_unavailable", lambda server: server.fail("drop")),
    "no server": ("sheets_unavailable", lambda server: server.stop()),
    "no tokens": ("sheets_unavailable", lambda server: server.fail(503, on="oauth2")),
    "tokens hang": ("sheets_unavailable", lambda server: server.fail("hang", on="oauth2")),
    "a page for a token": ("sheets_unavailable", lambda server: server.fail("html", on="oauth2")),
    "no token in it": ("sheets_unavailable", lambda server: server.fail("list", on="oauth2")),
    "a tab renamed in between": ("sheets_bad_answer", lambda server: server.after("spreadsheets.get", rename(server))),
}


def rename(server: SheetsServer) -> Callable[[], None]:
    def act() -> None:
        (book,) = server.books.values()
        book.tabs["Renamed"] = book.tabs.pop("A")

    return act


@pytest.mark.parametrize("fault", FAULTS)
def test_without_the_sheet_the_rest_is_merged_and_the_edits_come_with_the_next_run(merged: GoogleWorld, fault: str):
    code, break_it = FAULTS[fault]
    if code == "sheets_unavailable":
        merged.settings(parsed=FRESH, sheets=SHORT)
    break_it(merged.server)
    began = time.monotonic()
    done = merged.sync("2026-10-02T10:00:00Z")
    assert time.monotonic() - began < 15
    result = done.results[0].to_json()
    assert (result["success"], result["degraded"], result["status"]) == (True, True, "degraded")
    assert result["error"]["code"] == code  # type: ignore[index]
    assert (done.exit_code, result["snapshot_count"]) == (1, 1)
    assert merged.accounts == {"x.com/a": (100, 9)}
    if fault == "no server":
        merged.server.start()
    (book,) = merged.server.books.values()
    book.tabs = {"A": book.tabs.get("A") or book.tabs["Renamed"]}
    merged.server.heal()
    merged.settings(parsed=FRESH)
    assert merged.result("2026-10-03T10:00:00Z")["status"] == "ok"
    assert merged.accounts == {"x.com/a": (300, 9), "x.com/b": (2, 2)}


def test_a_server_that_drips_is_not_waited_for(merged: GoogleWorld):
    merged.sheet(*((f"https://x.com/{number}", number, number) for number in range(400)))
    merged.settings(sheets='timeout = "1s"\ndeadline = "1s"')
    merged.server.fail("drip", on="values.batchGet")  # 30 s and more
    began = time.monotonic()
    error = merged.result()["error"]
    assert error["code"] == "sheets_unavailable"
    assert "did not answer within" in error["message"]
    assert time.monotonic() - began < 20


def test_projects_that_share_a_broken_sheet_wait_for_it_once(google: GoogleWorld):
    google.settings(projects=("A", "B", "C"), sheets=SHORT)
    google.server.fail(503)
    began = time.monotonic()
    done = google.sync()
    assert [result.status for result in done.results] == ["degraded"] * 3
    assert time.monotonic() - began < 15
    assert len({result.attempts for result in done.results}) == 1


def test_a_connection_that_was_kept_and_is_gone_is_no_fault(merged: GoogleWorld):
    merged.server.fail("drop", times=1, on="values.batchGet")
    assert merged.result()["status"] == "ok"


# ----- what waiting does not cure


@pytest.mark.parametrize(
    ("code", "said", "break_it"),
    [
        ("sheets_forbidden", "is not shared with reader@example-project", lambda book: setattr(book, "shared", False)),
        ("sheets_not_found", "is not there", lambda book: setattr(book, "id", "gone")),
    ],
)
def test_a_sheet_that_is_kept_from_us_fails_its_projects_at_once(
    merged: GoogleWorld, code: str, said: str, break_it: Callable[[object], None]
):
    (book,) = merged.server.books.values()
    break_it(book)
    merged.server.books = {book.id: book}
    done = merged.sync()
    assert (done.status, done.exit_code) == ("failed", 1)
    error = done.results[0].error
    assert error
    assert error["code"] == code
    assert said in error["message"]
    assert merged.server.count() == 1
    assert merged.accounts == {"x.com/a": (100, 6)}


@pytest.mark.parametrize(
    ("name", "on", "reason"),
    [("Sheets", "sheets.", "SERVICE_DISABLED"), ("Drive", "drive.", "accessNotConfigured")],
)
def test_an_interface_that_is_not_enabled_is_told_from_a_sheet_that_is_not_shared(
    merged: GoogleWorld, name: str, on: str, reason: str
):
    merged.settings(sheets='spreadsheet = "The numbers"' if name == "Drive" else "")
    merged.server.fail(403, on=on, reason=reason)
    error = merged.result()["error"]
    assert error == {
        "code": "sheets_forbidden",
        "message": f"the Google {name} API is not enabled in the project example-project",
    }


def test_a_revoked_key_is_told_and_nothing_is_tried_again(merged: GoogleWorld, capsys: pytest.CaptureFixture[str]):
    merged.server.revoke()
    assert main(["records", "sync", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["results"][0]["error"] == {
        "code": "sheets_credentials",
        "message": "Google does not accept the key of reader@example-project.iam.gserviceaccount.com"
        " (invalid_grant: Invalid JWT Signature.); see that it was not revoked",
    }
    assert merged.server.count("oauth2") == 1
    assert merged.accounts == {"x.com/a": (100, 6)}


def test_a_token_that_was_taken_back_is_replaced(merged: GoogleWorld):
    merged.server.after("spreadsheets.get", merged.server.expire)
    assert merged.result()["status"] == "ok"
    assert merged.server.count("oauth2") == 2


def test_tokens_that_are_never_accepted_are_unusable_credentials(merged: GoogleWorld):
    merged.server.fail(401)
    done = merged.sync()
    assert done.exit_code == 2
    assert merged.server.count() == 2


def test_a_redirect_is_not_followed(merged: GoogleWorld):
    merged.server.fail(302)
    assert merged.result()["error"]["code"] == "sheets_bad_answer"
    assert merged.server.count() == 1


@pytest.mark.parametrize("fault", [503, 403, 401, "html", "truncated", "drop"])
def test_nothing_secret_is_said(
    merged: GoogleWorld, fault: int | str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    key = merged.server.key["private_key"].splitlines()[1]
    merged.settings(sheets=SHORT)
    merged.server.fail(fault)
    with caplog.at_level(logging.DEBUG):
        main(["-vv", "records", "sync", "--json"])
    said = "".join(capsys.readouterr()) + caplog.text
    assert "[SmartSync]" in said
    for secret in (key, "ya29.", "Bearer"):
        assert secret not in said


def test_the_message_for_people_says_what_to_do(merged: GoogleWorld, capsys: pytest.CaptureFixture[str]):
    (book,) = merged.server.books.values()
    book.shared = False
    assert main(["records", "sync"]) == 1
    said = capsys.readouterr().err
    assert "share it with that address" in said
    assert "reader@example-project.iam.gserviceaccount.com" in said
