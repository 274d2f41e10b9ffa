"""The queue of jobs: where it is, and putting something in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from trueup.catalog import open_catalog
from trueup.catalog.base import Catalog
from trueup.catalog.database import database_of
from trueup.catalog.tasks import Task, Tasks
from trueup.config import Settings
from trueup.errors import UsageError
from trueup.jobs.registry import job_of
from trueup.runs import new_run_id

_USER: Final = re.compile(r"://[^/?#\s]*@")


def open_queue(settings: Settings) -> Catalog:
    """The database that holds the queue: the shared one, unless that is a file. Then it is another file in the state
    folder: a handler that works for minutes shuts everybody else out of writing to its own. Raises `ConfigError` and
    `TrueupError`."""
    url = queue_url(settings)
    if url.startswith("sqlite:"):
        settings.home.mkdir(parents=True, exist_ok=True)
    return open_catalog(url, {})


def queue_url(settings: Settings) -> str:
    """The URL of that database. Raises `ConfigError`."""
    url = database_of(settings)
    return f"sqlite:///{settings.home.absolute() / 'jobs.db'}" if url.startswith("sqlite:") else url


def put(tasks: Tasks, job: str, arguments: Mapping[str, Any], task: str = "") -> Task:
    """A new task in a queue. Raises `UsageError`, also for a password in a URL, and `Busy`."""
    known = job_of(job)
    known.check(arguments)
    if any(isinstance(value, str) and _USER.search(value) for value in arguments.values()):
        # Workers elsewhere need the arguments as they are, and rows are kept.
        said = "a URL with a user or password is not queued: whoever reads the database could read it"
        raise UsageError(said, cure="Fetch it here and now: trueup fetch URL")
    return tasks.put(task or new_run_id(), job, arguments, known.alone(arguments))
