"""`trueup reconcile` and `trueup backups`: the books against what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trueup import keys
from trueup.cli import words
from trueup.cli.command import command, shared
from trueup.cli.help import HelpfulGroup
from trueup.cli.ui import Ui

if TYPE_CHECKING:
    from trueup.reconcile.report import ProviderReport, ReconcileRun, Totals

_MB = 1 << 20


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "trueup reconcile --dry-run", "trueup reconcile")(reconcile)
    backups = typer.Typer(help="What a reconcile replaced in the books.", epilog="trueup backups ls", cls=HelpfulGroup)
    shared(backups)
    command(backups, "trueup backups ls", name="ls")(backups_list)
    command(backups, "trueup backups restore 20261121T103400Z-3f9c1a-gcs", name="restore")(backups_restore)
    app.add_typer(backups, name="backups")


def reconcile(
    ui: Ui,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what differs, and change nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="A dry run that exits 5 when something differs.")] = False,
    adopt_orphans: Annotated[
        bool, typer.Option("--adopt-orphans", help="Take what lies there unowned into the books.")
    ] = False,
    max_change: Annotated[
        str,
        typer.Option(
            "--max-change",
            metavar="N%",
            help="Refuse to change more than this share of a provider's books [50%].",
            show_default=False,
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Do it although that would refuse.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Show what earlier runs found.")] = False,
) -> int:
    """Compare the pool's books with what its clouds really hold, and make the books true. Nothing in a cloud is
    changed."""
    from trueup.reconcile import Options
    from trueup.reconcile import reconcile as run

    if history:
        return _history(ui)
    options = Options(dry_run=dry_run or check, adopt_orphans=adopt_orphans, max_change=max_change, force=force)
    done = run(settings=ui.settings(), options=options)
    for provider in done.providers:
        _block(ui, provider, done)
    for item in done.items:
        ui.out(
            (f"{item['verdict']:>14}", "yellow"),
            f"  {item['provider']}  {keys.display(str(item['key']))}",
            (f"  {item['detail']}" if item["detail"] else "", "dim"),
        )
    if done.items_truncated:
        ui.out("and more; the counts hold all")
    if done.reason:
        ui.refuse(done.reason, status=done.status) if done.status == "refused" else ui.say(f"error: {done.reason}")
    ui.document(done.to_json())
    return 5 if check and done.findings and done.exit_code == 0 else done.exit_code


def _block(ui: Ui, provider: ProviderReport, done: ReconcileRun) -> None:
    ui.out((provider.provider, "bold"))
    ui.out(f"  ledger  {_amount(provider.ledger)}")
    if provider.actual is None:
        ui.out("  actual  unknown")
        ui.out(("  [?] Nothing can be said", "yellow"), f": {provider.reason}")
        return
    ui.out(f"  actual  {_amount(provider.actual)}")
    if provider.mismatch:
        ui.out(("  [!] MISMATCH DETECTED!", "red"))
    if provider.refused:
        ui.out(("  [!] Not updated", "red"), f": {provider.reason}")
    elif provider.fixed:
        ui.out(("  [OK] Updated successfully!", "green"), (f"  backup {provider.backup}", "dim"))
    elif not provider.mismatch:
        ui.out(("  [OK] Stats match - no sync needed", "green"))
    elif done.status == "dry-run":
        ui.out("  a run without --dry-run would update the books")


def _amount(totals: Totals) -> str:
    return f"{words.number(totals.file_count, 'file'):>14}  {totals.total_size_bytes / _MB:12,.2f} MB"
