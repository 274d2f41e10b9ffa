"""The sheet that people edit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from trueup.errors import MissingExtra
from trueup.records.config import CSV, Project, RecordsConfig
from trueup.records.grid import csv_grid
from trueup.records.issues import Issue
from trueup.records.readmodel import Account
from trueup.records.table import Table, read_table


class Sheet(Protocol):
    """Where the tabs of all projects of a run are."""

    @property
    def attempts(self) -> int:
        """How often it was asked; 1 when it answered at once."""

    def read(self, project: Project) -> Table:
        """What the tab of a project says. Raises `Trouble`."""

    def write_back(self, project: Project, table: Table, accounts: Iterable[Account]) -> tuple[int, list[Issue]]:
        """Bring the merged values into the tab that gave `table`, where the settings want it: how many cells were
        written, and what was left alone. Raises `Trouble`."""

    def close(self) -> None:
        """Let go of connections."""


class CsvSheet:
    """A file for each project. It is only read."""

    attempts = 1

    def __init__(self, config: RecordsConfig) -> None:
        self._config = config

    def read(self, project: Project) -> Table:
        """As in `Sheet`."""
        config = self._config
        path = Path(config.sheets.path.replace("{name}", project.name))
        return read_table(csv_grid(path), config.key, config.fields, config.sheets.form)

    def write_back(self, project: Project, table: Table, accounts: Iterable[Account]) -> tuple[int, list[Issue]]:  # noqa: ARG002 - as in `Sheet`
        """Nothing is written."""
        return 0, []

    def close(self) -> None:
        """There is nothing to let go of."""


def open_sheet(config: RecordsConfig, environ: Mapping[str, str], projects: Sequence[Project]) -> Sheet:
    """The sheet of these projects. Nothing is read yet. Raises `MissingExtra`."""
    if config.sheets.kind == CSV:
        return CsvSheet(config)
    try:
        from trueup.records.sheets import GoogleSheet
    except ModuleNotFoundError as error:
        raise MissingExtra("Google Sheets", "sheets") from error
    return GoogleSheet(config, environ, projects)
