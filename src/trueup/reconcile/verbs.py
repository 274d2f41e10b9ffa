"""One reconcile from beginning to end."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from trueup.catalog import open_catalog
from trueup.catalog.base import MISSING, Catalog, Corrections, Stored, Usage
from trueup.config import Settings, load
from trueup.errors import TrueupError
from trueup.pool.config import PoolConfig, pool_config
from trueup.reconcile.compare import DUPLICATE, IN_FLIGHT, OK, UNVERIFIABLE, VERDICTS, Believed
from trueup.reconcile.config import ReconcileConfig, reconcile_config, share
from trueup.reconcile.findings import Findings
from trueup.reconcile.fix import Fixing, items, too_much
from trueup.reconcile.observe import Reference, Seen, first_look, look_across, second_look
from trueup.reconcile.report import SHOWN, ProviderReport, ReconcileRun, Totals
from trueup.runs import RunRecord, new_run_id, run_lock
from trueup.stores import open_store
from trueup.stores.base import Store

log = logging.getLogger("trueup.reconcile")

JOB: Final = "reconcile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How one reconcile is done."""

    dry_run: bool = False
    adopt_orphans: bool = False
    max_change: str = ""
    """Empty: as the settings say."""
    force: bool = False
    """Fix although the breaker would refuse."""


def reconcile(
    *,
    settings: Settings | None = None,
    dry_run: bool = False,
    adopt_orphans: bool = False,
    max_change: str = "",
    force: bool = False,
    heard: Callable[[str], None] = lambda _: None,
) -> ReconcileRun:
    """Compare the pool's books with what its clouds hold, and make the books true; nothing in a cloud is changed.

    With `dry_run` nothing is changed at all. `adopt_orphans` takes what lies there unowned into the books. A fix of
    more than `max_change` of a provider (empty: as the settings say) is refused unless `force`. `heard` is told of each
    provider whose listing begins.

    Raises `ConfigError`, `Busy` when another one is at it, and `TrueupError` for a database that cannot be used. A
    cloud that cannot be listed is `unknown` in the result, and the others go on.
    """
    settings = settings or load()
    pool, config = pool_config(settings), reconcile_config(settings)
    run = new_run_id()
    name = hashlib.sha256(pool.database.encode()).hexdigest()[:32]
    limits = {provider.name: provider.limits for provider in pool.providers.values()}
    with (
        run_lock(settings.home / "reconcile" / f"{name}.lock", run=run, what="these books are being reconciled"),
        closing(open_catalog(pool.database, limits)) as catalog,
        closing(Findings()) as findings,
        ExitStack() as stack,
    ):
        log.info("Storage stats sync task started")
        options = Options(dry_run=dry_run, adopt_orphans=adopt_orphans, max_change=max_change, force=force)
        work = _Reconciling(run, settings, pool, config, options, catalog, findings, stack, heard)
        done = work.run()
        if not dry_run:
            _remember(catalog, done, work.started)
        known = sum(provider.state == "known" for provider in done.providers)
        log.info("Storage sync complete: %d providers synced", known)
        return done


