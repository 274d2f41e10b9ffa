"""One row of a plan, and when it runs."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from trueup.stores.base import Entry
from trueup.sync.decide import Action


class Phase(IntEnum):
    """When an item runs. Phases run in this order; items of `MOVE` one by one, the others at once."""

    FREE = 0
    """A delete that frees a path another item needs."""
    MOVE = 1
    COPY = 2
    DELETE = 3
    RECORD = 4
    """Only the baseline changes."""
    NOTE = 5
    """Nothing runs; people are told."""


PHASES: Final = {
    Action.COPY_LEFT: Phase.COPY,
    Action.COPY_RIGHT: Phase.COPY,
    Action.DELETE_LEFT: Phase.DELETE,
    Action.DELETE_RIGHT: Phase.DELETE,
    Action.MOVE_LEFT: Phase.MOVE,
    Action.MOVE_RIGHT: Phase.MOVE,
    Action.ADOPT: Phase.RECORD,
    Action.FORGET: Phase.RECORD,
    Action.UNCHANGED: Phase.RECORD,
}
"""The phase of each action; every other action is a note. `UNCHANGED` items refresh a fingerprint."""

HIDDEN: Final = (Action.FORGET, Action.UNCHANGED)
"""Bookkeeping that no report mentions."""


class Item(NamedTuple):
    """One row of a plan: everything needed to do it, and to notice that it must not be done any more."""

    seq: int
    phase: Phase
    key: str
    """Normal form."""
    action: Action
    reason: str
    bytes: int
    """Bytes that will move."""
    left_key: str
    right_key: str
    """The key as each side spells it, or would."""
    left: Entry | None
    right: Entry | None
    """Both sides as planned."""
    md5: str = ""
    """Hex MD5 of the content concerned, where the plan knows it."""
    source: str = ""
    """For a move: the normal key it comes from. The side's entry is then the one at the source."""
    source_key: str = ""
    """For a move: `source` as the side spells it."""
    outcome: str = ""
    """Empty until settled: done, failed, drifted or skipped."""
    error: str = ""

    def to_json(self) -> dict[str, object]:
        """The row as `sync --json` shows it."""
        row: dict[str, object] = {
            "key": self.key,
            "action": self.action.value,
            "reason": self.reason,
            "bytes": self.bytes,
            "outcome": self.outcome or ("skipped" if self.phase is Phase.NOTE else "planned"),
            "error": self.error or None,
        }
        if self.source:
            row["from"] = self.source
        return row
