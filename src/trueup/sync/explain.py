"""Why one key is copied, skipped, held or excluded: the same decision as a sync's, with its grounds spelled out."""

from __future__ import annotations

from dataclasses import dataclass

from trueup import keys
from trueup.config import Settings, SyncConfig, load
from trueup.errors import Hidden, NotFound, StoreError, Unaddressable
from trueup.filters import Scope
from trueup.runs import new_run_id
from trueup.stores.base import Entry
from trueup.sync.content import Contents, quick_answer
from trueup.sync.decide import Action, Decision, State, decide
from trueup.sync.pair import Agreed, Pair
from trueup.sync.session import Session, session

_SENTENCES = {
    Action.COPY_RIGHT: "it would be copied from left to right",
    Action.COPY_LEFT: "it would be copied from right to left",
    Action.DELETE_RIGHT: "it would be deleted on the right",
    Action.DELETE_LEFT: "it would be deleted on the left",
    Action.ADOPT: "both sides hold the same content; that would be recorded, and nothing copied",
    Action.FORGET: "it is gone on both sides; its record would be dropped",
    Action.UNCHANGED: "nothing would be done",
    Action.CONFLICT: "it is in conflict and would be left alone",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The verdict on one key in one sentence, and the facts it rests on, a line each."""

    key: str
    action: str
    reason: str
    verdict: str
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """As `--explain KEY --json` shows it."""
        return {
            "key": self.key,
            "action": self.action,
            "reason": self.reason,
            "verdict": self.verdict,
            "lines": list(self.lines),
        }


def explain(
    left: str, right: str, key: str, *, config: SyncConfig | None = None, settings: Settings | None = None
) -> Explanation:
    """Look at one key on both sides and in the baseline, and say what a sync would do with it. Changes nothing.

    A rename is found only by a whole run: the key is judged for itself here.
    """
    settings = settings or load()
    config = config or SyncConfig()
    with session(left, right, settings, run=new_run_id(), lock=False) as opened:
        normal = keys.normal(key)
        lines: list[str] = []

        def verdict(action: str, reason: str, sentence: str) -> Explanation:
            return Explanation(key=normal, action=action, reason=reason, verdict=sentence, lines=tuple(lines))

        if (problem := keys.unaddressable(key)) is not None:
            return verdict(Action.UNADDRESSABLE, "name", f"it is never read or written: {problem}")
        if outside := Scope(config.include, config.exclude).reason_outside(normal):
            return verdict("excluded", "scope", f"it is out of scope: {outside}")
        base = opened.state.agreed(normal)
        entries: dict[str, Entry | None] = {}
        known = (base.left_key, base.right_key) if base else ()
        for side in ("left", "right"):
            try:
                entries[side] = _stat(opened, side, key, *known)
            except StoreError as error:
                lines.append(f"{side}: cannot be seen: {error}")
                return verdict(Action.UNKNOWN, "unreadable", f"nothing would be done: the {side} cannot be seen")
            lines.append(f"{side}: {_described(entries[side])}")
        lines.append(_baseline_line(base))
        pair = Pair(normal, entries["left"], entries["right"], base)
        held = opened.state.held().get(normal)
        prints = tuple(entry.fingerprint if entry else "" for entry in (pair.left, pair.right))
        if held and not config.release and prints == (held.left_print, held.right_print):
            return verdict(
                Action.HELD, "undone", f"it is held: the undo of {held.run} restored it; --release lets it go"
            )
        decision, states = _decide(opened, pair, config)
        lines.append(f"against the baseline: left {states[0]}, right {states[1]}")
        lines.append(f"mode {config.mode}, prefer {config.prefer}, delete {'on' if config.delete else 'off'}")
        for side, action in (("right", Action.COPY_RIGHT), ("left", Action.COPY_LEFT)):
            problem = opened.sides[side].unaddressable(key) if decision.action is action else None
            if problem:
                return verdict(Action.UNADDRESSABLE, "name", f"the {side} cannot hold it: {problem}")
        return verdict(decision.action, decision.reason, f"{_SENTENCES[decision.action]} ({decision.reason})")


def _decide(opened: Session, pair: Pair, config: SyncConfig) -> tuple[Decision, tuple[State, State]]:
    sides = opened.sides
    compare = "md5" if pair.key in opened.state.interrupted() else config.compare
    answer = quick_answer(pair, config.mode, compare)
    if answer is None:
        contents = Contents({"left": sides.left, "right": sides.right}, opened.state)
        answer = contents.answer(pair, config.mode, compare)
    ahead = 0
    if config.prefer in {"newer", "older"}:
        ahead = sides.right.clock_ahead_ns() - sides.left.clock_ahead_ns()
    decision = decide(
        pair.left,
        pair.right,
        left_state=answer.left,
        right_state=answer.right,
        equal=answer.equal,
        config=config,
        clock_ahead_ns=ahead,
    )
    return decision, (answer.left, answer.right)


def _stat(opened: Session, side: str, *known: str) -> Entry | None:
    for spelling in keys.spellings(*known):
        try:
            return opened.sides[side].stat(spelling)
        except Hidden as error:
            raise StoreError(error.message) from None
        except NotFound:
            continue
        except Unaddressable:  # a mere guess may be too long
            if spelling in known:
                raise
    return None


def _described(entry: Entry | None) -> str:
    if entry is None:
        return "not there"
    return f"{entry.size:,} bytes" + (f", MD5 {entry.md5}" if entry.md5 else "")


def _baseline_line(base: Agreed | None) -> str:
    if base is None:
        return "baseline: never agreed"
    return f"baseline: agreed on {base.size:,} bytes" + (f", MD5 {base.md5}" if base.md5 else "")
