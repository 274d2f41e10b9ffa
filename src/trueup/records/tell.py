"""What programs are told of a project's sync, and when (no I/O)."""

from __future__ import annotations

from typing import Final, NamedTuple

from trueup.records.report import ProjectResult

SYNCED: Final = "records.synced"
FAILED: Final = "records.failed"


class State(NamedTuple):
    """How a project was left by its last sync."""

    status: str
    error: str | None
    """The code."""

    @property
    def trouble(self) -> State | None:
        """What there is to be told of it once. An outage is one trouble, however it shows in each run."""
        if self.status == "ok":
            return None
        return State(self.status, None) if self.status == "degraded" else self


def turn(result: ProjectResult, before: State | None) -> str | None:
    """The kind of message that the end of a sync is worth, besides the one about what it wrote; None for nothing new.

    Trouble is told when it comes, and not again in each run that it lasts. That it is over is told, too.
    """
    trouble = State(result.status, (result.error or {}).get("code")).trouble
    was = before.trouble if before else None
    if trouble:
        return FAILED if trouble != was else None
    return SYNCED if was and not result.changes else None


def data(run: str, result: ProjectResult) -> dict[str, object]:
    """What a message says. Changes and issues may be many, so it counts them."""
    return {"run": run, **result.summary()}
