"""Observe both sides, pair, decide: from two stores and a baseline to a plan."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from trueup import events
from trueup.errors import Interrupted, ListingUnfinished, NotFound, StoreError
from trueup.filters import Scope
from trueup.stores.base import Entry
from trueup.stores.stopping import OFTEN, apart, heeded, heeding
from trueup.sync.again import Again
from trueup.sync.casing import Casing
from trueup.sync.clashes import Clashes
from trueup.sync.content import Answer, Contents, quick_answer
from trueup.sync.decide import Action, Decision, State, decide
from trueup.sync.early import Early, Hands
from trueup.sync.guards import check_roots
from trueup.sync.held import WHY
from trueup.sync.item import PHASES, Phase
from trueup.sync.moves import find_moves
from trueup.sync.outside import keep_folders
from trueup.sync.pair import Pair, SideOutOfOrder, pair
from trueup.sync.part import KeyRange
from trueup.sync.plan import Plan
from trueup.sync.sides import Sides, View
from trueup.sync.state import Held, PairState
from trueup.sync.width import few

LOOKAHEAD: Final = 512
"""Pairs kept waiting behind one whose content is being read."""

_VEILS: Final = {
    "link": Action.LINK,
    "special": Action.LINK,
    "marker": Action.MARKER,
    "unaddressable": Action.UNADDRESSABLE,
    "unreadable": Action.UNKNOWN,
}


@dataclass(slots=True)
class _Tally:
    left: int = 0
    right: int = 0
    baseline: int = 0
    unchanged: int = 0


def build(
    plan: Plan,
    sides: Sides,
    state: PairState,
    *,
    listener: events.Listener = events.ignore,
    stopped: Callable[[], bool] = lambda: False,
    view: View | None = None,
    hands: Hands | None = None,
) -> None:
    """Fill an empty plan with what brings both sides into agreement. Writes nothing but the hash cache. With `hands`,
    copies that nothing can object to any more begin meanwhile.

    Raises `Refused` (a missing root), `ListingUnfinished`, `Interrupted`, or the `StoreError` of a side that could not
    be listed at all; for a part also `Unclear`.
    """
    first = not state.has_baseline()
    with heeding(stopped):
        plan.to_make = check_roots(plan.header, sides, first=first)
    unordered = {side for side in ("left", "right") if state.note(f"unordered:{sides[side].url}")}
    while True:
        builder = _Builder(sides, state, plan, listener, stopped, view or View(), hands, first=first)
        try:
            builder.run(unordered)
        except SideOutOfOrder as signal:
            # Never mispair: what was planned so far is dropped and the sort takes over, next time from the start.
            if signal.side in unordered:
                raise ListingUnfinished(
                    f"the listing of {sides[signal.side].url} repeats a key", cure="Run again"
                ) from signal
            plan.restart()
            unordered.add(signal.side)
            state.set_note(f"unordered:{sides[signal.side].url}", "1")
        else:
            return


class _Builder:
    """One pass over both listings."""

    def __init__(
        self,
        sides: Sides,
        state: PairState,
        plan: Plan,
        listener: events.Listener,
        stopped: Callable[[], bool],
        view: View,
        hands: Hands | None,
        *,
        first: bool,
    ) -> None:
        config = plan.header.config
        self._view = view
        self._sides = sides
        self._state = state
        self._plan = plan
        self._config = config
        self._guarded = not (first or config.force)
        """Whether a side that became empty could still refuse the run."""
        self._listener = listener
        self._stopped = stopped
        self._tally = _Tally()
        self._contents = Contents({"left": sides.left, "right": sides.right}, state)
        self._again = Again({side: sides[side] for side in sides.reports}, config)
        self._held = {} if config.release else state.held()
        self._released: list[str] = []
        # A copy that a killed run had begun may have arrived, and has a time of its own then: only its content tells.
        self._begun = state.interrupted() if config.compare != "md5" else frozenset[str]()
        self._scope = Scope(config.include, config.exclude)
        with heeding(stopped):
            left, right = apart(lambda: sides.left.features), apart(lambda: sides.right.features)
        self._clashes = Clashes(left_is_tree=left.tree, right_is_tree=right.tree)
        self._casings = [Casing(side, plan) for side, it in (("left", left), ("right", right)) if it.folds_case]
        # A bucket's listing may turn out not to be in order, and what was decided till then to be wrong.
        self._in_order = {side for side, it in (("left", left), ("right", right)) if it.tree}
        self._early = Early(plan, self._clashes, hands) if hands is not None else None
        self._clock_ahead_ns = 0
        if config.prefer in {"newer", "older"}:
            self._clock_ahead_ns = sides.right.clock_ahead_ns() - sides.left.clock_ahead_ns()
        self._next_report = 0.0

    def run(self, unordered: set[str]) -> None:
        # Reading keeps disk and cores busy, asking again waits for answers.
        workers = few(self._config) if self._sides.reports else min(8, few(self._config))
        with ThreadPoolExecutor(workers, thread_name_prefix="hash") as pool:
            try:
                with heeding(self._stopped):
                    self._observe(pool, unordered)
                    keep_folders(self._clashes, self._sides, self._scope)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            self._clashes.mend(self._plan)
            for casing in self._casings:
                casing.mend()
            if self._config.delete and not isinstance(self._view.part, KeyRange):
                with heeding(self._stopped):
                    find_moves(self._plan, self._contents.md5, pool, touches_clash=self._clashes.touches)
        self._contents.save()
        tally = self._tally
        self._plan.header = replace(
            self._plan.header,
            left_entries=tally.left,
            right_entries=tally.right,
            baseline_rows=tally.baseline,
            unchanged=tally.unchanged,
        )
        if not self._view.part.whole:
            # Guards compare with the pair: of what lies outside the part they suppose that it is there as agreed.
            rows = self._state.baseline_rows()
            self._plan.header = replace(self._plan.header, left_entries=rows, right_entries=rows, baseline_rows=rows)
        self._report(final=True)

    def _observe(self, pool: ThreadPoolExecutor, unordered: set[str]) -> None:
        left = self._listing("left", ordered="left" not in unordered)
        right = self._listing("right", ordered="right" not in unordered)
        try:
            self._decide_all(left, right, pool)
        finally:
            for listing in (left, right):
                listing.close()

    def _listing(self, side: str, *, ordered: bool) -> Generator[Entry]:
        store = self._sides[side]
        if apart(store.exists):
            with closing(self._view.part.entries(store, ordered=ordered)) as entries:
                # Of what is out of scope there is no pair to heed a stop at.
                if not ordered:
                    self._in_order.add(side)
                yield from self._scope.entries(entries if self._scope.everything else heeded(entries))
        self._in_order.add(side)

    def _decide_all(self, lefts: Iterator[Entry], rights: Iterator[Entry], pool: ThreadPoolExecutor) -> None:
        """Decide in key order; pairs whose content must be read are answered in the pool while later pairs wait."""
        mode = self._config.mode
        tally = self._tally
        waiting: deque[tuple[Pair, Answer | Future[tuple[Pair, Answer]] | None]] = deque()
        same = State.SAME
        # What is looked up once here is looked up a million times below.
        early, again, watch = self._early, self._again.wanted if self._sides.reports else None, self._watch
        watched = early is not None or bool(self._casings) or self._clashes.possible
        rows = self._scope.rows(self._view.part.agreed(self._state))
        count = 0
        for item in pair(lefts, rights, rows, untouched=partial(self._pass_over, waiting)):
            count += 1
            if not count & OFTEN:
                self._report()
            key, left, right, base, veil = item
            if left is not None and not left[6]:  # a link or a marker is no file
                tally.left += 1
            if right is not None and not right[6]:
                tally.right += 1
            begun = early is not None and early.has_begun(key)
            if base is not None and not begun:
                tally.baseline += 1
            if begun:
                waiting.append((item, _BEGUN))
            elif veil is None:
                quick = quick_answer(item, mode, self._compare(key))
                if quick is None or (again is not None and again(item, quick)):
                    waiting.append((item, pool.submit(copy_context().run, self._answered, item)))
                elif not waiting and quick[0] is same and quick[1] is same and not self._held:
                    tally.unchanged += 1
                    if watched:
                        watch(item, _SAME)
                    continue
                else:
                    waiting.append((item, quick))
            else:
                waiting.append((item, None))
            while waiting and (
                len(waiting) > LOOKAHEAD or not isinstance(waiting[0][1], Future) or waiting[0][1].done()
            ):
                self._take(*waiting.popleft())
        while waiting:
            self._report()
            self._take(*waiting.popleft())
        if self._early is not None:
            self._early.passed("")
        self._state_released()

    def _answered(self, item: Pair) -> tuple[Pair, Answer]:
        item = self._again.look(item)
        return item, self._contents.answer(item, self._config.mode, self._compare(item.key))

    def _compare(self, key: str) -> str:
        return "md5" if key in self._begun else self._config.compare

    def _take(self, item: Pair, answer: Answer | Future[tuple[Pair, Answer]] | None) -> None:
        if answer is None:
            self._note_veil(item)
            return
        if answer is _BEGUN:
            self._watch(item, _SAME)
            return
        if isinstance(answer, Future):
            seen = item
            try:
                item, answer = answer.result()
            except NotFound:
                self._note(item, Action.UNKNOWN, "vanished", "it vanished while it was being read; run again")
                return
            except StoreError as error:
                self._note(item, Action.UNKNOWN, "unreadable", str(error))
                return
            # What a report did not show may be there.
            self._tally.left += (item.left is not None) - (seen.left is not None)
            self._tally.right += (item.right is not None) - (seen.right is not None)
            self._contents.save(least=_HASHES)
        if item[1:4] == (None, None, None):
            return  # what a report showed is gone
        if item.key in self._held and self._still_held(item, self._held[item.key]):
            self._note(item, Action.HELD, "undone", WHY)
            return
        decision = decide(
            item.left,
            item.right,
            left_state=answer.left,
            right_state=answer.right,
            equal=answer.equal,
            config=self._config,
            clock_ahead_ns=self._clock_ahead_ns,
        )
        if (problem := self._unaddressable(item, decision.action)) is not None:
            self._note(item, Action.UNADDRESSABLE, "name", problem)
            return
        if decision.action in _EFFECTS and self._is_unsettled(item):
            self._plan.unsettled.append(item.key)
            self._watch(item, _SAME)
            return
        self._watch(item, decision)
        self._add(item, decision, answer)

    def _is_unsettled(self, item: Pair) -> bool:
        """Whether somebody was writing it a moment ago. A time ahead of the clock is no sign of that."""
        for side, entry in (("left", item.left), ("right", item.right)):
            if entry is not None and side in self._view.settling:
                age = time.time_ns() - entry.mtime_ns
                if 0 <= age < self._view.settle_ns:
                    return True
        return False

    def _watch(self, item: Pair, decision: Decision) -> None:
        if self._early is not None:
            self._early.passed(item.key)
        self._clashes.watch(item, decision)
        for casing in self._casings:
            casing.watch(item, decision)

    def _pass_over(self, waiting: Collection[object], keys: Sequence[str]) -> bool:
        """Count pairs that follow each other, and that nobody touched. False where they have to be looked at one by
        one; then nothing was done yet."""
        if self._sides.reports or self._casings or not self._held.keys().isdisjoint(keys):
            return False
        if self._early is not None or self._clashes.possible:
            if waiting or (self._early is not None and self._early.has_begun_within(keys)):
                return False
            if not self._clashes.watch_untouched(keys):
                return False
            if self._early is not None:
                self._early.passed(keys[0])
        self._tally.left += len(keys)
        self._tally.right += len(keys)
        self._tally.baseline += len(keys)
        self._tally.unchanged += len(keys)
        self._report()
        return True

    def _add(self, item: Pair, decision: Decision, answer: Answer) -> None:
        key, left, right, base, _ = item
        action = decision.action
        if action is Action.UNCHANGED:
            self._tally.unchanged += 1
            if base is None or left is None or right is None or self._config.compare == "size":
                return  # nobody looked whether the MD5 that is remembered is still true
            if left.fingerprint == base.left_print and right.fingerprint == base.right_print:
                return
        left_key = left.key if left else base.left_key if base else right.key if right else key
        right_key = right.key if right else base.right_key if base else left.key if left else key
        source = left if action is Action.COPY_RIGHT else right if action is Action.COPY_LEFT else None
        error = "both sides changed and no rule prefers one" if action is Action.CONFLICT else ""
        add = partial(
            self._plan.add,
            key,
            action,
            decision.reason,
            left=left,
            right=right,
            left_key=left_key,
            right_key=right_key,
            bytes=source.size if source else 0,
            md5=self._known_md5(item, decision, answer),
            error=error,
        )
        side = "right" if action is Action.COPY_RIGHT else "left"
        # A name of which there may be another spelling further down, or a target that turns out to be out of order.
        certain = key.isascii() and side in self._in_order and self._no_guard_objects()
        if self._early is not None and decision.reason == "new" and certain:
            self._early.offer(side, self._sides[side], add)
        else:
            add()

    def _no_guard_objects(self) -> bool:
        """Whether it is certain by now that neither side turns out to have become empty."""
        return not self._guarded or (self._tally.left > 0 and self._tally.right > 0)

    def _known_md5(self, item: Pair, decision: Decision, answer: Answer) -> str:
        """The MD5 of the content an item speaks of: of the source of a copy, else of what both sides hold."""
        match decision.action:
            case Action.COPY_RIGHT if item.left is not None:
                entry, known = item.left, item.base.left_print if item.base else ""
            case Action.COPY_LEFT if item.right is not None:
                entry, known = item.right, item.base.right_print if item.base else ""
            case Action.ADOPT if item.left is not None and item.right is not None:
                if item.left.size == 0:
                    return _EMPTY_MD5
                if self._compare(item.key) != "md5":
                    return ""
                return answer.md5 or self._contents.md5("left", item.left)
            case _:
                held = item.right or item.left
                return (item.base.md5 if item.base else "") or (held.md5 if held else "")
        if entry.md5:
            return entry.md5 if entry.fingerprint != entry.md5 else ""
        return item.base.md5 if item.base and known and known == entry.fingerprint else ""

    def _still_held(self, item: Pair, held: Held) -> bool:
        prints = tuple("" if entry is None else entry.fingerprint for entry in (item.left, item.right))
        if prints == (held.left_print, held.right_print):
            return True
        self._released.append(item.key)
        return False

    def _state_released(self) -> None:
        if self._released:
            self._plan.released = self._released

    def _unaddressable(self, item: Pair, action: Action) -> str | None:
        """Why the side to be written cannot hold this key."""
        if action is Action.COPY_RIGHT and item.right is None and item.left is not None:
            return self._sides.right.unaddressable(item.base.right_key if item.base else item.left.key)
        if action is Action.COPY_LEFT and item.left is None and item.right is not None:
            return self._sides.left.unaddressable(item.base.left_key if item.base else item.right.key)
        return None

    def _note_veil(self, item: Pair) -> None:
        veil = item.veil
        if veil is None:
            raise ValueError("only a veiled pair has no answer")
        if self._early is not None:
            self._early.passed(item.key)
        self._clashes.watch(item, _SAME)
        own = veil in {item.left, item.right}
        if own and not self._scope.concerns(veil):
            return
        if not own and item.left is None and item.right is None:
            return  # a baseline row below what cannot be seen: kept, and nothing to say
        detail = veil.detail if own else f"it lies below {veil.key}: {veil.detail}"
        self._plan.add(item.key, _VEILS.get(veil.fault, Action.UNKNOWN), veil.fault, error=detail)

    def _note(self, item: Pair, action: Action, reason: str, detail: str) -> None:
        """Leave a pair as it is. Its names are taken all the same."""
        self._watch(item, _SAME)
        self._plan.add(item.key, action, reason, error=detail)

    def _report(self, *, final: bool = False) -> None:
        if self._stopped():
            raise Interrupted("stopped while planning; nothing was done")
        if self._early is not None:
            self._early.tend()
        now = time.monotonic()
        if final or now >= self._next_report:
            self._next_report = now + 0.1
            self._listener(
                events.Listing(
                    run=self._plan.header.run, left_entries=self._tally.left, right_entries=self._tally.right
                )
            )


_EFFECTS: Final = frozenset(action for action, phase in PHASES.items() if phase is not Phase.RECORD)
_HASHES: Final = 1000
"""MD5s written to the hash cache at once."""
_SAME: Final = Decision(Action.UNCHANGED, "same")
_BEGUN: Final = Answer(State.SAME, State.SAME, equal=False)
"""Stands for an answer where nobody asks."""
_EMPTY_MD5: Final = "d41d8cd98f00b204e9800998ecf8427e"
