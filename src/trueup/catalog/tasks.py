"""The queue of jobs and what became of them: the protocol every database follows, and its rows. The docstrings are the
contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

PENDING: Final = "PENDING"
STARTED: Final = "STARTED"
RETRY: Final = "RETRY"
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
REVOKED: Final = "REVOKED"
STATES: Final = (PENDING, STARTED, RETRY, SUCCESS, FAILURE, REVOKED)
"""Those of Celery."""
UNDER_WAY: Final = (PENDING, STARTED, RETRY)


class Task(NamedTuple):
    """One job that somebody asked for."""

    id: str
    """That of its run as well."""
    job: str
    arguments: Mapping[str, Any]
    state: str
    status: str = ""
    """How the job says it ended: `ok`, `partial` and so on; empty before that."""
    result: Mapping[str, Any] | None = None
    """Its JSON."""
    error: str = ""
    """Why it came to nothing, or is tried again."""
    attempts: int = 0
    """How often it was started."""
    handed_back: int = 0
    """How often of these whoever worked at it was stopped and left it to others."""
    holder: str = ""
    """Who works at it, or did last."""
    cancelled: bool = False
    """Somebody asked whoever works at it to stop."""
    created_at: datetime | None = None
    """UTC, as the others."""
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def tries(self) -> int:
        """How often it was started to no avail, or is under way: a worker that is stopped is no fault of its."""
        return self.attempts - self.handed_back


class Tasks(Protocol):
    """The queue. Safe to use from many threads and processes at once: every method is one transaction.

    Whoever works at a task holds a lease on it, by the database's clock; one whose lease has ended is dead.
    """

    def put(self, task: str, job: str, arguments: Mapping[str, Any], alone: str) -> Task:
        """A new task, `PENDING`. Raises `Busy`, with the other one as its `run`, while a task of the same `alone` waits
        or is worked at."""
        ...

    def start(self, holder: str, lease: timedelta, *, task: str = "") -> Task | None:
        """Begin to work at a task: the one that waits longest, or one of an id, which may also be one whose holder is
        dead. It is `STARTED` then. None where there is none to begin with."""
        ...

    def renew(self, holder: str, tasks: Sequence[str], lease: timedelta) -> set[str]:
        """Keep working. Those at which the holder is to stop: somebody cancelled them, or took them over."""
        ...

    def finish(
        self, task: str, holder: str, state: str, *, status: str = "", result: Mapping[str, Any] | None, error: str = ""
    ) -> bool:
        """How it ended. False, and nothing changes, when the holder does not work at it any more."""
        ...

    def again(self, task: str, holder: str, error: str, wait: timedelta) -> bool:
        """It failed, and is to be started once more after a while: `RETRY` until then. False as in `finish`."""
        ...

    def hand_back(self, task: str, holder: str, why: str) -> bool:
        """The holder was stopped, and others are to start it at once: `RETRY` until then. False as in `finish`."""
        ...

    def cancel(self, task: str) -> Task | None:
        """Stop it: what waits is `REVOKED` at once, and who works at it will learn of it. The task as it is then; None
        where there is none."""
        ...

    def interrupt(self, holder: str) -> list[str]:
        """Tasks at which nobody works any more are a `FAILURE`: those of a holder that is known to be dead, and those
        whose lease has ended. Which."""
        ...

    def lost(self, patience: timedelta) -> list[Task]:
        """Tasks of which workers have to be told again: those whose holder is dead, and those that nobody has begun for
        so long that the word of them may be lost. Each is named once in that time."""
        ...

    def get(self, task: str) -> Task | None:
        """One task."""
        ...

    def latest(self, limit: int = 50, *, job: str = "", but: Sequence[str] = (), brief: bool = False) -> list[Task]:
        """The newest first: of one job where that is named, and of all `but` some. `brief`: without their results,
        which may be long."""
        ...

    def say(self, task: str, number: int, events: Sequence[Mapping[str, Any]]) -> None:
        """What a task said while it ran; the numbers ascend."""
        ...

    def said(self, task: str, after: int = 0) -> list[tuple[int, list[dict[str, Any]]]]:
        """What it said since a number, with the numbers, in order."""
        ...

    def forget(self, *, said_before: datetime, over_before: datetime) -> None:
        """Forget what tasks said that were over before the one time, and tasks that were over before the other."""
        ...
