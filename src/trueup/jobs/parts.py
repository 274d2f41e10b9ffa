"""Parts of one job that workers do: handed in, watched, stopped. Whoever leads the job waits here for all of them."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from trueup import events
from trueup.catalog.sql.heaps import Heaps
from trueup.catalog.tasks import PENDING, RETRY, STARTED, SUCCESS, UNDER_WAY, Task, Tasks
from trueup.config import Settings
from trueup.errors import TrueupError
from trueup.jobs.broker import Remote
from trueup.jobs.queue import open_queue
from trueup.jobs.registry import PARTS
from trueup.jobs.work import AT_ONCE
from trueup.stores.stopping import heed

log = logging.getLogger("trueup.jobs")

_EACH: Final = 4
"""Parts for each task that workers do at once: so one that is longer than others keeps nobody waiting for long."""
_MOST: Final = 1000
_LOOK: Final = 0.25
"""Seconds between two looks at how far the parts are."""
_LOOKS: Final = 500
"""Parts looked at in a second, at most."""
_OTHERS: Final = 100
"""Parts that other runs may hand in meanwhile."""
_AWAY: Final = 60.0
"""Seconds without news after which something is wrong."""
_LEAVE: Final = 60.0
"""Seconds in which parts that are to stop have stopped."""
_ASKED: Final = 3
"""How often workers are asked who is there: one on a busy machine may be late."""
_TASKS: Final = "tasks"


class Watching(NamedTuple):
    """Who hears how far the parts are, and whether they are still wanted."""

    run: str
    listener: events.Listener
    stopped: Callable[[], bool]
    actions: int = 0
    """Actions and bytes of them all, where they act."""
    bytes: int = 0


class Ended(NamedTuple):
    """Parts as they ended, and what kept their leader from seeing all of them through."""

    tasks: list[Task | None]
    """None for one that was not handed in, or does not end."""
    error: TrueupError | None = None

    def all(self) -> list[Task | None]:
        """Raises that error."""
        if self.error is not None:
            raise self.error
        return self.tasks


class Parts:
    """Hands in parts, and waits for them."""

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigError` without a broker, and `TrueupError` where the broker, or every worker, is silent."""
        self._catalog = open_queue(settings)
        try:
            self._remote = Remote(settings, self._catalog)
            try:
                self.enough = min(_MOST, _EACH * AT_ONCE * self._workers())
                """How many parts are enough for all workers there are."""
            except BaseException:
                self._remote.close()
                raise
        except BaseException:
            self._catalog.close()
            raise
        self.told: list[Mapping[str, object]] = []
        """How each part went, for the record of the run."""

    def close(self) -> None:
        """Let broker and queue go."""
        self._remote.close()
        self._catalog.close()

    def _workers(self) -> int:
        self._remote.check()
        for _ in range(_ASKED):
            able = [name for name, jobs in self._remote.workers().items() if set(PARTS) <= set(jobs)]
            if able:
                return len(able)
        raise TrueupError(
            "no worker answers that could take a part", cure="Start some, with these settings: trueup worker"
        )

    def carry_out(
        self,
        job: str,
        arguments: Sequence[Mapping[str, Any]],
        heaps: Heaps,
        watching: Watching,
        *,
        all_or_none: bool = False,
    ) -> Ended:
        """Have a part done for each of these arguments, and wait. When they are to stop, where one failed if it is
        `all_or_none`, and where they cannot be handed in or seen any more, the others are cancelled."""
        tasks = [uuid.uuid4().hex for _ in arguments]
        heaps.keep(_TASKS, [tasks])  # before the first is handed in: whoever comes after a crash stops them
        watched = _Watched(self._catalog.tasks, job)
        trouble = None
        try:
            for task, each in zip(tasks, arguments, strict=True):
                self._remote.submit(job, each, task)
                watched.add(task)
            self._wait(watched, watching, all_or_none=all_or_none)
        except TrueupError as error:
            trouble = error
            self._cancel(tasks)
            if watching.actions:  # those at work still finish what they are at, and say what they did
                with suppress(TrueupError):
                    self._wait(watched, watching, stopped_at=time.monotonic())
        except BaseException:
            self._cancel(tasks)
            raise
        handed = zip(watched.ids, arguments, strict=False)  # the first ones
        self.told += [watched.told(task, each) for task, each in handed]
        return Ended([watched.found.get(task) for task in tasks], trouble)

    def _wait(
        self, watched: _Watched, watching: Watching, *, all_or_none: bool = False, stopped_at: float | None = None
    ) -> None:
        tasks = watched.ids
        moved_at, seen_at, warned = time.monotonic(), time.monotonic(), False
        before: tuple[object, ...] = ()
        while not watched.over:
            time.sleep(max(_LOOK, len(tasks) / _LOOKS))
            try:
                watched.look()
            except TrueupError as error:  # the database may be back in a moment
                if time.monotonic() > seen_at + _AWAY:
                    raise
                log.warning("how far the parts are cannot be seen: %s", error)
                continue
            seen_at = time.monotonic()
            watched.say(watching)
            if (now := watched.progress) != before:
                before, moved_at, warned = now, time.monotonic(), False
            elif not warned and time.monotonic() > moved_at + _AWAY:
                warned = True
                said = "no part has made progress for a minute: is a worker there that has these settings?"
                watching.listener(events.Warned(run=watching.run, message=said))
            useless = all_or_none and any(task.state not in {*UNDER_WAY, SUCCESS} for task in watched.found.values())
            if stopped_at is None and (useless or watching.stopped()):
                stopped_at = time.monotonic()
                self._cancel(tasks)
            if stopped_at is not None and time.monotonic() > stopped_at + _LEAVE:
                return

    def _cancel(self, tasks: Sequence[str]) -> None:
        for task in tasks:
            try:
                self._remote.cancel(task)
            except TrueupError as error:
                log.warning("task %s cannot be stopped: %s", task, error)

    def stop_earlier(self, heaps: Heaps) -> None:
        """Stop what may still be at work for somebody who was killed while it led them."""
        tasks = self._catalog.tasks
        left: list[str] = heaps.first(_TASKS) or []
        self._cancel(left)
        deadline = time.monotonic() + _LEAVE
        while any((found := tasks.get(task)) and found.state == STARTED for task in left):
            heed()
            if time.monotonic() > deadline:
                log.warning("a worker of an earlier run does not answer: its lease ends by itself")
                return
            time.sleep(_LOOK)


