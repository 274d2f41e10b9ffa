"""Reading a spreadsheet at Google."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import trueup
from tests.records.world import HEADER, GoogleWorld, World
from trueup.cli import main
from trueup.testing.sheets import Cell, SheetsServer


def kinds(result: dict[str, object]) -> list[tuple[object, ...]]:
    return [(issue["kind"], issue.get("cell"), issue.get("key")) for issue in result["issues"]]  # type: ignore[attr-defined]


def test_a_sheet_is_merged_with_fresh_numbers(google: GoogleWorld):
    google.sheet(("https://x.com/a", 100, 5), ("https://x.com/b", "1,000"))
    google.fresh(("x.com/a", 90, 7), ("x.com/b", 2, 8))
    result = google.result()
    assert (result["status"], result["attempts"], result["issues"]) == ("ok", 1, [])
    assert google.accounts == {"x.com/a": (100, 7), "x.com/b": (1000, 8)}


def test_all_projects_are_read_with_two_requests(google: GoogleWorld):
    names = ("A", "Jon's tab", "Übersicht 2026", "B!C", "A1")
    google.settings(projects=names)
    for number, name in enumerate(names):
        tab = google.book.tabs["A"] if name == "A" else google.server.add(name, {name: []})[name]
        google.book.tabs[name] = tab
        tab.title, tab.number = name, number
        google.sheet((f"x.com/{number}", number, 0), name=name)
    done = google.sync()
    assert [result.status for result in done.results] == ["ok"] * 5
    assert [asked.call for asked in google.server.requests] == [
        "oauth2.token",
        "sheets.spreadsheets.get",
        "sheets.spreadsheets.values.batchGet",
    ]
    assert google.accounts == {f"x.com/{number}": (number, 0) for number in range(5)}


def test_five_thousand_accounts_take_three_requests_and_a_second(google: GoogleWorld):
    google.book.title = "Our numbers"
    google.settings(sheets='spreadsheet = "Our numbers"')
    google.sheet(*((f"https://www.instagram.com/account{number}/", number, number * 7) for number in range(5000)))
    began = time.process_time()
    assert google.result()["updated_count"] == 5000
    assert time.process_time() - began < 5  # a machine under load; the bench measures it
    assert google.server.count() + google.server.count("drive.") == 3


@pytest.mark.parametrize(("locale", "read"), [("en_US", 1234), ("de_DE", 1), ("fr_FR", 1), ("de", 1), ("tlh", 1)])
def test_text_is_read_as_people_of_the_sheets_locale_write_it(google: GoogleWorld, locale: str, read: int):
    google.book.locale = locale
    google.sheet(("x.com/a", "1,234", 1), ("x.com/b", 1, 1))
    google.fresh(("x.com/a", 1, 1))
    result = google.result()
    assert google.accounts["x.com/a"] == (read, 1)
    assert len(result["issues"]) == (read == 1)


def test_cells_are_what_they_come_to_and_what_is_no_number_is_told(google: GoogleWorld):
    google.sheet(
        ("x.com/sum", Cell(150, formula="=A1+B1"), Cell(1500.0, shown="1.5K")),
        ("x.com/date", Cell(45000, shown="3/15/2023", date=True), True),
        ("x.com/error", Cell("#REF!", formula="=Z9"), "=IMPORTXML(A1)"),
        ("x.com/half", 1.5, 1e300),
        ("x.com/exact", 2**53, 2**53 + 2),
        (),
        ("x.com/short",),
        ("Total", 150, 9),
    )
    result = google.result()
    assert google.accounts == {
        "x.com/sum": (150, 1500),
        "x.com/date": (None, None),
        "x.com/error": (None, None),
        "x.com/half": (None, None),
        "x.com/exact": (2**53, None),
        "x.com/short": (None, None),
    }
    assert {issue["cell"] for issue in result["issues"]} == {"B3", "C3", "B4", "C4", "B5", "C5", "C6"}
    assert {issue["kind"] for issue in result["issues"]} == {"bad_cell"}


def test_headers_that_are_equal_after_trimming_fail_their_project_alone(google: GoogleWorld):
    google.book.tabs["B"] = google.server.add("other", {"B": [HEADER, ("x.com/b", 1, 1)]})["B"]
    google.settings(projects=("A", "B"))
    google.sheet(("x.com/a", 1, 1), header=("profile_url", "views", " Views "))
    done = google.sync()
    assert [result.status for result in done.results] == ["failed", "ok"]
    assert done.results[0].error
    assert done.results[0].error["code"] == "duplicate_header"


def test_a_tab_that_is_not_there_fails_its_project_alone(google: GoogleWorld):
    google.settings(projects=("A", "Missing"))
    google.sheet(("x.com/a", 1, 1))
    done = google.sync()
    assert [result.status for result in done.results] == ["ok", "failed"]
    assert done.results[1].error == {
        "code": "missing_tab",
        "message": "'Numbers' has no tab 'Missing'; it has 'A'",
    }


def test_an_empty_tab_after_many_rows_changes_nothing(google: GoogleWorld):
    google.sheet(*((f"x.com/{number}", number, 0) for number in range(400)))
    google.sync()
    google.book["A"].replace([])
    for force in (False, True):
        done = google.sync(force=force)
        assert (done.status, done.exit_code) == ("refused", 3)
        assert done.results[0].error
        assert done.results[0].error["code"] == "rows_vanished"
    assert len(google.accounts) == 400


def test_an_empty_tab_of_a_new_project_has_no_header(google: GoogleWorld):
    google.book["A"].replace([])
    assert google.result()["error"] == {"code": "missing_key_column", "message": "the sheet is empty"}


# ----- how the spreadsheet is named


def test_a_spreadsheet_is_found_by_its_name(google: GoogleWorld):
    google.server.add("NUMBERS", {"A": []})
    book = google.server.add("Bob's \\ numbers", {"A": [HEADER, ("x.com/b", 7, 7)]})
    google.sheet(("x.com/a", 1, 1))
    google.settings(sheets='spreadsheet = "Numbers"')
    assert google.result()["status"] == "ok"
    google.book = book
    done = trueup.sync_records(spreadsheet=book.title, database="other.db")
    assert done.results[0].to_json()["changes"][0]["key"] == "x.com/b"  # type: ignore[index]


def test_a_spreadsheet_is_found_by_its_url(google: GoogleWorld):
    google.sheet(("x.com/a", 1, 1))
    done = trueup.sync_records(spreadsheet=f"https://docs.google.com/spreadsheets/d/{google.book.id}/edit?gid=0#gid=0")
    assert done.status == "ok"
    assert google.server.count("drive.") == 0


def test_a_short_id_is_tried_as_an_id_and_one_word_as_a_name_after_it(google: GoogleWorld):
    book = google.server.add("Other", {"A": [HEADER, ("x.com/b", 7, 7)]}, id="book-1")
    for word in (book.id, "Other"):
        assert trueup.sync_records(spreadsheet=word, database=f"{word}.db").status == "ok"
    assert google.server.count("drive.") == 1


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("No such sheet", "the spreadsheet 'No such sheet' is not there, or not shared with reader@example"),
        ("1" * 44, f"the spreadsheet '{'1' * 44}' is not there"),
        ("Twice told", "2 spreadsheets are called 'Twice told'; name one by its id"),
    ],
)
def test_a_spreadsheet_that_is_not_found_is_told(google: GoogleWorld, word: str, said: str):
    for _ in range(2):
        google.server.add("Twice told", {"A": []})
    done = trueup.sync_records(spreadsheet=word)
    assert (done.status, done.exit_code) == ("failed", 1)
    assert done.results[0].error
    assert done.results[0].error["code"] == "sheets_not_found"
    assert done.results[0].error["message"].startswith(said)
    assert google.accounts == {}


# ----- credentials


def test_credentials_are_a_path_a_file_a_variable_or_googles_own(
    google: GoogleWorld, monkeypatch: pytest.MonkeyPatch, server: SheetsServer
):
    google.sheet(("x.com/a", 1, 1))
    key = google.folder / "key.json"
    monkeypatch.setenv("KEY_ITSELF", json.dumps(server.key))
    monkeypatch.setenv("KEY_PATH", str(key))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    for written in ("key.json", str(key), "file:key.json", "env:KEY_ITSELF", "env:KEY_PATH", ""):
        assert trueup.sync_records(credentials=written).status == "ok", written


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "is no JSON"),
        ("[]", "is no JSON"),
        ("\xff", "cannot be read"),
        ('{"type": "authorized_user"}', "is not the key of a service account"),
        ('{"type": "service_account", "client_email": "a@b", "private_key": "SECRET"}', "has no token_uri"),
        (
            '{"type": "service_account", "client_email": "a@b", "private_key": "SECRET", "token_uri": "http://127.0.0.1:9"}',
            "the private key of a@b is damaged",
        ),
    ],
)
def test_credentials_that_cannot_be_used_are_told_and_hold_no_secret(google: GoogleWorld, content: str, said: str):
    (google.folder / "key.json").write_bytes(content.encode("latin-1"))
    done = google.sync()
    assert (done.status, done.exit_code) == ("failed", 2)
    assert done.results[0].error
    assert done.results[0].error["code"] == "sheets_credentials"
    assert said in done.results[0].error["message"]
    assert "SECRET" not in json.dumps(done.to_json())
    assert google.server.requests == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"token_uri": "oauth2.googleapis.com"}, "its token_uri is no URL"), ({"private_key": "EC"}, "is damaged")],
)
def test_a_key_that_was_tampered_with_is_told(google: GoogleWorld, changes: dict[str, str], said: str):
    if "private_key" in changes:
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        changes = {"private_key": pem.decode()}
    (google.folder / "key.json").write_text(json.dumps(google.server.key | changes))
    error = google.result()["error"]
    assert error["code"] == "sheets_credentials"
    assert said in error["message"]


@pytest.mark.parametrize("written", ["nowhere.json", "file:nowhere.json", "env:NOT_SET", ""])
def test_credentials_that_are_not_there_are_told(google: GoogleWorld, written: str):
    done = trueup.sync_records(credentials=written)
    assert done.exit_code == 2
    assert done.results[0].error
    assert done.results[0].error["code"] == "sheets_credentials"


def test_no_more_is_asked_for_than_is_needed(google: GoogleWorld):
    google.sheet(("x.com/a", 1, 1))
    google.sync()
    base = "https://www.googleapis.com/auth/"
    assert set(google.server.granted) == {base + "spreadsheets.readonly"}
    google.settings(sheets='spreadsheet = "Numbers"\nwrite_back = "true"')
    google.sync()
    assert set(google.server.granted) == {base + "spreadsheets", base + "drive.metadata.readonly"}


def test_a_netrc_does_not_get_between_us_and_the_token(google: GoogleWorld, monkeypatch: pytest.MonkeyPatch):
    (google.folder / "netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(google.folder / "netrc"))
    assert google.result()["status"] == "ok"


# ----- what is needed for it


def test_doctor_says_who_is_asked_and_what_was_found(google: GoogleWorld, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "'Numbers' (en_US) is shared with reader@example-project.iam.gserviceaccount.com; its tabs: A" in said
    google.settings(projects=("A", "B"))
    assert main(["doctor"]) == 1
    assert "'Numbers' has no tab 'B'; it has 'A'" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda google: setattr(google.book, "shared", False), "is not shared with reader@example-project"),
        (lambda google: google.server.revoke(), "does not accept the key of reader@example-project"),
        (lambda google: google.server.stop(), "Google cannot be reached"),
        (lambda google: (google.folder / "key.json").write_text("{"), "is no JSON"),
        (lambda google: (google.folder / "key.json").unlink(), "the file is not there"),
    ],
)
def test_doctor_says_what_is_wrong_with_the_sheet(
    google: GoogleWorld, capsys: pytest.CaptureFixture[str], break_it: Callable[[GoogleWorld], object], said: str
):
    google.settings(sheets='timeout = "1s"')
    break_it(google)
    assert main(["doctor", "--json"]) == 1
    (check,) = [one for one in json.loads(capsys.readouterr().out)["checks"] if one["name"] == "records sheet"]
    assert check["status"] == "fail"
    assert said in check["detail"]


def test_doctor_reads_csv_files(world: World, capsys: pytest.CaptureFixture[str]):
    world.sheet(("x.com/a", 1, 1))
    assert main(["doctor"]) == 0
    (world.folder / "sheets/A.csv").unlink()
    assert main(["doctor"]) == 1
    assert "is not there" in capsys.readouterr().out


def test_without_the_extra_one_line_says_what_to_install(google: GoogleWorld):
    code = "import sys; sys.modules['google.auth.exceptions'] = None; from trueup.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "records", "sync"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "Google Sheets needs the extra 'sheets'" in done.stderr
    assert "pip install 'trueup[sheets]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_of_google_is_loaded_for_csv_files(world: World):
    world.sheet(("x.com/a", 1, 1))
    code = "import sys, trueup; trueup.sync_records(); sys.exit(bool({'requests', 'google.auth'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
