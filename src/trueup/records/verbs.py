"""The verbs: sync, look, pin."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trueup import events
from trueup.config import Settings, load
from trueup.errors import Busy, ConfigError, TrueupError, UsageError
from trueup.records.cells import Absent, text, whole_number
from trueup.records.config import Field, Project, RecordsConfig, records_config
from trueup.records.growth import Growth, growth, least
from trueup.records.locales import PLAIN
from trueup.records.merge import Value
from trueup.records.parsed import open_parsed
from trueup.records.project import Sync, sync_project, timestamp
from trueup.records.readmodel import Account, Listing, ReadModel
from trueup.records.report import ProjectResult, RecordsRun
from trueup.records.sheet import open_sheet
from trueup.runs import RunLog, RunRecord, new_run_id, run_at, run_lock, stamped

if TYPE_CHECKING:
    from trueup.notify.config import Alerts

log = logging.getLogger("trueup.records")

JOB: Final = "records"
_DAYS: Final = 30
_LONGEST: Final = 366 * 100
"""Days."""
_YEARS: Final = range(1970, 9999)
"""In these an instant is a date in every zone, with a year of four digits."""


def sync_records(
    project: str | None = None,
    *,
    database: str | Path | None = None,
    credentials: str | None = None,
    spreadsheet: str | None = None,
    settings: Settings | None = None,
    at: datetime | str | None = None,
    dry_run: bool = False,
    force: bool = False,
    listener: events.Listener = events.ignore,
) -> RecordsRun:
    """Merge the sheet of each active project, or of one (its id or name), with fresh numbers into the read model, and
    take the snapshots that are due today.

    `database`, `credentials` and `spreadsheet` stand for the settings of those names. `at` merges as of that instant: a
    `datetime`, or RFC 3339; without an offset it is in the configured zone. With `dry_run` nothing is changed at all.
    `force` believes that rows vanished and that numbers jumped.

    The webhooks of the settings are told of what was merged, and once of each trouble, after all of it is stored.

    A project that cannot be synced is told in its result, and the others go on. Raises `UsageError` and `ConfigError`.
    """
    settings = settings or load()
    given = {"database": database, "credentials": credentials, "spreadsheet": spreadsheet}
    config = records_config(settings, {name: value for name, value in given.items() if value is not None})
    projects = _chosen(config, project)
    to = _webhooks(settings)
    began, started = time.monotonic(), datetime.now(UTC)
    now = _instant(at, config) or started
    run = new_run_id(started)
    parsed = open_parsed(config)
    sheets = config.sheets.path or config.sheets.spreadsheet
    listener(events.RunStarted(run=run, job=JOB, left=sheets, right=str(config.database), mode=JOB))
    with closing(open_sheet(config, settings.environ, projects)) as sheet:
        sync = Sync(
            run=run,
            config=config,
            sheet=sheet,
            parsed=parsed,
            now=now,
            tells=to is not None,
            dry_run=dry_run,
            force=force,
        )
        with _whole(sync, settings, project) as busy:
            found = (busy(one) if busy else _alone(sync, one, settings) for one in projects)
            results = tuple(_heard(result, run, listener) for result in found)
    done = RecordsRun(
        run=run,
        timestamp=timestamp(now),
        total_projects=1 if project else len(config.projects),
        results=results,
        warnings=_tell(config, to) if to and not dry_run else (),
        seconds=time.monotonic() - began,
    )
    if not dry_run:
        done = _remembered(done, projects[0].name if project else "", started, settings)
    for warning in done.warnings:
        listener(events.Warned(run=run, message=warning))
    listener(events.RunFinished(run=run, status=done.status, reason=None, counts=done.counts(), seconds=done.seconds))
    return done


def under_way(project: str | None, settings: Settings) -> str:
    """The id of the run of this state folder that syncs a project (its id or name), or all of them, now; empty where
    none does. Raises `UsageError` and `ConfigError`."""
    config = records_config(settings)
    return run_at(_lock(config, settings, config.project(project).id if project is not None else ""))


def status(settings: Settings | None = None) -> dict[str, object]:
    """How many projects there are, and how the last sync of each went."""
    settings = settings or load()
    config = records_config(settings)
    with _reading(config) as model:
        last, results = model.last_run(), model.last_results()
    return {
        "success": True,
        "total_projects": len(config.projects),
        "active_projects": sum(project.active for project in config.projects),
        "cache_enabled": bool(settings.sections.get("server", {}).get("broker")),
        "timestamp": timestamp(datetime.now(UTC)),
        "last_run": last,
        "next_run": None,
        "projects": [
            {"id": project.id, "name": project.name, "active": project.active, "last": results.get(project.id)}
            for project in config.projects
        ],
    }


def accounts(project: str, settings: Settings | None = None) -> Listing:
    """The accounts of a project, by its id or its name, as they are in the read model, but for deleted ones. Raises
    `UsageError`."""
    config = records_config(settings or load())
    with _reading(config) as model:
        return model.listed(config.project(project).id)


def show(account: str, settings: Settings | None = None) -> dict[str, object]:
    """An account by its id, key or URL: its values, who gave them, what is pinned. Raises `UsageError`."""
    with _reading(records_config(settings or load())) as model:
        found = _found(model, account)
    return {"account": found.to_json(), "provenance": found.provenance(), "pins": found.pins}


def history(account: str, settings: Settings | None = None, *, days: int = _DAYS) -> dict[str, object]:
    """So many snapshots of an account, the newest first. Raises `UsageError`."""
    if not 0 < days <= _LONGEST:
        raise UsageError(f"--days {days} makes no sense", cure="Use 30 for a month, 366 for a year")
    with _reading(records_config(settings or load())) as model:
        found = _found(model, account)
        snapshots = model.snapshots(found.id, days)
    return {
        "account": found.to_json(),
        "snapshots": [
            {"date": one.date.isoformat(), "snapshot_time": f"{one.time:%Y-%m-%d %H:%M:%S}", **one.fields}
            for one in snapshots
        ],
    }


def grown(
    project: str | None = None, settings: Settings | None = None, *, hours: float = 24
) -> list[tuple[Project, list[Growth]]]:
    """What the accounts of each active project, or of one, active or not, gained within so many hours. Raises
    `UsageError`."""
    config = records_config(settings or load())
    if not 0 < hours <= 24 * _LONGEST:
        raise UsageError(f"--hours {hours:g} makes no sense", cure="Use 24 for a day, 168 for a week")
    numbers = [column.name for column in config.fields.values() if not column.text]
    with _reading(config) as model:
        return [
            (
                one,
                [
                    found
                    for key, snapshots, days in model.recent(one.id, least(hours))
                    if (found := growth(key, snapshots, numbers, hours=hours, days=days))
                ],
            )
            for one in ([config.project(project)] if project is not None else _chosen(config, None))
        ]


def pin(account: str, field: str, value: str, settings: Settings | None = None) -> Mapping[str, object]:
    """Hold a field of an account at a value, whatever is merged. Raises `UsageError`."""
    config = records_config(settings or load())
    column = _field(config, field)
    return _pinned(config, account, field, _value(column, value))


def unpin(account: str, field: str, settings: Settings | None = None) -> Mapping[str, object]:
    """Let a field go: it has at once what the rule gave. Raises `UsageError`."""
    config = records_config(settings or load())
    _field(config, field)
    return _pinned(config, account, field, None)


def _pinned(config: RecordsConfig, account: str, field: str, value: Value | None) -> dict[str, object]:
    if not config.database.exists():
        raise UsageError(f"there is no account '{account}'", cure="Nothing was synced yet: trueup records sync")
    with closing(ReadModel(config.database, config.fields)) as model, model.begin():
        found = _found(model, account)
        model.pin(found, field, value, timestamp(datetime.now(UTC)))
    return {"account": found.to_json(), "provenance": found.provenance(), "pins": found.pins}


def _found(model: ReadModel, word: str) -> Account:
    try:
        word.encode()
    except UnicodeEncodeError:  # bytes that are no text: SQLite cannot even be asked
        raise UsageError(f"there is no account '{word}'", cure="Name its id, its key or its URL") from None
    return model.find(word)


def _field(config: RecordsConfig, name: str) -> Field:
    if name not in config.fields:
        raise UsageError(f"there is no field '{name}'", cure=f"Known: {', '.join(config.fields)}")
    return config.fields[name]


def _value(column: Field, given: str) -> Value:
    said = text(given) if column.text else whole_number(given, PLAIN)
    if isinstance(said, Absent):
        cure = "Write some text" if column.text else "Write a whole number in digits"
        raise UsageError(f"'{given}' is no value for {column.name}", cure=cure)
    return said


def _alone(sync: Sync, project: Project, settings: Settings) -> ProjectResult:
    """One project, unless it is being synced already."""
    if sync.dry_run:
        return sync_project(sync, project)
    try:
        with run_lock(_lock(sync.config, settings, project.id), run=sync.run, what=f"{project.name} is being synced"):
            return sync_project(sync, project)
    except Busy as busy:
        return _busy(sync, busy, project)


@contextmanager
def _whole(sync: Sync, settings: Settings, project: str | None) -> Iterator[Callable[[Project], ProjectResult] | None]:
    """Of two runs over all projects one does nothing: what it says of each of them is yielded."""
    told = None
    with ExitStack() as stack:
        if project is None and not sync.dry_run:
            lock = run_lock(_lock(sync.config, settings, ""), run=sync.run, what="all projects are being synced")
            try:
                stack.enter_context(lock)
            except Busy as busy:
                told = partial(_busy, sync, busy)
        yield told


def _busy(sync: Sync, busy: Busy, project: Project) -> ProjectResult:
    error = {"code": "busy", "message": str(busy)}
    return ProjectResult(project=project, timestamp=sync.timestamp, status="busy", error=error, attempts=0)


def _lock(config: RecordsConfig, settings: Settings, project: str) -> Path:
    """Of one project, or of a run over all of them where that is empty."""
    what = f"{config.database.resolve()}\n{project}"
    return settings.home / "records" / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.lock"


def _heard(result: ProjectResult, run: str, listener: events.Listener) -> ProjectResult:
    """Say how the sync of a project went."""
    error = result.error or {}
    said = events.ItemFinished(
        run=run,
        key=result.project.name,
        action="merge",
        reason=error.get("code", ""),
        bytes=0,
        outcome=result.status,
        error=error.get("message"),
    )
    listener(said)
    return result


def _remembered(done: RecordsRun, name: str, started: datetime, settings: Settings) -> RecordsRun:
    """The run, in the history. What it merged is merged, whether that works or not."""
    record = RunRecord(
        run=done.run,
        job=JOB,
        name=name,
        status=done.status,
        started=stamped(started),
        seconds=done.seconds,
        summary=done.summary(),
    )
    try:
        RunLog(settings.home).add(record)
    except (TrueupError, OSError) as error:
        log.warning("[SmartSync] this run is not in the history: %s", error)
        return replace(done, warnings=(*done.warnings, f"this run is not in the history: {error}"))
    return done


def _webhooks(settings: Settings) -> Alerts | None:
    """Who is told; None for nobody. E-mail is for what a person has to do. Raises `ConfigError`."""
    if not settings.sections.get("alerts"):
        return None
    from trueup.notify.config import alerts  # with what sends: it takes a while

    return replace(found, email=None) if (found := alerts(settings)).webhooks else None


def _tell(config: RecordsConfig, to: Alerts) -> tuple[str, ...]:
    """Send what waits, that of earlier runs as well; what kept it from arriving."""
    from trueup.notify import deliver

    try:
        with closing(ReadModel(config.database, config.fields)) as model:
            problems = deliver(model.outbox, to).problems
    except TrueupError as error:
        problems = [str(error)]
    for problem in problems:
        log.warning("[SmartSync] %s", problem)
    return tuple(f"{problem}; it is tried again" for problem in problems)


def _chosen(config: RecordsConfig, word: str | None) -> list[Project]:
    if not config.projects:
        raise ConfigError("there are no projects", cure="Write [[records.projects]] with an id and a name")
    if word is None:
        return [project for project in config.projects if project.active]
    chosen = config.project(word)
    if not chosen.active:
        raise UsageError(f"the project '{chosen.name}' is not active", cure="Write active = true")
    return [chosen]


def _instant(at: datetime | str | None, config: RecordsConfig) -> datetime | None:
    if at is None:
        return None
    try:
        when = datetime.fromisoformat(at) if isinstance(at, str) else at
        when = (when if when.tzinfo else when.replace(tzinfo=config.zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"'{at}' is no time", cure="Write it like 2026-11-22T10:30:00Z") from None
    if when.year not in _YEARS:
        raise UsageError(f"'{at}' is no time of a sync", cure=f"Name one from {_YEARS[0]} to {_YEARS[-1]}")
    return when


@contextmanager
def _reading(config: RecordsConfig) -> Iterator[ReadModel]:
    with closing(ReadModel(config.database, config.fields, read_only=True)) as model:
        yield model
