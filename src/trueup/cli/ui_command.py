"""`trueup ui`: the door to the terminal UI."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.command import command
from trueup.cli.ui import Ui
from trueup.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from trueup.config import Settings, SyncJob


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "trueup ui", "trueup ui site", "trueup ui ./site s3://bucket/site", name="ui")(open_ui)


def open_ui(
    ui: Ui,
    left: Annotated[
        str | None, typer.Argument(metavar="[NAME|LEFT]", help="A job, or a place.", show_default=False)
    ] = None,
    right: Annotated[str | None, typer.Argument(metavar="[RIGHT]", help="The other place.", show_default=False)] = None,
) -> int:
    """Sync on a screen: see the plan, start it, watch it, take it back.

    Without a name it opens the one [sync.NAME] of the settings, or lets you choose. Needs the extra 'tui'.
    """
    if ui.common.json or ui.common.quiet or ui.common.log_format == "json":
        raise UsageError("the UI is a screen for people", cure="For scripts use: trueup sync --json")
    settings = ui.settings()
    jobs = _jobs(settings, left, right)
    # Front ends never import each other; this is the one door between them, and it opens by name.
    screen = import_module("trueup.tui")
    screen.require()
    for name, stream in (("input", sys.stdin), ("error", sys.stderr)):  # it draws on the latter
        if not stream.isatty():
            raise UsageError(
                f"the UI needs a terminal, and standard {name} is none", cure="Without one use: trueup sync"
            )
    code: int = screen.open_ui(jobs, settings, clean=ui.clean)
    if code == Interrupted.exit_code:
        os._exit(code)  # somebody asked twice: transfers that hang are not waited for, and the next run goes on
    return code


def _jobs(settings: Settings, left: str | None, right: str | None) -> Mapping[str, SyncJob]:
    """What may be opened: the pair somebody named, or every one the settings know."""
    from trueup.config import SyncJob

    if left is not None and right is not None:
        return {"": SyncJob(left=left, right=right)}
    known = ", ".join(sorted(settings.jobs))
    cure = (
        f"Jobs in {settings.path or 'the environment'}: {known}" if known else "Name two places: trueup ui LEFT RIGHT"
    )
    if left is None:
        if not settings.jobs:
            raise UsageError("the settings name no sync that could be opened", cure=cure)
        return settings.jobs
    if left not in settings.jobs:
        raise UsageError(f"there is no job '{left}', and one place alone cannot be synced", cure=cure)
    return {left: settings.jobs[left]}
