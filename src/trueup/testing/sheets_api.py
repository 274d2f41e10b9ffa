"""What the server of spreadsheets answers, as the real one does."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from trueup.testing.sheets_book import Area, BadRange, Book, Cell, extended, written
from trueup.testing.sheets_described import Call, Mask, masked

Query = Sequence[tuple[str, str]]
_STATES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}
_SAID: Final = {
    401: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid"
    " authentication credential.",
    403: "The caller does not have permission",
    404: "Requested entity was not found.",
    429: "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute per user' of service"
    " 'sheets.googleapis.com'.",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
}
_NAMED: Final = re.compile(
    r"name = '((?:[^'\\]|\\.)*)' and mimeType = 'application/vnd\.google-apps\.spreadsheet' and trashed = false"
)
_LAYOUT: Final = {"range", "values", "majorDimension"}


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, said: str = "", *, reason: str = "") -> None:
        super().__init__(said or _SAID.get(status, ""))
        self.status = status
        self.reason = reason


class Violation(Refusal):
    """A request that no description of Google's allows, or that this server does not know how to answer."""

    def __init__(self, said: str, status: int = 400) -> None:
        super().__init__(status, said)


def error(refusal: Refusal, *, drive: bool = False) -> dict[str, Any]:
    """The document of an error. Drive's are older."""
    inner: dict[str, Any] = {"code": refusal.status, "message": str(refusal)}
    if drive:
        reason = refusal.reason or {404: "notFound", 403: "insufficientFilePermissions"}.get(refusal.status, "error")
        return {"error": inner | {"errors": [{"message": str(refusal), "domain": "global", "reason": reason}]}}
    inner["status"] = _STATES.get(refusal.status, "UNKNOWN")
    if refusal.reason:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        inner["details"] = [{"@type": kind, "reason": refusal.reason, "domain": "googleapis.com"}]
    return {"error": inner}


def answer(call: Call, books: Mapping[str, Book], query: Query, body: bytes) -> object:
    """The document that answers a call, which holds to the description. Raises `Refusal`."""
    for wrong in call.wrong_query(query):
        raise Violation(f"Invalid JSON payload received. {wrong}")
    try:
        document: Any = json.loads(body) if body else None
    except ValueError as fault:
        raise Violation("Invalid JSON payload received.") from fault
    if wrong := call.wrong_body(document):
        raise Violation(f"Invalid JSON payload received. {wrong}")
    fields = dict(query).get("fields", "")
    try:
        mask = call.mask(fields) if fields else {}
    except ValueError as fault:
        raise Violation(f"Request contains an invalid argument. {fault}") from fault
    try:
        match call.id:
            case "sheets.spreadsheets.get":
                found: object = _get(_book(call, books), query, mask)
            case "sheets.spreadsheets.values.batchGet":
                found = _batch_get(_book(call, books), query)
            case "sheets.spreadsheets.values.batchUpdate":
                found = _batch_update(_book(call, books, write=True), document)
            case "drive.files.list":
                found = _list(books, dict(query))
            case _:
                raise Violation(f"{call.id} is not served here", 501)
    except BadRange as fault:
        raise Refusal(400, str(fault)) from fault
    found = masked(found, mask)
    if wrong := call.wrong_answer(found):
        raise Violation(f"the answer is not as described: {wrong}", 500)
    return found


def _book(call: Call, books: Mapping[str, Book], *, write: bool = False) -> Book:
    book = books.get(call.named["spreadsheetId"])
    if book is None:
        raise Refusal(404)
    if not book.shared or (write and not book.editable):
        raise Refusal(403)
    return book


def _get(book: Book, query: Query, mask: Mask) -> dict[str, Any]:
    named = [value for name, value in query if name == "ranges"]
    areas = [book.area(one) for one in named] or [tab.area() for tab in book.tabs.values()]
    # A selection of fields decides alone.
    full = "data" in mask.get("sheets", {}) if mask else dict(query).get("includeGridData") == "true"
    sheets = []
    for tab in dict.fromkeys(area.tab for area in areas):
        sheet: dict[str, Any] = {
            "properties": {
                "sheetId": tab.number,
                "title": tab.title,
                "index": tab.number,
                "sheetType": "GRID",
                "gridProperties": {"rowCount": tab.rows, "columnCount": tab.columns},
            }
        }
        if full:
            sheet["data"] = [_data(book, area) for area in areas if area.tab is tab]
        sheets.append(sheet)
    return {
        "spreadsheetId": book.id,
        "properties": {"title": book.title, "locale": book.locale, "autoRecalc": "ON_CHANGE", "timeZone": "Etc/GMT"},
        "sheets": sheets,
        "spreadsheetUrl": f"https://docs.google.com/spreadsheets/d/{book.id}/edit",
    }


