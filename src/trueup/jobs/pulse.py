"""Whether a clock for many machines is going: it holds a lock in the database of the queue, a minute from each tick.

Not at the broker: of the two kinds only Redis could keep it. And a lock needs no table of its own.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from contextlib import closing
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from trueup.catalog.base import Catalog, Claim, now
from trueup.catalog.database import is_there
from trueup.config import Settings, load
from trueup.errors import TrueupError
from trueup.jobs.queue import open_queue, queue_url

log = logging.getLogger("trueup.jobs")

_NAME: Final = "beat"
_EVERY: Final = 15.0
"""Seconds between two notes."""
_COUNTS: Final = timedelta(minutes=1)
"""So long a clock counts as going that has not ticked again."""


class Tick(NamedTuple):
    """The last one that was noted."""

    ago: timedelta
    holder: str
    """Whose it was: host and process."""

    @property
    def alive(self) -> bool:
        """Whether the clock counts as going."""
        return self.ago < _COUNTS


class Pulse:
    """Notes the ticks of the clock of this process. Of several clocks one does: that is enough to know that jobs are
    handed in."""

    def __init__(self) -> None:
        holder = f"{socket.gethostname()}, process {os.getpid()}"
        self._claim = Claim(_NAME, _NAME, holder, uuid.uuid4().hex)
        self._catalog: Catalog | None = None
        self._next = 0.0

    def tick(self) -> None:
        """It ticked. A database that is down stops no clock."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        try:
            if self._catalog is None:
                self._catalog = open_queue(load())
            if not self._catalog.locks.renew(self._claim, _COUNTS):
                self._catalog.locks.take(self._claim, _COUNTS)
        except TrueupError as error:
            log.warning("that the clock goes is not noted: %s", error)

    def close(self) -> None:
        """Let the database go. The note stays, and says when it was."""
        if self._catalog is not None:
            self._catalog.close()


def last_tick(settings: Settings) -> Tick | None:
    """The last tick of any clock; None: there was none yet. Raises `ConfigError` and `TrueupError`."""
    if not is_there(queue_url(settings)):
        return None
    with closing(open_queue(settings)) as catalog:
        found = catalog.locks.who(_NAME)
        at: datetime = catalog.clock() or now()
    return Tick(at - (found[1] - _COUNTS), found[0].holder) if found is not None else None
