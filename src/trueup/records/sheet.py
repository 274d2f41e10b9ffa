"""The sheet that people edit."""

from __future__ import annotations

from pathlib import Path

from trueup.errors import ConfigError
from trueup.records.config import CSV, Project, RecordsConfig
from trueup.records.grid import csv_grid
from trueup.records.table import Table, read_table


def check_sheet(config: RecordsConfig) -> None:
    """Raise `ConfigError` for a kind of sheet that cannot be read here."""
    if config.sheets.kind != CSV:
        raise ConfigError(
            "[records.sheets] Google Sheets cannot be read yet", cure='Export the tabs and write kind = "csv"'
        )


def read_sheet(config: RecordsConfig, project: Project) -> Table:
    """What the sheet of a project says. Raises `Trouble`."""
    path = Path(config.sheets.path.replace("{name}", project.name))
    return read_table(csv_grid(path), config.key, config.fields, config.sheets.form)
