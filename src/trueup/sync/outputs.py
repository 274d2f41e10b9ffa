"""What a run of sync writes besides its result, and who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from trueup import events


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a run writes besides its result, and who listens."""

    listener: events.Listener = events.ignore
    stopped: Callable[[], bool] = lambda: False
    plan_out: TextIO | None = None
    items_out: TextIO | None = None

    def warn(self, run: str, message: str) -> None:
        """Tell the listener of something that does not stop the run."""
        self.listener(events.Warned(run=run, message=message))
