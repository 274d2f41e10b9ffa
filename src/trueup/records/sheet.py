"""The sheet that people edit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from trueup.config import Settings
from trueup.errors import MissingExtra, TrueupError
from trueup.records.config import CSV, Project, RecordsConfig, records_config
from trueup.records.grid import csv_grid
from trueup.records.issues import Issue, Trouble
from trueup.records.readmodel import Account
from trueup.records.table import Table, read_table
from trueup.records.writeback import Cell


class Sheet(Protocol):
    """Where the tabs of all projects of a run are."""

    @property
    def attempts(self) -> int:
        """How often it was asked; 1 when it answered at once."""

    def read(self, project: Project) -> Table:
        """What the tab of a project says. Raises `Trouble`."""

    def write_back(self, project: Project, table: Table, accounts: Iterable[Account]) -> tuple[list[Cell], list[Issue]]:
        """Bring the merged values into the tab that gave `table`, where the settings want it: the cells that were
        written, and what was left alone. Raises `Trouble`."""

    def look(self) -> str:
        """What it is and which tabs it has, for people. Raises `Trouble`, where a project has none as well."""

    def close(self) -> None:
        """Let go of connections."""


class CsvSheet:
    """A file for each project. It is only read."""

    attempts = 1

    def __init__(self, config: RecordsConfig, projects: Sequence[Project]) -> None:
        self._config = config
        self._projects = projects

    def read(self, project: Project) -> Table:
        """As in `Sheet`."""
        config = self._config
        return read_table(csv_grid(self._file(project)), config.key, config.fields, config.sheets.form)

    def write_back(self, project: Project, table: Table, accounts: Iterable[Account]) -> tuple[list[Cell], list[Issue]]:  # noqa: ARG002 - as in `Sheet`
        """Nothing is written."""
        return [], []

    def look(self) -> str:
        """As in `Sheet`."""
        for project in self._projects:
            self.read(project)
        return f"{self._config.sheets.path} can be read"

    def close(self) -> None:
        """There is nothing to let go of."""

    def _file(self, project: Project) -> Path:
        return Path(self._config.sheets.path.replace("{name}", project.name))


def open_sheet(config: RecordsConfig, environ: Mapping[str, str], projects: Sequence[Project]) -> Sheet:
    """The sheet of these projects. Nothing is read yet. Raises `MissingExtra`."""
    if config.sheets.kind == CSV:
        return CsvSheet(config, projects)
    try:
        from trueup.records.sheets import GoogleSheet
    except ModuleNotFoundError as error:
        raise MissingExtra("Google Sheets", "sheets") from error
    return GoogleSheet(config, environ, projects)


def check_sheet(settings: Settings) -> str:
    """What a look at the sheet of `[records]` shows, for people. Raises `TrueupError`."""
    config = records_config(settings)
    # Who looks wants to know how it is now.
    config = replace(config, sheets=replace(config.sheets, deadline=config.sheets.timeout))
    projects = [project for project in config.projects if project.active]
    with closing(open_sheet(config, settings.environ, projects)) as sheet:
        try:
            return sheet.look()
        except Trouble as trouble:
            raise TrueupError(trouble.message) from trouble
