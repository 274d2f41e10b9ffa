"""Jobs by way of a broker: handed in here, done by whoever runs `trueup worker`. A message only says that a task is
there; what it is, who works at it and how it ended is in the queue of the shared database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from celery import Celery
from kombu.exceptions import KombuError, OperationalError

from trueup.catalog.base import Catalog
from trueup.catalog.tasks import Task
from trueup.config import Settings
from trueup.errors import ConfigError, TrueupError
from trueup.jobs.beat import CronSchedule
from trueup.jobs.config import scheduled, server_config, timetable
from trueup.jobs.queue import put
from trueup.jobs.work import AT_ONCE

_VISIBLE: Final = 13 * 3600
"""Seconds after which a broker hands a message out again: longer than any job may take. What a crash left is found
earlier, by its lease."""
_ANSWER: Final = 2.0
"""Seconds in which a worker answers that is there, however busy it is."""
_TICK: Final = 20
"""Seconds after which Celery's own clock looks again, at the latest: so it is known that it goes."""


def make_app(settings: Settings) -> Celery:
    """The Celery app of the settings, without its tasks. Raises `ConfigError` where no broker is named."""
    url = server_config(settings).broker
    if not url:
        raise ConfigError("no broker is named", cure='Set [server] broker = "redis://localhost:6379/0"')
    app = Celery("trueup", broker=url, set_as_current=False)
    app.conf.update(
        task_default_queue="trueup",
        control_exchange="trueup",  # other applications may use the broker, and their workers would answer as well
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        broker_transport_options={"visibility_timeout": _VISIBLE, "socket_connect_timeout": 5},
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=5,
        broker_connection_max_retries=None,  # as long as it takes
        task_publish_retry_policy={"max_retries": 1},
        worker_pool="threads",
        worker_concurrency=AT_ONCE,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        enable_utc=True,
        timezone="UTC",
        beat_scheduler="trueup.jobs.beat:Scheduler",
        beat_max_loop_interval=_TICK,
        beat_schedule={
            name: {"task": scheduled(name)[0], "kwargs": scheduled(name)[1], "schedule": CronSchedule(cron)}
            for name, cron in timetable(settings).jobs.items()
        },
    )
    return app


def send(app: Celery, task: Task, *, seconds: float = 0) -> None:
    """Tell a worker of a task, or one that is idle then. Raises `TrueupError` when the broker cannot be reached."""
    try:
        app.send_task(task.job, kwargs=dict(task.arguments), task_id=task.id, countdown=seconds or None)
    except (KombuError, OperationalError, OSError) as error:
        raise _unreachable(error) from error


def reach(app: Celery) -> str:
    """The URL of the broker, without user and password, once it answers. Raises `TrueupError` when it does not."""
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
            return re.sub("//[^/]*@", "//", connection.as_uri())
    except (KombuError, OperationalError, OSError) as error:
        raise _unreachable(error) from error


def registered(app: Celery) -> dict[str, list[str]]:
    """The jobs that each worker knows which answers within two seconds, by the worker's name. Raises `TrueupError`."""
    try:
        return app.control.inspect(timeout=_ANSWER).registered() or {}
    except (KombuError, OperationalError, OSError) as error:
        raise _unreachable(error) from error


class Remote:
    """Hands jobs in for workers elsewhere."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings = settings
        self._app = make_app(settings)
        self._tasks = catalog.tasks
        self._schedule = timetable(settings).jobs

    def submit(self, job: str, arguments: Mapping[str, Any], name: str = "") -> Task:
        """Queue a job, as a task of this name or a new one. Raises `UsageError`, `Busy` with the id of the one that is
        under way, and `TrueupError` when the broker cannot be reached: then nothing is queued."""
        task = put(self._tasks, self._settings, job, arguments, name)
        try:
            send(self._app, task)
        except TrueupError:
            self._tasks.cancel(task.id)
            raise
        return task

    def cancel(self, task: str) -> Task | None:
        """Stop a task; it as it is then, None where there is none. Whoever works at it learns of it within seconds."""
        return self._tasks.cancel(task)

    def next_run(self, job: str) -> datetime | None:
        """When beat starts a job, if one runs; None: never."""
        cron = self._schedule.get(job.replace("_", "-"))
        return next(cron.after(datetime.now(UTC)), None) if cron is not None else None

    def workers(self) -> dict[str, list[str]]:
        """The jobs that each worker knows which answers, by the worker's name. Raises `TrueupError`."""
        return registered(self._app)

    def check(self) -> None:
        """Raise `TrueupError` when the broker does not answer."""
        reach(self._app)

    def close(self) -> None:
        """Let the broker go."""
        self._app.close()


def _unreachable(error: Exception) -> TrueupError:
    return TrueupError(f"the broker cannot be reached: {error}", cure="Check [server] broker, and that it runs")
