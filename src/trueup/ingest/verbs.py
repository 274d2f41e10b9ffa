"""`ingest`: take each file of a source once. `should_process`: whether one still is to be taken."""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from trueup import events, keys
from trueup.config import Settings, load
from trueup.errors import Interrupted, TrueupError, UsageError
from trueup.filters import Scope
from trueup.ingest import gone
from trueup.ingest.again import request
from trueup.ingest.config import ingest_config
from trueup.ingest.handler import Incoming
from trueup.ingest.job import Job, make_folder, opened
from trueup.ingest.memory import Memory
from trueup.ingest.observe import EVER, Pass, lies_here, new_files, plan, register_local
from trueup.ingest.owner import Owner
from trueup.ingest.repair import repair as bring_back
from trueup.ingest.report import IngestRun, Tally
from trueup.ingest.take import Taking
from trueup.runs import RunRecord, new_run_id, stamped

log = logging.getLogger("trueup.ingest")

JOB: Final = "ingest"
_memories: dict[tuple[str, str], Memory] = {}
"""What this process knows, by database and job."""
_kept: dict[tuple[str, str, str], tuple[ExitStack, Job]] = {}
"""Jobs that stay open for `should_process`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a pass is to do besides taking what is new."""

    dry_run: bool = False
    reprocess: str = ""
    requeue: str = ""
    repair: bool = False


def ingest(
    name: str,
    *,
    settings: Settings | None = None,
    dry_run: bool = False,
    reprocess: str = "",
    requeue: str = "",
    repair: bool = False,
    listener: events.Listener = events.ignore,
    stopped: Callable[[], bool] = lambda: False,
) -> IngestRun:
    """Take each file of `[ingest.NAME]` that was not taken yet, once. Any number of these may run at the same time.

    `reprocess` (a pattern as in .gitignore) has files taken again that had their effect, `requeue` those that failed or
    are in quarantine. `repair` fetches again what is missing in the local folder, and has lost effects made again. With
    `dry_run` nothing is changed at all.

    Raises `UsageError` and `ConfigError`. A source or a database that cannot be used is a run that `failed`.
    """
    settings = settings or load()
    wish = Wish(dry_run=dry_run, reprocess=reprocess, requeue=requeue, repair=repair)
    return pass_over(name, settings, wish, listener=listener, stopped=stopped)


def pass_over(
    name: str,
    settings: Settings,
    wish: Wish,
    *,
    listener: events.Listener,
    stopped: Callable[[], bool],
    within: Job | None = None,
    eventful: bool = False,
) -> IngestRun:
    """One pass, over a job that is open or is opened for it. With `eventful`, the history only gets a pass of which
    something came."""
    began, started = time.monotonic(), datetime.now(UTC)
    run = new_run_id(started)
    again, anew = _pattern(wish.reprocess, "--reprocess"), _pattern(wish.requeue, "--requeue")
    kept = nullcontext(within) if within else opened(name, settings, memory_of(name, settings), copy=wish.dry_run)
    tally = Tally()
    try:
        with kept as job:
            listener(events.RunStarted(run=run, job=JOB, left=job.source.url, right=job.local.url, mode="ingest"))
            owner = Owner(settings.home, looks_only=wish.dry_run)
            this = Pass(run=run, job=job, owner=owner, dry_run=wish.dry_run, listener=listener, stopped=stopped)
            try:
                with owner.alive():
                    if wish.dry_run:
                        this.reprocess, this.requeue = again, anew
                    else:
                        make_folder(job)
                        for pattern, success in ((again, True), (anew, False)):
                            if pattern is not None:
                                request(this, pattern, success=success)
                    reason = _pass(this, repair=wish.repair, stopped=stopped)
                status = _status(this, reason, stopped=stopped())
            except UsageError:
                raise
            except TrueupError as error:
                status, reason = "interrupted" if isinstance(error, Interrupted) else "failed", str(error)
            tally = this.tally
            done = _result(run, name, status, reason, tally, time.monotonic() - began)
            if not wish.dry_run and (done.eventful or not eventful):
                _record(job, done, started)
    except UsageError:
        raise
    except TrueupError as error:  # the database
        done = _result(run, name, "failed", str(error), tally, time.monotonic() - began)
    counts = {key: value for key, value in done.counts.items() if isinstance(value, int)}
    listener(events.RunFinished(run=run, status=done.status, reason=done.reason, counts=counts, seconds=done.seconds))
    return done


