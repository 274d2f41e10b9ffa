"""What changed in local folders: touched keys, told by the operating system and held until they have come to rest."""

from __future__ import annotations

import logging
import os
import posixpath
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from trueup import keys

log = logging.getLogger("trueup.sync")

MOST: Final = 1000
"""Touched keys that are told apart; beyond, everything counts as touched."""
TOPS: Final = 300
"""Places a pass over a part looks at; beyond, it looks at everything."""
SIBLINGS: Final = 8
"""So many touched keys of one folder are looked at one by one; beyond, the folder is looked at."""
_PATIENCE: Final = 5
"""Times the settling time that a key waits at most for other keys to come to rest."""
_POLL_MS: Final = 2000
"""How often a folder is compared with what it was, where the system cannot tell of changes."""
_LOOK_MS: Final = 500
"""How long the system's messages are waited for before the folder itself is looked at."""
_STEP_MS: Final = 100
"""How often they are asked for."""
_LIMITS: Final = (
    (
        "limit reached",
        "it watches no more folders for this user",
        ". Let it watch more: sudo sysctl fs.inotify.max_user_watches=1048576",
    ),
    (
        "Too many open files",
        "it has no more watchers for this user",
        ". Let it have more: sudo sysctl fs.inotify.max_user_instances=1024",
    ),
)
"""What its errors mean."""
_MODIFIED: Final = 2
"""`watchfiles.Change.modified`."""
_AGAIN: Final = 1.0
"""Seconds before a folder that cannot be watched is tried again."""


class Touched:
    """Keys somebody touched, each with the time (seconds, monotonic) it was last touched. Safe to use from many
    threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, float] = {}
        self._since = 0.0
        self._all = False

    def add(self, touched: Iterable[str], now: float) -> None:
        """Note keys (normal or raw)."""
        with self._lock:
            if not self._keys:
                self._since = now
            for key in touched:
                self._keys[key] = now
            if len(self._keys) > MOST:
                self._keys.clear()
                self._all = True

    def add_all(self) -> None:
        """Note that anything may have been touched."""
        with self._lock:
            self._all = True
            self._keys.clear()

    def take(self, now: float, settle: float) -> set[str] | None:
        """Take the keys that have not been touched for `settle` seconds, once all have come to rest, or after a while
        those that have. None stands for everything; an empty set for nothing yet."""
        with self._lock:
            if self._all:
                self._all = False
                return None
            resting = {key for key, last in self._keys.items() if now - last >= settle}
            if len(resting) < len(self._keys) and now - self._since < settle * _PATIENCE:
                return set()
            for key in resting:
                del self._keys[key]
            self._since = now
            return resting

    def __bool__(self) -> bool:
        """Whether there is something to take, now or soon."""
        with self._lock:
            return self._all or bool(self._keys)

    def clear(self) -> None:
        """Forget everything, because everything is about to be looked at."""
        with self._lock:
            self._all = False
            self._keys.clear()


def gathered(touched: set[str]) -> set[str] | None:
    """The same keys, many of one folder replaced by the folder; None for everything, where they are too many still or
    lie all over the root."""
    while True:
        folders = Counter(map(posixpath.dirname, touched))
        crowded = {folder for folder, number in folders.items() if number > SIBLINGS}
        if "" in crowded:
            return None
        if not crowded:
            return touched if len(touched) <= TOPS else None
        touched = {key for key in touched if posixpath.dirname(key) not in crowded} | crowded


class Watcher:
    """Watches one folder from a thread of its own, as long as the `with` block lasts.

    Whenever it cannot be sure to have heard of everything (the folder went away, was replaced, could not be watched for
    a while), everything counts as touched. `warn` is called from the thread, at most once.
    """

    def __init__(
        self,
        root: Path,
        touched: Touched,
        *,
        ignored: Path,
        clock: Callable[[], float],
        warn: Callable[[str], None],
    ) -> None:
        self._root = root
        self._prefix = f"{root}{os.sep}"
        self._touched = touched
        self._ignored = f"{ignored}{os.sep}"
        self._clock = clock
        self._warn = warn
        self._stop = threading.Event()
        self._polling = False
        self._patchy = False
        """Whether folders nobody may read are passed over."""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Wait until changes are noticed, or it is clear that they cannot be now."""
        until = time.monotonic() + seconds
        while not (self._ready.wait(0.05) or stopped() or time.monotonic() > until):
            pass

    def _run(self) -> None:
        while not self._stop.is_set():
            identity = _identity(self._root)
            if identity is not None:
                try:
                    self._watch(identity)
                except Exception as error:  # noqa: BLE001 - whatever ends the watching, the next try shows it again
                    self._failed(error)
                self._touched.add_all()
            self._ready.set()
            self._stop.wait(_AGAIN)

    def _watch(self, identity: tuple[int, int]) -> None:
        """Until the folder is another one, or gone."""
        from watchfiles import watch  # nothing but a watch pays for it

        changes = watch(
            self._root,
            watch_filter=None,
            debounce=_LOOK_MS,
            step=_STEP_MS,
            stop_event=self._stop,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            force_polling=self._polling or None,
            poll_delay_ms=_POLL_MS,
            # With it, the system's limits would go unnoticed as well.
            ignore_permission_denied=self._patchy,
        )
        first = True
        for found in changes:
            if first:
                first = False
                if self._ready.is_set():
                    self._touched.add_all()  # nobody listened until now
                self._ready.set()
            self._touched.add(filter(None, (self._key(change, path) for change, path in found)), self._clock())
            if _identity(self._root) != identity:
                return

    def _key(self, change: int, path: str) -> str:
        """The key of a path; empty for what does not count. What happens in a folder has messages of its own."""
        if change == _MODIFIED and Path(path).is_dir():
            return ""
        if f"{path}{os.sep}".startswith(self._ignored) or not path.startswith(self._prefix):
            return ""
        key = path.removeprefix(self._prefix).replace(os.sep, "/").rstrip("/")
        return "" if keys.is_reserved(key) else key

    def _failed(self, error: Exception) -> None:
        log.debug("%s cannot be watched", self._root, exc_info=error)
        text = str(error)
        known = next((limit for sign, *limit in _LIMITS if sign in text), None)
        if isinstance(error, PermissionError) and not self._patchy:
            self._patchy = True
            return
        if self._polling or not (known or isinstance(error, OSError)) or isinstance(error, FileNotFoundError):
            return
        self._polling = True
        why, cure = known or (text, "")
        self._warn(
            f"the system cannot tell of changes in {keys.display(str(self._root))}: {why}. The folder is compared with "
            f"what it was every {_POLL_MS // 1000} s instead, which takes more work{cure}"
        )


def _identity(folder: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = folder.stat()
        return found.st_dev, found.st_ino
    return None
