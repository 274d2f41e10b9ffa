"""A sync that workers do, range by range: this process leads them.

It cuts the keys into ranges and has each planned, puts the plans together, lets the guards look at the whole, and has
it applied in parts. What the parts hand to it is in the pair's memory in the shared database; that there is something
to do, workers hear by way of the broker, as of every other job.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, Self

from trueup import events
from trueup.catalog.tasks import FAILURE, PENDING, RETRY, REVOKED, STARTED, SUCCESS, UNDER_WAY, Task, Tasks
from trueup.config import Settings
from trueup.errors import Interrupted, Refused, StoreError, TrueupError, UsageError
from trueup.jobs.broker import Remote
from trueup.jobs.queue import open_queue
from trueup.jobs.work import AT_ONCE
from trueup.stores.ranges import cut
from trueup.sync.apply import Applied
from trueup.sync.content import Contents
from trueup.sync.item import Phase
from trueup.sync.moves import find_moves
from trueup.sync.outputs import Outputs
from trueup.sync.plan import Header, Plan
from trueup.sync.planner import View
from trueup.sync.ranged import STAGES, Order, Outcome, counted, part_of
from trueup.sync.session import Session
from trueup.sync.shared import SharedState

log = logging.getLogger("trueup.jobs")

PLAN: Final = "plan_range"
APPLY: Final = "apply_range"
_EACH: Final = 4
"""Ranges for each task that workers do at once: so one that holds more than others keeps nobody waiting for long."""
_MOST: Final = 1000
_ITEMS: Final = 2000
"""Changes at least in one part: less is not worth a process."""
_LOOK: Final = 0.25
"""Seconds between two looks at how far the parts are."""
_LOOKS: Final = 500
"""Parts looked at in a second, at most."""
_OTHERS: Final = 100
"""Parts that other runs may hand in meanwhile."""
_LEAVE: Final = 60.0
"""Seconds in which parts that are to stop have stopped."""


class Spread:
    """The hands of all workers. Use as a context manager."""

    shared = True

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigError` without a broker, and `TrueupError` where the broker, or every worker, is silent."""
        self._settings = settings
        self._catalog = open_queue(settings)
        try:
            self._remote = Remote(settings, self._catalog)
            try:
                self._slots = AT_ONCE * self._workers()
            except BaseException:
                self._remote.close()
                raise
        except BaseException:
            self._catalog.close()
            raise
        self.parts: list[dict[str, object]] = []
        """How each part went, for the record of the run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._remote.close()
        self._catalog.close()

    def _workers(self) -> int:
        self._remote.check()
        able = [name for name, jobs in self._remote.workers().items() if PLAN in jobs]
        if not able:
            raise TrueupError(
                "no worker answers that could take a part of this sync",
                cure="Start some, with these settings: trueup worker",
            )
        return len(able)

    def build(self, opened: Session, header: Header, outputs: Outputs, view: View | None) -> Plan:
        """See `Hands`."""
        state = _shared(opened)
        if view is not None and not view.part.whole:
            raise UsageError("a watch looks at parts by itself", cure="Leave out --on celery, or --watch")
        _require_ranges(opened)
        self._stop_earlier(state)
        state.drop_pages()
        order = Order(header=header, ranges=list(_ranges(self._cuts(opened))))
        order.give(state)
        told = [{"pair": state.pair, "run": header.run, "number": number} for number in range(len(order.ranges))]
        done = self._carry_out(PLAN, told, state, outputs, header.run)
        if stuck := [task for task in done if task is None or task.state != SUCCESS]:
            raise _trouble(stuck)
        return self._together(opened, header, [task.result or {} for task in done if task is not None])

    def _cuts(self, opened: Session) -> list[str]:
        """The keys at which ranges begin, but for the first: as the side divides itself that divides best."""
        parts = min(_MOST, _EACH * self._slots)
        return max(cut(opened.sides.left, parts), cut(opened.sides.right, parts), key=len)

    def _together(self, opened: Session, header: Header, found: Sequence[Mapping[str, Any]]) -> Plan:
        """The plan of the whole, from those of all ranges."""
        state = _shared(opened)
        planned = Plan(header, folder=opened.folder)
        try:
            for part in found:
                planned.take(state.kept(part["heap"]))
                planned.released += part["released"]
            planned.header = replace(
                header,
                left_entries=sum(part["left"] for part in found),
                right_entries=sum(part["right"] for part in found),
                baseline_rows=sum(part["baseline"] for part in found),
                unchanged=sum(part["unchanged"] for part in found),
                started_ns=min(part["started_ns"] for part in found),
            )
            if header.config.delete:
                contents = Contents({"left": opened.sides.left, "right": opened.sides.right}, state)
                with ThreadPoolExecutor(8, thread_name_prefix="hash") as pool:
                    find_moves(planned, contents.md5, pool, touches_clash=lambda _: False)
                contents.save()
        except BaseException:
            planned.close()
            raise
        return planned

    def apply(self, opened: Session, planned: Plan, outputs: Outputs) -> Applied:
        """See `Hands`."""
        state, run = _shared(opened), planned.header.run
        Order(header=planned.header, ranges=[]).give(state)
        applied = Applied()
        for stage, phases in STAGES.items():
            state.require_lock()
            bounds = self._share_out(state, planned, stage, phases)
            told = [{"pair": state.pair, "run": run, "stage": stage, "number": number} for number in range(len(bounds))]
            for task, (first, last) in zip(
                self._carry_out(APPLY, told, state, outputs, run, planned.size()), bounds, strict=True
            ):
                _settle(planned, state, applied, task, (first, last))
            if applied.interrupted or applied.broken:
                break
        why = "the run was interrupted" if applied.interrupted else applied.why
        planned.settle(
            Outcome("skipped", why, 0, item.seq)
            for item in planned.items(*(phase for stage in STAGES.values() for phase in stage))
            if not item.outcome
        )
        applied.counts, applied.bytes_right, applied.bytes_left = counted(planned)
        if planned.released:
            state.release(planned.released)
        state.drop_pages()
        state.drop_note(f"order {run}")
        return applied

    def _share_out(
        self, state: SharedState, planned: Plan, stage: str, phases: Sequence[Phase]
    ) -> list[tuple[int, int]]:
        """Keep the items of a stage in parts, each of consecutive sequences; the first and last ones."""
        bounds = planned.shares(phases, parts=min(_MOST, _EACH * self._slots), least=_ITEMS)
        for number, (first, last) in enumerate(bounds):
            heap = part_of(planned.header.run, stage, number)
            state.keep(heap, planned.saved(*phases, bounds=(first, last)))
        return bounds

    def _carry_out(
        self,
        job: str,
        told: Sequence[Mapping[str, Any]],
        state: SharedState,
        outputs: Outputs,
        run: str,
        actions: int = 0,
    ) -> list[Task | None]:
        """Have every part done, and wait; the tasks as they ended, None for one that does not. When it is to stop, so
        are they."""
        if not told:
            return []
        tasks = [self._remote.submit(job, arguments).id for arguments in told]
        state.set_note("tasks", json.dumps(tasks))
        watched = _Watched(self._catalog.tasks, job, tasks, run, actions)
        stopped_at = None
        while not watched.over:
            time.sleep(max(_LOOK, len(tasks) / _LOOKS))
            watched.look(outputs.listener)
            failed = job == PLAN and any(task.state not in {*UNDER_WAY, SUCCESS} for task in watched.found.values())
            if stopped_at is None and (failed or outputs.stopped()):
                stopped_at = time.monotonic()
                for task in tasks:
                    self._remote.cancel(task)
            if stopped_at is not None and time.monotonic() > stopped_at + _LEAVE:
                break
        self.parts += [watched.told(task, arguments) for task, arguments in zip(tasks, told, strict=True)]
        if outputs.stopped() and job == PLAN:
            raise Interrupted("stopped while planning; nothing was done")
        return [watched.found.get(task) for task in tasks]

    def _stop_earlier(self, state: SharedState) -> None:
        """Parts of a run whose leader was killed may still be at work."""
        tasks = self._catalog.tasks
        left = json.loads(state.note("tasks") or "[]")
        for task in left:
            self._remote.cancel(task)
        deadline = time.monotonic() + _LEAVE
        while any((found := tasks.get(task)) and found.state == STARTED for task in left):
            if time.monotonic() > deadline:
                log.warning("a worker of an earlier run does not answer: its lease ends by itself")
                return
            time.sleep(_LOOK)


class _Watched:
    """Parts under way, and how far they are."""

    def __init__(self, tasks: Tasks, job: str, ids: Sequence[str], run: str, actions: int) -> None:
        self._tasks = tasks
        self._job = job
        self._ids = ids
        self._run = run
        self._actions = actions
        self._said: dict[str, tuple[int, Mapping[str, Any]]] = dict.fromkeys(ids, (0, {}))
        self._states: dict[str, Task] = {}
        self.found: dict[str, Task] = {}
        """Those that are over."""

    @property
    def over(self) -> bool:
        """Whether all are."""
        return len(self.found) == len(self._ids)

    def look(self, listener: events.Listener) -> None:
        """See how far they are, and say it."""
        brief = self._tasks.latest(len(self._ids) + _OTHERS, job=self._job, brief=True)
        self._states |= {task.id: task for task in brief if task.id in self._said}
        for task in self._ids:
            known = self._states.get(task)
            if task in self.found or (known is not None and known.state in {PENDING, RETRY}):
                continue
            whole = self._tasks.get(task) if known is None or known.finished_at is not None else None
            if whole is not None and whole.finished_at is not None:
                self.found[task] = whole
            self._hear(task)
        said = [event for _, event in self._said.values()]
        if self._job == PLAN:
            left, right = (sum(event.get(name, 0) for event in said) for name in ("left_entries", "right_entries"))
            listener(events.Listing(run=self._run, left_entries=left, right_entries=right))
        else:
            names = ("actions_done", "bytes_done", "bytes")
            done, passed, size = (sum(event.get(name, 0) for event in said) for name in names)
            listener(
                events.Progress(run=self._run, actions_done=done, actions=self._actions, bytes_done=passed, bytes=size)
            )

    def _hear(self, task: str) -> None:
        """What it said last of its progress."""
        after, _ = self._said[task]
        for number, told in self._tasks.said(task, after):
            passing = [event for event in told if event["event"] in {"listing", "progress"}]
            self._said[task] = (number, passing[-1] if passing else self._said[task][1])

    def told(self, task: str, arguments: Mapping[str, Any]) -> dict[str, object]:
        """How a part went, for the record of the run."""
        found = self.found.get(task) or self._states.get(task)
        began, ended = (found.started_at, found.finished_at) if found is not None else (None, None)
        return {
            "task": task,
            "stage": arguments.get("stage", "plan"),
            "number": arguments["number"],
            "state": found.state if found is not None else PENDING,
            "attempts": found.attempts if found is not None else 0,
            "worker": found.holder.partition(",")[0] if found is not None else "",
            "seconds": round((ended - began).total_seconds(), 3) if began and ended else None,
            "error": (found.error if found is not None else "") or None,
        }


def _settle(planned: Plan, state: SharedState, applied: Applied, task: Task | None, bounds: tuple[int, int]) -> None:
    """Let the plan know what became of one part."""
    result = task.result if task is not None else None
    if result is not None and "heap" in result:
        planned.settle(Outcome(*row) for row in state.kept(result["heap"]))
        applied.interrupted |= bool(result["interrupted"])
        applied.untried += result["untried"]
        applied.why = applied.why or result["why"]
        applied.broken = applied.broken or result["broken"]
        return
    if task is None or task.state == REVOKED:  # nobody had begun it, or they do not answer
        applied.interrupted = True
    else:
        error = f"the worker that had it failed: {task.error}"
        planned.settle(Outcome("failed", error, 0, item.seq) for item in planned.items(bounds=bounds))
    ended = ("done", "failed", "drifted")
    rows = (row for row in state.journal_of(planned.header.run, *bounds) if row.state in ended)
    planned.settle(Outcome(row.state, row.error, row.bytes, row.seq) for row in rows)


def _ranges(cuts: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(("", *cuts), (*cuts, ""), strict=True)


def _require_ranges(opened: Session) -> None:
    for side in ("left", "right"):
        store = opened.sides[side]
        if store.features.tree or not store.features.start or opened.state.note(f"unordered:{store.url}"):
            raise UsageError(
                f"{store.url} cannot be divided among workers: it must be a bucket that lists in the order of keys, "
                "and from any key on",
                cure="Leave out --on celery",
            )


def _shared(opened: Session) -> SharedState:
    if not isinstance(opened.state, SharedState):
        raise TypeError("workers cannot reach a state file")
    return opened.state


def _trouble(stuck: Sequence[Task | None]) -> TrueupError:
    """Why a plan cannot be made: nothing is concluded from some ranges without the others."""
    known = [task for task in stuck if task is not None]
    if not known:
        return StoreError("workers do not answer any more")
    first = next((task for task in known if task.state == FAILURE), known[0])
    said = f"range {first.arguments['number'] + 1}: {first.error or 'it was cancelled'}"
    return Refused(said) if first.status == "refused" else StoreError(said)
