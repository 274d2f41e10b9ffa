"""One key range of a run that another process leads: planned here, and later applied here or elsewhere.

What leader and workers hand to each other lies in the pair's memory in the shared database. A range whose worker was
lost, or for which the database was away, is taken again from the beginning: planning changes nothing, and what had been
applied is in the journal.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final, NamedTuple

from trueup.catalog.database import database_of
from trueup.config import Settings
from trueup.errors import DatabaseUnavailable, Interrupted, Refused, StoreError, UsageError
from trueup.keys import normal
from trueup.runs import new_run_id
from trueup.sync.apply import Application, Applied
from trueup.sync.decide import Action
from trueup.sync.effects import conflict_name, found_spelled
from trueup.sync.header import Header
from trueup.sync.item import HIDDEN, Phase
from trueup.sync.outputs import Outputs
from trueup.sync.part import KeyRange, Part, Unclear
from trueup.sync.plan import Plan
from trueup.sync.planner import build
from trueup.sync.recovery import recover
from trueup.sync.saved import loaded_header, saved_header
from trueup.sync.session import opened_sides
from trueup.sync.shared import SharedState, opened_plainly
from trueup.sync.sides import Sides, View
from trueup.sync.state import JournalRow, RunRow
from trueup.sync.width import few

STAGES: Final[Mapping[str, tuple[Phase, ...]]] = {
    "copy": (Phase.FREE, Phase.MOVE, Phase.COPY, Phase.RECORD),
    "delete": (Phase.DELETE,),
}
"""Nothing is deleted in any range before everything was copied in all."""
_DELETES: Final = (Action.DELETE_LEFT, Action.DELETE_RIGHT)


class Outcome(NamedTuple):
    """What became of one item of the plan."""

    outcome: str
    error: str
    bytes: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a leader asks for."""

    header: Header
    ranges: list[tuple[str, str]]
    """Of normal keys, from the first to before the second; empty: no end."""

    def give(self, state: SharedState) -> None:
        """Let workers find it."""
        told = {"header": saved_header(self.header), "ranges": self.ranges}
        state.heaps.keep(f"order {self.header.run}", [told])


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What a worker works with."""

    order: Order
    sides: Sides
    state: SharedState
    settings: Settings

    def empty_plan(self, header: Header) -> Plan:
        """A plan to be filled."""
        return Plan(header, folder=self.settings.home / "plans")

    def fill(self, planned: Plan, part: Part, outputs: Outputs) -> None:
        """Observe, pair and decide a part."""
        view = View(part=part)
        build(planned, self.sides, self.state, listener=outputs.listener, stopped=outputs.stopped, view=view)

    def apply(self, planned: Plan, row: RunRow, outputs: Outputs) -> Applied:
        """Do what a plan says, as the run of a row. Raises `DatabaseUnavailable` when it cannot be written down what
        was done: whoever tries again finds it begun."""
        # Other parts are under way beside it.
        config = planned.header.config
        planned.header = replace(planned.header, config=replace(config, workers=few(config)))
        application = Application(
            planned, self.sides, self.state, row, listener=outputs.listener, stopped=outputs.stopped
        )
        with closing(application):
            applied = application.run()
        if applied.broken:
            raise DatabaseUnavailable(applied.broken)
        return applied


@contextmanager
def _workplace(settings: Settings, pair: str, run: str) -> Iterator[Workplace]:
    """Raises `Interrupted` when nobody leads the run any more."""
    with opened_plainly(SharedState(database_of(settings), pair, home=settings.home)) as any_side:
        found = any_side.heaps.first(f"order {run}")
        if found is None or any_side.leader() != run:
            raise Interrupted(f"nobody leads the run {run} any more")
    header = loaded_header(found["header"], run)
    order = Order(header=header, ranges=[(start, end) for start, end in found["ranges"]])
    with opened_sides(header.left, header.right, settings) as sides:
        here = (sides.left.url, sides.right.url)
        if here != (header.left_url, header.right_url):
            raise UsageError(
                f"{header.left} and {header.right} mean other places to this worker: {' and '.join(here)}",
                cure="Give every worker the same settings file",
            )
        with opened_plainly(SharedState.of(database_of(settings), *here, settings.home)) as state:
            state.serve(run)
            yield Workplace(order=order, sides=sides, state=state, settings=settings)


def plan_range(settings: Settings, pair: str, run: str, number: int, outputs: Outputs) -> dict[str, Any]:
    """Observe, pair and decide one key range, and keep its items. The totals, and the name of the heap they are in.

    Raises what `planner.build` does, and `Interrupted` when nobody leads the run any more.
    """
    with _workplace(settings, pair, run) as here, here.empty_plan(here.order.header) as planned:
        part = KeyRange(*here.order.ranges[number])
        here.fill(planned, part, outputs)
        _require_order(here)
        heap = f"planned {run} {number} {uuid.uuid4().hex}"  # a worker thought lost may still write, to its own
        here.state.heaps.keep(heap, planned.saved())
        header = planned.header
        return {
            "heap": heap,
            "left": header.left_entries,
            "right": header.right_entries,
            "baseline": header.baseline_rows,
            "unchanged": header.unchanged,
            "released": planned.released,
        }


def _require_order(here: Workplace) -> None:
    """Where a key's spelling puts it elsewhere than its normal form, it may be in another range, or in none."""
    for side in ("left", "right"):
        url = here.sides[side].url
        if here.state.note(f"unordered:{url}"):
            raise Refused(f"{url} does not list in the order of keys", cure="Leave out --on celery")


