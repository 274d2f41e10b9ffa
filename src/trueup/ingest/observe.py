"""What is on the server beside what is known: the files that are to be taken."""

from __future__ import annotations

import itertools
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from trueup import events, keys
from trueup.catalog.base import now
from trueup.catalog.sql.processed import CLAIMED, DONE, REQUESTED, Row
from trueup.errors import StoreError
from trueup.filters import Scope
from trueup.ingest.decide import Decision, Step, decide, lasting_looks, looks
from trueup.ingest.gone import Listed
from trueup.ingest.handler import Incoming
from trueup.ingest.job import Job
from trueup.ingest.owner import Owner
from trueup.ingest.report import Tally
from trueup.stores.base import Entry, OutOfOrder
from trueup.stores.sort import sorted_entries
from trueup.stores.stopping import heeded, heeding

_PAGE: Final = 500
log = logging.getLogger("trueup.ingest")

EVER: Final = datetime.fromtimestamp(0, UTC)
"""The time of a file whose time is not known."""
_LATER: Final = {Step.TAKE, Step.LOOK, Step.REWRITTEN}


@dataclass(slots=True, kw_only=True)
class Pass:
    """One look at everything, and what came of it so far."""

    run: str
    job: Job
    owner: Owner
    dry_run: bool = False
    listener: events.Listener = events.ignore
    stopped: Callable[[], bool] = lambda: False
    """Whether nobody waits for the listing any more."""
    listed: Listed | None = None
    """Gets every name, where somebody wants to know what is gone."""
    reprocess: Scope | None = None
    """In a dry run, whose rows stay as they are: the files that would be taken again though they had their effect."""
    requeue: Scope | None = None
    """The same of those that had none."""
    wanted: int = 0
    """Files that are to be taken or looked at."""
    tally: Tally = field(default_factory=Tally)
    stable_before_ns: int = 0

    def decide(self, entry: Entry, row: Row | None) -> Decision:
        """What becomes of a file by its row as it is now."""
        at = now()
        if row is not None and row.state != CLAIMED and self.asked_for(entry.key, success=row.success):
            row = row._replace(success=False, state=REQUESTED)
        return decide(
            entry,
            row,
            on_rewrite=self.job.config.on_rewrite,
            stable_before_ns=self.stable_before_ns,
            now=at,
            held=row is not None and row.token != "" and self.owner.held(row, at),
        )

    def asked_for(self, key: str, *, success: bool) -> bool:
        """Whether a dry run is to say that a file would be taken again."""
        pattern = self.reprocess if success else self.requeue
        return pattern is not None and key in pattern

    def known(self, key: str, layer: str) -> None:
        """Count a file that is done."""
        self.tally.counts.known(layer)
        if log.isEnabledFor(logging.DEBUG):  # a million times
            log.debug("Skipping %s (already processed: %s)", keys.display(key), layer)

    def item(self, key: str, outcome: str, error: str = "", attempts: int = 0) -> None:
        """Tell what became of one file."""
        self.tally.item(keys.display(key), outcome, error, attempts)
        self.listener(
            events.ItemFinished(
                run=self.run, key=keys.display(key), action="ingest", reason="", bytes=0, outcome=outcome,
                error=error or None,
            )
        )  # fmt: skip

    def here(self, key: str) -> bool:
        """Whether the local folder has a file of this name: a quick look, for counting."""
        try:
            return stat.S_ISREG(os.lstat(f"{self.job.local.root}/{key}").st_mode)
        except (OSError, ValueError):
            return False

    def not_done(self, entries: Sequence[Entry]) -> set[str]:
        """Those of some files that `already_done` does not know; all of them where there is no such hook. Raises
        `TrueupError` when it fails."""
        if self.job.handler.already_done is None:
            return {entry.key for entry in entries}
        with self.job.processed.begin(keep=False) as db:
            return {entry.key for entry in entries if not self.job.handler.knows(incoming(entry), db)}


def lies_here(job: Job, key: str) -> bool:
    """Whether a job's folder itself has a file of this name: nothing that a link leads to."""
    try:
        job.local.stat(key)
    except StoreError:
        return False
    return True


def incoming(entry: Entry) -> Incoming:
    """A file as a handler's hook sees it."""
    return Incoming(key=entry.key, size=entry.size, mtime=moment(entry))


