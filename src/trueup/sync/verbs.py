"""The verbs of sync: plan, apply, and both in one run."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from trueup import events
from trueup.config import Settings, SyncConfig, load, sync_config
from trueup.errors import Interrupted, Refused, TrueupError, UsageError
from trueup.runs import new_run_id
from trueup.stores.stopping import heeding
from trueup.sync import guards, upkeep
from trueup.sync.apply import Application, Applied
from trueup.sync.decide import Action
from trueup.sync.early import Hands
from trueup.sync.header import Header
from trueup.sync.held import leave_held
from trueup.sync.outputs import Outputs
from trueup.sync.part import Part, Unclear
from trueup.sync.plan import Plan
from trueup.sync.planner import build
from trueup.sync.recording import Recording, finished
from trueup.sync.recovery import recover
from trueup.sync.report import SyncRun, settled_status, shown_items
from trueup.sync.session import Session, session
from trueup.sync.sides import Sides, View
from trueup.sync.state import RunRow
from trueup.sync.workers import Workers

log = logging.getLogger("trueup.sync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How a run of `sync` differs that is one pass of a watch."""

    view: View = field(default_factory=View)
    sides: Sides | None = None
    """The places, if they are open already; they stay so."""
    is_news: Callable[[SyncRun, BaseException | None], bool] = lambda _, __: True
    """Whether the run, and the error that ended it, belong into the history."""
    left_for_later: Callable[[Iterable[str]], None] = lambda _: None
    """Is told the keys that were left for a later run, because somebody was writing them a moment ago."""


def plan(
    left: str, right: str, *, settings: Settings | None = None, outputs: Outputs | None = None, **options: object
) -> Plan:
    """What would bring `left` and `right` into agreement. Writes nothing to either side.

    `options` are the settings of a `[sync.NAME]` (`mode`, `prefer`, `delete`, `include`, ...). Close the plan, or use
    it as a context manager. `outputs` hears of the listings and may stop them (`Interrupted`). Raises `Refused`,
    `ListingUnfinished`, `UsageError` or a `StoreError`.
    """
    settings = settings or load()
    run = new_run_id()
    with session(left, right, settings, run=run, lock=False) as opened:
        planned = _blank(opened, run, sync_config(options))
        try:
            _build(opened, planned, outputs or Outputs())
        except BaseException:
            planned.close()
            raise
        return planned


def apply(plan: Plan, *, settings: Settings | None = None, outputs: Outputs | None = None) -> SyncRun:
    """Apply a plan made earlier. Guards run again, and each item is done only where it still is as planned.

    Raises `Refused`, `Busy`, `UsageError`, `Interrupted` for a stop before anything was done, or the `StoreError` of a
    place that cannot be reached.
    """
    settings = settings or load()
    outputs = outputs or Outputs()
    if plan.applied:  # the journal and the trash of a run are its own
        plan.header, plan.stale = replace(plan.header, run=new_run_id()), True
    plan.applied = True
    header = plan.header
    with (
        Recording(header, settings, outputs) as record,
        session(header.left, header.right, settings, run=header.run) as opened,
    ):
        if (header.left_url, header.right_url) != (opened.sides.left.url, opened.sides.right.url):
            raise UsageError(
                f"the plan was made for {header.left_url} and {header.right_url}, which are not what "
                f"{header.left} and {header.right} mean here"
            )
        outputs.listener(_started(header))
        recover(opened.sides, opened.state, warn=partial(outputs.warn, header.run))
        with heeding(outputs.stopped):
            plan.to_make = guards.check_roots(header, opened.sides, first=not opened.state.has_baseline())
            guards.check_since(header, opened.sides)
        if not header.config.release:
            leave_held(plan, opened.state.held())
        with closing(_application(opened, plan, outputs)) as application:
            _check(plan, outputs)
            return record(_apply(opened, plan, application.run, outputs))


def sync(
    left: str,
    right: str,
    *,
    config: SyncConfig | None = None,
    settings: Settings | None = None,
    dry_run: bool = False,
    inventory: bool = False,
    outputs: Outputs | None = None,
    watched: Watched | None = None,
    workers: Workers | None = None,
) -> SyncRun:
    """Bring two places into agreement: observe, pair, decide, check the guards, apply, record.

    New files begin to be copied while the listings go on, where nothing further down can object to that. With
    `inventory`, which a dry run alone may have, a store that has inventory reports is listed by the newest of them, and
    asked itself for what then differs. Where there are `workers`, they do the work.

    Returns a run with status ok, partial, interrupted or dry-run, or failed when a listing broke off after new files
    had been copied, or the pair's memory or the way to the workers was lost amid the plan; a dry run that a guard would
    refuse has status refused and shows its items. Raises `Refused`, `Busy`, `UsageError`, or the `StoreError` of a
    place that cannot be listed; nothing was done then.
    """
    settings = settings or load()
    outputs = outputs or Outputs()
    watched = watched or Watched()
    header = Header(run=new_run_id(), left=left, right=right, left_url="", right_url="", config=config or SyncConfig())
    if inventory and (not dry_run or outputs.plan_out is not None):
        raise UsageError("an old listing is no ground to change anything", cure="Use it for a dry run or a check only")
    if dry_run:
        # Workers do nothing for a run that does not hold the pair.
        led = workers is not None
        with session(left, right, settings, run=header.run, lock=led, shared=led, inventory=inventory) as opened:
            return _dry_run(opened, header, outputs, workers)
    with (
        Recording(header, settings, outputs, is_news=watched.is_news) as record,
        session(left, right, settings, run=header.run, sides=watched.sides, shared=workers is not None) as opened,
    ):
        outputs.listener(_started(header))
        recover(opened.sides, opened.state, warn=partial(outputs.warn, header.run))
        if workers is not None:
            return record(_sync_led(opened, header, outputs, workers))
        run = _sync_part(opened, header, outputs, watched)
        return record(_sync_whole(opened, header, outputs, watched) if run is None else run)


