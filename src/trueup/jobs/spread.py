"""A sync that workers do, range by range: this process leads them.

It cuts the keys into ranges and has each planned, puts the plans together, lets the guards look at the whole, and has
it applied in parts. What the parts hand to it is in the pair's memory in the shared database; that there is something
to do, workers hear by way of the broker, as of every other job.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self

from trueup import keys
from trueup.catalog.tasks import FAILURE, SUCCESS, Task
from trueup.config import Settings
from trueup.errors import Interrupted, Refused, StoreError, TrueupError, UsageError
from trueup.jobs.parts import Parts, Watching
from trueup.stores.ranges import cut
from trueup.stores.stopping import apart, heed, heeded, heeding
from trueup.sync import sql
from trueup.sync.apply import Applied
from trueup.sync.content import Contents
from trueup.sync.effects import found_at
from trueup.sync.item import Item, Phase
from trueup.sync.moves import find_moves
from trueup.sync.outputs import Outputs
from trueup.sync.plan import Plan
from trueup.sync.ranged import STAGES, Order, Outcome, counted, part_of
from trueup.sync.session import Session
from trueup.sync.shared import SharedState
from trueup.sync.sides import Sides

PLAN: Final = "plan_range"
APPLY: Final = "apply_range"
_TROUBLE: Final = (TrueupError, sqlite3.DatabaseError)
"""What a leader may meet; the second is what the shared memory says of its database."""
_ITEMS: Final = 2000
"""Changes at least in one part: less is not worth a process."""


class Spread:
    """All workers there are. Use as a context manager."""

    def __init__(self, settings: Settings) -> None:
        """Raises what `Parts` does."""
        self._work = Parts(settings)

    @property
    def parts(self) -> Sequence[Mapping[str, object]]:
        """See `Workers`."""
        return self._work.told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._work.close()

    def plan(self, opened: Session, planned: Plan, outputs: Outputs) -> None:
        """See `Workers`."""
        try:
            with heeding(outputs.stopped):
                self._plan(opened, planned, outputs)
        except BaseException:
            with suppress(TrueupError):  # why it ended says more
                _shared(opened).heaps.drop_of(planned.header.run)
            raise

    def _plan(self, opened: Session, planned: Plan, outputs: Outputs) -> None:
        state, run = _shared(opened), planned.header.run
        _require_ranges(opened)
        self._work.stop_earlier(state.heaps)
        state.heaps.drop()
        state.drop_claims()
        order = Order(header=planned.header, ranges=list(_ranges(self._cuts(opened))))
        order.give(state)
        told = [{"pair": state.pair, "run": run, "number": number} for number in range(len(order.ranges))]
        watching = Watching(run, outputs.listener, outputs.stopped)
        done = self._work.carry_out(PLAN, told, state.heaps, watching, all_or_none=True).all()
        heed()
        if stuck := [task for task in done if task is None or task.state != SUCCESS]:
            raise _trouble(stuck)
        self._put_together(opened, planned, [task.result or {} for task in done if task is not None])
        state.require_lock()
        state.heaps.drop_of(run)

    def _cuts(self, opened: Session) -> list[str]:
        """The keys at which ranges begin, but for the first: as the side divides itself that divides best."""
        sides, parts = opened.sides, self._work.enough
        starts = max(cut(sides.left, parts), cut(sides.right, parts), key=len)
        veils = {above for above in {name for start in starts for name in keys.parents(start)} if _veils(sides, above)}
        return [start for start in starts if veils.isdisjoint(keys.parents(start))]

    def _put_together(self, opened: Session, planned: Plan, found: Sequence[Mapping[str, Any]]) -> None:
        """Fill the plan of the whole with those of all ranges."""
        state = _shared(opened)
        for part in found:
            planned.take(heeded(state.heaps.kept(part["heap"])))
            planned.released += part["released"]
        planned.header = replace(
            planned.header,
            left_entries=sum(part["left"] for part in found),
            right_entries=sum(part["right"] for part in found),
            baseline_rows=sum(part["baseline"] for part in found),
            unchanged=sum(part["unchanged"] for part in found),
        )
        if planned.header.config.delete:
            contents = Contents({"left": opened.sides.left, "right": opened.sides.right}, state)
            with ThreadPoolExecutor(8, thread_name_prefix="hash") as pool:
                find_moves(planned, contents.md5, pool, touches_clash=lambda _: False)
            contents.save()

    def apply(self, opened: Session, planned: Plan, outputs: Outputs) -> Applied:
        """See `Workers`."""
        state, run = _shared(opened), planned.header.run
        Order(header=planned.header, ranges=[]).give(state)
        applied = Applied()
        watching = Watching(run, outputs.listener, outputs.stopped, planned.size(), sum(planned.bytes()))
        begun = False
        for stage, phases in STAGES.items():
            try:
                state.require_lock()
                with heeding(outputs.stopped), sql.heeding(planned.db):
                    bounds = self._share_out(state, planned, stage, phases)
                about = {"pair": state.pair, "run": run, "stage": stage}
                told = [about | {"number": number} for number in range(len(bounds))]
                tasks, trouble = self._work.carry_out(APPLY, told, state.heaps, watching)
            except Interrupted:
                applied.interrupted = True
                break
            except _TROUBLE as error:
                if not begun:  # nothing was done
                    raise
                _break_off(applied, error)
                break
            begun = begun or bool(told)
            if trouble is not None:
                _break_off(applied, trouble)
            for task, part in zip(tasks, bounds, strict=True):
                _settle(planned, state, applied, task, part)
            if applied.interrupted or applied.why or applied.broken:
                break
        left = sum(item.phase is not Phase.RECORD for item in _unsettled(planned))  # as `Plan.size` counts
        why = applied.broken or ("the run was interrupted" if applied.interrupted else applied.why)
        planned.settle(Outcome("skipped", why, 0, item.seq) for item in _unsettled(planned))
        applied.untried += left
        applied.why = why
        applied.counts, applied.bytes_right, applied.bytes_left = counted(planned)
        try:
            if planned.released and not applied.broken:
                state.release(planned.released)
            state.heaps.drop_of(run)
        except _TROUBLE as error:
            _break_off(applied, error)
        return applied

    def _share_out(
        self, state: SharedState, planned: Plan, stage: str, phases: Sequence[Phase]
    ) -> list[tuple[int, int]]:
        """Keep the items of a stage in parts, each of consecutive sequences; the first and last ones."""
        bounds = planned.shares(phases, parts=self._work.enough, least=_ITEMS)
        for number, (first, last) in enumerate(bounds):
            heed()
            heap = part_of(planned.header.run, stage, number)
            state.heaps.keep(heap, heeded(planned.saved(*phases, bounds=(first, last))))
        return bounds


def _break_off(applied: Applied, error: BaseException) -> None:
    """Let an error, the first of them, be what ended the applying."""
    if applied.broken:
        return
    if isinstance(error, sqlite3.DatabaseError) and error.__cause__ is not None:
        error = error.__cause__
    applied.broken, applied.cure = (error.message, error.cure) if isinstance(error, TrueupError) else (str(error), "")


def _unsettled(planned: Plan) -> Iterator[Item]:
    phases = (phase for stage in STAGES.values() for phase in stage)
    return (item for item in planned.items(*phases) if not item.outcome)


def _settle(
    planned: Plan,
    state: SharedState,
    applied: Applied,
    task: Task | None,
    bounds: tuple[int, int],
) -> None:
    """Let the plan know what became of one part, as far as that can be seen."""
    result = task.result if task is not None else None
    try:
        if result is not None and "heap" in result:
            applied.interrupted |= bool(result["interrupted"])
            applied.untried += result["untried"]
            applied.why = applied.why or result["why"]
            planned.settle(Outcome(*row) for row in state.heaps.kept(result["heap"]))
            return
    except TrueupError as error:
        _break_off(applied, error)
    try:
        ended = ("done", "failed", "drifted")
        rows = (row for row in state.journal_of(planned.header.run, *bounds) if row.state in ended)
        planned.settle(Outcome(row.state, row.error, row.bytes, row.seq) for row in rows)
    except sqlite3.DatabaseError as error:
        _break_off(applied, error)
    if task is not None and task.state == FAILURE:  # what it had begun may be done, which nobody wrote down
        _break_off(
            applied, TrueupError(f"the worker that had part {task.arguments['number'] + 1} failed: {task.error}")
        )
    elif not applied.broken:  # nobody had begun it, or they do not answer
        applied.interrupted = True


def _veils(sides: Sides, name: str) -> bool:
    """Whether what lies below a name may not be touched for what is the matter with the name itself, which a range that
    begins below it would not see: a client cannot address it, or it is there in two spellings."""
    for store in (sides.left, sides.right):
        if store.unaddressable(name) is not None:
            return True
        if not name.isascii() and sum(found_at(store, spelling) is not None for spelling in keys.spellings(name)) > 1:
            return True
    return False


def _ranges(cuts: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(("", *cuts), (*cuts, ""), strict=True)


def _require_ranges(opened: Session) -> None:
    for side in ("left", "right"):
        store = opened.sides[side]
        features = apart(partial(getattr, store, "features"))
        if features.tree or not features.start or opened.state.note(f"unordered:{store.url}"):
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
