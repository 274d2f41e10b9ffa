"""Applying a plan: phase by phase, bounded in flight, journalled before and after."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import Final

from trueup import events, keys
from trueup.errors import NotFound, Refused, StoreError
from trueup.stores.stopping import apart
from trueup.sync import width
from trueup.sync.content import Contents
from trueup.sync.crew import Crew
from trueup.sync.decide import Action
from trueup.sync.effects import Done, Effects, Meter, log, target_key, target_side, temporary_name
from trueup.sync.intents import Intents
from trueup.sync.item import Item, Phase
from trueup.sync.plan import Plan
from trueup.sync.sides import Sides
from trueup.sync.state import PairState, RunRow

BATCH: Final = 256
"""Intents announced, and results committed, in one transaction."""
PATIENCE: Final = 20
"""So many failures of a store in a row, without a success between, and the rest is not tried."""
COMMIT_SECONDS: Final = 1.0
"""A finished action waits no longer than this for its commit."""
_GATHER: Final = 0.1
"""Seconds for which new items are gathered while others are planned, so that few intents take few transactions."""


@dataclass(slots=True)
class Applied:
    """What an application did. `counts` by action for what was done, and by outcome for what was not."""

    counts: Counter[str] = field(default_factory=Counter)
    bytes_right: int = 0
    bytes_left: int = 0
    interrupted: bool = False
    untried: int = 0
    """Items left undone because of what `why` says."""
    why: str = ""
    """Also where there was nothing left, had there been more."""
    broken: str = ""
    """What is wrong with the pair's memory, or between leader and workers, if that ended the application early; counted
    is what was committed before."""
    cure: str = ""


class Application:
    """The effects of a plan. Some may begin while it is still made; `run` does the rest, and `close` ends what runs.

    The caller holds the run lock, and has checked the guards, or knows that they cannot object to what begins early.
    """

    def __init__(
        self,
        plan: Plan,
        sides: Sides,
        state: PairState,
        row: RunRow,
        *,
        listener: events.Listener = events.ignore,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        header = plan.header
        self._plan = plan
        self._sides = sides
        self._state = state
        self._row = row
        self._listener = listener
        self._stopped = stopped
        self._run = header.run
        self._config = header.config
        self._meter = Meter(header.config.bwlimit)
        self._intents = Intents(header, state)
        contents = Contents({"left": sides.left, "right": sides.right}, state)
        self._effects = Effects(sides, header, self._meter, contents.md5)
        self._leaves_files: dict[str, bool] = {}
        self._opened: Crew[Item, Done] | None = None
        self._gathered: list[Item] = []
        self._done: list[Done] = []
        self.applied = Applied()
        self._actions = 0
        self._bytes = 0
        self._finished = 0
        self._failures_in_a_row = 0
        self._given_at = 0.0
        self._committed_at = self._reported_at = time.monotonic()

    # While the plan is made: see `trueup.sync.early.Hands`.

    @property
    def free(self) -> bool:
        """Whether there is room for one more, and it makes sense to try."""
        ahead = len(self._gathered) + (self._opened.open if self._opened else 0)
        return ahead < 2 * BATCH and self._failures_in_a_row < PATIENCE

    @property
    def begun(self) -> bool:
        """Whether something may have been done already."""
        return self._opened is not None

    def begin(self, item: Item) -> None:
        """Take on an item of the plan in the making."""
        self._gathered.append(item)
        if len(self._gathered) >= BATCH:
            self._give_gathered()

    def tend(self) -> None:
        """Hand over what was gathered, and write down what was done."""
        if self._gathered and time.monotonic() - self._given_at > _GATHER:
            self._give_gathered()
        if self._opened is not None:
            self._collect(self._opened, wait=False)

    def _give_gathered(self) -> None:
        self._given_at = time.monotonic()
        if why := self._reason_to_stop():
            self._skip(self._gathered, why)
        else:
            crew = self._crew()
            self._announce(self._gathered)
            crew.give(self._gathered)
        self._gathered.clear()

    # With the whole plan

    def run(self) -> Applied:
        """Do every item that has not begun. A failed item is an outcome, and a state file that fails ends the
        application: nothing is done that could not be announced."""
        self._actions = self._plan.size()
        self._bytes = sum(self._plan.bytes())
        try:
            if self._actions:
                self._crew()
                if self._gathered:
                    self._give_gathered()
                for phase in (Phase.FREE, Phase.MOVE, Phase.COPY, Phase.DELETE):
                    self._run_phase(phase)
                self._finish()
            self.applied.why = self.applied.why or self._given_up()
            self._record()
            if self._plan.released:
                self._state.release(self._plan.released)
        except sqlite3.DatabaseError as error:
            self._broke(error)
        return self.applied

    def cut_short(self, why: str) -> Applied:
        """Do no more, because the plan was never complete: what runs is finished and written down."""
        try:
            self._skip(self._gathered + (self._opened.take_back() if self._opened else []), why)
            self._gathered.clear()
            self._finish()
        except sqlite3.DatabaseError as error:
            self._broke(error)
        return self.applied

    def close(self) -> None:
        """Wait for what runs, and end."""
        if self._opened is not None:
            self._opened.close()

    def _broke(self, error: sqlite3.DatabaseError) -> None:
        log.debug("the state file failed", exc_info=True)
        self.applied.broken = str(error)

    def _crew(self) -> Crew[Item, Done]:
        """Those who work. The first call announces the run: from now on there may be something to undo. Raises
        `Refused` when a side went away."""
        if self._opened is None:
            for side in ("left", "right"):
                self._require(side)
                self._leaves_files[side] = self._sides[side].features.tree
            self._state.start_run(self._row)
            self._opened = Crew(
                width.many(self._config, self._sides),
                self._effects.do,
                few=width.few(self._config),
                large=lambda item: item.bytes > width.LARGE,
                crowded=self._may_be_done_again,
                name="transfer",
            )
        return self._opened

    def _require(self, side: str) -> None:
        """Make a side that a first run is to make. Any other has to be there: on a disk that is not mounted any more
        everything seems to be deleted."""
        store = self._sides[side]
        if side in self._plan.to_make:
            store.create()
        elif not apart(store.exists):
            raise Refused(
                f"the {side} ({store.url}) went away after it was looked at; nothing was done",
                cure="Is a disk not mounted any more? Run again when it is there",
            )

    def _may_be_done_again(self, result: Done) -> bool:
        """Whether fewer at once may do better, and nothing of this attempt is in the way."""
        side, item = target_side(result.item), result.item
        if result.crowded and result.systemic and self._leaves_files[side]:
            try:
                self._sides[side].discard(target_key(item), temporary_name(self._run, item.seq))
            except StoreError:
                return False  # an intent still, for the next run's recovery
        return result.crowded

    def _run_phase(self, phase: Phase) -> None:
        # A move finishes before the next begins, because one may land where another left.
        together = 1 if phase is Phase.MOVE else BATCH
        items = self._plan.items(phase, begun=False)
        crew = self._crew()
        nothing = True
        while batch := list(islice(items, BATCH)):
            nothing = False
            if why := self._reason_to_stop():
                self._skip(batch, why)
                continue
            self._announce(batch)
            for begin in range(0, len(batch), together):
                if why := self._reason_to_stop():
                    self._skip(batch[begin:], why)
                    break
                crew.give(batch[begin : begin + together])
                while crew.open if together == 1 else not crew.wants:
                    self._collect(crew)
        if not nothing:  # else what began early would hold up the next phase
            self._finish()

    def _finish(self) -> None:
        """Wait for everything that was given, and write it down."""
        while self._opened is not None and self._opened.open:
            self._collect(self._opened)
        self._commit()

    def _reason_to_stop(self) -> str:
        if self._stopped():
            self.applied.interrupted = True
            return "the run was interrupted"
        return self._given_up()

    def _given_up(self) -> str:
        if self._failures_in_a_row >= PATIENCE:
            return f"not tried after {self._failures_in_a_row} failures of the store in a row"
        return ""

    def _collect(self, crew: Crew[Item, Done], *, wait: bool = True) -> None:
        """Take what was finished, within a moment or so far; commit and report when it is time."""
        for result in crew.collect(wait=wait):
            self._failures_in_a_row = self._failures_in_a_row + 1 if result.systemic else 0
            self._done.append(result)
        if why := self._reason_to_stop():
            self._skip(crew.take_back(), why)
        now = time.monotonic()
        if len(self._done) >= BATCH or (self._done and now - self._committed_at > COMMIT_SECONDS):
            self._commit()
        if self._actions and now - self._reported_at > 0.1:
            self._reported_at = now
            self._progress(len(self._done))

    def _announce(self, batch: Iterable[Item]) -> None:
        """Write the intents of a batch before the first effect of any of its items."""
        with self._state.transaction():
            self._state.write_journal(map(self._intents.of, batch))

    def _commit(self) -> None:
        """Flush what was written, then let baseline, journal and plan say so, then tell."""
        done, self._done = self._done, []
        self._committed_at = time.monotonic()
        if not done:
            return
        done = self._flushed(done)
        settled = []
        for result in done:
            seq, wrote = result.item.seq, result.wrote
            if result.systemic and self._leaves_files[target_side(result.item)]:
                continue  # an intent still: what it began may lie there, and the next run removes that
            if wrote is None:
                # A copy that found its bytes in place wrote nothing that undo could take away.
                state = "skipped" if result.outcome == "done" and not result.forgotten else result.outcome
                settled.append((seq, state, result.error, "", 0, ""))
            else:
                md5 = wrote.md5 or result.item.md5
                # Written, but not safely: as after a kill, undo looks whether it is there.
                state = "done" if result.outcome == "done" else "interrupted"
                settled.append((seq, state, result.error, wrote.fingerprint, wrote.size, md5))
        with self._state.transaction():
            self._state.forget(key for result in done for key in result.forgotten)
            self._state.agree(row for result in done for row in result.agreed)
            self._state.settle_journal(self._run, settled)
            self._state.write_journal(row for result in done if result.beside for row in self._intents.losers(result))
        self._plan.settle((result.outcome, result.error, result.bytes, result.item.seq) for result in done)
        self._finished += len(done)
        for result in done:
            self._tell(result)

    def _flushed(self, done: list[Done]) -> list[Done]:
        """Fsync in one go, off the workers. A file that cannot be flushed is not agreed upon; it may have been moved
        or removed since, which the next run will see."""
        for side in ("left", "right"):
            wanted = [key for result in done for key in result.touched(side)]
            if not wanted:
                continue
            try:
                self._sides[side].flush(wanted)
            except (StoreError, NotFound):
                done = [self._flush_one(side, result) for result in done]
        return done

    def _flush_one(self, side: str, result: Done) -> Done:
        try:
            self._sides[side].flush(result.touched(side))
        except StoreError as error:
            outcome = "drifted" if isinstance(error, NotFound) else "failed"
            # With what was written: its journal row must let undo find it.
            return result._replace(
                outcome=outcome, error=f"written, but not safely on the disk: {error}", agreed=(), forgotten=()
            )
        return result

    def _tell(self, result: Done) -> None:
        item = result.item
        if result.outcome == "done":
            self.applied.counts[item.action] += 1
            if item.action is Action.COPY_RIGHT:
                self.applied.bytes_right += result.bytes
            elif item.action is Action.COPY_LEFT:
                self.applied.bytes_left += result.bytes
        else:
            self.applied.counts[result.outcome] += 1
        _log_item(item, result, self._config.prefer)
        self._listener(
            events.ItemFinished(
                run=self._run,
                key=item.key,
                action=item.action,
                reason=item.reason,
                bytes=result.bytes,
                outcome=result.outcome,
                error=result.error or None,
                source=item.source or None,
            )
        )

    def _skip(self, items: Iterable[Item], why: str) -> None:
        """Leave items undone; announced intents of them never began."""
        skipped = list(items)
        self.applied.untried += len(skipped)
        self.applied.why = why
        with self._state.transaction():
            self._state.settle_journal(self._run, ((item.seq, "skipped", "", "", 0, "") for item in skipped))
        self._plan.settle(("skipped", why, 0, item.seq) for item in skipped)

    def _record(self) -> None:
        """Items that only concern the baseline. Both sides are looked at again for a stale plan: the baseline may know
        better by now."""
        rows = self._plan.items(Phase.RECORD)
        while batch := list(islice(rows, 1000)):
            agreed, forgotten, settled = [], [], []
            drifts: Iterable[str] = repeat("")
            if self._plan.stale:
                with ThreadPoolExecutor(width.few(self._config), thread_name_prefix="look") as pool:
                    drifts = list(pool.map(self._effects.drift, batch))
            for item, drift in zip(batch, drifts, strict=False):
                if drift:
                    settled.append(("drifted", drift, 0, item.seq))
                    if item.action is Action.ADOPT:
                        self.applied.counts["drifted"] += 1
                    continue
                if item.action is Action.FORGET:
                    forgotten.append(item.key)
                elif item.left is not None and item.right is not None:
                    agreed.append(self._effects.agreed(item.key, item.left, item.right, item.md5))
                settled.append(("done", "", 0, item.seq))
                if item.action is Action.ADOPT:
                    self.applied.counts[item.action] += 1
            with self._state.transaction():
                self._state.forget(forgotten)
                self._state.agree(agreed)
            self._plan.settle(settled)

    def _progress(self, waiting: int) -> None:
        current = self._meter.oldest
        self._listener(
            events.Progress(
                run=self._run,
                actions_done=self._finished + waiting,
                actions=self._actions,
                bytes_done=min(self._meter.total, self._bytes),  # some pass twice
                bytes=self._bytes,
                current=current.key if current else "",
                current_done=current.done if current else 0,
                current_bytes=current.size if current else 0,
            )
        )


def _log_item(item: Item, result: Done, prefer: str) -> None:
    if result.outcome == "done" and not log.isEnabledFor(logging.INFO):
        return  # most runs, and a name takes long to make fit for display
    name = keys.display(item.key)
    if result.outcome != "done":
        log.error("%s %s %s: %s", result.outcome, item.action, name, result.error)
        return
    if item.reason == "conflict":
        winner = "left" if item.action is Action.COPY_RIGHT else "right"
        log.info("conflict %s: both sides changed, the %s won (prefer=%s)", name, winner, prefer)
    if item.source:
        log.info("%s %s -> %s", item.action, keys.display(item.source), name)
    else:
        log.info("%s %s (%s, %d bytes)", item.action, name, item.reason, result.bytes)
