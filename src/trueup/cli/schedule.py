"""`trueup schedule`: when jobs run, and files for whoever else keeps the clock."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli.command import command, shared
from trueup.cli.help import HelpfulGroup
from trueup.cli.ui import STATUSES, Ui
from trueup.errors import UsageError

if TYPE_CHECKING:
    from trueup.jobs.config import Timetable
    from trueup.jobs.export import File

_SHOWN = 3
_CODES = {status: code for code, status in STATUSES.items()}
_HOMES = {"TRUEUP_HOME", "XDG_STATE_HOME"}
_FINE = {"ok", "dry-run"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="When jobs run by themselves, and files for whoever else keeps the clock.",
        epilog="trueup schedule ls",
        cls=HelpfulGroup,
    )
    shared(group)
    command(group, "trueup schedule ls", name="ls")(ls)
    command(group, "trueup schedule export cron", "trueup schedule export systemd --into units")(export)
    command(group, "trueup schedule run sync-storage-stats")(run)
    app.add_typer(group, name="schedule")


def ls(ui: Ui) -> int:
    """List the jobs of the schedule with their next times. All times are UTC."""
    from trueup.jobs.config import OFF, schedule_config
    from trueup.runs import stamped

    now = datetime.now(UTC)
    planned = _planned(ui)
    rows: list[dict[str, object]] = []
    for name, cron in schedule_config(ui.settings()).items():
        active = planned.jobs.get(name)
        times = list(islice(active.after(now), _SHOWN)) if active is not None else []
        line = cron.text if cron is not None else OFF
        why = planned.left_out.get(name, "")
        said = f"left out: {why}" if why else "  ".join(f"{time:%Y-%m-%d %H:%M}" for time in times)
        ui.out(f"{name:<26}", f"{line:<14}", (said, "dim"))
        rows.append({"job": name, "cron": line, "next": [stamped(time) for time in times], "left_out": why})
    ui.document({"schedule": rows})
    return 0


def export(
    ui: Ui,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="cron, systemd, windows or render.", show_default=False)],
    *,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into", metavar="FOLDER", help="Write the files there, and print their names.", show_default=False
        ),
    ] = None,
) -> int:
    """Print ready files that start the jobs without a running service: a crontab, units and timers for systemd, batch
    files and tasks for Windows, curl lines for hosted cron such as Render's."""
    from trueup.jobs.config import server_config, service_url
    from trueup.jobs.export import KINDS, Machine
    from trueup.jobs.export import export as made

    if kind not in KINDS:
        raise UsageError(f"there are no files for '{kind}'", cure=f"Use one of: {', '.join(KINDS)}")
    settings = ui.settings()
    config = ["--config", str(settings.path.resolve())] if settings.path is not None else []
    server = server_config(settings)
    machine = Machine(
        command=[sys.executable, "-m", "trueup", *config],
        folder=Path.cwd(),
        files=(into or Path()).resolve(),
        now=datetime.now().astimezone(),
        url=service_url(server.host, server.port),
        # Elsewhere than on Windows these are words to put the names in for.
        user="\\".join(os.environ.get(name, name) for name in ("USERDOMAIN", "USERNAME")),
        # What a job would not find by itself. A home that the env file names comes with that file.
        home=settings.home.absolute() if os.environ.keys() & _HOMES else None,
        env_file=settings.env_file.absolute() if settings.env_file is not None else None,
        variables=[ui.clean(name) for name in sorted(os.environ) if name.startswith("TRUEUP_") and "__" in name],
    )
    planned = _planned(ui)
    for name, why in planned.left_out.items():
        ui.warn(f"{name} is left out, because {why}")
    files = made(kind, planned, machine)
    if into is not None:
        _write(files, into)
    for file in files:
        if into is not None:
            ui.out(str(into / file.name))
        else:
            ui.out(*([f"# ----- {file.name} -----\n"] if len(files) > 1 else []), file.text.replace("\r\n", "\n"))
    ui.document({"files": [file._asdict() for file in files]})
    return 0


def run(
    ui: Ui,
    job: Annotated[str, typer.Argument(metavar="JOB", help="A name from: trueup schedule ls", show_default=False)],
) -> int:
    """Run a job of the schedule here and now, whatever its times are."""
    from trueup.jobs import run_job
    from trueup.jobs.config import schedule_config, scheduled

    settings = ui.settings()
    known = schedule_config(settings)
    if job not in known:
        raise UsageError(f"the schedule has no job '{job}'", cure=f"Known: {', '.join(known)}")
    name, arguments = scheduled(job)
    with ui.alone():
        done = run_job(name, settings=settings, **arguments)
    # What went wrong is told with --quiet, too: cron mails nothing else.
    (ui.out if done.status in _FINE else ui.say)(f"{job}: {done.status}")
    ui.document(dict(done.result))
    return 0 if done.status in _FINE else _CODES.get(done.status, 1)


def _planned(ui: Ui) -> Timetable:
    """The reasons in it are one line each: they become comments."""
    from trueup.jobs.config import timetable

    planned = timetable(ui.settings())
    return replace(planned, left_out={name: ui.clean(why) for name, why in planned.left_out.items()})


def _write(files: list[File], into: Path) -> None:
    try:
        into.mkdir(parents=True, exist_ok=True)
        for file in files:
            (into / file.name).write_text(file.text, "utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{into} cannot be written to: {error.strerror}", cure="Name another folder") from error
