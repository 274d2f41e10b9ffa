"""What must hold before any action of a sync runs. A guard refuses the whole run; nothing has been done then."""

from __future__ import annotations

from contextlib import closing

from trueup.errors import NotFound, Refused
from trueup.stores.base import OutOfOrder, Store
from trueup.stores.stopping import apart
from trueup.sync.decide import Action
from trueup.sync.header import Header
from trueup.sync.plan import Plan
from trueup.sync.sides import Sides

FREE_DELETES = 10
"""So many deletes pass any percentage, unless they empty the side."""


def check(plan: Plan) -> None:
    """Refuse a plan that looks like an accident. `force` in the plan's configuration waives every guard here.

    Raises `Refused` when a side that held files became empty, or deletes on one side exceed `max_delete`.
    """
    header = plan.header
    if header.config.force:
        return
    counts = plan.counts()
    _check_emptied(header)
    for side, action, entries, moves in (
        ("left", Action.DELETE_LEFT, header.left_entries, Action.MOVE_LEFT),
        ("right", Action.DELETE_RIGHT, header.right_entries, Action.MOVE_RIGHT),
    ):
        deletes = counts[action]
        if not deletes:
            continue
        held = header.baseline_rows or entries
        arriving = counts[Action.COPY_LEFT if side == "left" else Action.COPY_RIGHT] + counts[moves]
        empties = deletes >= entries and not arriving
        if not empties and deletes <= allowed(header.config.max_delete, held):
            continue
        what = f"the run would delete {deletes:,} of {held:,} files on the {side} ({_place(header, side)})"
        limit = "which leaves it empty" if empties else f"more than --max-delete {header.config.max_delete} allows"
        raise Refused(
            f"{what}, {limit}; nothing was done",
            cure="Look at --dry-run; if it is what you want, raise --max-delete or add --force",
        )


def _check_emptied(header: Header) -> None:
    if not header.baseline_rows:
        return
    for side, entries, other in (
        ("left", header.left_entries, header.right_entries),
        ("right", header.right_entries, header.left_entries),
    ):
        if entries == 0 and other:
            raise Refused(
                f"the {side} ({_place(header, side)}) is empty, but held {header.baseline_rows:,} files at the last "
                "run; nothing was done",
                cure="Is a disk not mounted, or the bucket or prefix another one? If it is meant, add --force",
            )


def check_roots(header: Header, sides: Sides, *, first: bool) -> frozenset[str]:
    """The sides (`left`, `right`) that are not there, and that a first run makes. Raises `Refused` for any other that
    is not there: it is not to be looked at, nor to be written to."""
    mode = header.config.mode
    missing = frozenset(side for side in ("left", "right") if not apart(sides[side].exists))
    targets = {"push": {"right"}, "pull": {"left"}}.get(mode, {"left", "right"})
    for side in sorted(missing):
        if not first or side not in targets or len(missing) == 2:
            place = _place(header, side)
            why = "and there is nothing to make it from" if first else "although it was there at the last run"
            raise Refused(
                f"the {side} ({place}) is not there, {why}; nothing was done",
                cure="Is a disk not mounted, or the path mistyped?"
                + ("" if first else " If it is meant to be empty, make it and add --force"),
            )
    return missing


def check_since(header: Header, sides: Sides) -> None:
    """Refuse to apply a plan, made earlier, to a place that held files then and holds none now. Raises `Refused`."""
    if header.config.force:
        return
    for side, entries in (("left", header.left_entries), ("right", header.right_entries)):
        if entries and _is_empty(sides[side]):
            raise Refused(
                f"the {side} ({_place(header, side)}) is empty, but held {entries:,} files when the plan was made; "
                "nothing was done",
                cure="Is a disk not mounted, or the bucket or prefix another one? If it is meant, plan again",
            )


def _is_empty(store: Store) -> bool:
    try:
        with closing(store.list()) as entries:
            return next(entries, None) is None
    except NotFound:
        return True
    except OutOfOrder:
        return False


def allowed(max_delete: str, held: int) -> int:
    """How many deletes `N` or `N%` of `held` files allow. A share of a small tree is no sign of an accident, so a
    percentage always allows a few; a plain number means what it says."""
    if max_delete.endswith("%"):
        return max(FREE_DELETES, held * int(max_delete[:-1]) // 100)
    return int(max_delete)


def _place(header: Header, side: str) -> str:
    return header.left if side == "left" else header.right
