"""Ctrl-C and SIGTERM while a command runs."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("trueup.sync")


class StopSwitch:
    """The first signal asks the run to stop after the running actions, the second ends the process."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._said = False

    def stopped(self) -> bool:
        """Whether somebody asked to stop. Says so the first time: the signal itself may come in the middle of a line
        that is being logged."""
        if self._stop.is_set() and not self._said:
            self._said = True
            log.warning("stopping after the running actions; press Ctrl-C again to stop at once")
        return self._stop.is_set()

    def _stop_or_end(self, *_: object) -> None:
        if self._stop.is_set():
            os._exit(130)  # threads that wait for a server would keep the process alive
        self._stop.set()

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Take the signals over as long as the block lasts, where that is possible: in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop_or_end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
