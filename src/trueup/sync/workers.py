"""Other processes that plan and apply, led by this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from trueup.sync.apply import Applied
from trueup.sync.outputs import Outputs
from trueup.sync.plan import Plan
from trueup.sync.session import Session


class Workers(Protocol):
    """What a run leaves to them. All else of it, its lock, guards, trash and history, is the same. They reach what is
    remembered of the pair only in the shared database."""

    @property
    def parts(self) -> Sequence[Mapping[str, object]]:
        """How each part of the run went, as its JSON tells it."""
        ...

    def plan(self, opened: Session, planned: Plan, outputs: Outputs) -> None:
        """Fill an empty plan. Raises what `planner.build` does."""
        ...

    def apply(self, opened: Session, planned: Plan, outputs: Outputs) -> Applied:
        """Do every item, each with its own preconditions, and settle it in the plan. The caller has checked the
        guards."""
        ...
