"""A spreadsheet at Google: found by its id or its name, its tabs read in one go, cells written back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from trueup.records.cells import a1
from trueup.records.config import Project, RecordsConfig
from trueup.records.google import Google
from trueup.records.issues import BAD_ANSWER, MISSING_TAB, NOT_FOUND, UNAVAILABLE, Issue, Trouble
from trueup.records.locales import PLAIN, NumberForm, number_form
from trueup.records.readmodel import Account
from trueup.records.service_key import ServiceKey, service_key
from trueup.records.table import Table, read_table
from trueup.records.writeback import Cell, decide, wanted

_SCOPES: Final = "https://www.googleapis.com/auth/"
_SPREADSHEET: Final = "application/vnd.google-apps.spreadsheet"
_GOOGLE: Final = "https://sheets.googleapis.com"
_DRIVE: Final = "https://www.googleapis.com"
_AT_ONCE: Final = 100
"""Tabs in one request: their names stand in its URL."""
_CELLS_AT_ONCE: Final = 5000

Grid = list[list[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What a spreadsheet says of itself."""

    id: str
    title: str
    locale: str
    """As Google calls it, like `en_US`."""
    widths: Mapping[str, int]
    """The columns of each tab, by its name."""

    @property
    def form(self) -> NumberForm:
        """How people write numbers in it; digits alone where nobody knows."""
        return number_form(self.locale) or PLAIN


