"""Jobs inside one server: a few child processes at a time, by the clock or because somebody asked. The queue is in a
database, so what waits outlives the server."""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from apscheduler.schedulers.background import BackgroundScheduler

from trueup.catalog.base import Catalog
from trueup.catalog.tasks import Task
from trueup.config import Settings
from trueup.errors import Busy, TrueupError
from trueup.jobs.clock import CronTrigger
from trueup.jobs.config import scheduled, timetable
from trueup.jobs.queue import forget_old, put, queue_url
from trueup.jobs.work import AT_ONCE, LEASE, Work
from trueup.runs import new_run_id, run_lock

log = logging.getLogger("trueup.jobs")

_LOOK: Final = 5.0
"""Seconds until the queue is looked at again when nobody said that something is in it."""
_TIDY: Final = 60.0


class Embedded:
    """Runs jobs until it is closed. One for each database and machine: raises `Busy` when there is another one."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings = settings
        self._tasks = catalog.tasks
        self._holder = f"{socket.gethostname()} {settings.home}"
        self._running: dict[str, tuple[Work, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._over = threading.Event()
        self._tidied = 0.0
        self._clock = BackgroundScheduler(timezone=UTC)
        self._held = ExitStack()
        what = "jobs of this database are being run"
        self._held.enter_context(run_lock(_lock(settings), run=new_run_id(), what=what))
        try:
            # Whoever ran jobs here before is dead: only one has the lock.
            for task in self._tasks.interrupt(self._holder):
                log.warning("task %s was interrupted: nobody works at it any more", task)
            self._plan()
        except BaseException:
            self._held.close()
            raise
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()
        self._clock.start()

    def submit(self, job: str, arguments: Mapping[str, Any]) -> Task:
        """Queue a job. Raises `UsageError`, and `Busy` with the id of the one that is under way."""
        task = put(self._tasks, self._settings, job, arguments)
        self._awake.set()
        return task

    def cancel(self, task: str) -> Task | None:
        """Stop a task; it as it is then, None where there is none. One that runs ends soon."""
        found = self._tasks.cancel(task)
        with self._lock:
            if task in self._running:
                self._running[task][0].stop("cancelled")
        return found

    def next_run(self, job: str) -> datetime | None:
        """When the clock starts a job; None: never."""
        found = self._clock.get_job(job.replace("_", "-"))
        return found.next_run_time if found is not None else None

    def check(self) -> None:
        """Raise `TrueupError` when nobody looks after the queue."""
        if not self._thread.is_alive():
            raise TrueupError("jobs are not run any more", cure="Restart the server; its log says why")

    def close(self) -> None:
        """Start nothing more, let what runs finish what it is at, and go."""
        self._clock.shutdown(wait=False)
        self._over.set()
        self._awake.set()
        self._thread.join()
        with self._lock:
            running = list(self._running.values())
        for work, _ in running:
            work.stop("the server was stopped")
        for _, thread in running:
            thread.join()
        self._held.close()

    def _plan(self) -> None:
        planned = timetable(self._settings)
        for name, why in planned.left_out.items():
            log.info("%s is not run by the clock: %s", name, why)
        for name, cron in planned.jobs.items():
            trigger, due = CronTrigger(cron), scheduled(name)
            self._clock.add_job(self._due, trigger, due, id=name, coalesce=True, misfire_grace_time=None)

    def _due(self, job: str, arguments: Mapping[str, Any]) -> None:
        try:
            self.submit(job, arguments)
        except Busy as error:
            log.info("%s is due, and task %s is still under way", job, error.run)
        except TrueupError as error:
            log.warning("%s is due, and could not be queued: %s", job, error)

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                self._tidy()
                while not self._over.is_set() and len(self._running) < AT_ONCE:
                    task = self._tasks.start(self._holder, LEASE)
                    if task is None:
                        break
                    self._begin(task)
            except TrueupError as error:
                log.warning("the queue of jobs cannot be looked at: %s", error)
            except Exception:
                # Without this thread everything would be queued and nothing done.
                log.exception("the queue of jobs cannot be looked at")
            self._awake.wait(_LOOK)
            self._awake.clear()

    def _begin(self, task: Task) -> None:
        work = Work(task, self._tasks, self._settings, self._holder)
        thread = threading.Thread(target=self._carry_out, args=(work,), name=f"task {task.id}", daemon=True)
        with self._lock:
            self._running[task.id] = work, thread
        thread.start()

    def _carry_out(self, work: Work) -> None:
        try:
            work.carry_out()
        except Exception:
            # Its lease tells in the end.
            log.exception("the task %s was given up", work.task.id)
        finally:
            with self._lock:
                del self._running[work.task.id]
            self._awake.set()

    def _tidy(self) -> None:
        """Other machines that use the database may have crashed."""
        if time.monotonic() < self._tidied:
            return
        self._tidied = time.monotonic() + _TIDY
        self._tasks.interrupt("")
        forget_old(self._tasks)


def _lock(settings: Settings) -> Path:
    name = hashlib.sha256(queue_url(settings).encode()).hexdigest()[:16]
    return settings.home / f"server-{name}.lock"