def _sync_part(opened: Session, header: Header, outputs: Outputs, watched: Watched) -> SyncRun | None:
    """A run over a part, if there is one that can be judged by itself and no guard objects."""
    part = watched.view.part
    if part.whole:
        return None
    with _blank(opened, header.run, header.config) as planned:
        try:
            _build(opened, planned, outputs, watched.view)
            part.require_clear(planned, opened.sides)
            guards.check(planned)
        except (Unclear, Refused):
            return None
        outputs.listener(_planned(planned))
        watched.left_for_later(planned.unsettled)
        with closing(_application(opened, planned, outputs)) as application:
            return _apply(opened, planned, application.run, outputs, part=True)


def _sync_whole(opened: Session, header: Header, outputs: Outputs, watched: Watched) -> SyncRun:
    view = replace(watched.view, part=Part())
    with (
        _blank(opened, header.run, header.config) as planned,
        closing(_application(opened, planned, outputs)) as application,
    ):
        # With --delete a new file may be another one renamed, and whoever wants to see the plan sees it first.
        hands = None if header.config.delete or outputs.plan_out is not None else application
        try:
            _build(opened, planned, outputs, view, hands)
            _check(planned, outputs)
        except (TrueupError, sqlite3.DatabaseError) as error:
            if (run := _cut_short(opened, planned, application, outputs, error)) is None:
                raise
            return run
        outputs.save_plan(planned)
        watched.left_for_later(planned.unsettled)
        return _apply(opened, planned, application.run, outputs)


def _sync_led(opened: Session, header: Header, outputs: Outputs, workers: Workers) -> SyncRun:
    """A run whose plan workers make and apply, and of which this process sees the whole."""
    with _blank(opened, header.run, header.config) as planned:
        workers.plan(opened, planned, outputs)
        _check(planned, outputs)
        outputs.save_plan(planned)
        if planned.size():
            opened.state.start_run(_row(opened, planned.header))
        opened.state.require_lock()
        run = _apply(opened, planned, partial(workers.apply, opened, planned, outputs), outputs)
    return replace(run, parts=tuple(workers.parts))


def _blank(opened: Session, run: str, config: SyncConfig) -> Plan:
    header = Header(
        run=run,
        left=opened.left,
        right=opened.right,
        left_url=opened.sides.left.url,
        right_url=opened.sides.right.url,
        config=config,
        started_ns=time.time_ns(),
    )
    return Plan(header, folder=opened.folder)


def _build(
    opened: Session, planned: Plan, outputs: Outputs, view: View | None = None, hands: Hands | None = None
) -> None:
    build(
        planned,
        opened.sides,
        opened.state,
        listener=outputs.listener,
        stopped=outputs.stopped,
        view=view,
        hands=hands,
    )


def _row(opened: Session, header: Header) -> RunRow:
    return RunRow(
        run=header.run,
        left_url=opened.sides.left.url,
        right_url=opened.sides.right.url,
        left_spec=opened.lasting("left"),
        right_spec=opened.lasting("right"),
        started_ns=time.time_ns(),
        trash="kept" if header.config.trash else "none",
    )


def _application(opened: Session, planned: Plan, outputs: Outputs) -> Application:
    row = _row(opened, planned.header)
    return Application(planned, opened.sides, opened.state, row, listener=outputs.listener, stopped=outputs.stopped)


def _check(planned: Plan, outputs: Outputs) -> None:
    outputs.listener(_planned(planned))
    guards.check(planned)


def _dry_run(opened: Session, header: Header, outputs: Outputs, workers: Workers | None) -> SyncRun:
    began = time.monotonic()
    with _blank(opened, header.run, header.config) as planned:
        if workers is None:
            _build(opened, planned, outputs)
        else:
            workers.plan(opened, planned, outputs)
        outputs.listener(_planned(planned))
        outputs.save_plan(planned)
        refusal = None
        try:
            guards.check(planned)
        except Refused as error:
            refusal = str(error)
        outputs.save_items(planned)
        right, left = planned.bytes()
        items, truncated = shown_items(planned)
        run = SyncRun(
            run=header.run,
            status="refused" if refusal else "dry-run",
            reason=refusal,
            left=header.left,
            right=header.right,
            mode=header.config.mode,
            counts=planned.counts() | {"unchanged": planned.header.unchanged},
            bytes_right=right,
            bytes_left=left,
            seconds=time.monotonic() - began,
            differences=_differs(planned),
            inventory={side: report.to_json() for side, report in opened.sides.reports.items()},
            items=items,
            items_truncated=truncated,
            parts=tuple(workers.parts) if workers is not None else (),
        )
    outputs.listener(finished(run))
    return run


