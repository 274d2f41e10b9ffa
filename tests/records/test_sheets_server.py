"""The Sheets server that users get: like the real one where it matters, and strict."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from google.auth import jwt
from google.auth.crypt import RSASigner
from google.oauth2.service_account import Credentials

from tests.docs.pages import REFERENCE, blocks
from trueup.testing.sheets import Book, Cell, SheetsServer

SHEETS = "https://www.googleapis.com/auth/spreadsheets"
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def book(server: SheetsServer) -> Book:
    tab = [
        ("name", "n", "", ""),
        (),
        ("a", 1.5, "", "x"),
        ("", Cell(3, formula="=1+2", shown="3.00")),
        (Cell(45000, shown="15.03.2023", date=True), True),
        ("", ""),
    ]
    return server.add("Book", {"It's one": tab, "Two": [(1,)]}, locale="de_DE")


@pytest.fixture
def ask(server: SheetsServer, book: Book) -> Ask:
    token = token_of(server)

    def asked(
        rest: str, *params: tuple[str, str], body: object = None, path: str = f"/v4/spreadsheets/{book.id}"
    ) -> tuple[int, Any]:
        answer = requests.request(
            "GET" if body is None else "POST",
            server.endpoint + path + rest,
            params=params,
            json=body,
            headers={"authorization": f"Bearer {token}"},
            timeout=10,
        )
        return answer.status_code, answer.json()

    return asked


def token_of(server: SheetsServer, scope: str = SHEETS) -> str:
    credentials = Credentials.from_service_account_info(server.key, scopes=[scope])
    answer = granted(server, credentials._make_authorization_grant_assertion())
    return str(answer[1]["access_token"])


def granted(server: SheetsServer, assertion: str | bytes) -> tuple[int, Any]:
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    answer = requests.post(server.endpoint + "/token", data=form, timeout=10)
    return answer.status_code, answer.json()


def ranges(ask: Ask, *named: str, **options: str) -> list[dict[str, Any]]:
    status, answer = ask("/values:batchGet", *(("ranges", one) for one in named), *options.items())
    assert status == 200
    return answer["valueRanges"]  # type: ignore[no-any-return]


def test_what_is_empty_at_the_ends_is_left_out(ask: Ask):
    (found,) = ranges(ask, "'It''s one'", valueRenderOption="UNFORMATTED_VALUE")
    assert found == {
        "range": "'It''s one'!A1:Z1000",
        "majorDimension": "ROWS",
        "values": [["name", "n"], [], ["a", 1.5, "", "x"], ["", 3], [45000, True]],
    }
    (empty,) = ranges(ask, "'It''s one'!C1:C2")
    assert "values" not in empty


def test_values_come_as_they_were_asked_for(ask: Ask):
    named = "'It''s one'!A3:B5"
    assert ranges(ask, named)[0]["values"] == [["a", "1,5"], ["", "3.00"], ["15.03.2023", "TRUE"]]
    found = ranges(ask, named, valueRenderOption="FORMULA")[0]["values"]
    assert found == [["a", 1.5], ["", "=1+2"], [45000, True]]
    found = ranges(ask, named, valueRenderOption="UNFORMATTED_VALUE", dateTimeRenderOption="FORMATTED_STRING")
    assert found[0]["values"] == [["a", 1.5], ["", 3], ["15.03.2023", True]]


def test_ranges_are_written_as_google_understands_them(ask: Ask):
    found = ranges(ask, "'It''s one'!B:B", "Two!A1", "Two", "A1:B2", "Two!A1:ZZ5000", "'It''s one'!A3:B")
    assert [one["range"] for one in found] == [
        "'It''s one'!B1:B1000",
        "Two!A1",
        "Two!A1:Z1000",
        "'It''s one'!A1:B2",
        "Two!A1:Z1000",
        "'It''s one'!A3:B1000",
    ]
    for wrong, said in (
        ("Three!A1", "Unable to parse range: Three!A1"),
        ("'Two", "Unable to parse range: 'Two"),
        ("Two!A2000", "Range (Two!A2000) exceeds grid limits. Max rows: 1000, max columns: 26"),
    ):
        status, answer = ask("/values:batchGet", ("ranges", wrong))
        assert (status, answer["error"]["status"], answer["error"]["message"]) == (400, "INVALID_ARGUMENT", said)


def test_a_selection_of_fields_is_all_that_comes(ask: Ask):
    fields = "properties(title,locale),sheets.properties(title,gridProperties/columnCount)"
    assert ask("", ("fields", fields)) == (
        200,
        {
            "properties": {"title": "Book", "locale": "de_DE"},
            "sheets": [
                {"properties": {"title": title, "gridProperties": {"columnCount": 26}}} for title in ("It's one", "Two")
            ],
        },
    )
    assert "data" not in ask("")[1]["sheets"][0]
    status, answer = ask("", ("ranges", "'It''s one'!A4:B4"), ("fields", "sheets.data"))
    assert status == 200
    formula = {
        "formattedValue": "3.00",
        "userEnteredValue": {"formulaValue": "=1+2"},
        "effectiveValue": {"numberValue": 3},
    }
    assert answer == {"sheets": [{"data": [{"startRow": 3, "rowData": [{"values": [{}, formula]}]}]}]}


def test_what_is_written_stays_raw_or_as_if_it_were_typed(ask: Ask, book: Book):
    body = {"data": [{"range": "Two!A1:E1", "values": [["=1+1", "5", None, "", True]]}]}
    status, answer = ask("/values:batchUpdate", body=body | {"valueInputOption": "RAW"})
    assert (status, answer["totalUpdatedCells"], book.written) == (200, 4, ["Two!A1:E1"])
    assert book["Two"].values == [["=1+1", "5", "", "", True]]
    ask("/values:batchUpdate", body=body | {"valueInputOption": "USER_ENTERED"})
    assert book["Two"]["A1"] == Cell("#ERROR!", formula="=1+1")
    assert book["Two"]["B1"].value == 5
    status, answer = ask("/values:batchUpdate", body=body)
    assert (status, answer["error"]["message"]) == (400, "'valueInputOption' is required but not specified")


def test_a_spreadsheet_that_is_not_shared_is_forbidden_and_one_that_is_not_there_not_found(ask: Ask, book: Book):
    book.editable = False
    assert ask("/values:batchUpdate", body={"valueInputOption": "RAW"})[0] == 403
    book.shared = False
    assert ask("") == (
        403,
        {"error": {"code": 403, "message": "The caller does not have permission", "status": "PERMISSION_DENIED"}},
    )
    assert ask("", path="/v4/spreadsheets/other")[1]["error"]["status"] == "NOT_FOUND"


def test_names_are_looked_up_in_drive(server: SheetsServer, book: Book):
    token = token_of(server, "https://www.googleapis.com/auth/drive.metadata.readonly")
    query = "name = 'bOOk' and mimeType = 'application/vnd.google-apps.spreadsheet' and trashed = false"
    answer = requests.get(
        f"{server.endpoint}/drive/v3/files",
        params={"q": query, "fields": "files(id,name)"},
        headers={"authorization": f"Bearer {token}"},
        timeout=10,
    )
    assert answer.json() == {"files": [{"id": book.id, "name": "Book"}]}


@pytest.mark.parametrize(
    ("rest", "params", "body", "said"),
    [
        ("", [("colour", "red")], None, "Unknown name 'colour': Cannot bind query parameter."),
        ("", [("includeGridData", "maybe")], None, "Invalid value at 'includeGridData': 'maybe'"),
        ("", [("fields", "a"), ("fields", "b")], None, "'fields' is given twice."),
        ("", [("fields", "sheets.colour")], None, "Invalid field selection colour"),
        ("", [("fields", "sheets(properties")], None, "Invalid field selection sheets(properties"),
        ("/values:batchGet", [("valueRenderOption", "PLAIN")], None, "Invalid value at 'valueRenderOption'"),
        ("/values:batchUpdate", [], {"values": []}, "BatchUpdateValuesRequest"),
        ("/values:batchUpdate", [], {"data": [{"range": 5}]}, "5 is not of type 'string'"),
        ("/values:batchUpdate", [], {"data": [{"range": "Two", "values": [5]}]}, "5 is not of type 'array'"),
        ("/values:batchUpdate", [], {"valueInputOption": "CLEAN"}, "'CLEAN' is not one of"),
        (":batchUpdate", [], {"requests": []}, "sheets.spreadsheets.batchUpdate is not served here"),
        ("/cells", [], None, "no method of Google Sheets or Drive"),
    ],
)
def test_what_google_does_not_describe_is_an_error_that_cannot_be_missed(
    rest: str, params: list[tuple[str, str]], body: object, said: str
):
    with pytest.raises(AssertionError) as seen, SheetsServer() as server:  # noqa: PT012 - the end of the with raises
        book = server.add("Book", {"Two": []})
        headers = {"authorization": f"Bearer {token_of(server)}"}
        answer = requests.request(
            "GET" if body is None else "POST",
            f"{server.endpoint}/v4/spreadsheets/{book.id}{rest}",
            params=params,
            json=body,
            headers=headers,
            timeout=10,
        )
        assert answer.status_code in {400, 404, 501}
        assert said in answer.json()["error"]["message"]
    assert said in str(seen.value)


def test_an_answer_that_google_would_not_give_is_an_error_too(server: SheetsServer, ask: Ask, book: Book):
    book.locale = 5  # type: ignore[assignment]
    status, answer = ask("")
    assert status == 500
    assert "5 is not of type 'string'" in answer["error"]["message"]
    assert server.violations.pop().startswith("sheets.spreadsheets.get: the answer is not as described")


def test_a_token_is_needed_and_must_allow_what_is_asked(server: SheetsServer, book: Book):
    url = f"{server.endpoint}/v4/spreadsheets/{book.id}"
    assert requests.get(url, timeout=10).status_code == 401
    for scope, status in ((f"{SHEETS}.readonly", 403), (SHEETS, 200)):
        headers = {"authorization": f"Bearer {token_of(server, scope)}"}
        assert requests.get(url, headers=headers, timeout=10).status_code == 200
        answer = requests.post(
            f"{url}/values:batchUpdate", json={"valueInputOption": "RAW"}, headers=headers, timeout=10
        )
        assert answer.status_code == status
    server.expire()
    assert requests.get(url, headers=headers, timeout=10).status_code == 401


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"iss": "other@example.com"}, "Invalid grant: account not found"),
        ({"aud": "https://example.com"}, "Invalid JWT: Failed audience check."),
        ({"exp": 2**40}, "Invalid JWT: Token must be a short-lived token (60 minutes)."),
        ({"iat": 1000, "exp": 2000}, "Invalid JWT: Check your iat and exp values in the JWT claim."),
    ],
)
def test_the_claims_of_a_key_are_checked(server: SheetsServer, changes: dict[str, object], said: str):
    credentials = Credentials.from_service_account_info(server.key, scopes=[SHEETS])
    claims = jwt.decode(credentials._make_authorization_grant_assertion(), verify=False)
    answer = granted(server, jwt.encode(RSASigner.from_service_account_info(server.key), claims | changes))
    assert answer == (400, {"error": "invalid_grant", "error_description": said})


def test_the_signature_of_a_key_is_checked(server: SheetsServer):
    good = Credentials.from_service_account_info(server.key, scopes=[SHEETS])._make_authorization_grant_assertion()
    head, claims, signature = good.decode().split(".")
    for bad in (f"{head}.{claims}.{signature[:-8]}AAAAAAAA", f"{head}.{claims}", "", "a.b.c"):
        assert granted(server, bad)[1]["error_description"] == "Invalid JWT Signature."
    server.revoke()
    assert granted(server, good)[1] == {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}


def test_a_server_that_goes_down_closes_what_was_kept_open_and_comes_back(server: SheetsServer):
    with requests.Session() as session:
        url = f"{server.endpoint}/v4/spreadsheets/x"
        assert session.get(url, timeout=10).status_code == 401
        server.stop()
        with pytest.raises(requests.ConnectionError):
            session.get(url, timeout=10)
        server.start()
        assert session.get(url, timeout=10).status_code == 401


def test_answers_take_as_long_as_they_are_told_to(server: SheetsServer):
    server.delay = 0.3
    began = time.monotonic()
    requests.get(f"{server.endpoint}/v4/spreadsheets/x", timeout=10)
    assert time.monotonic() - began >= 0.3


def test_a_fault_that_nobody_knows_is_refused(server: SheetsServer):
    with pytest.raises(ValueError, match="no fault is called 'fire'"):
        server.fail("fire")


def test_a_package_that_is_missing_is_told_in_one_line():
    code = "import sys; sys.modules['jsonschema'] = None; import trueup.testing.sheets"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        "trueup.errors.UsageError: SheetsServer needs the package jsonschema. Install: pip install"
        " google-api-python-client jsonschema cryptography"
    )


def test_a_key_is_the_json_that_google_hands_out(server: SheetsServer):
    assert json.loads(json.dumps(server.key))["type"] == "service_account"
    assert server.key["client_email"] == server.email
    assert server.key["token_uri"].startswith(server.endpoint)


def test_the_example_of_the_documentation_works():
    (example,) = [
        block for block in blocks((REFERENCE / "python.md").read_text("utf-8")) if "SheetsServer" in block.text
    ]
    exec(compile(example.text, "python.md", "exec"), {})
