"""The commands `ingest` and `diagnose`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import words
from trueup.cli.command import command
from trueup.cli.live import Listener
from trueup.cli.syncing import running
from trueup.cli.ui import Failure, Ui

if TYPE_CHECKING:
    from trueup.ingest import IngestRun

_STYLES = {"failed": "red", "quarantined": "red", "refused": "yellow", "waiting": "yellow"}
_Name = Annotated[str, typer.Argument(metavar="NAME", help="The job: [ingest.NAME].", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "trueup ingest stats --dry-run", "trueup ingest stats --watch")(ingest)


def ingest(
    ui: Ui,
    name: _Name,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be taken, and change nothing.")
    ] = False,
    reprocess: Annotated[
        str,
        typer.Option("--reprocess", metavar="GLOB", help="Take again what had its effect.", show_default=False),
    ] = "",
    requeue: Annotated[
        str,
        typer.Option(
            "--requeue", metavar="GLOB", help="Try again what failed or is in quarantine.", show_default=False
        ),
    ] = "",
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Fetch again what is missing here, and make lost effects again."),
    ] = False,
) -> int:
    """Take each file of a source exactly once: fetch it, hand it to the job's handler, and remember that."""
    from trueup.ingest import ingest as run

    ui.failure_document = _failed
    listener = Listener(ui)
    settings = ui.settings()
    with running(ui, listener) as outputs:
        done = run(
            name,
            settings=settings,
            dry_run=dry_run,
            reprocess=reprocess,
            requeue=requeue,
            repair=repair,
            listener=outputs.listener,
            stopped=outputs.stopped,
        )
    show(ui, done)
    ui.document(done.to_json())
    return done.exit_code


def show(ui: Ui, done: IngestRun) -> None:
    """A run for people: what needs a look, then one line of numbers."""
    for item in done.items:
        outcome = str(item["outcome"])
        if outcome == "processed":
            continue
        error = f"  {item['error']}" if item["error"] else ""
        ui.out((f"{outcome:>11}", _STYLES.get(outcome, "cyan")), f"  {item['path']}", (error, "dim"))
    if done.reason:
        ui.refuse(done.reason, status=done.status)
    counts = done.counts
    said = [
        f"{words.number(int(str(counts[key])), 'file')} {said}"
        for key, said in (("processed", "taken"), ("already", "known"), ("failed", "failed"))
        if counts[key] or key == "processed"
    ]
    also = [f"{counts[key]:,} {key}" for key in ("unstable", "waiting", "quarantined", "rewritten") if counts[key]]
    ui.out(f"{done.name}: {', '.join(said + also)}", (f"  {words.duration(done.seconds)}", "dim"))


def _failed(failure: Failure) -> dict[str, object]:
    return {"status": failure.status, "reason": failure.sentence, "counts": {}, "items": []}
