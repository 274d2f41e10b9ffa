"""`trueup records`: a sheet and fresh numbers, merged into a read model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from trueup import keys
from trueup.cli import chart, words
from trueup.cli.command import command, shared
from trueup.cli.help import HelpfulGroup
from trueup.cli.live import Listener
from trueup.cli.ui import Failure, Ui

if TYPE_CHECKING:
    from trueup.records import Growth, ProjectResult

_LISTED = 20
"""Changes, and issues, that are shown of a project."""
_STYLES = {"ok": "green", "dry-run": "cyan", "degraded": "yellow", "partial": "yellow"}
_Account = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="Its id, its key or the URL of its profile.", show_default=False)
]
_Field = Annotated[str, typer.Argument(metavar="FIELD", help="One of [records.fields].", show_default=False)]
_Project = Annotated[
    str | None, typer.Argument(metavar="[PROJECT]", help="Its id or its name; else all.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="A sheet that people edit and fresh numbers, merged into a read model with history.",
        epilog="trueup records sync --dry-run",
        cls=HelpfulGroup,
    )
    shared(group)
    command(group, "trueup records sync --dry-run", 'trueup records sync "Project A"')(sync)
    command(group, "trueup records status")(status)
    command(group, "trueup records show https://x.com/nasa")(show)
    command(group, "trueup records history x.com/nasa --days 7")(history)
    command(group, "trueup records growth", 'trueup records growth "Project A" --hours 168')(growth)
    command(group, "trueup records pin x.com/nasa followers 1200000")(pin)
    command(group, "trueup records unpin x.com/nasa followers")(unpin)
    app.add_typer(group, name="records")


def sync(
    ui: Ui,
    project: _Project = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would change, and change nothing.")
    ] = False,
    at: Annotated[
        str,
        typer.Option(
            "--at", metavar="TIME", help="Merge as of that instant, like 2026-11-22T10:30Z.", show_default=False
        ),
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Believe that most rows are gone, and numbers that jumped.")
    ] = False,
) -> int:
    """Merge each project's sheet with fresh numbers into the read model, and take the snapshots that are due today."""
    from trueup.records import sync_records

    ui.failure_document = _failed
    settings, listener = ui.settings(), Listener(ui)
    with ui.alone():  # a parser of somebody's own may print
        done = sync_records(project, settings=settings, at=at or None, dry_run=dry_run, force=force, listener=listener)
    for result in done.results:
        _show(ui, result)
    ui.document(done.to_json())
    return done.exit_code


def status(ui: Ui) -> int:
    """Show the projects, and how the last sync of each went."""
    from trueup import records

    document = records.status(ui.settings())
    projects = document["projects"]
    assert isinstance(projects, list)
    for project in projects:
        last = project["last"]
        said = f"{last['timestamp']}  {words.number(last['total_accounts'], 'account')}" if last else "not synced yet"
        state = last["status"] if last else "-"
        ui.out(
            (f"{state:>9}", _STYLES.get(state, "red" if last else "dim")),
            f"  {ui.clean(project['name'])}  ",
            (said if project["active"] else f"{said}, inactive", "dim"),
        )
        if last and last["error_message"]:
            ui.out(f"           {ui.clean(last['error_message'])}")
    ui.document(document)
    return 0


def show(ui: Ui, account: _Account) -> int:
    """Show an account, and of each number who gave it and what the others said."""
    from trueup import records

    return _told(ui, records.show(account, ui.settings()))


def history(
    ui: Ui,
    account: _Account,
    *,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, help="So many snapshots.")] = 30,
) -> int:
    """Show the snapshots of an account, the newest first."""
    from trueup import records

    document = records.history(account, ui.settings(), days=days)
    snapshots = document["snapshots"]
    assert isinstance(snapshots, list)
    if snapshots:
        _history(ui, snapshots)
    else:
        ui.out("there are no snapshots yet")
    ui.document(document)
    return 0


def growth(
    ui: Ui,
    project: _Project = None,
    *,
    hours: Annotated[
        float, typer.Option("--hours", metavar="N", min=1, help="Against the snapshot at least so much older.")
    ] = 24,
) -> int:
    """Show what each account gained: its last snapshot against the newest that is a day older."""
    from trueup import records

    listed: list[dict[str, object]] = []
    for one, accounts in records.grown(project, ui.settings(), hours=hours):
        _growth(ui, one.name, accounts)
        listed += [{"project_id": one.id, **found.to_json()} for found in accounts]
    ui.document({"accounts": listed})
    return 0


def pin(
    ui: Ui,
    account: _Account,
    field: _Field,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What it shall be.", show_default=False)],
) -> int:
    """Hold a field of an account at a value, whatever the sheet and the parsers say."""
    from trueup import records

    return _told(ui, records.pin(account, field, value, ui.settings()))