class GoogleSheet:
    """The spreadsheet of the settings. It is found, and the tabs of all projects are read, when the first is asked
    for."""

    def __init__(self, config: RecordsConfig, environ: Mapping[str, str], projects: Sequence[Project]) -> None:
        self._config = config
        self._environ = environ
        self._projects = projects
        self._google: Google | None = None
        self._book: Book | None = None
        self._grids: dict[str, Grid] = {}
        self._trouble: Trouble | None = None
        self._silence: Trouble | None = None
        self._renewed = False

    @property
    def attempts(self) -> int:
        """As in `Sheet`: 1, and each try that was one too many."""
        return 1 + (self._google.again if self._google else 0)

    def close(self) -> None:
        """Let go of the connections."""
        if self._google:
            self._google.close()

    def look(self) -> str:
        """As in `Sheet`. Who is asked as, what was found, how numbers are written there."""
        google, book = self._open()
        tabs = ", ".join(_tab(book, project) for project in self._projects)
        return f"{book.title!r} ({book.locale}) is shared with {google.email}; its tabs: {tabs or 'none is asked for'}"

    def read(self, project: Project) -> Table:
        """As in `Sheet`. What keeps one project from being read keeps the others as well, and is not tried again."""
        if self._trouble:
            raise self._trouble
        try:
            _, book = self._open()
            if not self._grids:
                self._read_all()
        except Trouble as trouble:
            self._trouble = trouble
            raise
        return read_table(self._grids[_tab(book, project)], self._config.key, self._config.fields, book.form)

    def write_back(self, project: Project, table: Table, accounts: Iterable[Account]) -> tuple[list[Cell], list[Issue]]:
        """As in `Sheet`. Once Google is not to be had, it is not asked again for another project."""
        cells = wanted(table, accounts, self._config.fields) if self._config.sheets.write_back else []
        if not cells:
            return [], []
        if self._silence:
            raise self._silence
        try:
            return self._write(project, table, cells)
        except Trouble as trouble:
            if trouble.code == UNAVAILABLE:
                self._silence = trouble
            raise

    def _write(self, project: Project, table: Table, cells: Iterable[Cell]) -> tuple[list[Cell], list[Issue]]:
        """Write what may be written. The tab is looked at again first: rows move, and people edit."""
        google, book = self._open()
        if not self._renewed:
            google.renew()
            self._renewed = True
        tab = _tab(book, project)
        grid, formulas = self._look_again(book, tab)
        now = read_table(grid, self._config.key, self._config.fields, book.form)
        writes, issues = decide(cells, table, now, formulas)
        for start in range(0, len(writes), _CELLS_AT_ONCE):
            data = [
                {"range": f"{_quoted(tab)}!{a1(write.row, write.column + 1)}", "values": [[write.value]]}
                for write in writes[start : start + _CELLS_AT_ONCE]
            ]
            body = {"valueInputOption": "RAW", "data": data}
            google.tell(self._url(book.id, "/values:batchUpdate"), body, what=self._named)
        return writes, issues

    @property
    def _named(self) -> str:
        return f"the spreadsheet {self._config.sheets.spreadsheet!r}"

    def _open(self) -> tuple[Google, Book]:
        if self._google is None:
            sheets = self._config.sheets
            key = service_key(sheets.credentials, self._environ, self._config.base)
            self._google = self._signed_in(key, by_name=not _is_id(_word(sheets.spreadsheet)))
        if self._book is None:
            self._book = self._found(self._google, _word(self._config.sheets.spreadsheet))
        return self._google, self._book

    def _signed_in(self, key: ServiceKey, *, by_name: bool) -> Google:
        sheets = self._config.sheets
        scopes = ["spreadsheets" if sheets.write_back else "spreadsheets.readonly"]
        if by_name:
            scopes.append("drive.metadata.readonly")
        return Google(key, [_SCOPES + scope for scope in scopes], timeout=sheets.timeout, deadline=sheets.deadline)

    def _found(self, google: Google, word: str) -> Book:
        if re.fullmatch(r"[\w-]+", word, re.ASCII):
            try:
                return self._described(google, word)
            except Trouble as trouble:
                if trouble.code != NOT_FOUND or _is_id(word):
                    raise
        return self._described(google, self._id_of(google, word))

    def _id_of(self, google: Google, name: str) -> str:
        """Google Sheets knows no names; Drive does."""
        escaped = name.replace("\\", "\\\\").replace("'", "\\'")
        endpoint = self._config.sheets.endpoint
        answer = google.ask(
            f"{_DRIVE if endpoint == _GOOGLE else endpoint}/drive/v3/files",
            [
                ("q", f"name = '{escaped}' and mimeType = '{_SPREADSHEET}' and trashed = false"),
                ("fields", "files(id,name)"),
                ("supportsAllDrives", "true"),
                ("includeItemsFromAllDrives", "true"),
            ],
            what=self._named,
        )
        # Drive takes small letters and capitals for the same.
        found = [str(file["id"]) for file in _rows(answer, "files", "id") if file.get("name") == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise Trouble(
                NOT_FOUND, f"{len(found)} spreadsheets are called {name!r}; name one by its id: {found[0]}, …"
            )
        raise Trouble(NOT_FOUND, f"{self._named} is not there, or not shared with {google.email}")

    def _described(self, google: Google, book_id: str) -> Book:
        fields = "properties(title,locale),sheets.properties(title,gridProperties.columnCount)"
        answer = google.ask(self._url(book_id), [("fields", fields)], what=self._named)
        properties, widths = answer.get("properties"), {}
        for sheet in _rows(answer, "sheets", "properties"):
            match sheet["properties"]:
                case {"title": str(title), "gridProperties": {"columnCount": int(width)}}:
                    widths[title] = width  # a tab that is one chart has no columns
        if not isinstance(properties, dict):
            raise _nonsense(self._named)
        title, locale = (str(properties.get(name, "")) for name in ("title", "locale"))
        return Book(id=book_id, title=title, locale=locale, widths=widths)

    def _read_all(self) -> None:
        google, book = self._open()
        tabs = [project.name for project in self._projects if project.name in book.widths]
        for start in range(0, len(tabs), _AT_ONCE):
            some = tabs[start : start + _AT_ONCE]
            answer = google.ask(
                self._url(book.id, "/values:batchGet"),
                [
                    *(("ranges", _all_of(tab, book)) for tab in some),
                    ("valueRenderOption", "UNFORMATTED_VALUE"),
                    # As numbers, dates would be followers.
                    ("dateTimeRenderOption", "FORMATTED_STRING"),
                ],
                what=self._named,
            )
            ranges = _rows(answer, "valueRanges", "range")
            if [_title(str(one["range"])) for one in ranges] != some:
                raise _nonsense(self._named)
            self._grids.update(
                (tab, _grid(one.get("values", []), self._named)) for tab, one in zip(some, ranges, strict=True)
            )

    def _look_again(self, book: Book, tab: str) -> tuple[Grid, set[tuple[int, int]]]:
        """A tab as it is now, and the cells in it that nobody typed a value into: formulas, and what they spill."""
        google, _ = self._open()
        fields = "sheets.data(startRow,startColumn,rowData.values(userEnteredValue,effectiveValue))"
        params = [("ranges", _all_of(tab, book)), ("fields", fields)]
        answer = google.ask(self._url(book.id), params, what=self._named)
        grid: Grid = []
        formulas: set[tuple[int, int]] = set()
        for data in _rows(_only(_rows(answer, "sheets", "data"), self._named), "data"):
            if data.get("startRow") or data.get("startColumn"):
                raise _nonsense(self._named)
            for number, row in enumerate(_rows(data, "rowData"), 1):
                cells = _rows(row, "values")
                grid.append([_effective(cell) for cell in cells])
                formulas.update((number, place) for place, cell in enumerate(cells, 1) if _is_computed(cell))
        return grid, formulas

    def _url(self, book_id: str, rest: str = "") -> str:
        return f"{self._config.sheets.endpoint}/v4/spreadsheets/{quote(book_id, safe='')}{rest}"


def _word(written: str) -> str:
    """The id out of a URL; anything else is an id or a name as it is."""
    found = re.match(r"https://docs\.google\.com/spreadsheets/(?:u/\d+/)?d/([\w-]+)", written, re.ASCII)
    return found[1] if found else written


def _is_id(word: str) -> bool:
    """Whether it can be no name. Google's ids have 44 characters."""
    return re.fullmatch(r"[\w-]{40,}", word, re.ASCII) is not None


def _tab(book: Book, project: Project) -> str:
    if project.name not in book.widths:
        known = ", ".join(map(repr, book.widths))
        raise Trouble(MISSING_TAB, f"{book.title!r} has no tab {project.name!r}; it has {known or 'none'}")
    return project.name


def _quoted(tab: str) -> str:
    return "'" + tab.replace("'", "''") + "'"


def _all_of(tab: str, book: Book) -> str:
    last = a1(1, book.widths[tab])[:-1]
    return f"{_quoted(tab)}!A:{last}"


def _title(named: str) -> str:
    """The tab of a range, which is quoted only where it has to be."""
    tab = named.rpartition("!")[0]
    return tab[1:-1].replace("''", "'") if tab.startswith("'") else tab


def _rows(answer: Mapping[str, Any], name: str, *needed: str) -> list[dict[str, Any]]:
    """A list of tables out of an answer; Google leaves out what is empty."""
    rows = answer.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= {*needed} for row in rows):
        raise _nonsense(name)
    return rows


def _only(rows: list[dict[str, Any]], what: str) -> dict[str, Any]:
    if len(rows) != 1:
        raise _nonsense(what)
    return rows[0]


def _grid(values: object, what: str) -> Grid:
    if not isinstance(values, list) or not all(isinstance(row, list) for row in values):
        raise _nonsense(what)
    if not all(cell is None or isinstance(cell, str | int | float) for row in values for cell in row):
        raise _nonsense(what)
    return values


def _effective(cell: Mapping[str, Any]) -> object:
    match cell.get("effectiveValue"):
        case {"errorValue": {"type": str(kind)}}:
            return f"#{kind}!" if kind != "N_A" else "#N/A"
        case {"numberValue": value} | {"stringValue": value} | {"boolValue": value}:
            return value if isinstance(value, str | int | float) else None
    return None


def _is_computed(cell: Mapping[str, Any]) -> bool:
    typed = cell.get("userEnteredValue")
    return "formulaValue" in typed if isinstance(typed, dict) else "effectiveValue" in cell


def _nonsense(what: str) -> Trouble:
    return Trouble(BAD_ANSWER, f"Google's answer for {what} is not what it should be")
