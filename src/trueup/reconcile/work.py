"""Every provider of some books, one after the other: looked at, settled, told of."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import islice

from trueup.config import Settings, StoreConfig
from trueup.errors import ConfigError, TrueupError
from trueup.reconcile.books import Books
from trueup.reconcile.clocks import difference, measured
from trueup.reconcile.compare import DUPLICATE, IN_FLIGHT, OK, UNVERIFIABLE, VERDICTS
from trueup.reconcile.config import reconcile_config
from trueup.reconcile.eyes import Eyes, Lead, Looked, Subject, Terms
from trueup.reconcile.findings import Findings
from trueup.reconcile.fix import items
from trueup.reconcile.observe import Seen, look_across
from trueup.reconcile.report import SHOWN, ProviderReport, ReconcileRun, Totals
from trueup.stores import open_store
from trueup.stores.base import Store

log = logging.getLogger("trueup.reconcile")


class Work:
    """Looks at every provider of some books, and settles what differs."""

    def __init__(
        self,
        lead: Lead,
        eyes: Eyes,
        settings: Settings,
        place: Callable[[str], StoreConfig],
        books: Books,
        findings: Findings,
        settle: Callable[[ProviderReport], None],
        heard: Callable[[str], None],
        *,
        inventory: bool = False,
    ) -> None:
        self.started = datetime.now(UTC)
        self._began = time.monotonic()
        self._lead = lead
        self._eyes = eyes
        self._settings = settings
        self._place = place
        self._books = books
        self._findings = findings
        self._settle = settle
        self._heard = heard
        self._inventory = inventory
        self.stores: dict[str, Store] = {}
        """Those that could be looked at; open while `settle` is called."""
        self.seen: dict[str, Seen] = {}
        """What the looks at those counted."""
        self._warnings: list[str] = []

    def run(self, name: str = "", *, dry_run: bool, adopting: bool = False, moving: bool = False) -> ReconcileRun:
        """Look at all, settle each, and tell. `adopting` or `moving` orphans, those are looked at twice as well."""
        log.info("Storage stats sync task started")
        ahead = measured(self._books.clock)
        terms = Terms(reconcile_config(self._settings).grace, adopting or moving, ahead)
        whose = f"the database of {name}" if name else "the pool's database"
        self._warn(difference(whose, ahead), "rows may be left in flight that much longer")
        names = self._books.providers()
        if self._inventory:
            self._require_reports(names)
        reports = [ProviderReport(provider=provider, ledger=self._books.totals(provider)) for provider in names]
        with ExitStack() as stack:
            by_name = {report.provider: report for report in reports}
            subjects = [subject for report in reports if (subject := self._subject(report, stack)) is not None]
            with self._eyes.led(self._lead) as look:
                for provider, looked in look(subjects, terms, self._findings, self._heard):
                    self._looked_at(by_name[provider], looked)
            references = {provider: self._books.reference(provider) for provider in names}
            look_across(references, self.stores, self._findings, adopting=adopting)
            for report in reports:
                if report.actual is not None:
                    self._settle(report)
                    self._judge_totals(report)
        done = self._result(name, tuple(reports), dry_run=dry_run)
        log.info("Storage sync complete: %d providers synced", len(self.seen))
        return done

    def _subject(self, report: ProviderReport, stack: ExitStack) -> Subject | None:
        """One provider, opened; None, and it is unknown, where it cannot be."""
        name = report.provider
        try:
            config = self._place(name)
            store = self.stores[name] = open_store(config, self._settings.environ)
            stack.callback(store.close)
            subject = Subject(name, store, self._books.reference(name))
            if self._inventory and config.inventory:
                from trueup.stores.inventory import by_report

                listed, report.inventory = stack.enter_context(by_report(store, config, self._settings))
                subject = subject._replace(listed=listed, report=report.inventory)
        except TrueupError as error:
            self._unknown(report, error)
            return None
        return subject

    def _unknown(self, report: ProviderReport, why: TrueupError) -> None:
        report.state, report.reason = "unknown", str(why)
        log.warning("nothing can be said of %s: %s", report.provider, why)
        self.stores.pop(report.provider, None)

    def _looked_at(self, report: ProviderReport, looked: Looked | TrueupError) -> None:
        """What both looks at a provider came to."""
        if isinstance(looked, TrueupError):
            self._unknown(report, looked)
            return
        name = report.provider
        self._warn(difference(name, looked.ahead), "its objects are judged by its own")
        self.seen[name], report.actual = looked.seen, looked.seen.actual

    def _require_reports(self, providers: Iterable[str]) -> None:
        """Whoever asks for reports means some that there are."""
        for name in providers:
            try:
                if self._place(name).inventory:
                    return
            except ConfigError:  # it will be unknown
                continue
        raise ConfigError(
            "no provider has inventory reports", cure='Write inventory = "URL" beside the url of one, or leave it out'
        )

    def _warn(self, said: str | None, so: str) -> None:
        """Note what a person should know."""
        if said is not None:
            self._warnings.append(f"{said}: {so}")
            log.warning("%s: %s", said, so)

    def _judge_totals(self, report: ProviderReport) -> None:
        name, findings, actual = report.provider, self._findings, self.seen[report.provider].actual
        counts = findings.counts(name)
        counts[OK] = self.seen[name].ok
        report.verdicts = {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]}
        moving, awaited = findings.lying(name, (IN_FLIGHT,)), findings.believed(name, IN_FLIGHT)
        report.mismatch = not (report.ledger - Totals(*awaited)).agrees(actual - Totals(*moving))
        if report.mismatch:
            said = "MISMATCH DETECTED: %s: %s files and %s bytes on the books, %s and %s there"
            files, size = report.ledger
            log.warning(said, name, files, "unknown" if size is None else size, *actual)

    def _result(self, name: str, reports: tuple[ProviderReport, ...], *, dry_run: bool) -> ReconcileRun:
        shown = list(islice(items(self._findings), SHOWN + 1))
        unknown = [report for report in reports if report.state == "unknown"]
        refused = [report for report in reports if report.refused]
        person = any(report.verdicts.get(verdict) for report in reports for verdict in (DUPLICATE, UNVERIFIABLE))
        unfixed = any(report.left or (report.wanting and not report.fixed) for report in reports)
        troubled = refused or unknown
        reason = "; ".join(f"{report.provider}: {report.reason}" for report in troubled) or None
        if dry_run:
            status = "dry-run"
        elif refused:
            status = "refused"
        elif unknown and len(unknown) == len(reports):
            status = "failed"
        else:
            status = "partial" if unknown or person or unfixed else "ok"
        return ReconcileRun(
            run=self._lead.run,
            name=name,
            status=status,
            reason=reason if status in {"refused", "failed"} else None,
            providers=reports,
            items=tuple(shown[:SHOWN]),
            items_truncated=len(shown) > SHOWN,
            warnings=tuple(self._warnings),
            findings=person or any(report.wanting for report in reports),
            seconds=time.monotonic() - self._began,
            parts=tuple(self._eyes.parts),
        )