def _differs(planned: Plan) -> bool:
    counts = planned.counts()
    return planned.size() > 0 or bool(counts["conflict"] or counts["unknown"])


def _apply(
    opened: Session, planned: Plan, act: Callable[[], Applied], outputs: Outputs, *, part: bool = False
) -> SyncRun:
    """Journal and effects by `act`, trash, result: the same for a plan of this minute and for a saved one. No guard
    objects."""
    header = planned.header
    differences = _differs(planned)
    notes = planned.counts()
    upkeep.warn_of_lost_times(opened, planned, outputs)
    applied = act()
    if not applied.broken:
        try:
            if not applied.interrupted and not part:
                upkeep.forget_out_of_scope(opened, header.config)
                if header.config.release and not applied.untried:
                    opened.state.release()
            upkeep.warn_of_public_trash(opened, outputs, header.run)
            upkeep.expire(opened, outputs, header.run)
        except sqlite3.DatabaseError as error:  # what was done is done, and told
            applied.broken = str(error)
    reason = None
    if applied.broken:
        reason = f"{opened.state.trouble(applied.broken)}; what was not written down by then is not counted"
        reason = f"{reason}. {applied.cure}" if applied.cure else reason
    elif applied.untried:
        reason = f"{applied.untried:,} of {planned.size():,} changes were left undone: {applied.why}"
    return _told(replace(_result(planned, applied, notes, differences=differences), reason=reason), planned, outputs)


def _told(run: SyncRun, planned: Plan, outputs: Outputs) -> SyncRun:
    """The result, with its items written where they are wanted. What was done is done, whether that works or not."""
    try:
        outputs.save_items(planned)
    except TrueupError as error:
        reason = f"{run.reason}; and {error}" if run.reason else str(error)
        run = replace(run, status="partial" if run.status == "ok" else run.status, reason=reason)
    if run.reason:
        outputs.warn(run.run, run.reason)
    return run


def _cut_short(
    opened: Session,
    planned: Plan,
    application: Application,
    outputs: Outputs,
    error: TrueupError | sqlite3.DatabaseError,
) -> SyncRun | None:
    """The result of a run that had begun to copy new files when an error ended its planning. None if nothing came of
    that either: then the error is all there is to say. Nothing is concluded but what was done."""
    applied = application.cut_short("planning broke off before it began")
    broken = applied.broken or ("" if isinstance(error, TrueupError) else str(error))
    if not applied.counts and not (broken and application.begun):
        return None
    planned.restart()
    copied = applied.counts[Action.COPY_RIGHT] + applied.counts[Action.COPY_LEFT]
    if broken or not isinstance(error, TrueupError):
        what, cure = opened.state.trouble(broken), ""
        then = "not counting what could not be written down; nothing else was done"
    else:
        what, cure = error.message.removesuffix("; nothing was done"), error.cure
        then = "and nothing else was done"
    reason = f"{what}; by then {copied:,} new files had been copied, {then}"
    reason = f"{reason}. {cure}" if cure else reason
    stopped = isinstance(error, Interrupted) or applied.interrupted or outputs.stopped()
    run = replace(
        _result(planned, applied, planned.counts(), differences=True),
        status="interrupted" if stopped else "failed",
        reason=reason,
    )
    return _told(run, planned, outputs)


def _result(planned: Plan, applied: Applied, notes: dict[str, int], *, differences: bool) -> SyncRun:
    header = planned.header
    counts = dict(applied.counts) | {"unchanged": header.unchanged}
    for name in ("conflict", "unaddressable", "unknown", "marker", "link", "held"):
        counts[name] = notes.get(name, 0)
    items, truncated = shown_items(planned)
    return SyncRun(
        run=header.run,
        status="failed" if applied.broken else settled_status(counts, interrupted=applied.interrupted),
        left=header.left,
        right=header.right,
        mode=header.config.mode,
        counts=counts,
        bytes_right=applied.bytes_right,
        bytes_left=applied.bytes_left,
        differences=differences,
        items=items,
        items_truncated=truncated,
    )


def _started(header: Header) -> events.RunStarted:
    return events.RunStarted(run=header.run, job="sync", left=header.left, right=header.right, mode=header.config.mode)


def _planned(planned: Plan) -> events.Planned:
    right, left = planned.bytes()
    return events.Planned(
        run=planned.header.run,
        counts=dict(planned.counts()) | {"unchanged": planned.header.unchanged},
        bytes_right=right,
        bytes_left=left,
        actions=planned.size(),
    )
