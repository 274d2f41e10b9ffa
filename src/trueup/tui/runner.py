"""The one thread that works while the screen stays alive: it calls the verbs and leaves what they say in an inbox."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice

from trueup import events
from trueup.config import Settings, SyncConfig
from trueup.errors import Interrupted, Refused, StoreError, TrueupError
from trueup.sync import apply, guards, plan, undo
from trueup.sync.outputs import Outputs
from trueup.sync.plan import Plan
from trueup.sync.report import SyncRun
from trueup.tui.rows import LIMIT, QUIET, Row, planned

log = logging.getLogger("trueup.tui")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A plan is ready. `refusal` says why a guard would refuse it; `hidden` is how many rows the table cannot hold."""

    plan: Plan
    rows: list[Row]
    hidden: int = 0
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run, or an undo, came to its end."""

    run: SyncRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The work could not go on. `trace` is empty unless nobody foresaw the error."""

    message: str
    stopped: bool = False
    trace: str = ""


Note = events.Event | Made | Ended | Broken
"""What the inbox holds."""


class Runner:
    """Does one thing at a time. Its methods return at once; results arrive in `inbox`, in order.

    The thread is a daemon: the screen waits for it, and only somebody who asks twice leaves without.
    """

    def __init__(self, settings: Settings, clean: Callable[[str], str]) -> None:
        self.inbox: deque[Note] = deque()
        self._clean = clean
        self._settings = settings
        self._stop = threading.Event()
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether it works. The last note of the work is in the inbox when it does not any more."""
        return self._busy

    @property
    def stopping(self) -> bool:
        """Whether the work at hand was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the work at hand to stop. What is being transferred is finished first."""
        self._stop.set()

    def plan(self, left: str, right: str, config: SyncConfig) -> None:
        """Begin to plan; ends with `Made` or `Broken`."""

        def work() -> Note:
            made = plan(left, right, settings=self._settings, outputs=self._outputs(), **asdict(config))
            try:
                return _shown(made, self._clean)
            except BaseException:
                made.close()
                raise

        self._begin(work)

    def apply(self, plan: Plan) -> None:
        """Begin to apply a plan, which is closed afterwards; ends with `Ended` or `Broken`."""

        def work() -> Note:
            with plan:
                return Ended(run=apply(plan, settings=self._settings, outputs=self._outputs()))

        self._begin(work)

    def undo(self, run: str) -> None:
        """Begin to take a run back; ends with `Ended` or `Broken`."""
        self._begin(lambda: Ended(run=undo(run, settings=self._settings, outputs=self._outputs())))

    def _outputs(self) -> Outputs:
        return Outputs(listener=self.inbox.append, stopped=self._stop.is_set)

    def _begin(self, work: Callable[[], Note]) -> None:
        if self._busy:
            raise RuntimeError("one thing at a time")
        self._busy = True
        self._stop.clear()
        threading.Thread(target=self._work, args=(work,), name="trueup-ui", daemon=True).start()

    def _work(self, work: Callable[[], Note]) -> None:
        try:
            note = work()
        except Interrupted as error:
            note = Broken(message=str(error), stopped=True)
        except (Refused, StoreError) as error:
            # A listing that was cut short by the stop is no fault of a store.
            note = Broken(message=str(error), stopped=self._stop.is_set())
        except TrueupError as error:
            note = Broken(message=str(error))
        except BaseException as error:  # the end of the thread: every error is shown
            log.debug("unforeseen error", exc_info=True)
            note = Broken(message=f"unforeseen {type(error).__name__}: {error}", trace=traceback.format_exc())
        self.inbox.append(note)
        self._busy = False


def _shown(made: Plan, clean: Callable[[str], str]) -> Made:
    """A plan with its rows for the table, and what the guards think of it."""
    refusal = ""
    try:
        guards.check(made)
    except Refused as error:
        refusal = str(error)
    items = (item for item in made.items(hidden=False) if item.action not in QUIET)
    rows = [planned(item, clean) for item in islice(items, LIMIT)]
    return Made(plan=made, rows=rows, hidden=sum(1 for _ in items), refusal=refusal)
