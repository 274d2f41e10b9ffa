"""Keeping two places in step: ordinary runs, one after the other, each when there is a reason for it.

A pass over the *whole* looks at everything: at the start, every interval (that is how changes in a cloud are found),
and whenever anything is in doubt. A pass over a *part* looks at what was touched in a local folder, on both sides.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Final

from trueup import events
from trueup.config import Settings, SyncConfig, load
from trueup.errors import Busy, Interrupted, ListingUnfinished, Refused, TrueupError, Unreachable, UsageError
from trueup.filters import Scope
from trueup.stores.stopping import heeding
from trueup.sync.changes import Touched, Watcher, gathered
from trueup.sync.content import RACY_NS
from trueup.sync.outputs import Outputs
from trueup.sync.pair import SideOutOfOrder, pair
from trueup.sync.part import Part, Unclear
from trueup.sync.recording import status_of
from trueup.sync.report import SyncRun
from trueup.sync.session import opened_sides
from trueup.sync.sides import Sides, View
from trueup.sync.state import PairState
from trueup.sync.verbs import Watched, sync

_TICK: Final = 0.2
"""Seconds between two looks at the clock, the stop switch and what was touched."""
_SLEPT: Final = 10.0
"""Seconds by which the clocks may part before the machine counts as having slept."""
_ARMING: Final = 10.0
"""Seconds the first pass waits for the folders to be watched; where it takes longer, all is looked at again then."""
_FIRST_PAUSE: Final = 1.0
"""Seconds before the first new try; each further one waits twice as long."""
_EFFECTS: Final = ("copy", "move", "delete", "adopt")


class Clock:
    """The time, for tests to tell it otherwise."""

    def monotonic(self) -> float:
        """Seconds; on most systems they stand still while the machine sleeps."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often and how soon, in seconds."""

    poll: float = 30.0
    """From the end of one pass over the whole to the next; also the longest pause before a new try."""
    settle: float = RACY_NS / 1e9
    """A file is left alone until nobody has written to it for so long. By default its fingerprint is trusted then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who is told of a watch, besides the listener of its runs."""

    told: Callable[[SyncRun], None] = lambda _: None
    """Gets each run that did something, and each new trouble once: a place that cannot be reached, a guard that
    refuses, files that fail; and the run with which a trouble ended."""
    waiting: Callable[[bool], None] = lambda _: None
    """Is told before each wait whether all is in step."""


def watch(
    left: str,
    right: str,
    *,
    config: SyncConfig | None = None,
    settings: Settings | None = None,
    outputs: Outputs | None = None,
    audience: Audience | None = None,
    pace: Pace | None = None,
    clock: Clock | None = None,
) -> int:
    """Keep two places in step until `outputs.stopped()` says so. Returns the exit code of the last pass: 0 when all was
    in step then, 130 when the stop cut it short.

    Only what cannot mend by itself ends the watch with an error: `UsageError` (`ConfigError`, `MissingExtra`) at any
    time, and in the first pass all but `Refused`, `Busy` and `Unreachable`.
    """
    opened = _Watch(
        left,
        right,
        config or SyncConfig(),
        settings or load(),
        outputs or Outputs(),
        audience or Audience(),
        pace or Pace(),
        clock or Clock(),
    )
    with closing(opened):
        return opened.run()


