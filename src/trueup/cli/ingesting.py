"""The commands `ingest` and `diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import words
from trueup.cli.command import command
from trueup.cli.live import Listener, replacing
from trueup.cli.syncing import running
from trueup.cli.ui import Failure, Ui
from trueup.errors import UsageError

if TYPE_CHECKING:
    from trueup.config import Settings
    from trueup.ingest import IngestRun
    from trueup.ingest.verbs import Wish
    from trueup.sync.outputs import Outputs

_LISTED = 20
"""Files that a diagnosis names on a terminal."""
_EXPECTED = {"filtered", "unstable"}
"""Causes that come last: nothing is missing for them."""
_STYLES = {"failed": "red", "quarantined": "red", "refused": "yellow", "waiting": "yellow"}
_Name = Annotated[str, typer.Argument(metavar="NAME", help="The job: [ingest.NAME].", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "trueup ingest stats --dry-run", "trueup ingest stats --watch")(ingest)
    command(app, "trueup diagnose stats", "trueup diagnose stats --check --report report.md")(diagnose)


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
    watch: Annotated[bool, typer.Option("--watch", help="Go on until stopped: again every `poll`.")] = False,
) -> int:
    """Take each file of a source exactly once: fetch it, hand it to the job's handler, and remember that."""
    from trueup.ingest.verbs import Wish, pass_over

    if watch and dry_run:
        raise UsageError("--dry-run and --watch exclude each other", cure="A dry run is one pass")
    ui.failure_document = _failed
    listener = Listener(ui)
    settings = ui.settings()
    wish = Wish(dry_run=dry_run, reprocess=reprocess, requeue=requeue, repair=repair)
    with ui.alone(), running(ui, listener) as outputs:
        if watch:
            return _watch(ui, name, settings, wish, outputs)
        done = pass_over(name, settings, wish, listener=outputs.listener, stopped=outputs.stopped)
    show(ui, done, repaired=repair and not dry_run)
    ui.document(done.to_json())
    return done.exit_code


def _watch(ui: Ui, name: str, settings: Settings, wish: Wish, outputs: Outputs) -> int:
    """Until Ctrl-C. With --json, each pass of which something came is a line."""
    from trueup.ingest.watch import watch

    def told(done: IngestRun) -> None:
        show(ui, done)
        ui.line(done.to_json())

    ui.out((f"{name}: watching; Ctrl-C ends it", "dim"))
    return watch(name, settings, wish, told=told, listener=outputs.listener, stopped=outputs.stopped)


def diagnose(
    ui: Ui,
    name: _Name,
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit 5 when something needs attention.")] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write the diagnosis as Markdown.", show_default=False),
    ] = None,
) -> int:
    """Explain each file that is not at once on the server, in the local folder and in the database, and say whether
    that matters. Nothing is changed."""
    from trueup.ingest import diagnose as run

    with replacing(report) as file:
        with ui.alone():
            done = run(name, settings=ui.settings())
        if file is not None:
            from trueup.ingest.markdown import report as written

            file.write(written(done))
    style = {"healthy": "green", "attention": "red"}.get(done.status, "yellow")
    ui.out((f"{done.name}: {done.status}", f"bold {style}"))
    for why in done.why:
        ui.out(f"  {why}")
    for layer, count in done.counts.items():
        if count is not None:
            missing = done.missing_by_layer[layer]
            ui.out(
                f"{layer:>10}  {words.number(count, 'file'):>14}", (f"  {missing:,} missing" if missing else "", "dim")
            )
    if done.growth is not None:
        ui.out(f"  {done.growth:+,} missing since the last diagnosis")
    for found in sorted(done.files, key=lambda found: (not found.matters, found.cause in _EXPECTED))[:_LISTED]:
        ui.out(
            (f"{found.cause:>16}", "red" if found.matters else "dim"), f"  {found.path}", (f"  {found.detail}", "dim")
        )
    if len(done.files) > _LISTED:
        ui.out(f"  and {len(done.files) - _LISTED:,} more: see --json or --report")
    for advice in done.advice:
        ui.out(("-> ", "bold"), advice)
    ui.document(done.to_json())
    return 5 if check and done.status == "attention" else done.exit_code


def show(ui: Ui, done: IngestRun, *, repaired: bool = False) -> None:
    """A run for people: what needs a look, then one line of numbers."""
    for item in done.items:
        outcome = str(item["outcome"])
        if outcome == "processed":
            continue
        error = f"  {item['error']}" if item["error"] else ""
        ui.out((f"{outcome:>11}", _STYLES.get(outcome, "cyan")), f"  {item['path']}", (error, "dim"))
    if done.reason:
        ui.refuse(done.reason, status=done.status)
    if done.status == "failed" and not done.counts["listed"]:
        return
    counts = dict(done.counts)
    first = ("processed", "taken")
    if done.status == "dry-run":
        first = ("planned", "would be taken")
        counts["planned"] = sum(item["outcome"] == "planned" for item in done.items)
    said = [
        f"{words.number(int(str(counts[key])), 'file')} {said}"
        for key, said in (first, ("already", "known"), ("failed", "failed"))
        if counts[key] or key == first[0]
    ]
    also = [f"{counts[key]:,} {key}" for key in ("unstable", "waiting", "quarantined", "rewritten") if counts[key]]
    if repaired:
        also.append(f"{counts['downloaded']:,} downloaded")
    ui.out(f"{done.name}: {', '.join(said + also)}", (f" in {words.duration(done.seconds)}", "dim"))


def _failed(failure: Failure) -> dict[str, object]:
    return {"status": failure.status, "reason": failure.sentence, "counts": {}, "items": []}
