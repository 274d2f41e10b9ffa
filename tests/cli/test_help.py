"""Help pages, and the reference made from them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from tests.cli.conftest import Cli
from trueup.cli import reference
from trueup.cli.app import app

ROOT = Path(__file__).parents[2]
COMMANDS = [path.split()[1:] for path, _ in reference._leaves(typer.main.get_command(app), "trueup")]


def test_the_commands_are_those_of_this_version() -> None:
    assert sorted(" ".join(command) for command in COMMANDS) == [
        *(
            "apply",
            "backups ls",
            "backups restore",
            "beat",
            "db upgrade",
            "demo",
            "diagnose",
            "doctor",
            "fetch",
            "ingest",
            "init",
        ),
        *(f"pool {verb}" for verb in ("get", "ls", "put", "rm", "stats", "sweep", "url")),
        "reconcile",
        *(f"records {verb}" for verb in ("growth", "history", "pin", "show", "status", "sync", "unpin")),
        *(
            "runs",
            "schedule export",
            "schedule ls",
            "schedule run",
            "serve",
            "sync",
            "trash empty",
            "trash ls",
            "ui",
            "undo",
            "worker",
        ),
    ]


@pytest.mark.parametrize("command", [[], ["trash"], *COMMANDS], ids=" ".join)
def test_every_help_page_ends_with_an_example(cli: Cli, command: list[str]) -> None:
    result = cli(*command, "--help")
    assert result.code == 0
    path = " ".join(["trueup", *command])
    assert result.out.startswith(f"Usage: {path} [OPTIONS]")
    example = result.out.partition("Example")[2]
    assert f"\n  {path}" in example
    for shared in ("--json", "--quiet", "--verbose", "--log-format", "--config", "--env-file"):
        assert shared in result.out
    assert max(map(len, result.out.splitlines())) <= 80


def test_no_option_is_without_help(cli: Cli) -> None:
    for command in COMMANDS:
        assert " None\n" not in cli(*command, "--help").out


def test_every_flag_of_sync_is_there(cli: Cli) -> None:
    text = cli("sync", "--help").out
    for flag in (
        "--two-way --push --upload-only --pull --download-only --prefer --delete --keep-loser --include --exclude "
        "--compare --max-delete --force --dry-run --check --no-trash --workers --bwlimit --plan-out --items-out "
        "--release --explain"
    ).split():
        assert f"{flag} " in text


def test_the_reference_is_up_to_date() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8")
    assert page == reference.render(), "make it again: python -m trueup.cli.reference > docs/reference/cli.md"
