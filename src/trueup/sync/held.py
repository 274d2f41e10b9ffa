"""Keys that an undo put back, in a plan that was made before: they stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from trueup.stores.base import Entry
from trueup.sync.decide import Action
from trueup.sync.item import Item, Phase
from trueup.sync.plan import Plan
from trueup.sync.state import Held

WHY: Final = "an undo restored it; it is skipped until a side changes, or --release"


def leave_held(plan: Plan, held: Mapping[str, Held]) -> None:
    """Turn what the plan wants with keys that are held, and as they were held, into notes."""
    if not held:
        return
    kept = [item.seq for item in plan.items() if item.phase is not Phase.NOTE and _is_held(item, held)]
    note = "update items set phase = ?, action = ?, reason = 'undone', bytes = 0, outcome = '', error = ? where seq = ?"
    plan.db.executemany(note, ((Phase.NOTE, Action.HELD, WHY, seq) for seq in kept))


def _is_held(item: Item, held: Mapping[str, Held]) -> bool:
    return any(
        key in held and (held[key].left_print, held[key].right_print) == (_print(left), _print(right))
        for key, left, right in _concerned(item)
    )


def _concerned(item: Item) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    """The keys an item is about, each with what both sides hold there as planned."""
    if item.phase is not Phase.MOVE:
        yield item.key, item.left, item.right
    elif item.action is Action.MOVE_RIGHT:
        yield item.key, item.left, None
        yield item.source, None, item.right
    else:
        yield item.key, None, item.right
        yield item.source, item.left, None


def _print(entry: Entry | None) -> str:
    return "" if entry is None else entry.fingerprint
