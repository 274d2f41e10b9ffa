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


def message(result: ProjectResult, before: State | None) -> str | None:
    """The kind of message that a sync is worth; None for nothing new.

    Trouble is told when it comes, and not again in each run that it lasts. When it is over that is told, too, even if
    nothing was written since.
    """
    trouble = State(result.status, (result.error or {}).get("code")).trouble
    was = before.trouble if before else None
    if trouble and trouble != was:
        return FAILED
    return SYNCED if result.changed_count or (was and not trouble) else None


def data(run: str, result: ProjectResult) -> dict[str, object]:
    """What a message says. Changes and issues may be many, so it counts them."""
    return {"run": run, **result.summary()}