def _data(book: Book, area: Area) -> dict[str, Any]:
    starts = {"startRow": area.top, "startColumn": area.left}
    data: dict[str, Any] = {name: value for name, value in starts.items() if value}
    rows = []
    for line in area.tab.cells(area):
        values = [_full(book, cell) for cell in line]
        rows.append({"values": values} if values else {})
    return data | ({"rowData": rows} if rows else {})


def _full(book: Book, cell: Cell) -> dict[str, Any]:
    if cell.value is None and not cell.formula:
        return {}
    found: dict[str, Any] = {"formattedValue": book.shown(cell)}
    if cell.formula:
        found["userEnteredValue"] = {"formulaValue": cell.formula}
    elif not cell.spilled:
        found["userEnteredValue"] = extended(cell.value)
    value = cell.value
    if cell.formula and isinstance(value, str) and value.startswith("#"):
        kind = re.sub(r"\W", "_", value[1:].rstrip("!?")).upper()
        found["effectiveValue"] = {"errorValue": {"type": kind.replace("DIV_0", "DIVIDE_BY_ZERO")}}
    else:
        found["effectiveValue"] = extended(value if value is not None else "")
    return found


def _batch_get(book: Book, query: Query) -> dict[str, Any]:
    asked = dict(query)
    if asked.get("majorDimension", "ROWS") != "ROWS":
        raise Violation("only rows are served here", 501)
    how = asked.get("valueRenderOption", "FORMATTED_VALUE")
    dates = asked.get("dateTimeRenderOption", "SERIAL_NUMBER")
    ranges = []
    for area in [book.area(value) for name, value in query if name == "ranges"]:
        values = book.render(area, how, dates)
        ranges.append({"range": str(area), "majorDimension": "ROWS"} | ({"values": values} if values else {}))
    return {"spreadsheetId": book.id} | ({"valueRanges": ranges} if ranges else {})


def _batch_update(book: Book, body: Mapping[str, Any]) -> dict[str, Any]:
    how = body.get("valueInputOption")
    if how not in {"RAW", "USER_ENTERED"}:
        raise Refusal(400, "'valueInputOption' is required but not specified")
    ranges = [(book.area(one["range"]), one) for one in body.get("data", [])]
    for area, one in ranges:  # all of them, or none
        _check(area, one)
    responses = []
    for area, one in ranges:
        book.written.append(str(area))
        rows, columns, cells = set(), set(), 0
        for row, line in enumerate(one["values"], area.top):
            for column, value in enumerate(line, area.left):
                if value is not None:
                    area.tab.put(row, column, written(value, how))
                    rows.add(row)
                    columns.add(column)
                    cells += 1
        response: dict[str, Any] = {"spreadsheetId": book.id, "updatedRange": str(area)}
        counts = {"updatedRows": len(rows), "updatedColumns": len(columns), "updatedCells": cells}
        responses.append(response | {name: count for name, count in counts.items() if count})
    totals = {
        "totalUpdatedRows": sum(one.get("updatedRows", 0) for one in responses),
        "totalUpdatedColumns": sum(one.get("updatedColumns", 0) for one in responses),
        "totalUpdatedCells": sum(one.get("updatedCells", 0) for one in responses),
        "totalUpdatedSheets": len({area.tab.title for area, _ in ranges}),
    }
    return {"spreadsheetId": book.id, "responses": responses} | {name: count for name, count in totals.items() if count}


def _check(area: Area, one: Mapping[str, Any]) -> None:
    if one.keys() - _LAYOUT or one.get("majorDimension", "ROWS") != "ROWS":
        raise Violation("only rows are written here", 501)
    high, wide = len(one["values"]), max(map(len, one["values"]), default=0)
    if high > area.bottom - area.top or wide > area.right - area.left:
        raise Refusal(400, f"Requested writing within range [{area}], but tried writing outside of it")
    for value in (value for line in one["values"] for value in line):
        if value is not None and not isinstance(value, str | int | float):
            raise Refusal(400, f"Invalid values: {value!r}")


def _list(books: Mapping[str, Book], asked: Mapping[str, str]) -> dict[str, Any]:
    found = _NAMED.fullmatch(asked.get("q", ""))
    if not found:
        raise Violation("only a search for the name of a spreadsheet is served here", 501)
    name = re.sub(r"\\(.)", r"\1", found[1])
    files = [
        {"kind": "drive#file", "mimeType": "application/vnd.google-apps.spreadsheet", "id": book.id, "name": book.title}
        for book in books.values()
        if book.shared and book.title.casefold() == name.casefold()
    ]
    return {"kind": "drive#fileList", "incompleteSearch": False, "files": files}


def new_id() -> str:
    """Of a spreadsheet: 44 characters."""
    return ("1" + secrets.token_urlsafe(40))[:44]