class _Watched:
    """Parts under way, and how far they are."""

    def __init__(self, tasks: Tasks, job: str) -> None:
        self._tasks = tasks
        self._job = job
        self.ids: list[str] = []
        self._said: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self._states: dict[str, Task] = {}
        self.found: dict[str, Task] = {}
        """Those that are over."""

    def add(self, task: str) -> None:
        """Watch one more."""
        self.ids.append(task)
        self._said[task] = (0, {})

    @property
    def over(self) -> bool:
        """Whether all are."""
        return len(self.found) == len(self.ids)

    @property
    def progress(self) -> tuple[object, ...]:
        """Something else whenever anything has moved."""
        return len(self.found), sorted(self._said.items()), sum(task.attempts for task in self._states.values())

    def look(self) -> None:
        """See how far they are."""
        brief = self._tasks.latest(len(self.ids) + _OTHERS, job=self._job, brief=True)
        self._states = {task.id: task for task in brief if task.id in self._said}
        for task in self.ids:
            known = self._states.get(task)
            if task in self.found or (known is not None and known.state in {PENDING, RETRY}):
                continue
            whole = self._tasks.get(task) if known is None or known.finished_at is not None else None
            if whole is not None and whole.finished_at is not None:
                self.found[task] = whole
            self._hear(task)

    def _hear(self, task: str) -> None:
        """What it said last of its progress."""
        after, _ = self._said[task]
        for number, told in self._tasks.said(task, after):
            passing = [event for event in told if event["event"] in {"listing", "progress"}]
            self._said[task] = (number, passing[-1] if passing else self._said[task][1])

    def say(self, watching: Watching) -> None:
        """Tell the listener how far all are together."""

        def total(name: str) -> int:
            return sum(event.get(name, 0) for _, event in self._said.values())

        if watching.actions:
            told: events.Event = events.Progress(
                run=watching.run,
                actions_done=total("actions_done"),
                actions=watching.actions,
                bytes_done=total("bytes_done"),
                bytes=watching.bytes,
            )
        else:
            left, right = total("left_entries"), total("right_entries")
            told = events.Listing(run=watching.run, left_entries=left, right_entries=right)
        watching.listener(told)

    def told(self, task: str, arguments: Mapping[str, Any]) -> dict[str, object]:
        """How a part went, for the record of the run."""
        found = self.found.get(task) or self._states.get(task)
        if found is None:
            found = Task(task, self._job, arguments, PENDING)
        began, ended = found.started_at, found.finished_at
        return {
            "task": task,
            "stage": arguments.get("stage", self._job.partition("_")[0]),
            **{name: arguments[name] for name in ("provider",) if name in arguments},
            "number": arguments["number"],
            "state": found.state,
            "attempts": found.attempts,
            "worker": found.holder.partition(",")[0],
            "seconds": round((ended - began).total_seconds(), 3) if began and ended else None,
            "error": found.error or None,
        }
