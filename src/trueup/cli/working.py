"""`trueup worker` and `trueup beat`: jobs on any number of machines, by way of a broker."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trueup.cli import log
from trueup.cli.command import command
from trueup.cli.ui import Ui
from trueup.errors import Busy, MissingExtra, UsageError

if TYPE_CHECKING:
    from celery import Celery

_LOOK: Final = 1.0
"""Seconds until a clock sees that it is to stop."""
_PAUSE: Final = 2.0
"""Seconds before a worker begins anew."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "trueup worker", "trueup worker --concurrency 2")(worker)
    command(app, "trueup beat")(beat)


def worker(
    ui: Ui,
    *,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", help="Jobs at the same time.", show_default=True)
    ] = 4,
) -> int:
    """Do the jobs that are handed in at the broker, until stopped. Needs the extra 'celery'."""
    if not 1 <= concurrency <= 64:
        raise UsageError(f"--concurrency {concurrency} is unusable", cure="Use 1 to 64")
    app = _app(ui)
    ui.out("waiting for jobs; Ctrl-C ends it")
    from celery import signals

    heard: set[str] = set()
    signals.worker_ready.connect(lambda **_: heard.add("ready"), weak=False)
    signals.worker_shutting_down.connect(lambda **_: heard.add("stop"), weak=False)
    with _named(ui.settings().home) as name:
        running = app.Worker(hostname=name, concurrency=concurrency, quiet=True, loglevel="WARNING")
        running.start()
    if running.exitcode and heard == {"ready"}:
        # A broker that goes away while a task is under way takes Celery's worker with it (kombu cannot give the message
        # back). What ran is over by now, and how it ended is kept.
        ui.out("the broker was lost; the worker begins anew")
        time.sleep(_PAUSE)
        if heard == {"ready"}:
            sys.stdout.flush()
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program
    return int(running.exitcode or 0)


@contextmanager
def _named(home: Path) -> Iterator[str]:
    """The worker's name at the broker: the first one on a machine is found by the machine's, several have to differ."""
    from trueup.runs import run_lock

    with ExitStack() as stack:
        name = "celery"
        try:
            stack.enter_context(run_lock(home / "worker.lock", run=name))
        except Busy:
            name = f"celery-{os.getpid()}"
        yield f"{name}@{socket.gethostname()}"


def beat(ui: Ui) -> int:
    """Hand in the jobs of the schedule at their times, until stopped. Needs the extra 'celery'."""
    app = _app(ui)
    from celery.beat import Service

    clock = Service(app, scheduler_cls=app.conf.beat_scheduler, max_interval=_LOOK)
    # Celery's own handlers come late, and raise wherever the process is just then, even where nobody hears it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: clock.stop())
    ui.out("handing in jobs at their times; Ctrl-C ends it")
    clock.start()
    return 0


def _app(ui: Ui) -> Celery:
    settings = ui.settings()
    log.configure_service(ui)
    # The app is made from the settings of its process, as with Celery's own command.
    os.environ.update(settings.environ)
    if settings.path is not None:
        os.environ["TRUEUP_CONFIG"] = str(settings.path.resolve())
    try:
        from celery import signals

        from trueup.jobs import celery_app
    except ModuleNotFoundError:
        raise MissingExtra("jobs on many machines", "celery") from None
    # What is logged is ours to write.
    signals.setup_logging.connect(lambda **_: None, weak=False)
    app: Celery = celery_app.app
    return app