def unpin(ui: Ui, account: _Account, field: _Field) -> int:
    """Let a field go: what the rule gives is back at once."""
    from trueup import records

    return _told(ui, records.unpin(account, field, ui.settings()))


def _show(ui: Ui, result: ProjectResult) -> None:
    """A project's sync for people: what needs a look, then one line of numbers."""
    name = ui.clean(result.project.name)
    if result.error:
        ui.refuse(f"{name}: {result.error['message']}", status=result.status)
    if result.status == "dry-run":
        for change in result.changes[:_LISTED]:
            ui.out(f"  {change['key']}  {change['field']}  {_number(change['old'])} -> {_number(change['new'])}")
        _more(ui, len(result.changes), "change")
    for issue in result.issues[:_LISTED]:
        about = [str(issue[part]) for part in ("cell", "key", "field", "rows", "value", "reason") if part in issue]
        ui.out((f"{issue['kind']:>19}", "yellow"), f"  {ui.clean(' '.join(about))}")
    _more(ui, len(result.issues), "issue")
    if not result.success:
        return
    planned = f"{words.number(len(result.changes), 'change')} planned"
    written = f"{result.changed_count:,} changed, {words.number(result.snapshot_count, 'snapshot')}"
    ui.out(
        (f"{result.status:>9}", _STYLES.get(result.status, "red")),
        f"  {name}: {words.number(result.total_accounts, 'account')}, ",
        planned if result.status == "dry-run" else written,
    )


def _more(ui: Ui, count: int, what: str) -> None:
    if count > _LISTED:
        ui.out((f"  and {words.number(count - _LISTED, f'more {what}')}: see --json", "dim"))


def _history(ui: Ui, snapshots: list[dict[str, object]]) -> None:
    """A table with a line a day, and how each number went."""
    names = [name for name in snapshots[0] if name not in {"date", "snapshot_time"}]
    rows = [[_number(snapshot[name]) for name in names] for snapshot in snapshots]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    ui.out((" " * 10 + "".join(f"  {name:>{width}}" for name, width in zip(names, widths, strict=True)), "dim"))
    for snapshot, row in zip(snapshots, rows, strict=True):
        ui.out(str(snapshot["date"]), *(f"  {said:>{width}}" for said, width in zip(row, widths, strict=True)))
    blocks = chart.has_blocks(sys.stdout)
    for name in names:
        values = {
            date.fromisoformat(str(snapshot["date"])): value
            for snapshot in snapshots
            if isinstance(value := snapshot[name], int)
        }
        if len(values) > 1:
            then, now = values[min(values)], values[max(values)]
            drawn = chart.line(values, blocks=blocks)
            ui.out((f"{name:>10}  ", "dim"), (drawn, "green"), f"  {_number(then)} -> {_number(now)}")


def _growth(ui: Ui, project: str, accounts: list[Growth]) -> None:
    """Each account's numbers, each with a bar beside those of the others."""
    blocks = chart.has_blocks(sys.stdout)
    most: dict[str, int] = {}
    for found in accounts:
        for name, change in found.fields.items():
            most[name] = max(most.get(name, 0), abs(change.delta or 0))
    ui.out((ui.clean(project), "bold"))
    for found in accounts:
        over = words.number(found.days, "day") if found.days else "no earlier snapshot"
        gaps = f", {words.number(len(found.gaps), 'day')} without a snapshot" if found.gaps else ""
        ui.out(f"  {found.key}", (f"  {over}{gaps}", "dim"))
        for name, change in found.fields.items():
            percent = "" if change.percent is None else f"{change.percent:+}%"
            gained = "" if change.delta is None else f"{change.delta:+,}"
            drawn = chart.bar(change.delta or 0, most[name], blocks=blocks)
            style = "red" if (change.delta or 0) < 0 else "green"
            line = f"    {name:<12}{_number(change.after):>14}  {gained:>12}  {percent:>9}"
            ui.out(line if drawn else line.rstrip(), (f"  {drawn}" if drawn else "", style))


def _told(ui: Ui, document: Mapping[str, object]) -> int:
    account, provenance = document["account"], document["provenance"]
    assert isinstance(account, dict)
    assert isinstance(provenance, dict)
    gone = ("  deleted", "yellow") if account["deleted_at"] else ""
    ui.out((ui.clean(account["key"]), "bold"), (f"  {account['id']}", "dim"), gone)
    for name, why in provenance.items():
        said = ", ".join(f"{who} {_number(value)}" for who, value in why["candidates"].items())
        ui.out(f"  {name:<12}  {_number(why['value']):>14}  {why['winner']:<8}", (f"  {ui.clean(said)}", "dim"))
    ui.document(document)
    return 0


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else keys.display(str(value))


def _failed(failure: Failure) -> dict[str, object]:
    return {
        "success": False,
        "status": failure.status,
        "reason": failure.sentence,
        "total_projects": 0,
        "success_count": 0,
        "error_count": 0,
        "results": [],
    }
