"""After a run that was killed: what it had begun is settled."""

from __future__ import annotations

from collections.abc import Callable

from trueup.errors import StoreError
from trueup.sync.effects import SYSTEMIC, temporary_name
from trueup.sync.sides import Sides
from trueup.sync.state import PairState


def recover(sides: Sides, state: PairState, *, warn: Callable[[str], None]) -> int:
    """Settle what a killed run had begun: remove its unfinished files; the next plan decides anew about the rest."""
    stores = {state.left_side: sides.left, state.right_side: sides.right}
    settled = []
    away: set[str] = set()
    """Sides that cannot be reached: what was left there is for a later run."""
    for row in state.open_intents():
        # The loser of a conflict may have been on its way to its place beside the winner, on either side.
        on = set(stores) if row.reason == "conflict" else {row.side}
        for side in on - away:
            try:
                stores[side].discard(row.target, temporary_name(row.run, row.seq))
            except StoreError as error:
                if isinstance(error, SYSTEMIC):
                    away.add(side)
                warn(f"what the interrupted run {row.run} left could not be removed: {error}")
        if not on & away:
            settled.append(row._replace(state="interrupted"))
    if settled:
        with state.transaction():
            state.write_journal(settled)
    return len(settled)
