"""What a sync reports: counts, items and status, in the form outsiders script against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from trueup.sync.decide import Action
from trueup.sync.plan import Plan

ITEMS_SHOWN: Final = 10_000
"""More items than these are left out of the JSON document."""

COUNTS: Final = (
    *(action.value for action in Action if action not in {Action.FORGET, Action.UNCHANGED}),
    "drifted",
    "failed",
    "unchanged",
)
"""Every name under `counts`."""

_EXIT_CODES: Final = {"ok": 0, "dry-run": 0, "partial": 1, "failed": 1, "refused": 3, "busy": 4, "interrupted": 130}
_UNSETTLED: Final = ("failed", "drifted", "conflict", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRun:
    """The result of one sync, apply or dry run. `status`: ok, partial, refused, failed, busy, interrupted or dry-run.

    Bytes are bytes that moved (that would move, in a dry run); seconds are wall time.
    """

    run: str
    status: str
    left: str
    right: str
    mode: str
    job: str = "sync"
    """sync, or undo."""
    undoes: str = ""
    """For an undo: the id of the run that it takes back."""
    reason: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    """Every name of `COUNTS`, whatever was handed in."""
    bytes_right: int = 0
    bytes_left: int = 0
    seconds: float = 0.0
    differences: bool = False
    """Whether the plan had anything to do: what `--check` asks."""
    inventory: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """For each side (`left`, `right`) that was listed by an inventory report: which one, and how old it was."""
    items: tuple[Mapping[str, object], ...] = ()
    items_truncated: bool = False
    parts: tuple[Mapping[str, object], ...] = ()
    """How the parts went of a run that many workers did."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", {name: self.counts.get(name, 0) for name in COUNTS})

    @property
    def exit_code(self) -> int:
        """The exit code of the command, leaving `--check` aside."""
        if self.status == "dry-run" and (self.counts["conflict"] or self.counts["unknown"]):
            return 1
        return _EXIT_CODES[self.status]

    def summary(self) -> dict[str, object]:
        """The JSON document without its items."""
        return {
            "run": self.run,
            "job": self.job,
            **({"undoes": self.undoes} if self.undoes else {}),
            "status": self.status,
            "reason": self.reason,
            "left": self.left,
            "right": self.right,
            "mode": self.mode,
            "counts": dict(self.counts),
            "bytes": {"right": self.bytes_right, "left": self.bytes_left},
            "seconds": round(self.seconds, 3),
            **({"parts": list(self.parts)} if self.parts else {}),
            **({"inventory": dict(self.inventory)} if self.inventory else {}),
        }

    def to_json(self) -> dict[str, object]:
        """The whole JSON document."""
        document = self.summary() | {"items": list(self.items)}
        return document | {"items_truncated": True} if self.items_truncated else document


def settled_status(counts: Mapping[str, int], *, interrupted: bool) -> str:
    """The status of a run that got as far as applying."""
    if interrupted:
        return "interrupted"
    return "partial" if any(counts.get(name) for name in _UNSETTLED) else "ok"


def item_rows(plan: Plan) -> Iterator[Mapping[str, object]]:
    """Every item as a JSON row, those that need nothing left out."""
    return (item.to_json() for item in plan.items(hidden=False))


def shown_items(plan: Plan) -> tuple[tuple[Mapping[str, object], ...], bool]:
    """The first rows, and whether more were left out."""
    rows = tuple(islice(item_rows(plan), ITEMS_SHOWN + 1))
    return rows[:ITEMS_SHOWN], len(rows) > ITEMS_SHOWN
