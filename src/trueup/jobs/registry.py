"""The jobs and their names, which schedules and queues know them by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trueup.config import Settings, load
from trueup.errors import UsageError

if TYPE_CHECKING:
    from trueup.downloads import Cleaned


class Done(NamedTuple):
    """How a job ended."""

    status: str
    """As in the JSON of what it runs: `ok`, `partial`, `refused`, `failed` and so on."""
    result: Mapping[str, Any]
    """That JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One thing that can be run by its name."""

    name: str
    run: Callable[..., Done]
    """Takes the settings, then its own arguments by name."""

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return (inspect.getdoc(self.run) or "").partition("\n")[0]

    @property
    def arguments(self) -> list[str]:
        """The names of what it takes besides the settings."""
        return list(inspect.signature(self.run).parameters)[1:]


def run_job(name: str, /, *, settings: Settings | None = None, **arguments: object) -> Done:
    """Run a job here and now, and return how it ended. Raises `UsageError` for a name or an argument that no job has,
    and what the job raises: `Busy` when it is running already."""
    job = JOBS.get(name)
    if job is None:
        raise UsageError(f"there is no job '{name}'", cure=f"Known: {', '.join(JOBS)}")
    settings = settings or load()
    try:
        inspect.signature(job.run).bind(settings, **arguments)
    except TypeError as error:
        takes = ", ".join(job.arguments) or "no arguments"
        raise UsageError(f"the job {name} cannot be called so: {error}", cure=f"It takes {takes}") from error
    return job.run(settings, **arguments)


def _sync_storage_stats(settings: Settings) -> Done:
    """Compare the pool's books with what the clouds hold, and make them true."""
    from trueup.reconcile import reconcile

    done = reconcile(settings=settings)
    return Done(done.status, done.to_json())


def _cleanup_old_downloads(settings: Settings) -> Done:
    """Remove what was fetched longer ago than `[downloads] keep`."""
    from trueup.pool import Pool

    with closing(Pool.from_config(settings)) as pool:
        return _cleaned(pool.clean_old_downloads())


def _cleanup_failed_downloads(settings: Settings) -> Done:
    """Remove what fetches that failed over an hour ago have left."""
    from trueup.pool import Pool

    with closing(Pool.from_config(settings)) as pool:
        return _cleaned(pool.clean_failed_downloads())


def _sync_files(settings: Settings, name: str) -> Done:
    """Bring the two places of a `[sync.NAME]` into agreement."""
    from trueup.sync import sync

    if name not in settings.jobs:
        known = ", ".join(sorted(settings.jobs)) or "none"
        raise UsageError(f"there is no [sync.{name}]", cure=f"Known: {known}")
    pair = settings.jobs[name]
    done = sync(pair.left, pair.right, config=pair.options, settings=settings)
    return Done(done.status, done.to_json())


def _ingest_files(settings: Settings, name: str) -> Done:
    """Take each new file of an `[ingest.NAME]` once."""
    from trueup.ingest import ingest

    done = ingest(name, settings=settings)
    return Done(done.status, done.to_json())


def _smart_sync_all_projects(settings: Settings) -> Done:
    """Merge the sheet of every active project with fresh numbers."""
    return _records(settings, None)


def _smart_sync_single_project(settings: Settings, project: str) -> Done:
    """Merge the sheet of one project, by its id or name, with fresh numbers."""
    return _records(settings, project)


def _records(settings: Settings, project: str | None) -> Done:
    from trueup.records import sync_records

    done = sync_records(project, settings=settings)
    return Done(done.status, done.to_json())


def _cleaned(cleaned: Cleaned) -> Done:
    return Done("partial" if cleaned.problems else "ok", asdict(cleaned))


_ALL: Final = (
    _sync_storage_stats,
    _smart_sync_all_projects,
    _smart_sync_single_project,
    _cleanup_old_downloads,
    _cleanup_failed_downloads,
    _sync_files,
    _ingest_files,
)
JOBS: Final[Mapping[str, Job]] = {run.__name__[1:]: Job(name=run.__name__[1:], run=run) for run in _ALL}
"""By name."""
