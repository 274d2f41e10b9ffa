"""Holding a lock of the shared database while a job runs: taken at once or not at all, kept alive, let go."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from trueup.catalog.base import Claim, Locks
from trueup.errors import Busy, TrueupError

log = logging.getLogger("trueup.catalog")

LEASE: Final = timedelta(minutes=1)
"""So long nobody takes the lock of a machine that crashed."""


class Hold:
    """A lock that was taken, and may have been lost since."""

    def __init__(self, locks: Locks, claim: Claim, what: str, length: timedelta) -> None:
        self._locks = locks
        self._claim = claim
        self._what = what
        self._length = length
        self._over = threading.Event()

    def check(self) -> None:
        """Called before each step that changes something. Raises `Busy` when somebody else has the lock by now.

        The database is asked each time: a machine that slept does not know for how long.
        """
        if not self._locks.renew(self._claim, self._length):
            raise Busy(
                f"{self._what} by somebody else by now: the lock of the run {self._claim.run} was not renewed in time",
                cure="What it had not done yet is the other one's; run it again after that",
            )

    def keep(self) -> None:
        """Renew it three times as often as it would end, until it is let go or lost."""
        while not self._over.wait(self._length.total_seconds() / 3):
            try:
                if not self._locks.renew(self._claim, self._length):
                    log.warning("the lock '%s' was taken over", self._claim.name)
                    return
            except Exception:
                # The next try may do; and the job asks before whatever it changes.
                log.warning("the lock '%s' could not be renewed", self._claim.name, exc_info=True)

    def end(self) -> None:
        """Renew it no more."""
        self._over.set()


@contextmanager
def held(
    locks: Locks, name: str, run: str, what: str, *, length: timedelta = LEASE, instead_of: str = ""
) -> Iterator[Hold]:
    """Hold the lock `name` for a run, over every machine that uses the database. Raises `Busy` at once when somebody
    else has it; `what` begins its message, like "these books are being reconciled".

    It lasts for `length`, and is renewed meanwhile, so what a crash left ends by itself. A run `instead_of` which the
    caller knows to be dead is not waited for. A holder that was cut off for longer has lost it without noticing: it
    asks `Hold.check` before it changes something, and what it changes must bear that the lock is lost in between.
    """
    claim = Claim(name, run, f"{socket.gethostname()}, process {os.getpid()}", uuid.uuid4().hex)
    holder, until = locks.take(claim, length, instead_of=instead_of)
    if holder.token != claim.token:
        raise _busy(what, holder, until)
    hold = Hold(locks, claim, what, length)
    thread = threading.Thread(target=hold.keep, name=f"lock {name}", daemon=True)
    thread.start()
    try:
        yield hold
    finally:
        hold.end()
        thread.join()
        try:
            locks.release(claim)
        except TrueupError:
            # What the job did stands, and what it raised matters more: the lock ends by itself.
            log.warning("the lock '%s' could not be let go", name, exc_info=True)


def _busy(what: str, holder: Claim, until: datetime) -> Busy:
    return Busy(
        f"{what} by run {holder.run} ({holder.holder})",
        cure=f"Wait for it, or stop it; if it crashed, its lock ends at {until:%H:%M:%S} UTC by the database's clock",
        run=holder.run,
    )
