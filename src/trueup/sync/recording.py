"""The line a run leaves in the history, and the event that ends it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from trueup import events
from trueup.config import Settings
from trueup.errors import Busy, Interrupted, Refused, StoreError, TrueupError, UsageError
from trueup.runs import RunLog, RunRecord, stamped
from trueup.sync.header import Header
from trueup.sync.outputs import Outputs
from trueup.sync.report import SyncRun

log = logging.getLogger("trueup.sync")


class Recording:
    """Times a run, tells the listener how it ended, and writes it to the history, whether it ended well or not."""

    def __init__(
        self,
        header: Header,
        settings: Settings,
        outputs: Outputs,
        *,
        job: str = "sync",
        is_news: Callable[[SyncRun, BaseException | None], bool] = lambda _, __: True,
    ) -> None:
        self._is_news = is_news
        self._job = job
        self._header = header
        self._settings = settings
        self._outputs = outputs
        self._started = datetime.now(UTC)
        self._began = time.monotonic()

    def __enter__(self) -> Callable[[SyncRun], SyncRun]:
        return self._finish

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        status = status_of(error)
        if status is not None:
            header = self._header
            self._finish(
                SyncRun(
                    run=header.run,
                    job=self._job,
                    status=status,
                    reason=str(error),
                    left=header.left,
                    right=header.right,
                    mode=header.config.mode,
                ),
                error,
            )

    def _finish(self, run: SyncRun, error: BaseException | None = None) -> SyncRun:
        run = replace(run, seconds=time.monotonic() - self._began)
        if self._is_news(run, error) and run.status != "busy":
            self._remember(run)
        self._outputs.listener(finished(run))
        return run

    def _remember(self, run: SyncRun) -> None:
        """Write the run to the history. What the run did is done, whether that works or not."""
        record = RunRecord(
            run=run.run,
            job=self._job,
            name=f"{run.left} {run.right}",
            status=run.status,
            started=stamped(self._started),
            seconds=run.seconds,
            summary=run.summary(),
        )
        try:
            RunLog(self._settings.home).add(record)
        except (TrueupError, OSError) as error:
            self._outputs.warn(run.run, f"this run is not in the history: {error}")


def status_of(error: BaseException) -> str | None:
    """How a run that ended with this error is recorded; None for wrong usage, which is no run at all."""
    match error:
        case UsageError():
            return None
        case Refused():
            return "refused"
        case Busy():
            return "busy"
        case Interrupted() | KeyboardInterrupt():
            return "interrupted"
        case StoreError():
            return "failed"
    log.debug("the run ended with an error", exc_info=error)
    return "failed"


def finished(run: SyncRun) -> events.RunFinished:
    """The event that ends a run."""
    return events.RunFinished(
        run=run.run, status=run.status, reason=run.reason, counts=dict(run.counts), seconds=run.seconds
    )
