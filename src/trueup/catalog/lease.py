"""Keeping leases alive while somebody is at work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

log = logging.getLogger("trueup.catalog")


class Leases:
    """Renews this process's leases, three times as often as they would end."""

    def __init__(self, renew: Callable[[Sequence[str], datetime], object], length: timedelta) -> None:
        """`renew` lets the leases of some tokens last until a time."""
        self._renew = renew
        self._length = length
        self._tokens: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def end(self) -> datetime:
        """When a lease that begins now ends."""
        return datetime.now(UTC) + self._length

    def hold(self, token: str) -> None:
        """Renew a lease from now on."""
        with self._lock:
            self._tokens.add(token)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="leases", daemon=True)
                self._thread.start()

    def drop(self, token: str) -> None:
        """Renew it no more."""
        with self._lock:
            self._tokens.discard(token)

    @contextmanager
    def held(self, token: str) -> Iterator[None]:
        """While somebody is at work."""
        self.hold(token)
        try:
            yield
        finally:
            self.drop(token)

    def close(self) -> None:
        """Renew nothing any more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(self._length.total_seconds() / 3):
            with self._lock:
                tokens = list(self._tokens)
            try:
                if tokens:
                    self._renew(tokens, self.end())
            except Exception as error:
                # The next try may do; and whoever lost a lease learns that when it wants to use it.
                log.warning("leases could not be renewed: %s", error, exc_info=log.isEnabledFor(logging.DEBUG))
