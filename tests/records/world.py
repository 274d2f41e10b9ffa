from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from trueup import records
from trueup.records import RecordsRun
from trueup.testing.sheets import Book, SheetsServer

HEADER = ("profile_url", "followers", "views")
SETTINGS = """
[records.sheets]
kind = "csv"
path = "sheets/{name}.csv"
[records.fields]
followers = "{rule}"
views = "{rule}"
"""
PROJECT = '[[records.projects]]\nid = "p-{0}"\nname = "{0}"\n'


class World:
    """A folder with settings, sheets, fresh numbers and a read model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.always = ""
        """Settings besides [records]."""
        self.settings()

    def settings(
        self, more: str = "", *, projects: tuple[str, ...] = ("A",), parsed: str = "", rule: str = "max"
    ) -> None:
        """`more` begins [records]."""
        fixed = SETTINGS.replace("{rule}", rule)
        text = f"[records]\n{more}\n{fixed}{parsed}\n{''.join(map(PROJECT.format, projects))}{self.always}"
        (self.folder / "trueup.toml").write_text(text)

    def sheet(self, *rows: tuple[object, ...], name: str = "A", header: tuple[str, ...] = HEADER) -> Path:
        return self.write(f"sheets/{name}.csv", header, *rows)

    def fresh(self, *rows: tuple[object, ...], header: tuple[str, ...] = HEADER) -> None:
        self.settings(parsed='[records.parsed]\nkind = "csv"\npath = "fresh.csv"\n')
        self.write("fresh.csv", header, *rows)

    def write(self, name: str, *rows: tuple[object, ...]) -> Path:
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        with file.open("w", newline="", encoding="utf-8") as lines:
            csv.writer(lines).writerows(rows)
        return file

    def sync(self, at: str = "2026-10-01T10:00:00Z", **options: Any) -> RecordsRun:
        return records.sync_records(at=at, **options)

    def result(self, at: str = "2026-10-01T10:00:00Z", **options: Any) -> dict[str, Any]:
        """Of the first project."""
        return self.sync(at, **options).results[0].to_json()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "accounts.db")) as db, db:
            return db.execute(query, values).fetchall()

    @property
    def accounts(self) -> dict[str, tuple[Any, ...]]:
        """Of those that are not deleted: followers and views by key."""
        rows = self.rows("select key, followers, views from accounts where deleted_at is null order by id")
        return {row[0]: row[1:] for row in rows}


class GoogleWorld(World):
    """The same with a spreadsheet of the name Numbers, whose tab A has the rows of `sheet`."""

    def __init__(self, folder: Path, server: SheetsServer) -> None:
        self.server = server
        self.book: Book = server.add("Numbers", {"A": [HEADER]})
        super().__init__(folder)
        (folder / "key.json").write_text(json.dumps(server.key))

    def settings(
        self,
        more: str = "",
        *,
        projects: tuple[str, ...] = ("A",),
        parsed: str = "",
        sheets: str = "",
        fields: str = "",
    ) -> None:
        """`sheets` stands in [records.sheets], and beats what stands there else."""
        given = {
            "endpoint": self.server.endpoint,
            "credentials": "key.json",
            "spreadsheet": self.book.id,
            "timeout": "20s",
            "deadline": "20s",
        }
        for line in sheets.splitlines():
            name, _, value = line.partition(" = ")
            given[name] = value.strip('"')
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items())
        fields = fields or 'followers = "max"\nviews = "max"'
        text = f"[records]\n{more}\n[records.sheets]\n{lines}\n[records.fields]\n{fields}\n{parsed}\n"
        (self.folder / "trueup.toml").write_text(text + "".join(map(PROJECT.format, projects)))

    def sheet(self, *rows: tuple[object, ...], name: str = "A", header: tuple[str, ...] = HEADER) -> Path:
        self.book[name].replace([header, *rows])  # type: ignore[list-item]
        return self.folder

    def fresh(self, *rows: tuple[object, ...], header: tuple[str, ...] = HEADER, sheets: str = "") -> None:
        self.settings(parsed='[records.parsed]\nkind = "csv"\npath = "fresh.csv"', sheets=sheets)
        self.write("fresh.csv", header, *rows)

    def accounts_of(self, columns: str) -> list[tuple[Any, ...]]:
        """Columns of the accounts."""
        return self.rows(f"select {columns} from accounts order by id")
