"""Doctor's questions to everybody else a service needs: broker, workers, clock, mail server, sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from trueup.cli import words
from trueup.cli.looking import Check
from trueup.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from celery import Celery

    from trueup.config import Settings


def looks(settings: Settings) -> dict[str, Callable[[], Iterator[Check]]]:
    """What is to be asked by these settings, and nothing else. Each raises `TrueupError`."""
    asked: dict[str, Callable[[Settings], Iterator[Check]]] = {"alerts email": _mail}
    if {"server", "schedule"} & settings.sections.keys():
        asked |= {"server": _server, "queue": _queue, "broker": _broker, "beat": _beat}
    if "records" in settings.sections:
        asked["records sheet"] = _sheet
    return {name: partial(look, settings) for name, look in asked.items()}


def _server(settings: Settings) -> Iterator[Check]:
    """What `trueup serve` would do."""
    from trueup.jobs.config import schedule_config, server_config

    config = server_config(settings)
    lines = sum(cron is not None for cron in schedule_config(settings).values())
    door = "whoever sends the key" if config.api_key else "this machine alone, without a key"
    where = "by workers elsewhere" if config.broker else "inside the server"
    detail = (
        f"{config.host}:{config.port} for {door}; jobs are done {where}; {words.number(lines, 'line')} of [schedule]"
    )
    yield Check(name="server", status="ok", detail=detail)


def _queue(settings: Settings) -> Iterator[Check]:
    """The database that remembers every task."""
    from trueup.catalog.database import check
    from trueup.jobs.queue import queue_url

    yield Check(name="queue", status="ok", detail=check(queue_url(settings)))


def _broker(settings: Settings) -> Iterator[Check]:
    """The broker, and whoever does the jobs that are handed in there."""
    if (app := _app(settings)) is None:
        return
    from trueup.jobs.broker import reach, registered
    from trueup.jobs.registry import JOBS

    yield Check(name="broker", status="ok", detail=f"{reach(app)} answers")
    workers = registered(app)
    if not workers:
        yield Check(
            name="worker",
            status="fail",
            detail="no worker answers: what is handed in waits",
            cure="Start one with the same settings: trueup worker",
        )
    for name, known in sorted(workers.items()):
        missing = [job for job in JOBS if job not in known]
        yield Check(
            name=f"worker {name}",
            status="fail" if missing else "ok",
            detail=f"it does not know {', '.join(missing)}" if missing else f"it knows all {len(JOBS)} jobs",
            cure="Another version of trueup runs there: update it, and restart the worker" if missing else "",
        )


def _beat(settings: Settings) -> Iterator[Check]:
    """The clock that hands in the jobs of the schedule."""
    if (app := _app(settings)) is None or not app.conf.beat_schedule:
        return
    from trueup.jobs.pulse import last_tick

    tick = last_tick(settings)
    if tick is None:
        ago = "it never ticked"
    else:
        ago = f"the last tick was {words.duration(max(0.0, tick.ago.total_seconds()))} ago ({tick.holder})"
    if tick is not None and tick.alive:
        yield Check(name="beat", status="ok", detail=ago)
        return
    yield Check(
        name="beat",
        status="fail",
        detail=f"{ago}: no job of the schedule is handed in",
        cure='Start it: trueup beat; or write "off" for the lines of [schedule] that something else starts',
    )


def _app(settings: Settings) -> Celery | None:
    """None where no broker is named, or the look at the server says what is wrong with its settings."""
    from trueup.jobs.config import schedule_config, server_config

    try:
        schedule_config(settings)
        if not server_config(settings).broker:
            return None
    except ConfigError:
        return None
    try:
        from trueup.jobs.broker import make_app
    except ModuleNotFoundError:
        raise MissingExtra("a broker", "celery") from None
    return make_app(settings)


def _mail(settings: Settings) -> Iterator[Check]:
    """The mail server, up to the point where a message would be sent."""
    from trueup.notify import check_mail
    from trueup.notify.config import alerts

    if (email := alerts(settings).email) is not None:
        yield Check(name="alerts email", status="ok", detail=check_mail(email))


def _sheet(settings: Settings) -> Iterator[Check]:
    """The sheet that people edit, and whether there is a tab for each project."""
    from trueup.records.sheet import check_sheet

    yield Check(name="records sheet", status="ok", detail=check_sheet(settings))
