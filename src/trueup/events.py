"""What a run says while it works. Each event is a frozen dataclass; `to_json` is its documented form
(`--log-format json`, server-sent events). Front ends render events and decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of every event."""

    run: str
    """Id of the run that speaks."""

    def to_json(self) -> dict[str, object]:
        """`{"event": "<snake_case name>", ...fields}`."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()
        return {"event": name, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run has its lock and begins."""

    job: str
    left: str
    right: str
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Event):
    """Progress of the listings; sent a few times a second."""

    left_entries: int
    right_entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Event):
    """The plan is complete. `counts` by action, bytes that will move, and actions that will run; copies of new files
    that began before are among them."""

    counts: Mapping[str, int] = field(default_factory=dict)
    bytes_right: int = 0
    bytes_left: int = 0
    actions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """Progress of the actions; sent a few times a second."""

    actions_done: int
    actions: int
    bytes_done: int
    bytes: int
    current: str = ""
    """The key of the file that has been in transfer for the longest time; empty while there is none."""
    current_done: int = 0
    current_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFinished(Event):
    """One action was settled. `outcome`: done, failed, drifted or skipped. `source` is the old key of a move."""

    key: str
    action: str
    reason: str
    bytes: int
    outcome: str
    error: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    """Something a person should know that is no item's outcome."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The run is over. `status` as in the run's JSON."""

    status: str
    reason: str | None
    counts: Mapping[str, int]
    seconds: float


Listener = Callable[[Event], None]
"""Receives every event, always from the thread that called the run."""


def ignore(event: Event) -> None:
    """The listener that listens to nothing."""
