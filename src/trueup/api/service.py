"""What the routes work with: settings, the queue of jobs, the databases; opened once, safe to use from many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from fastapi import Request

from trueup.api.metrics import Metrics
from trueup.api.problems import Missing
from trueup.api.together import Together
from trueup.catalog import open_catalog
from trueup.catalog.base import Catalog
from trueup.catalog.database import database_of, is_there
from trueup.catalog.tasks import Task, Tasks
from trueup.config import Settings
from trueup.errors import MissingExtra
from trueup.jobs.config import ServerConfig
from trueup.jobs.queue import open_queue
from trueup.pool import Pool
from trueup.pool.config import has_pool
from trueup.records import Reader
from trueup.runs import RunLog, RunRecord


class Closable(Protocol):
    """What is let go of in the end."""

    def close(self) -> None:
        """Let go."""
        ...


T = TypeVar("T", bound=Closable)

_PATIENCE: Final = 5.0
"""Seconds for which somebody waits for an answer while others have the queue's database to themselves."""


class Queue(Protocol):
    """Where jobs are handed in: inside this server, or at a broker."""

    def submit(self, job: str, arguments: Mapping[str, Any]) -> Task:
        """Queue a job. Raises `UsageError`, and `Busy` with the id of the one that is under way."""
        ...

    def cancel(self, task: str) -> Task | None:
        """Stop a task; None where there is none."""
        ...

    def next_run(self, job: str) -> datetime | None:
        """When the clock starts a job; None: nobody knows, or never."""
        ...

    def check(self) -> None:
        """Raise `TrueupError` when nobody would do a job."""
        ...

    def close(self) -> None:
        """Go."""
        ...


class Service:
    """Open while the server runs."""

    def __init__(self, settings: Settings, config: ServerConfig) -> None:
        self.settings = settings
        self.config = config
        self.metrics = Metrics()
        self.closing = threading.Event()
        """Set when the server is to stop: streams end."""
        self.together = Together()
        self._has_pool = has_pool(settings)
        self._open = ExitStack()
        # Each has a connection of its own: who reads never waits behind who waits to write.
        self._pool = self._once(lambda: Pool.from_config(settings))
        self._changed = self._once(lambda: Pool.from_config(settings))
        self._shared = self._once(lambda: open_catalog(database_of(settings), {}))
        self._reader = self._once(lambda: Reader(settings))

    def open(self) -> None:
        """Open the queue, and begin to run jobs. Raises `ConfigError`, `Busy` and `TrueupError`."""
        try:
            # Now, not when somebody asks: to make a database has to wait for whoever writes there.
            self.storage()
            self.history(1)
            # One to read with, one to write with: a page that is asked for never waits for a task that is put.
            self.tasks: Tasks = self._open.enter_context(closing(self._queue())).tasks
            catalog = self._open.enter_context(closing(self._queue()))
            self.queue: Queue = self._open.enter_context(closing(self._jobs(catalog)))
        except BaseException:
            self._open.close()
            raise

    def _queue(self) -> Catalog:
        return open_queue(self.settings, patience=_PATIENCE)

    def _jobs(self, catalog: Catalog) -> Queue:
        if not self.config.broker:
            from trueup.jobs.embedded import Embedded

            return Embedded(self.settings, catalog)
        try:
            from trueup.jobs.broker import Remote
        except ModuleNotFoundError:
            raise MissingExtra("a broker", "celery") from None
        return Remote(self.settings, catalog)

    def close(self) -> None:
        """Let what runs finish what it is at, and let go."""
        self.closing.set()
        self._open.close()

    @property
    def pool(self) -> Pool:
        """The pool, to read from. Raises `ConfigError` where there is none, and `TrueupError`."""
        return self._pool()

    @property
    def changed_pool(self) -> Pool:
        """The pool, to change something there; it raises the same."""
        return self._changed()

    @property
    def reader(self) -> Reader:
        """The read model. Raises `ConfigError`."""
        return self._reader()

    def storage(self) -> dict[str, Any]:
        """The pool's numbers; without a pool there are none. Raises `TrueupError`."""
        self.storage_version()  # books that were moved away are nobody's any more
        if self._has_pool:
            return self._pool().stats().model_dump()
        return {"providers": [], "total_size_bytes": 0, "total_size_gb": 0.0, "total_file_count": 0}

    def storage_version(self) -> int | None:
        """Another one than before when those may have changed since; None: look. It waits for nobody. Raises
        `TrueupError` for books that are not where they were."""
        return self._pool().version() if self._has_pool else 0

    def history(self, limit: int) -> list[RunRecord]:
        """The newest runs that ended on this machine, or that the shared database knows of."""
        here = RunLog(self.settings.home).latest(limit)
        return [*here, *(self._shared().runs.latest(limit) if is_there(database_of(self.settings)) else ())]

    def task(self, task: str) -> Task:
        """A task. Raises `Missing`."""
        found = self.tasks.get(task)
        if found is None:
            raise Missing(f"there is no run {task}")
        return found

    def _once(self, make: Callable[[], T]) -> Callable[[], T]:
        """Opened by who needs it first, and closed with the service."""
        lock = threading.Lock()
        made: list[T] = []

        def get() -> T:
            with lock:
                if not made:
                    made.append(self._open.enter_context(closing(make())))
                return made[0]

        return get


async def service_of(request: Request) -> Service:
    """The service a request is for. Asynchronous, because FastAPI would go to another thread for it otherwise."""
    service: Service = request.app.state.service
    return service
