"""`trueup reconcile` and `trueup backups`: the books against what is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from trueup import keys
from trueup.cli import words
from trueup.cli.command import command, shared
from trueup.cli.help import HelpfulGroup
from trueup.cli.live import Listener
from trueup.cli.pool import time_of
from trueup.cli.ui import Ui
from trueup.errors import ConfigError, MissingExtra, UsageError

if TYPE_CHECKING:
    from trueup.catalog.base import Catalog
    from trueup.config import Settings
    from trueup.jobs.lookouts import Lookouts


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "trueup reconcile --dry-run", "trueup reconcile shop --check", "trueup reconcile --on celery")(
        reconcile
    )
    backups = typer.Typer(help="What a reconcile replaced in the books.", epilog="trueup backups ls", cls=HelpfulGroup)
    shared(backups)
    command(backups, "trueup backups ls", name="ls")(backups_list)
    command(backups, "trueup backups restore 20261121T103400Z-3f9c1a-gcs", name="restore")(backups_restore)
    app.add_typer(backups, name="backups")


def reconcile(
    ui: Ui,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="An application's own table: [reconcile.references.NAME].", show_default=False
        ),
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what differs, and change nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="A dry run that exits 5 when something differs.")] = False,
    adopt_orphans: Annotated[
        bool, typer.Option("--adopt-orphans", help="Take what lies there unowned into the books.")
    ] = False,
    quarantine_orphans: Annotated[
        bool,
        typer.Option("--quarantine-orphans", help="Move it aside within its store; trueup undo brings it back."),
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
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="celery",
            help="Let the workers of the broker compare the buckets, each a range of keys at a time.",
            show_default=False,
        ),
    ] = "",
    inventory: Annotated[
        bool, typer.Option("--inventory", help="List what has inventory reports by the newest of them.")
    ] = False,
    history: Annotated[bool, typer.Option("--history", help="Show what earlier runs found.")] = False,
) -> int:
    """Compare the pool's books, or an application's own table, with what the clouds really hold, and make the pool's
    books true. Nothing in a cloud is changed, nor in an application's table."""
    from trueup.reconcile import reconcile as run
    from trueup.reconcile.wording import lines

    if on not in {"", "celery"}:
        raise UsageError(f"--on {on} is nothing that could compare", cure="Known: celery")
    if history:
        return _history(ui, name)
    settings = ui.settings()
    if on and inventory:
        raise UsageError("--on and --inventory cannot go together", cure="Leave one of them out")
    with _eyes(ui, on, settings) as eyes:
        done = run(
            name or "",
            settings=settings,
            dry_run=dry_run or check,
            adopt_orphans=adopt_orphans,
            quarantine_orphans=quarantine_orphans,
            max_change=max_change,
            force=force,
            inventory=inventory,
            eyes=eyes,
        )
    for line in lines(done):
        ui.out(*line)
    for warning in done.warnings:
        ui.warn(warning)
    if done.reason:
        ui.refuse(done.reason, status=done.status)
    ui.document(done.to_json())
    return done.check_code if check else done.exit_code


@contextmanager
def _eyes(ui: Ui, on: str, settings: Settings) -> Iterator[Lookouts | None]:
    """Who looks; None: this process."""
    if not on:
        yield None
        return
    try:
        from trueup.jobs.lookouts import Lookouts
    except ModuleNotFoundError as error:
        raise MissingExtra("a reconcile on many machines", "celery") from error
    listener = Listener(ui)
    try:
        with Lookouts(settings, listener) as eyes:
            yield eyes
    finally:
        listener.close()


def backups_list(ui: Ui) -> int:
    """List what reconciles replaced, the newest first."""
    with _catalog(ui) as catalog:
        kept = catalog.corrections.backups()
    for backup in kept:
        ui.out(
            backup.id,
            (f"   {time_of(backup.created_at)}", "dim"),
            f"   {words.number(backup.rows, 'row')}",
            ("   restored" if backup.restored_at else "", "dim"),
        )
    if not kept:
        ui.out("there are no backups")
    ui.document(
        {
            "backups": [
                {
                    "id": backup.id,
                    "run": backup.run,
                    "provider": backup.provider,
                    "created_at": time_of(backup.created_at),
                    "rows": backup.rows,
                    "restored_at": time_of(backup.restored_at) if backup.restored_at else None,
                }
                for backup in kept
            ]
        }
    )
    return 0


def backups_restore(
    ui: Ui, backup: Annotated[str, typer.Argument(metavar="ID", help="The backup's id.", show_default=False)]
) -> int:
    """Put rows of the books back as they were. Those that were changed since stay as they are."""
    with _catalog(ui) as catalog:
        rows, stay = catalog.corrections.restore(backup)
    for key in stay:
        ui.say(f"warning: {keys.display(key)} was changed since, and stays")
    ui.out(f"{words.number(rows, 'row')} put back")
    ui.document({"backup": backup, "rows": rows, "changed_since": stay})
    return 1 if stay else 0


def undo_quarantine(ui: Ui, run: str) -> int | None:
    """Bring back what a reconcile moved aside; None when the run is none of those."""
    settings = ui.settings()
    if not (settings.home / "reconcile").exists():
        return None
    from trueup.reconcile.quarantine import knows, undo

    if not knows(run, settings.home):
        return None
    done = undo(run, settings=settings)
    for problem in done.problems:
        ui.say(f"warning: {problem}")
    ui.out(f"{words.number(done.back, 'object')} brought back")
    ui.document({"run": run, "job": "undo", "back": done.back, "problems": done.problems})
    return 1 if done.problems else 0


@contextmanager
def _catalog(ui: Ui) -> Iterator[Catalog]:
    from trueup.catalog import open_catalog
    from trueup.pool.config import pool_config

    config = pool_config(ui.settings())
    limits = {provider.name: provider.limits for provider in config.providers.values()}
    with closing(open_catalog(config.database, limits)) as catalog:
        yield catalog


def _history(ui: Ui, name: str | None) -> int:
    """What earlier runs found, and a pattern in it. What was compared with an application's table, this machine knows;
    of the pool all machines tell."""
    from trueup.reconcile.config import reconcile_config
    from trueup.reconcile.history import drift, pattern
    from trueup.reconcile.wording import megabytes
    from trueup.runs import RunLog

    if name:
        if name not in reconcile_config(ui.settings()).references:
            raise ConfigError(f"there is no [reconcile.references.{name}]", cure="Name one, or none for the pool")
        rows = drift(RunLog(ui.settings().home).latest(1000), name)
    else:
        with _catalog(ui) as catalog:
            rows = drift(catalog.runs.latest(1000), "pool")
    for row in rows:
        more = "" if row.files is None or row.size is None else f"{row.files:+,} files  {megabytes(row.size):+,.2f} MB"
        ui.out(row.run, f"   {row.provider:<12}", f"  {row.status:<8}", f"  {more}")
    if not rows:
        ui.out("no runs yet")
    warnings = [f"{provider} differed in each of its last three runs" for provider in pattern(rows)]
    for warning in warnings:
        ui.warn(f"{warning}: something changes it, or its books, behind the pool's back")
    ui.document({"runs": [row._asdict() for row in rows], "warnings": warnings})
    return 0
