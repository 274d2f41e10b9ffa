"""Syncing the roots of a site, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from trueup import events
from trueup.config import Settings, SyncConfig
from trueup.contrib.django import wording
from trueup.contrib.django.places import Pair
from trueup.contrib.django.stopping import StopSwitch
from trueup.errors import Interrupted, Refused, StoreError, TrueupError
from trueup.sync.outputs import Outputs
from trueup.sync.report import SyncRun
from trueup.sync.verbs import sync

log = logging.getLogger("trueup.sync")

_GRAVEST_FIRST: Final = (130, 2, 4, 3, 1, 0)
_LEFT_ALONE: Final = {"conflict": "left untouched on both sides", "unknown": "left alone"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one root ended: with a run, or with an error before anything was done."""

    pair: Pair
    run: SyncRun | None = None
    error: TrueupError | None = None

    @property
    def exit_code(self) -> int:
        """As the command line's."""
        if self.error is not None:
            return self.error.exit_code
        return self.run.exit_code if self.run is not None else 0

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        if self.error is not None:
            said = str(self.error)
        elif self.run is None:
            said = ""
        elif self.run.status == "refused":
            said = self.run.reason or "a guard refused"
        else:
            said = wording.summary(self.run) + (f"; {self.run.reason}" if self.run.reason else "")
            if self.run.status == "interrupted":
                said += "; interrupted: what was done is recorded, run it again to go on from here"
        return f"{self.pair.setting}: {said}"


def exit_code(results: list[Result]) -> int:
    """The gravest one."""
    return next(code for code in _GRAVEST_FIRST if code == 0 or any(result.exit_code == code for result in results))


def sync_all(pairs: list[Pair], config: SyncConfig, settings: Settings, *, dry_run: bool) -> Iterator[Result]:
    """Sync each pair, whatever becomes of the others. An interruption ends it."""
    switch = StopSwitch()
    with switch.armed():
        for pair in pairs:
            result = _sync(pair, config, settings, switch, dry_run=dry_run)
            level = logging.INFO if result.exit_code == 0 else logging.ERROR
            log.log(level, "%s", result.sentence)
            yield result
            if switch.stopped():
                return


def _sync(pair: Pair, config: SyncConfig, settings: Settings, switch: StopSwitch, *, dry_run: bool) -> Result:
    log.info("%s: %s with %s%s", pair.setting, config.mode, pair.right, " (dry run)" if dry_run else "")
    outputs = Outputs(listener=_listen, stopped=switch.stopped)
    try:
        run = sync(pair.left, pair.right, config=config, settings=settings, dry_run=dry_run, outputs=outputs)
    except (Refused, StoreError) as error:
        # Ctrl-C reaches helper processes, too; what breaks off because of it is no fault of a store.
        stopped = Interrupted(f"stopped; {error.message}") if switch.stopped() else error
        return Result(pair=pair, error=stopped)
    except TrueupError as error:
        return Result(pair=pair, error=error)
    except OSError as error:  # the state folder, say
        where = f"{error.filename}: " if error.filename else ""
        return Result(pair=pair, error=TrueupError(f"{where}{error.strerror or error}"))
    for row in run.items:
        if (action := str(row["action"])) in _LEFT_ALONE:
            log.warning("%s %s: %s (%s)", action, wording.name(row), row["error"] or row["reason"], _LEFT_ALONE[action])
    return Result(pair=pair, run=run)


def _listen(event: events.Event) -> None:
    if isinstance(event, events.Warned):
        log.warning("%s", event.message)
