"""The Celery app: `celery -A trueup.jobs.celery_app worker|beat|call TASK`, the same as `trueup worker|beat`.

`app` is made when it is first used, from the settings of this process: without a broker that is one line and the end of
the program.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
import uuid
from datetime import timedelta
from typing import Any, Final

from celery import Celery, signals
from celery.exceptions import Reject

from trueup.catalog.base import Catalog
from trueup.catalog.tasks import FAILURE, RETRY
from trueup.config import Settings, load
from trueup.errors import Busy, TrueupError, UsageError
from trueup.jobs.broker import make_app, send
from trueup.jobs.queue import forget_old, open_queue, put
from trueup.jobs.registry import JOBS
from trueup.jobs.work import LEASE, Work

log = logging.getLogger("trueup.jobs")

_LOOK: Final = 30.0
"""Seconds between two looks for what crashes left."""
_PATIENCE: Final = timedelta(minutes=5)
"""A task that waits longer may be one that the broker has forgotten. To hand it in twice does no harm."""
_UNHEARD: Final = timedelta(seconds=30)
"""So long a message may be on its way. Who has nothing to do has had every other one there is."""
_PAUSE: Final = 0.5
"""Seconds until a worker that stops gives a message back, which it may be handed itself again."""
_STOPPED: Final = "the worker was stopped"
_TRIES: Final = 3
"""How often a task is started that takes its worker down each time."""


class Crew:
    """What the tasks of one app share. A process that was forked opens its own database."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = make_app(settings)
        self._catalogs: dict[int, Catalog] = {}
        self._lock = threading.Lock()
        self._working: dict[str, Work] = {}
        self._over = threading.Event()
        for name in JOBS:
            self._register(name)
        signals.worker_ready.connect(self._ready, weak=False)
        signals.worker_shutting_down.connect(self._stopping, weak=False)

    def _register(self, name: str) -> None:
        def run(task: Any, **arguments: Any) -> dict[str, object]:  # noqa: ANN401 - Celery's
            return self._carry_out(task.request.id, name, arguments)

        self.app.task(run, name=name, bind=True)

    @property
    def catalog(self) -> Catalog:
        """The database of the queue."""
        with self._lock:
            if os.getpid() not in self._catalogs:
                self._catalogs[os.getpid()] = open_queue(self.settings)
            return self._catalogs[os.getpid()]

    def _carry_out(self, task_id: str, name: str, arguments: dict[str, Any]) -> dict[str, object]:
        if self._over.is_set():
            # Celery takes messages a little longer: those that a stopped task has just sent, too.
            time.sleep(_PAUSE)
            raise Reject(_STOPPED, requeue=True)
        tasks = self.catalog.tasks
        if tasks.get(task_id) is None:  # sent by beat, or by hand
            try:
                put(tasks, self.settings, name, arguments, task_id)
            except Busy as error:
                log.info("%s is under way already, as task %s", name, error.run)
                return {"status": "busy", "run": error.run}
            except UsageError as error:
                log.error("task %s is refused: %s", task_id, error)  # noqa: TRY400 - what is wrong is no fault of ours
                return {"status": "refused", "error": str(error)}
        holder = f"{socket.gethostname()}, process {os.getpid()}, {uuid.uuid4().hex}"
        task = tasks.start(holder, LEASE, task=task_id)
        if task is None:
            log.info("task %s is over, or another worker has it", task_id)
            return {}
        work = Work(task, tasks, self.settings, holder, resumes=True)
        self._working[task_id] = work
        try:
            if self._over.is_set():
                work.stop(_STOPPED)
            work.carry_out()
        finally:
            del self._working[task_id]
        found = tasks.get(task_id)
        if found is None:
            return {}
        if found.state == RETRY:
            send(self.app, found, seconds=work.pause)
        return {"state": found.state, "status": found.status}

    def _ready(self, sender: Any, **_: object) -> None:  # noqa: ANN401 - Celery's
        if sender.app is self.app:
            threading.Thread(target=self._tidy, name="tidy", daemon=True).start()

    def _stopping(self, **_: object) -> None:
        self._over.set()
        for work in list(self._working.values()):
            work.stop(_STOPPED)

    def _tidy(self) -> None:
        """Hand in again what workers had that crashed, and what a broker lost; forget what is old."""
        while True:
            try:
                for task in self.catalog.tasks.lost(_PATIENCE if self._working else _UNHEARD):
                    if task.tries < _TRIES:
                        log.warning("nobody works at task %s: it is handed in again", task.id)
                        send(self.app, task)
                    else:
                        self._give_up(task.id)
                forget_old(self.catalog.tasks)
            except TrueupError as error:
                log.warning("what crashes left cannot be looked for: %s", error)
            if self._over.wait(_LOOK):
                return

    def _give_up(self, task_id: str) -> None:
        holder = f"{socket.gethostname()}, giving up"
        if self.catalog.tasks.start(holder, timedelta(minutes=1), task=task_id) is not None:
            error = f"it was started {_TRIES} times, and never ended"
            self.catalog.tasks.finish(task_id, holder, FAILURE, status="interrupted", result=None, error=error)


_crews: list[Crew] = []


def __getattr__(name: str) -> Celery:
    """`app`: the app of the settings."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _crews:
        try:
            _crews.append(Crew(load()))
        except UsageError as error:
            # Celery's own command would print a traceback of whatever else is raised here.
            sys.stderr.write(f"error: {error}\n")
            raise SystemExit(error.exit_code) from error
    return _crews[0].app