def moment(entry: Entry) -> datetime:
    """When a file was modified; what no calendar has is told as 1970."""
    try:
        return datetime.fromtimestamp(entry.mtime_ns / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        return EVER


def register_local(this: Pass) -> None:
    """Say of each file in the local folder, if nothing is known of it, that it was taken; and remember those that are
    known to be."""
    job = this.job
    if not job.local.exists():
        return
    entries = (entry for entry in job.local.list(ordered=False) if not entry.fault and entry.key in job.scope)
    for page in paged(entries):
        known = job.processed.looks([entry.key for entry in page])
        for key, (size, seen) in known.items():
            job.memory.keep(key, size, seen)
        rest = [entry for entry in page if entry.key not in known]
        rows = job.processed.rows([entry.key for entry in rest])
        if not this.dry_run:
            assume(this, [entry for entry in rest if entry.key not in rows])


def assume(this: Pass, entries: Sequence[Entry]) -> set[str]:
    """Write rows for files that lie in the local folder and have none; those that `already_done` knows."""
    if not entries:
        return set()
    unknown = this.not_done(entries)
    sure = [entry for entry in entries if entry.key not in unknown]
    if not this.dry_run:
        this.job.processed.assume([(entry.key, entry.size) for entry in sure], DONE)
        this.job.processed.assume([(entry.key, entry.size) for entry in entries if entry.key in unknown])
    return {entry.key for entry in sure}


def new_files(this: Pass) -> Iterator[Entry]:
    """The files that are to be taken or looked at, in the order of their names. The listing is complete before the
    first comes out. Raises what listing raises: then nothing is to be done."""
    for page in this.job.processed.pages(unfinished=True):
        for row in page:  # another process may have asked for it again
            this.job.memory.forget(row.filename)
    before = this.tally
    for ordered in (True, False):
        this.tally, this.wanted = deepcopy(before), 0
        # By this machine's clock: asking a server for its own would mean writing to it.
        this.stable_before_ns = time.time_ns() - int(this.job.config.stable_for.total_seconds() * 1e9)
        try:
            yield from sorted_entries(_wanted(this, ordered=ordered), where=this.job.source.url)
            return
        except OutOfOrder:
            continue
    raise AssertionError("a sorted listing is in order")


def _wanted(this: Pass, *, ordered: bool) -> Iterator[Entry]:
    job, counts = this.job, this.tally.counts
    with heeding(this.stopped), closing(job.source.list(ordered=ordered)) as entries:
        for page in paged(entry for entry in heeded(entries) if entry.fault != "marker"):
            counts.listed += len(page)
            this.listener(events.Listing(run=this.run, left_entries=counts.listed, right_entries=0))
            if this.listed is not None:
                this.listed.add(entry.key for entry in page)
            new = []
            for entry in page:
                if entry.fault == "unreadable" and this.listed is not None:
                    this.listed.whole = False
                if not in_scope(this, entry):
                    counts.filtered += 1
                elif entry.fault:
                    _hidden(this, entry)
                elif job.memory.knows(entry.key, entry.size, looks(entry)) and not this.asked_for(
                    entry.key, success=True
                ):
                    this.known(entry.key, "memory")
                elif why := job.local.unaddressable(entry.key):
                    _refused(this, entry, why)
                else:
                    new.append(entry)
            yield from _by_rows(this, new)


def in_scope(this: Pass, entry: Entry) -> bool:
    """Whether an entry is the job's business."""
    if entry.fault and entry.fault != "unaddressable":
        return this.job.scope.concerns(entry)
    return entry.key in this.job.scope


def _hidden(this: Pass, entry: Entry) -> None:
    if entry.fault == "unreadable":
        this.tally.counts.failed += 1
        this.tally.troubled = True
        this.item(entry.key, "failed", entry.detail)
    else:
        _refused(this, entry, entry.detail)


def _refused(this: Pass, entry: Entry, why: str) -> None:
    """A file that cannot be taken because of its name, or of what it is."""
    this.tally.counts.refused += 1
    this.item(entry.key, "refused", why)


def _by_rows(this: Pass, entries: list[Entry]) -> Iterator[Entry]:
    job = this.job
    done = job.processed.looks([entry.key for entry in entries])
    rest = []
    for entry in entries:
        if done.get(entry.key) == (entry.size, looks(entry)) and not this.asked_for(entry.key, success=True):
            _known(this, entry)
        else:
            rest.append(entry)
    rows = job.processed.rows([entry.key for entry in rest])
    lying = [entry for entry in rest if entry.key not in rows and lies_here(job, entry.key)]
    sure = assume(this, lying)
    for entry in lying:
        this.known(entry.key, "domain" if entry.key in sure else "local")
    laid = {entry.key for entry in lying}
    settled = []
    for entry in rest:
        if entry.key in laid:
            continue
        decision = this.decide(entry, rows.get(entry.key))
        if decision.step in _LATER:
            this.wanted += 1
            yield entry
        else:
            settled.append((entry, decision, rows.get(entry.key)))
    settle(this, settled)


def _known(this: Pass, entry: Entry) -> None:
    """A file that had its effect."""
    this.known(entry.key, "local" if this.here(entry.key) else "processed")
    this.job.memory.keep(entry.key, entry.size, lasting_looks(entry, time.time_ns()))


def settle(this: Pass, settled: Sequence[tuple[Entry, Decision, Row | None]]) -> None:
    """Count the files with which nothing is to be done, and remember how they look."""
    counts, noted = this.tally.counts, []
    for entry, decision, row in settled:
        counts.rewritten += decision.rewritten
        match decision.step:
            case Step.KNOWN | Step.NOTE:
                _known(this, entry)
                noted.append((entry.key, entry.size, lasting_looks(entry, time.time_ns())))
            case Step.UNSTABLE:
                counts.unstable += 1
            case Step.QUARANTINED:
                counts.quarantined += 1
                this.item(entry.key, "quarantined", decision.reason, row.attempts if row else 0)
            case _:
                counts.waiting += 1
                this.item(entry.key, "waiting", decision.reason, row.attempts if row else 0)
    if not this.dry_run:
        this.job.processed.note(noted)


def paged(entries: Iterable[Entry], size: int = _PAGE) -> Iterator[list[Entry]]:
    """Some at a time."""
    rest = iter(entries)
    while page := list(itertools.islice(rest, size)):
        yield page


def plan(this: Pass, entries: Iterable[Entry]) -> None:
    """Say what would be taken, and do nothing."""
    for page in paged(entries):
        rows = this.job.processed.rows([entry.key for entry in page])
        for entry in page:
            decision = this.decide(entry, rows.get(entry.key))
            if decision.step == Step.REWRITTEN:
                this.tally.counts.failed += 1
                this.item(entry.key, "failed", decision.reason)
            else:
                this.tally.counts.rewritten += decision.rewritten
                this.item(entry.key, "planned")