class _Reconciling:
    def __init__(
        self,
        run: str,
        settings: Settings,
        pool: PoolConfig,
        config: ReconcileConfig,
        options: Options,
        catalog: Catalog,
        findings: Findings,
        stack: ExitStack,
        heard: Callable[[str], None],
    ) -> None:
        self.started = datetime.now(UTC)
        self._began = time.monotonic()
        self._run = run
        self._settings = settings
        self._pool = pool
        self._config = config
        self._options = options
        self._catalog = catalog
        self._findings = findings
        self._stack = stack
        self._heard = heard
        self._max_change = share(options.max_change or config.max_change, "--max-change")
        self._stores: dict[str, Store] = {}
        self._seen: dict[str, Seen] = {}
        self._well: dict[str, int] = {}

    def run(self) -> ReconcileRun:
        usages = {usage.provider: usage for usage in self._catalog.ledger.usage()}
        reports = {name: ProviderReport(provider=name, ledger=_totals(usages[name])) for name in sorted(usages)}
        for name, report in reports.items():
            self._look(name, report)
        references = {name: _reference(self._catalog.corrections, name) for name in self._seen}
        look_across(references, self._findings)
        for name in self._seen:
            self._settle(reports[name], usages[name])
        return self._result(tuple(reports.values()))

    def _look(self, name: str, report: ProviderReport) -> None:
        """Both looks at one provider. What goes wrong makes it unknown, and the others go on."""
        reference = _reference(self._catalog.corrections, name)
        try:
            if name not in self._pool.providers:
                raise TrueupError("it is not in the settings")
            store = open_store(self._pool.providers[name].store, self._settings.environ)
            self._stack.callback(store.close)
            self._heard(name)
            seen = first_look(name, store, reference, self._findings)
            self._well[name] = second_look(
                name,
                store,
                reference,
                self._findings,
                grace=self._config.grace,
                stat_orphans=self._options.adopt_orphans,
            )
        except TrueupError as error:
            self._findings.drop(name)
            report.state, report.reason = "unknown", str(error)
            log.warning("nothing can be said of %s: %s", name, error)
            return
        self._stores[name], self._seen[name] = store, seen
        report.actual = seen.actual

    def _settle(self, report: ProviderReport, usage: Usage) -> None:
        """Judge the totals of one provider, and fix its books."""
        name, findings, seen = report.provider, self._findings, self._seen[report.provider]
        counts = findings.counts(name)
        counts[OK] = seen.ok + self._well[name]
        report.verdicts = {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]}
        moving, awaited = findings.lying(name, (IN_FLIGHT,)), findings.believed(name, IN_FLIGHT)
        report.mismatch = report.ledger - Totals(*awaited) != seen.actual - Totals(*moving)
        if report.mismatch:
            log.warning(
                "MISMATCH DETECTED: %s: %d files and %d bytes on the books, %d and %d there",
                name,
                *report.ledger,
                *seen.actual,
            )
        fixing = Fixing(self._catalog.corrections, self._run, findings, adopt=self._options.adopt_orphans)
        why = None if self._options.force else too_much(findings, usage, self._max_change)
        report.wanting = fixing.plan(name, usage)
        if not report.wanting:
            return
        if why is not None:
            report.refused, report.reason = True, why
        elif not self._options.dry_run and fixing.fix(name, usage):
            report.fixed, report.backup = True, fixing.backup_of(name)

    def _result(self, reports: tuple[ProviderReport, ...]) -> ReconcileRun:
        shown = list(islice(items(self._findings), SHOWN + 1))
        unknown = [report for report in reports if report.state == "unknown"]
        refused = [report for report in reports if report.refused]
        person = any(report.verdicts.get(verdict) for report in reports for verdict in (DUPLICATE, UNVERIFIABLE))
        skipped = any(item["fix"] == "skipped" for item in shown)
        if self._options.dry_run:
            status, reason = "dry-run", None
        elif refused:
            status, reason = "refused", "; ".join(f"{report.provider}: {report.reason}" for report in refused)
        elif unknown and len(unknown) == len(reports):
            status, reason = "failed", "; ".join(f"{report.provider}: {report.reason}" for report in unknown)
        elif unknown or person or skipped:
            status, reason = "partial", None
        else:
            status, reason = "ok", None
        return ReconcileRun(
            run=self._run,
            name="",
            status=status,
            reason=reason,
            providers=reports,
            items=tuple(shown[:SHOWN]),
            items_truncated=len(shown) > SHOWN,
            findings=person or any(report.mismatch or report.wanting for report in reports),
            seconds=time.monotonic() - self._began,
        )


def _reference(corrections: Corrections, provider: str) -> Reference:
    """The pool's own books of one provider."""

    def rows() -> Iterable[Believed]:
        return map(_believed, corrections.rows(provider))

    def again(keys: Sequence[str]) -> dict[str, Believed]:
        return {key: _believed(row) for key, row in corrections.again(provider, keys).items()}

    return Reference(rows, again, lambda keys: corrections.covered(provider, keys))


def _believed(row: Stored) -> Believed:
    return Believed(row.key, row.size, row.md5, row.created_at, row.state == MISSING)


def _totals(usage: Usage) -> Totals:
    return Totals(usage.file_count, usage.total_size_bytes)


def _remember(catalog: Catalog, done: ReconcileRun, started: datetime) -> None:
    catalog.runs.add(
        RunRecord(
            run=done.run,
            job=JOB,
            name=done.name,
            status=done.status,
            started=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            seconds=done.seconds,
            summary=done.summary(),
        )
    )