def apply_range(settings: Settings, pair: str, run: str, stage: str, number: int, outputs: Outputs) -> dict[str, Any]:
    """Apply one part of a plan that passed the guards, and keep what became of each item.

    What an earlier try had done is done; what it had begun is decided anew, as by the run after a crash.
    """
    with _workplace(settings, pair, run) as here, here.empty_plan(here.order.header) as planned:
        state = here.state
        planned.take(state.heaps.kept(part_of(run, stage, number)), numbered=True)
        seqs = planned.db.execute("select min(seq), max(seq) from items").fetchone()
        state.only(run, *seqs)
        state.claim(f"{stage} {number}")
        recover(here.sides, state, warn=lambda message: outputs.warn(run, message))
        doubtful = _settle_earlier(planned, state.journal_of(run, *seqs))
        applied = here.apply(planned, state.run(run) or _run_row(here.order.header), outputs)
        if doubtful and not applied.interrupted:
            outcomes, more = _continue(here, doubtful, outputs)
            planned.settle(outcomes)
            applied.untried += more.untried
            applied.why = applied.why or more.why
        heap = f"applied {run} {stage} {number} {uuid.uuid4().hex}"
        state.heaps.keep(heap, _outcomes(planned))
        return {
            "heap": heap,
            "interrupted": applied.interrupted,
            "untried": applied.untried,
            "why": applied.why,
        }


def part_of(run: str, stage: str, number: int) -> str:
    """The heap of the items that one worker is to apply."""
    return f"todo {run} {stage} {number}"


def _settle_earlier(planned: Plan, rows: Iterable[JournalRow]) -> list[JournalRow]:
    """Leave to nobody what an earlier try has settled. The rows of what it had only begun, which are few."""
    doubtful = []

    def settled() -> Iterator[Outcome]:
        for row in rows:
            if row.state not in {"done", "failed", "drifted", "interrupted"} or planned.item(row.seq) is None:
                continue  # the last: of another stage
            if row.state == "interrupted":
                doubtful.append(row)
            yield Outcome("skipped" if row.state == "interrupted" else row.state, row.error, row.bytes, row.seq)

    planned.settle(settled())
    planned.db.execute("update items set phase = ? where outcome <> ''", (Phase.NOTE,))
    return doubtful


