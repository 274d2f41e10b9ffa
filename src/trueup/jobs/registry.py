"""The jobs and their names, which schedules and queues know them by."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trueup import events
from trueup.config import Settings, load
from trueup.errors import ConfigError, DatabaseUnavailable, Interrupted, Refused, TrueupError, UsageError

if TYPE_CHECKING:
    from trueup.downloads import Cleaned


def anything(settings: Settings) -> None:
    """What a job needs whose arguments name a section."""


def nobody(_settings: Settings, _arguments: Mapping[str, Any]) -> str:
    """Who does a job of which several may be done at once."""
    return ""


class Done(NamedTuple):
    """How a job ended."""

    status: str
    """As in the JSON of what it runs: `ok`, `partial`, `refused`, `failed` and so on."""
    result: Mapping[str, Any]
    """That JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class During:
    """Who listens to a job, and whether it is still wanted."""

    listener: events.Listener = events.ignore
    stopped: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One thing that can be run by its name."""

    name: str
    run: Callable[..., Done]
    """Takes the settings; then `during`, if it speaks while it runs and heeds that it is to stop; then its own
    arguments by name."""
    needs: Callable[[Settings], object] = anything
    """Raises `ConfigError` where the settings have nothing for it to do."""
    held: Callable[[Settings, Mapping[str, Any]], str] = nobody
    """Of the settings and its arguments: the id of the run that does it now, as far as can be seen here; empty
    where none does, or where several may."""
    part: bool = False
    """Whether it is a part of another one: nobody asks for it by itself."""
    tries: int = 3
    """How often it is started at most, when it fails for what may pass by itself."""

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return (inspect.getdoc(self.run) or "").partition("\n")[0]

    @property
    def arguments(self) -> list[str]:
        """The names of what it takes besides the settings."""
        return [name for name in inspect.signature(self.run).parameters if name not in {"settings", "during"}]

    @property
    def heeds(self) -> bool:
        """Whether it stops by itself when it is asked to."""
        return "during" in inspect.signature(self.run).parameters

    def alone(self, arguments: Mapping[str, object]) -> str:
        """What only one may do at a time: the job with what it is about, whatever its flags are. Short, as databases
        keep it in an index."""
        about = {name: value for name, value in arguments.items() if not isinstance(value, bool)}
        return f"{self.name} {hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()}"

    def check(self, arguments: Mapping[str, object]) -> None:
        """Raise `UsageError` for arguments that it does not take."""
        takes = [name for name in inspect.signature(self.run).parameters.values() if name.name in self.arguments]
        try:
            inspect.Signature(takes).bind(**arguments)
        except TypeError as error:
            known = ", ".join(self.arguments) or "no arguments"
            raise UsageError(f"the job {self.name} cannot be called so: {error}", cure=f"It takes {known}") from error


def job_of(name: str) -> Job:
    """The job of a name. Raises `UsageError`."""
    if name not in JOBS:
        raise UsageError(f"there is no job '{name}'", cure=f"Known: {', '.join(JOBS)}")
    return JOBS[name]


def run_job(
    name: str, /, *, settings: Settings | None = None, during: During | None = None, **arguments: object
) -> Done:
    """Run a job here and now, and return how it ended. Raises `UsageError` for a name or an argument that no job has,
    and what the job raises: `Busy` when it is running already."""
    job = job_of(name)
    job.check(arguments)
    settings = settings or load()
    if job.heeds:
        return job.run(settings, during or During(), **arguments)
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


def _sync_files(settings: Settings, during: During, name: str, dry_run: bool = False) -> Done:  # noqa: FBT001, FBT002
    """Bring the two places of a `[sync.NAME]` into agreement, or say what that would take."""
    from trueup.sync import sync
    from trueup.sync.outputs import Outputs

    if name not in settings.jobs:
        known = ", ".join(sorted(settings.jobs)) or "none"
        raise UsageError(f"there is no [sync.{name}]", cure=f"Known: {known}")
    pair = settings.jobs[name]
    outputs = Outputs(listener=during.listener, stopped=during.stopped)
    done = sync(pair.left, pair.right, config=pair.options, settings=settings, dry_run=dry_run, outputs=outputs)
    return Done(done.status, done.to_json())


def _plan_range(settings: Settings, during: During, pair: str, run: str, number: int) -> Done:
    """Plan one key range of a sync that another process leads."""
    from trueup.sync.outputs import Outputs
    from trueup.sync.ranged import plan_range

    outputs = Outputs(listener=during.listener, stopped=during.stopped)
    try:
        return Done("ok", plan_range(settings, pair, run, number, outputs))
    except Refused as error:  # a listing that did not finish, above all: whoever leads refuses the whole
        return Done("refused", {"reason": str(error)})


def _apply_range(settings: Settings, during: During, pair: str, run: str, stage: str, number: int) -> Done:
    """Apply one part of a sync that another process leads."""
    from trueup.sync.outputs import Outputs
    from trueup.sync.ranged import apply_range

    outputs = Outputs(listener=during.listener, stopped=during.stopped)
    done = apply_range(settings, pair, run, stage, number, outputs)
    return Done("interrupted" if done["interrupted"] else "ok", done)


def _compare_range(settings: Settings, during: During, books: str, run: str, provider: str, number: int) -> Done:
    """Compare one key range of a provider with its books, for a reconcile that another process leads."""
    from trueup.reconcile.ranged import compare_range

    try:
        done = compare_range(settings, books, run, provider, number, listener=during.listener, stopped=during.stopped)
    except (Interrupted, DatabaseUnavailable):
        raise
    except TrueupError as error:  # nothing can be said of this provider: whoever leads tells why, and tries no more
        return Done("failed", {"reason": str(error)})
    return Done("ok", done)


def _ingest_files(settings: Settings, during: During, name: str) -> Done:
    """Take each new file of an `[ingest.NAME]` once."""
    from trueup.ingest import ingest

    done = ingest(name, settings=settings, listener=during.listener, stopped=during.stopped)
    return Done(done.status, done.to_json())


def _diagnose_files(settings: Settings, name: str) -> Done:
    """Say why files of an `[ingest.NAME]` are not everywhere they should be."""
    from trueup.ingest import diagnose

    done = diagnose(name, settings=settings)
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


def _fetch_url(settings: Settings, url: str) -> Done:
    """Fetch a URL into the pool."""
    from trueup.pool import Pool

    with closing(Pool.from_config(settings)) as pool:
        fetched = pool.downloads.fetch(url)
        return Done("ok", {"id": fetched.download.id})


def _needs_pool(settings: Settings) -> None:
    from trueup.pool.config import pool_config

    pool_config(settings)


def _needs_records(settings: Settings) -> None:
    if "records" not in settings.sections:
        raise ConfigError("there is no [records]")


def _reconciling(settings: Settings, _: Mapping[str, Any]) -> str:
    from trueup.reconcile import under_way

    return under_way(settings)


def _syncing(settings: Settings, arguments: Mapping[str, Any]) -> str:
    from trueup.sync import under_way

    pair = settings.jobs.get(arguments["name"])
    return under_way(pair.left, pair.right, settings) if pair is not None else ""


def _merging(settings: Settings, arguments: Mapping[str, Any]) -> str:
    from trueup.records import under_way

    return under_way(arguments.get("project"), settings)


_PARTS: Final = (_plan_range, _apply_range, _compare_range)
_ALL: Final = (
    (_sync_storage_stats, _needs_pool, _reconciling),
    (_smart_sync_all_projects, _needs_records, _merging),
    (_smart_sync_single_project, _needs_records, _merging),
    (_cleanup_old_downloads, _needs_pool, nobody),
    (_cleanup_failed_downloads, _needs_pool, nobody),
    (_fetch_url, _needs_pool, nobody),
    (_sync_files, anything, _syncing),
    (_ingest_files, anything, nobody),
    (_diagnose_files, anything, nobody),
)
JOBS: Final[Mapping[str, Job]] = {
    run.__name__[1:]: Job(name=run.__name__[1:], run=run, needs=needs, held=held) for run, needs, held in _ALL
} | {run.__name__[1:]: Job(name=run.__name__[1:], run=run, part=True) for run in _PARTS}
"""By name."""
PARTS: Final = tuple(name for name, job in JOBS.items() if job.part)
