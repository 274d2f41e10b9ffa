"""Keeping the reservations of uploads under way alive."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from trueup.catalog.base import Ledger

log = logging.getLogger("trueup.pool")


class Leases:
    """Renews the leases of this process's uploads, three times as often as they would end."""

    def __init__(self, ledger: Ledger, length: timedelta) -> None:
        self._ledger = ledger
        self._length = length
        self._tokens: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def end(self) -> datetime:
        """When a lease that begins now ends."""
        return datetime.now(UTC) + self._length

    @contextmanager
    def held(self, token: str) -> Iterator[None]:
        """While somebody is at work."""
        with self._lock:
            self._tokens.add(token)
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._tokens.discard(token)

    def close(self) -> None:
        """Renew nothing any more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _renew(self) -> None:
        while not self._over.wait(self._length.total_seconds() / 3):
            with self._lock:
                tokens = list(self._tokens)
            try:
                if tokens:
                    self._ledger.renew(tokens, self.end())
            except Exception:
                # The next try may do; and an upload whose lease did end learns that when it wants to commit.
                log.warning("leases could not be renewed", exc_info=True)
