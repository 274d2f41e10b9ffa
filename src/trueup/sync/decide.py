"""What to do with one pair: the decision table of a sync, as pure functions.

Each side is first compared with the baseline (`State`), then the two states are looked up in a table. Nothing here
reads, writes or asks; whether two contents are equal is handed in.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from trueup.config import SyncConfig
from trueup.stores.base import Entry

CLOCK_TOLERANCE_NS: Final = 2_000_000_000
"""Two modification times closer than this are the same time: FAT keeps 2 s, HTTP dates 1 s."""


class State(StrEnum):
    """One side of a pair against the baseline."""

    ABSENT = "absent"
    SAME = "same"
    NEW = "new"
    CHANGED = "changed"
    DELETED = "deleted"


class Action(StrEnum):
    """What a pair needs. The first seven have an effect; the notes below them are only reported."""

    COPY_RIGHT = "copy_right"
    COPY_LEFT = "copy_left"
    DELETE_RIGHT = "delete_right"
    DELETE_LEFT = "delete_left"
    MOVE_RIGHT = "move_right"
    MOVE_LEFT = "move_left"
    ADOPT = "adopt"
    FORGET = "forget"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    UNADDRESSABLE = "unaddressable"
    UNKNOWN = "unknown"
    MARKER = "marker"
    LINK = "link"
    HELD = "held"


class Decision(NamedTuple):
    """An action and the one-word reason people see: `new`, `changed`, `deleted`, `restored`, `conflict`, `differs`,
    `missing`, `equal`, `extra`, `gone`, `same`, or for an unresolved conflict the rule that could not choose."""

    action: Action
    reason: str


_A, _S, _N, _C, _D = State.ABSENT, State.SAME, State.NEW, State.CHANGED, State.DELETED

_UNCHANGED = Decision(Action.UNCHANGED, "same")
_TABLE: Final[dict[tuple[State, State], Decision | None]] = {
    (_A, _A): _UNCHANGED,
    (_A, _N): Decision(Action.COPY_LEFT, "new"),
    (_N, _A): Decision(Action.COPY_RIGHT, "new"),
    (_S, _S): _UNCHANGED,
    (_S, _C): Decision(Action.COPY_LEFT, "changed"),
    (_C, _S): Decision(Action.COPY_RIGHT, "changed"),
    (_S, _D): Decision(Action.DELETE_LEFT, "deleted"),
    (_D, _S): Decision(Action.DELETE_RIGHT, "deleted"),
    (_N, _N): None,
    (_C, _C): None,
    # An edit beats a delete, always.
    (_C, _D): Decision(Action.COPY_RIGHT, "changed"),
    (_D, _C): Decision(Action.COPY_LEFT, "changed"),
    (_D, _D): Decision(Action.FORGET, "gone"),
}
"""Two-way decisions; None asks whether the contents are equal. Combinations that are not here cannot be: a baseline
row always speaks of both sides."""


def needs_comparison(left: State, right: State, mode: str) -> bool:
    """Whether `decide` must be told if the two contents are equal."""
    here = (_S, _N, _C)
    if left not in here or right not in here:
        return False
    if left is _S and right is _S:
        return False
    # Against the same baseline, one unchanged side and one changed side differ.
    return (left is not _S and right is not _S) if mode == "two-way" else _S not in (left, right)


def decide(
    left: Entry | None,
    right: Entry | None,
    *,
    left_state: State,
    right_state: State,
    equal: bool,
    config: SyncConfig,
    clock_ahead_ns: int = 0,
) -> Decision:
    """The decision for one pair.

    `equal` counts only where `needs_comparison` said so. `clock_ahead_ns` is how far the right side's clock is ahead of
    the left side's, for `newer` and `older`.
    """
    if config.mode != "two-way":
        return _one_way(left_state, right_state, equal=equal, config=config)
    decision = _TABLE[left_state, right_state]
    if decision is None:
        if equal:
            return Decision(Action.ADOPT, "equal")
        if left is None or right is None:
            raise ValueError("a conflict needs both entries")
        return _conflict(left, right, config.prefer, clock_ahead_ns)
    if not config.delete:
        if decision.action is Action.DELETE_LEFT:
            return Decision(Action.COPY_RIGHT, "restored")
        if decision.action is Action.DELETE_RIGHT:
            return Decision(Action.COPY_LEFT, "restored")
    return decision


def _one_way(left_state: State, right_state: State, *, equal: bool, config: SyncConfig) -> Decision:
    """The source is always right, and is never written."""
    push = config.mode == "push"
    source, target = (left_state, right_state) if push else (right_state, left_state)
    copy = Action.COPY_RIGHT if push else Action.COPY_LEFT
    delete = Action.DELETE_RIGHT if push else Action.DELETE_LEFT
    gone = (_A, _D)
    if source in gone:
        if target in gone:
            return Decision(Action.FORGET, "gone") if _D in (source, target) else _UNCHANGED
        if config.delete:
            return Decision(delete, "extra" if target is _N else "deleted")
        return Decision(Action.UNCHANGED, "extra")
    if target in gone:
        return Decision(copy, "missing" if target is _D else "new")
    if source is _S and target is _S:
        return _UNCHANGED
    if needs_comparison(left_state, right_state, config.mode) and equal:
        return Decision(Action.ADOPT, "equal")
    return Decision(copy, "changed" if target is _S else "differs")


def _conflict(left: Entry, right: Entry, prefer: str, clock_ahead_ns: int) -> Decision:
    """Who wins where both sides changed. The loser's side is written."""
    ahead: int
    match prefer:
        case "right":
            ahead = -1
        case "left":
            ahead = 1
        case "newer" | "older":
            ahead = left.mtime_ns - (right.mtime_ns - clock_ahead_ns)
            if abs(ahead) < CLOCK_TOLERANCE_NS or not (left.mtime_ns and right.mtime_ns):
                return Decision(Action.CONFLICT, f"no-{prefer}")
            ahead = ahead if prefer == "newer" else -ahead
        case "larger" | "smaller":
            ahead = left.size - right.size
            if ahead == 0:
                return Decision(Action.CONFLICT, f"no-{prefer}")
            ahead = ahead if prefer == "larger" else -ahead
        case _:
            return Decision(Action.CONFLICT, "none-preferred")
    return Decision(Action.COPY_RIGHT if ahead > 0 else Action.COPY_LEFT, "conflict")
