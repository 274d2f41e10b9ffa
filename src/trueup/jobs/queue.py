"""The queue of jobs: where it is, and putting something in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkstemp
from typing import Any, Final

from trueup.catalog import open_catalog
from trueup.catalog.base import Catalog
from trueup.catalog.database import database_of
from trueup.catalog.tasks import Task, Tasks
from trueup.config import Settings
from trueup.errors import Busy, TrueupError, UsageError
from trueup.jobs.registry import Job, job_of
from trueup.runs import new_run_id

_SAID: Final = timedelta(days=1)
"""How long it is known what a job said while it ran."""
_OVER: Final = timedelta(days=90)
"""How long it is known that it ran."""
_USER: Final = re.compile(r"://[^/?#\s]*@")


def open_queue(settings: Settings, *, patience: float | None = None) -> Catalog:
    """The database that holds the queue: the shared one, unless that is a file. Then it is another file beside it, as
    `trueup.jobs.db`: a handler that works for minutes shuts everybody else out of writing to its own. `patience` as in
    `open_catalog`. Raises `ConfigError` and `TrueupError`."""
    url = queue_url(settings)
    if (file := url.removeprefix("sqlite:///")) != url:
        _make_private(Path(file))
    return open_catalog(url, {}, patience=patience)


def queue_url(settings: Settings) -> str:
    """The URL of that database. Raises `ConfigError`."""
    url = database_of(settings)
    file = url.removeprefix("sqlite:///")
    return url if file == url else f"sqlite:///{Path(file).absolute().with_suffix('.jobs.db')}"


def _make_private(file: Path) -> None:
    """Make the file, where there is none, so that only its user can read it: what was asked for may be a signed URL.
    SQLite gives the files beside it the same rights."""
    if file.exists():
        return
    with suppress(OSError):  # somebody was faster; or SQLite cannot make it either, and says why
        handle, made = mkstemp(prefix=f"{file.name}-", dir=file.parent)
        # Closed before it has its name: closing it later would take the locks that SQLite has on it in this process.
        os.close(handle)
        try:
            file.hardlink_to(made)
        finally:
            Path(made).unlink()


def forget_old(tasks: Tasks) -> None:
    """Let the database not grow for ever."""
    now = datetime.now(UTC)
    tasks.forget(said_before=now - _SAID, over_before=now - _OVER)


def put(tasks: Tasks, settings: Settings, job: str, arguments: Mapping[str, Any], task: str = "") -> Task:
    """A new task in a queue. Raises `UsageError`, also for a password in a URL, and `Busy` with the id of the one that
    is under way: in the queue, or begun by hand as far as can be seen here."""
    known = job_of(job)
    known.check(arguments)
    if any(isinstance(value, str) and _USER.search(value) for value in arguments.values()):
        # Workers elsewhere need the arguments as they are, and rows are kept.
        said = "a URL with a user or password is not queued: whoever reads the database could read it"
        raise UsageError(said, cure="Fetch it here and now: trueup fetch URL")
    if other := _elsewhere(known, settings, arguments):
        raise Busy(f"{job} is under way already", cure="Wait for it, or stop it", run=other)
    return tasks.put(task or new_run_id(), job, arguments, known.alone(arguments))


def _elsewhere(job: Job, settings: Settings, arguments: Mapping[str, Any]) -> str:
    try:
        return job.held(settings, arguments)
    except TrueupError:
        return ""  # whoever does it will say what it lacks: another machine may have what this one has not
