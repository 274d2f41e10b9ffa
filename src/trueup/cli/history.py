"""`trueup runs` and `trueup trash`: what happened, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from trueup import keys
from trueup.cli import words
from trueup.cli.command import command, shared
from trueup.cli.help import HelpfulGroup
from trueup.cli.ui import Ui
from trueup.errors import TrueupError, UsageError

if TYPE_CHECKING:
    from trueup.runs import RunRecord

_SHOWN = 50
_STATUS_STYLES = {"ok": "green", "healthy": "green", "partial": "yellow", "interrupted": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "trueup runs", "trueup runs 20261121T103400Z-3f9c1a --json")(runs)
    trash = typer.Typer(
        help="What runs replaced or deleted, kept for 30 days.",
        epilog="trueup trash ls",
        cls=HelpfulGroup,
    )
    shared(trash)
    command(trash, "trueup trash ls", name="ls")(trash_list)
    command(trash, "trueup trash empty", name="empty")(trash_empty)
    app.add_typer(trash, name="trash")


def runs(
    ui: Ui,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="One run: its id, or its beginning.", show_default=False)
    ] = None,
) -> int:
    """List the latest runs on this machine and over the shared database, or show one."""
    from trueup.runs import RunLog

    history, shared = RunLog(ui.settings().home), _shared(ui)
    if run is None:
        records = sorted([*history.latest(_SHOWN), *shared], key=lambda record: (record.started, record.run))
        records = records[: -_SHOWN - 1 : -1]
        for record in records:
            ui.out(*_row(record))
        if not records:
            ui.out("no runs yet")
        ui.document({"runs": [_document(record) for record in records]})
        return 0
    found = history.get(run) or next((record for record in shared if record.run == run), None)
    if found is None:
        raise UsageError(f"no run {run} is known here, or several begin so", cure="See the ids: trueup runs")
    facts = _facts(found)
    width = max(len(name) for name, _ in facts) + 2
    for name, value in facts:
        ui.out((name.ljust(width), "dim"), keys.display(value))
    ui.document(_document(found))
    return 0


def _shared(ui: Ui) -> list[RunRecord]:
    """What the shared database remembers, and those of single jobs. One that cannot be reached is only warned of."""
    settings = ui.settings()
    if not {"database", "pool", "ingest"} & settings.sections.keys():
        return []
    from trueup.catalog.database import database_of, runs_in
    from trueup.ingest.config import databases

    found: dict[str, list[RunRecord]] = {}
    try:
        for url in (database_of(settings), *databases(settings)):
            found[url] = runs_in(url, _SHOWN)
    except TrueupError as error:
        ui.warn(f"the runs in the shared database are not shown: {error}")
    return [record for records in found.values() for record in records]


def trash_list(ui: Ui) -> int:
    """List the runs whose replaced or deleted versions are still kept."""
    from trueup.sync.trash_can import list_trash

    problems: list[str] = []
    kept = list_trash(ui.settings(), warn=problems.append)
    _complain(ui, problems)
    for row in kept:
        ui.out(
            row.run,
            "   ",
            (f"{row.started[:16].replace('T', ' ')}", "dim"),
            f"   {words.number(row.files, 'file'):<12}",
            f" {keys.display(row.left)}  {keys.display(row.right)}",
        )
    if not kept:
        ui.out("nothing else is kept" if problems else "the trash is empty")
    document: dict[str, object] = {"trash": [asdict(row) for row in kept]}
    ui.document(document | {"problems": problems} if problems else document)
    return 1 if problems else 0


def trash_empty(ui: Ui) -> int:
    """Remove everything that is kept. Those runs cannot be undone afterwards."""
    from trueup.sync.trash_can import empty_trash

    removed, problems = empty_trash(ui.settings())
    _complain(ui, problems)
    ui.out(f"removed {words.number(removed, 'kept version')}")
    ui.document({"removed": removed, "problems": problems})
    return 1 if problems else 0


def _complain(ui: Ui, problems: list[str]) -> None:
    """Say why the command ends with 1, with --quiet too."""
    for problem in problems:
        ui.say(f"warning: {problem}")


def _row(record: RunRecord) -> list[str | tuple[str, str]]:
    effects = _effects(record.summary)
    return [
        record.run,
        "   ",
        (f"{record.job:<4} ", "dim"),
        (f"{record.status:<11}", _STATUS_STYLES.get(record.status, "red")),
        f" {_places(record)}",
        (f"   {effects}" if effects else "", "dim"),
    ]


def _places(record: RunRecord) -> str:
    left, right = record.summary.get("left"), record.summary.get("right")
    return keys.display(f"{left}  {right}" if left and right else record.name)


def _effects(summary: Mapping[str, object]) -> str:
    """`3 copied, 1 deleted`, or nothing."""
    counts = summary.get("counts")
    if not isinstance(counts, dict):
        return ""
    verbs = {"copy": "copied", "move": "moved", "delete": "deleted", "failed": "failed"}
    if "downloaded" in counts:  # files that were taken; a diagnosis counts those that ever were
        verbs = {"processed": "taken"} | verbs
    sums = {
        past: sum(amount for name, amount in counts.items() if name.startswith(verb)) for verb, past in verbs.items()
    }
    return ", ".join(f"{amount:,} {past}" for past, amount in sums.items() if amount)


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    summary = record.summary
    counts = summary.get("counts")
    rows = [
        ("run", record.run),
        ("job", record.job),
        ("status", record.status),
        ("reason", str(summary.get("reason") or "")),
        ("left", str(summary.get("left") or "")),
        ("right", str(summary.get("right") or "")),
        ("mode", str(summary.get("mode") or "")),
        ("started", record.started),
        ("took", words.duration(record.seconds)),
    ]
    if isinstance(counts, dict):
        numbers = ((name, amount) for name, amount in counts.items() if isinstance(amount, int))
        rows += [(name.replace("_", " "), f"{amount:,}") for name, amount in numbers if amount]
    return [(name, value) for name, value in rows if value]


def _document(record: RunRecord) -> dict[str, object]:
    return {"run": record.run, "job": record.job, "status": record.status, "started": record.started} | dict(
        record.summary
    )