class _Watch:
    def __init__(
        self,
        left: str,
        right: str,
        config: SyncConfig,
        settings: Settings,
        outputs: Outputs,
        audience: Audience,
        pace: Pace,
        clock: Clock,
    ) -> None:
        self._left, self._right = left, right
        self._config = config
        self._settings = settings
        self._audience = audience
        self._clock = clock
        self._listener = outputs.listener
        self._outputs = replace(outputs, listener=self._hear)
        self._pace = pace
        self._scope = Scope(config.include, config.exclude)
        self._touched = Touched()
        self._warnings: deque[str] = deque()
        self._places = ExitStack()
        self._sides: Sides | None = None
        self._urls: tuple[str, str] | None = None
        self._run_id = ""
        self._code: int | None = None
        self._whole_code = 0
        self._complaint = ""
        """What was wrong when it was last told; empty while all is well."""
        self._whole_due = 0.0
        """When the next pass over the whole is due (monotonic)."""
        self._blocked = False
        """Whether the last pass could not do anything: parts must wait until one over the whole works."""
        self._only_time_helps = False
        """Whether no change in a folder can be the cure."""
        self._pause = 0.0
        self._ahead = 0.0

    def run(self) -> int:
        """Pass after pass."""
        self._ahead = self._clock.wall() - self._clock.monotonic()
        self._whole_due = self._clock.monotonic()
        with ExitStack() as stack:
            watchers = [
                Watcher(
                    folder,
                    self._touched,
                    ignored=self._settings.home.absolute(),
                    clock=self._clock.monotonic,
                    warn=self._warnings.append,
                )
                for folder in self._folders().values()
            ]
            for watcher in watchers:
                stack.enter_context(watcher)
            for watcher in watchers:
                watcher.wait(_ARMING, self._outputs.stopped)
            while (part := self._next()) is not None:
                self._pass(part)
        return Interrupted.exit_code if self._code is None else self._code

    def close(self) -> None:
        """Close both places; the next use opens them again."""
        self._sides = None
        self._places.close()

    def _opened(self) -> Sides:
        """Both places. They stay open from pass to pass, as long as all goes well."""
        if self._sides is None:
            sides = self._places.enter_context(opened_sides(self._left, self._right, self._settings))
            urls = (sides.left.url, sides.right.url)
            if self._urls not in {None, urls}:
                self._places.close()
                raise UsageError(
                    f"{self._left} and {self._right} mean other places than when the watch began",
                    cure="Start it again",
                )
            self._sides, self._urls = sides, urls
        return self._sides

    def _folders(self) -> dict[str, Path]:
        """The sides that are folders of this machine."""
        sides = self._opened()
        found = {side: _folder(sides[side].url) for side in ("left", "right")}
        return {side: folder for side, folder in found.items() if folder is not None}

    # When, and what

    def _next(self) -> Part | None:
        """Wait for a reason, and say what to look at; None when it is time to stop."""
        if self._code is not None and not self._outputs.stopped():
            self._audience.waiting(not self._complaint and not self._touched)
        while not self._outputs.stopped():
            while self._warnings:
                self._listener(events.Warned(run=self._run_id, message=self._warnings.popleft()))
            now = self._clock.monotonic()
            if now >= self._whole_due:
                return Part()
            if not self._only_time_helps:
                keys = self._touched.take(now, self._pace.settle)
                if keys is None or (keys and self._blocked):
                    return Part()
                if keys and (part := self._part(keys)) is not None:
                    return part
            self._clock.sleep(_TICK)
            self._notice_sleep(now)
        return None

    def _notice_sleep(self, before: float) -> None:
        """After a sleep of the machine nobody knows what happened, and no connection can be trusted."""
        now = self._clock.monotonic()
        ahead = self._clock.wall() - now
        if abs(ahead - self._ahead) > _SLEPT or now - before > _TICK + _SLEPT:
            self.close()
            self._whole_due = now
            self._pause = 0.0
        self._ahead = ahead

    def _part(self, keys: set[str]) -> Part | None:
        """What to look at because of these keys. None when all is as agreed upon, as it is where a pass itself wrote:
        that takes a look at the folder only."""
        tops = gathered(keys)
        if tops is None:
            return Part()
        part = Part(tops)
        sides = self._opened()
        try:
            with (
                heeding(self._outputs.stopped),
                closing(PairState.at(self._settings.home, sides.left.url, sides.right.url)) as state,
            ):
                changed = [top for top in part.tops if not self._as_agreed(Part((top,)), state)]
        except (TrueupError, sqlite3.DatabaseError):
            return part
        return Part(changed) if changed else None

    def _as_agreed(self, part: Part, state: PairState) -> bool:
        """Whether the baseline and the local folders show the same files there."""
        for side in self._folders():
            entries = self._scope.entries(part.entries(self._opened()[side]))
            try:
                for _, entry, _, base, _ in pair(entries, (), self._scope.rows(part.agreed(state))):
                    if entry is None or base is None or entry.fault or entry.size != base.size:
                        return False
                    if entry.fingerprint != (base.left_print if side == "left" else base.right_print):
                        return False
            except (TrueupError, SideOutOfOrder, Unclear):
                return False
        return True

    # One pass

    def _pass(self, part: Part) -> None:
        error: TrueupError | OSError | None = None
        if part.whole:
            self._touched.clear()
        try:
            run = sync(
                self._left,
                self._right,
                config=self._config,
                settings=self._settings,
                outputs=self._outputs,
                watched=Watched(
                    view=View(part=part, settle_ns=int(self._pace.settle * 1e9), settling=self._folders()),
                    sides=self._opened(),
                    is_news=lambda run, error: self._is_news(part, run, error),
                    left_for_later=self._again,
                ),
            )
        except Interrupted:
            return  # while it only looked: nothing was cut short
        except (TrueupError, OSError) as caught:
            if self._outputs.stopped():
                return
            lasting = not isinstance(caught, Refused | Busy | Unreachable)
            if isinstance(caught, UsageError) or (self._code is None and lasting):
                raise
            error = caught
            run = SyncRun(
                run=self._run_id,
                status=status_of(caught) or "failed",
                reason=str(caught),
                left=self._left,
                right=self._right,
                mode=self._config.mode,
            )
        news = self._is_news(part, run, error)
        self._learn(part, run, error)
        if news:
            self._audience.told(run)

    def _learn(self, part: Part, run: SyncRun, error: BaseException | None) -> None:
        """What follows from a pass for the next ones."""
        complaint = _complaint(run, error)
        code = run.exit_code if complaint or run.status != "partial" else 0  # what drifted is tried again
        if part.whole or error is not None:
            self._complaint, self._whole_code = complaint, code
        elif complaint:
            self._complaint = complaint
        self._code = code or self._whole_code
        now = self._clock.monotonic()
        refused = isinstance(error, Refused) and not isinstance(error, ListingUnfinished)
        self._blocked = error is not None
        self._only_time_helps = self._blocked and not refused
        if error is None:
            self._config = replace(self._config, release=False)  # of what was held when the watch began
        if run.status != "ok":
            self.close()  # what a store remembers of a plan that was not carried out is no help to the next one
        if self._only_time_helps or run.counts["failed"] or run.status == "failed":
            self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), self._pace.poll)
            self._whole_due = now + self._pause
        elif part.whole or refused:
            self._pause = 0.0
            self._whole_due = now + self._pace.poll

    def _is_news(self, part: Part, run: SyncRun, error: BaseException | None) -> bool:
        """Whether people want to hear of a run: it did something, or what is wrong is not what they were told. What
        breaks off because of Ctrl-C is no fault of a place."""
        if error is not None and self._outputs.stopped():
            return False
        if any(number for name, number in run.counts.items() if name.startswith(_EFFECTS)):
            return True
        complaint = _complaint(run, error)
        return complaint != self._complaint and bool(part.whole or complaint)

    def _again(self, keys: Iterable[str]) -> None:
        """Look at these keys again, once they have come to rest."""
        self._touched.add(keys, self._clock.monotonic())

    def _hear(self, event: events.Event) -> None:
        self._run_id = event.run
        if isinstance(event, events.ItemFinished) and event.outcome == "drifted":
            self._again(key for key in (event.key, event.source) if key)
        self._listener(event)


def _complaint(run: SyncRun, error: BaseException | None) -> str:
    """What is wrong, in a form that stays the same as long as the same is wrong; empty for nothing."""
    match error:
        case Unreachable() | ListingUnfinished():
            return "away"
        case Busy():
            return "busy"
        case BaseException():
            return re.sub(r"\d+", "#", f"{type(error).__name__}: {error}")
    if run.status == "failed":
        return re.sub(r"\d+", "#", run.reason or run.status)
    wrong = [
        f"{item['key']}\n{item['action']}"
        for item in run.items
        if item["outcome"] == "failed" or item["action"] in {"conflict", "unknown"}
    ]
    return blake2b("\n".join(wrong).encode(), digest_size=16).hexdigest() if wrong else ""


def _folder(url: str) -> Path | None:
    """The folder that a store's URL names, if it is one of this machine."""
    if not url.startswith("file://"):
        return None
    path = url.removeprefix("file://")
    return Path(path[1:] if re.match(r"/[A-Za-z]:/", path) else path)
