"""Who makes a plan and who carries it out: this process, or others that it leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from trueup.sync.apply import Applied
from trueup.sync.apply import apply as apply_items
from trueup.sync.outputs import Outputs
from trueup.sync.plan import Header, Plan
from trueup.sync.planner import View, build
from trueup.sync.session import Session


class Hands(Protocol):
    """What a run leaves to them. All else of it, its lock, guards, trash and history, is the same whoever they are."""

    @property
    def shared(self) -> bool:
        """Whether they reach the pair's memory only in the shared database."""
        ...

    @property
    def parts(self) -> Sequence[Mapping[str, object]]:
        """How each part went that was given to others, as the run's JSON tells it."""
        ...

    def build(self, opened: Session, header: Header, outputs: Outputs, view: View | None) -> Plan:
        """The plan of both sides. Raises what `planner.build` does."""
        ...

    def apply(self, opened: Session, planned: Plan, outputs: Outputs) -> Applied:
        """Do every item, each with its own preconditions, and settle it in the plan. The caller has checked the
        guards."""
        ...


class Here:
    """This process."""

    shared = False
    parts = ()

    def build(self, opened: Session, header: Header, outputs: Outputs, view: View | None) -> Plan:
        """See `Hands`."""
        return build(
            opened.sides,
            opened.state,
            header,
            folder=opened.folder,
            listener=outputs.listener,
            stopped=outputs.stopped,
            view=view,
        )

    def apply(self, opened: Session, planned: Plan, outputs: Outputs) -> Applied:
        """See `Hands`."""
        return apply_items(planned, opened.sides, opened.state, listener=outputs.listener, stopped=outputs.stopped)