def _status(this: Pass, reason: str, *, stopped: bool) -> str:
    if this.dry_run:
        return "dry-run"
    if stopped:
        return "interrupted"
    return "failed" if reason else "partial" if this.tally.troubled else "ok"


def _pass(this: Pass, *, repair: bool, stopped: Callable[[], bool]) -> str:
    """One look at everything; why it ended too early, or nothing."""
    job = this.job
    if not job.memory.warm:
        register_local(this)
        job.memory.warm = not this.dry_run
    if repair:
        bring_back(this, stopped)
    if this.dry_run:
        plan(this, new_files(this))
        return ""
    if job.config.forget is None:
        return Taking(this, stopped).run(new_files(this))
    with closing(gone.Listed()) as listed:
        this.listed = listed
        ended = Taking(this, stopped).run(new_files(this))
        if not ended and not stopped() and listed.whole:
            gone.forget(job.processed, listed, job.memory, job.config.forget)
    return ended


def should_process(name: str, key: str, *, settings: Settings | None = None) -> tuple[bool, str | None]:
    """Whether a file of `[ingest.NAME]` still is to be taken; if not, the layer that knew it: `memory`, `local`,
    `processed` or `domain`. One that is none of the job's business, or cannot be taken for its name, is not, and no
    layer knew it. The job stays open in this process. `already_done` is asked with the name alone: the size
    is 0 and the time 1970 then. Raises `ConfigError` and `TrueupError`."""
    settings = settings or load()
    job = _open(name, settings)
    if key not in job.scope or keys.unaddressable(key) is not None or job.local.unaddressable(key) is not None:
        return False, None
    layer = _layer(job, key)
    if layer is not None:
        log.debug("Skipping %s (already processed: %s)", keys.display(key), layer)
    return layer is None, layer


def _layer(job: Job, key: str) -> str | None:
    if key in job.memory:
        return "memory"
    row = job.processed.rows([key]).get(key)
    if row is not None and not row.success:
        return None
    if lies_here(job, key):
        return "local"
    if row is not None:
        return "processed"
    if job.handler.already_done is None:
        return None
    with job.processed.begin(keep=False) as db:
        return "domain" if job.handler.knows(Incoming(key=key, size=0, mtime=EVER), db) else None


def memory_of(name: str, settings: Settings) -> Memory:
    """What this process knows of a job."""
    return _memories.setdefault((ingest_config(name, settings).database, name), Memory())


def _open(name: str, settings: Settings) -> Job:
    here = (ingest_config(name, settings).database, name, str(settings.home))
    if here not in _kept:
        stack = ExitStack()
        _kept[here] = stack, stack.enter_context(opened(name, settings, memory_of(name, settings)))
    return _kept[here][1]


@atexit.register
def _close_all() -> None:
    while _kept:
        _kept.popitem()[1][0].close()


def _pattern(given: str, option: str) -> Scope | None:
    return Scope([given], where=option) if given else None


def _result(run: str, name: str, status: str, reason: str, tally: Tally, seconds: float) -> IngestRun:
    return IngestRun(
        run=run,
        name=name,
        status=status,
        reason=reason or None,
        counts=asdict(tally.counts),
        items=tuple(tally.items),
        items_truncated=tally.truncated,
        seconds=seconds,
    )


def _record(job: Job, done: IngestRun, started: datetime) -> None:
    record = RunRecord(
        run=done.run,
        job=JOB,
        name=done.name,
        status=done.status,
        started=stamped(started),
        seconds=done.seconds,
        summary=done.summary(),
    )
    job.processed.record(record)