def _continue(here: Workplace, doubtful: list[JournalRow], outputs: Outputs) -> tuple[list[Outcome], Applied]:
    """Decide anew about what an earlier try had begun, and do that, as a run of its own: what the first one put into
    the trash stays as it is. Nothing is deleted there but what was to be deleted or moved. What became of it, and why
    no more, if so. Raises `Interrupted` for a stop: then the next try decides anew."""
    applied = Applied()
    header = replace(here.order.header, run=new_run_id(), started_ns=time.time_ns())
    keys = {key for row in doubtful for key in (row.key, row.source) if key}
    doomed = {row.source or row.key for row in doubtful if row.action.startswith(("delete", "move"))}
    done: dict[str, tuple[str, str, int]] = {}
    try:
        keys |= {normal(name) for row in doubtful for name in _losers(here, row)}
        with here.empty_plan(header) as again:
            here.fill(again, Part(keys), Outputs(stopped=outputs.stopped))
            for item in list(again.items()):  # few: no more than are announced at once
                strange = item.key not in keys or (item.source and item.source not in keys)
                if strange or (item.action in _DELETES and item.key not in doomed):
                    again.db.execute("delete from items where seq = ?", (item.seq,))
                    done[item.key] = ("drifted", "it changed while a worker was lost that had begun it", 0)
            if again.size():
                outputs.warn(here.order.header.run, f"what a lost worker had begun was continued as run {header.run}")
            applied = here.apply(again, _run_row(header), Outputs(stopped=outputs.stopped))
            if applied.interrupted:
                raise Interrupted("stopped while it continued what an earlier try had begun")
            for item in again.items():
                if item.action not in HIDDEN:
                    done[item.key] = (item.outcome, item.error, item.bytes)
    except (StoreError, Unclear) as problem:
        said = ("failed", f"a worker was lost while it worked at it: {problem}", 0)
        done = dict.fromkeys(keys, said)
    outcomes = []
    for row in doubtful:
        outcome, error, size = done.get(row.key, ("done", "", row.bytes))
        outcomes.append(Outcome(outcome or "drifted", error, size, row.seq))
    return outcomes, applied


def _losers(here: Workplace, row: JournalRow) -> Iterator[str]:
    """The copies of a conflict's loser that there are."""
    if row.reason != "conflict" or not here.order.header.config.keep_loser:
        return
    side = "left" if row.side == here.state.left_side else "right"
    for number in count(1):
        name = conflict_name(row.target, side, number)
        if not any(found_spelled(here.sides[where], name) for where in ("left", "right")):
            return
        yield name


def _run_row(header: Header) -> RunRow:
    specs = (header.left, header.right)
    trash = "kept" if header.config.trash else "none"
    return RunRow(header.run, header.left_url, header.right_url, *specs, header.started_ns, trash)


def _outcomes(planned: Plan) -> Iterator[Outcome]:
    return (Outcome(item.outcome, item.error, item.bytes, item.seq) for item in planned.items() if item.outcome)


def counted(planned: Plan) -> tuple[Counter[str], int, int]:
    """What was done, by action, and what was not, by outcome, as `Applied` counts it; bytes that went to the right, and
    to the left."""
    counts: Counter[str] = Counter()
    moved = {Action.COPY_RIGHT: 0, Action.COPY_LEFT: 0}
    rows = planned.db.execute("select action, outcome, count(*), total(bytes) from items group by action, outcome")
    for action, outcome, number, size in rows:
        if outcome == "done" and action not in HIDDEN:
            counts[action] += number
        if outcome == "done" and action in moved:
            moved[action] += int(size)
        if outcome in {"failed", "drifted"} and action not in HIDDEN:
            counts[outcome] += number
    return counts, moved[Action.COPY_RIGHT], moved[Action.COPY_LEFT]
