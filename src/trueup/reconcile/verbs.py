"""`reconcile`: the pool's books, or an application's own, against what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from trueup.catalog import open_catalog
from trueup.catalog.held import LEASE, held
from trueup.config import Settings, load
from trueup.errors import UsageError
from trueup.pool.config import pool_config
from trueup.reconcile.books import PoolBooks
from trueup.reconcile.compare import IN_FLIGHT, ORPHAN, VERDICTS
from trueup.reconcile.config import reconcile_config, share
from trueup.reconcile.eyes import Eyes, Here, Lead
from trueup.reconcile.findings import Findings
from trueup.reconcile.fix import Fixing, miscounted, too_many, too_much
from trueup.reconcile.quarantine import Aside, Journal
from trueup.reconcile.quarantine import plan as plan_aside
from trueup.reconcile.references import among, referenced
from trueup.reconcile.report import ProviderReport, ReconcileRun
from trueup.reconcile.source import Source
from trueup.reconcile.suspects import Suspects
from trueup.reconcile.table import Table
from trueup.reconcile.work import Work
from trueup.runs import RunLog, RunRecord, new_run_id, run_at, run_lock, stamped

JOB: Final = "reconcile"
_AT_IT: Final = "these books are being reconciled"


def reconcile(
    books: str | Source = "",
    *,
    settings: Settings | None = None,
    dry_run: bool = False,
    adopt_orphans: bool = False,
    quarantine_orphans: bool = False,
    max_change: str = "",
    force: bool = False,
    inventory: bool = False,
    heard: Callable[[str], None] = lambda _: None,
    lease: timedelta = LEASE,
    eyes: Eyes | None = None,
) -> ReconcileRun:
    """Compare books with what clouds hold: the pool's own, those of `[reconcile.references.NAME]`, or any `Source` of
    rows. The pool's books are made true; an application's own are only compared. Nothing in a cloud is changed, unless
    it is asked for.

    With `dry_run` nothing is changed at all. `adopt_orphans` takes what lies there unowned into the books;
    `quarantine_orphans` moves it aside within its store, and `quarantine.undo` brings it back. A fix of
    more than `max_change` of a provider (empty: as the settings say) is refused unless `force`. With `inventory`,
    providers that have inventory reports are listed by the newest of them, and asked themselves for what then differs;
    what changed since a report is in flight, and the pool's books are only looked at. `heard` is told of each provider
    whose listing begins. `eyes` look at the providers, this process without any.

    One run at a time works on the books, over all machines that share them; one that is cut off from the database for
    longer than `lease` may find another in its place, and stops. Raises `ConfigError`, `Busy` when another one is at
    it, and `TrueupError` for a database that cannot be used. A cloud that cannot be listed is `unknown` in the result,
    and the others go on.
    """
    settings = settings or load()
    if books:
        source = referenced(books, settings) if isinstance(books, str) else books
        if eyes is not None and not isinstance(books, str):
            said = f"workers cannot read {source.where}, which only this process knows"
            raise UsageError(said, cure="Compare it here: leave out the eyes")
        if adopt_orphans or quarantine_orphans:
            said = f"the rows of {source.name} are an application's own"
            raise UsageError(said, cure="Leave out what is done with orphans")
        return _compare(source, settings, dry_run=dry_run, inventory=inventory, heard=heard, eyes=eyes or Here())
    if inventory and not dry_run:  # what lies there unowned since would be forgotten, and its room given away
        raise UsageError("an old listing is no ground to change the books", cure="Add --check or --dry-run")
    if adopt_orphans and quarantine_orphans:
        raise UsageError("orphans cannot be adopted and put in quarantine", cure="Choose one")
    pool, config, run = pool_config(settings), reconcile_config(settings), new_run_id()
    change = share(max_change or config.max_change, "--max-change")
    limits, moving = {provider.name: provider.limits for provider in pool.providers.values()}, quarantine_orphans
    with (
        # The file's lock is free the moment its process dies. So the run that it still names is dead, and what that one
        # held in the database need not be waited for.
        run_lock(_lock(settings, pool.database), run=run, what=_AT_IT) as killed,
        closing(open_catalog(pool.database, limits)) as catalog,
        held(catalog.locks, JOB, run, _AT_IT, length=lease, instead_of=killed) as hold,
        closing(Findings()) as findings,
    ):
        ledger = PoolBooks(catalog)
        places = {provider.name: provider.store for provider in pool.providers.values()}

        fixing = Fixing(catalog.corrections, run, findings, ledger.providers(), hold, adopt=adopt_orphans)

        def refusal(report: ProviderReport) -> str | None:
            """Why suspiciously much would be changed or moved, or None. Nothing is begun before that is known."""
            if force:
                return None
            many = too_many(findings.counts(report.provider)[ORPHAN], report.actual, change) if moving else None
            return too_much(findings, ledger.usages[report.provider], change) or many

        def settle(report: ProviderReport) -> None:
            usage, report.reason = ledger.usages[report.provider], refusal(report)
            report.refused = report.reason is not None
            if moving and dry_run and not report.refused:
                plan_aside(run, report.provider, findings)
            elif moving and not report.refused:
                with closing(Journal(settings.home)) as journal:
                    aside = Aside(run, report.provider, work.stores[report.provider], catalog.corrections, hold)
                    report.moved, report.left = aside.move(findings, journal)
            recount = miscounted(usage, work.seen[report.provider].believed)
            # While others are at it the sums change between one look and the next, and are not wrong.
            quiet = usage in catalog.ledger.usage()
            report.wanting = fixing.plan(report.provider, usage) or (recount and quiet)
            if (report.wanting or recount) and not dry_run and not report.refused:
                fixing.fix(report.provider, usage, recount=recount)
                report.fixed = report.provider in fixing.changed

        lead = Lead(run=run, instead_of=killed, books=f"pool {pool.database}", reference="")
        place = among(places, "pool.providers")
        work = Work(lead, eyes or Here(), settings, place, ledger, findings, settle, heard, inventory=inventory)
        done = work.run(dry_run=dry_run, adopting=adopt_orphans, moving=moving)
        for report in done.providers:
            if report.provider in fixing.changed:
                report.fixed, report.backup = True, fixing.backup_of(report.provider)
        if not dry_run:
            catalog.runs.add(_record(done, work.started))
        return done


def under_way(settings: Settings) -> str:
    """The id of the run that works on the pool's books now, on whatever machine; empty where none does. Raises
    `ConfigError`, and `TrueupError` for a database that cannot be used."""
    database = pool_config(settings).database
    if here := run_at(_lock(settings, database)):
        return here
    with closing(open_catalog(database, {})) as catalog:
        holder = catalog.locks.holder(JOB)
    return holder.run if holder is not None else ""


def _compare(
    source: Source,
    settings: Settings,
    *,
    dry_run: bool,
    inventory: bool,
    heard: Callable[[str], None],
    eyes: Eyes,
) -> ReconcileRun:
    """An application's own books, which are not changed."""
    config, run = reconcile_config(settings), new_run_id()
    lock = _lock(settings, source.identity)
    with (
        run_lock(lock, run=run, what="these books are being compared") as killed,
        closing(Table(source)) as table,
        closing(Findings()) as findings,
        closing(Suspects(lock.with_suffix(".suspects"))) as suspects,
    ):
        table.load()

        def settle(report: ProviderReport) -> None:
            suspects.judge(report.provider, findings, config.grace, remember=not dry_run)
            counts = findings.counts(report.provider)
            report.wanting = any(counts[verdict] for verdict in VERDICTS if verdict not in {ORPHAN, IN_FLIGHT})

        lead = Lead(run=run, instead_of=killed, books=source.identity, reference=source.name)
        work = Work(lead, eyes, settings, source.place, table, findings, settle, heard, inventory=inventory)
        done = work.run(source.name, dry_run=dry_run)
        if not dry_run:
            RunLog(settings.home).add(_record(done, work.started))
        return done


def _lock(settings: Settings, what: str) -> Path:
    return settings.home / "reconcile" / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.lock"


def _record(done: ReconcileRun, started: datetime) -> RunRecord:
    return RunRecord(
        run=done.run,
        job=JOB,
        name=done.name or "pool",
        status=done.status,
        started=stamped(started),
        seconds=done.seconds,
        summary=done.summary(),
    )
