"""The parent's end of a listing: start the helper, take its pages, notice when it stalls, dies or contradicts
itself."""

from __future__ import annotations

import contextlib
import marshal
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from typing import IO, Any, Final

from trueup.errors import ListingUnfinished
from trueup.stores import faults
from trueup.stores.base import Entry, OutOfOrder
from trueup.stores.frames import PAGE
from trueup.stores.interpreter import interpreter
from trueup.stores.place import Place
from trueup.stores.stopping import STEP, heed

_AT_ONCE: Final = 8
"""Pages that are asked for at once, where the server can begin at a key."""
_AGAIN: Final = "Nothing was concluded from it; try again later"
_entry: Final = partial(tuple.__new__, Entry)
"""`Entry._make` without the call of a Python function for each of a million entries."""
_CHUNK: Final = 1 << 20
"""Bytes that the helper may be ahead in its pipe, some five pages, and that are read at once. A thread that reads often
waits for the GIL as often, up to 5 ms each time while others compute; and a pipe that is full stops the helper."""
_SLACK: Final = 20.0
"""Seconds beyond its own timeouts and retries that the helper may stay silent, its start included."""


def entries(place: Place, *, start: str = "", ordered: bool = True) -> Generator[Entry]:
    """Every object of a place as the server lists it. With `ordered`, raises `OutOfOrder` at the first key that does
    not ascend. `start` is handed to the server. Raises `ListingUnfinished`, or the store's error if nothing came at
    all."""
    helper = _Helper(place, start=start, ordered=ordered)
    count = 0
    try:
        while True:
            frame = helper.frame()
            match frame[0]:
                case "rows":
                    count += len(frame[1])
                    yield from map(_entry, frame[1])
                case "columns":
                    count += len(frame[1])
                    yield from map(_entry, zip(*frame[1:], repeat(""), repeat("")))
                case "finished":
                    return
                case _:
                    raise _trouble(place, frame, count)
    finally:
        helper.close()


@contextmanager
def sampling(place: Place) -> Iterator[Callable[[str], list[str]]]:
    """Asks for the first 1,000 keys, in normal form, from a start on; as often as wanted, of one helper. The function
    raises as `entries` does."""
    helper = _Helper(place, sample=True)

    def sample(start: str) -> list[str]:
        helper.ask(start)
        frame = helper.frame()
        if frame[0] != "rows":
            raise _trouble(place, frame, 0)
        found: list[str] = frame[1]
        return found

    try:
        yield sample
    finally:
        helper.close()


def _trouble(place: Place, frame: tuple[Any, ...], count: int) -> Exception:
    """What a last frame means, after so many entries."""
    match frame[0]:
        case "order":
            return OutOfOrder(frame[1])
        case "broken":
            return ListingUnfinished(f"the listing of {place.url} broke off: {frame[1]}", cure=_AGAIN)
    error = faults.translate(frame[1], frame[2], place, doing="list")
    if not count:
        return error
    return ListingUnfinished(
        f"the listing of {place.url} broke off after {count} objects: {error.message}", cure=error.cure or _AGAIN
    )


class _Helper:
    """One helper process, and the thread that reads from it a few pages ahead."""

    def __init__(self, place: Place, *, start: str = "", ordered: bool = True, sample: bool = False) -> None:
        self._place = place
        # A silent helper is one that waits for the server: its own timeouts come first, this is for when they fail.
        self._patience = place.timeout * (place.retries + 1) + 10.0 * place.retries + _SLACK
        self._frames: queue.Queue[bytes | None] = queue.Queue(4)
        self._closed = threading.Event()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [interpreter(), "-m", "trueup.stores.lister"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "RUST_BACKTRACE": "0"},
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the run, which ends the helper in its own time
        )
        # Credentials go through the pipe: arguments and environment are open to other processes.
        request = marshal.dumps(
            {
                "service": place.service,
                "options": dict(place.options),
                "prefix": place.prefix,
                "tree": place.tree,
                "timeout": place.timeout,
                "retries": place.retries,
                "sample": sample,
                "start": start,
                "ordered": ordered,
                "byte_ordered": place.byte_ordered,
                "page": PAGE,
                # Who begins at a key wants a part, and would leave unread what was asked for beyond it.
                "at_once": min(_AT_ONCE, place.concurrency or _AT_ONCE) if place.starts and not start else 1,
            }
        )
        assert self._process.stdout is not None
        _widen(self._process.stdout)
        self._write(request)
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="trueup-listing", daemon=True
        )
        self._reader.start()

    def ask(self, start: str) -> None:
        """Ask for a sample from this key on."""
        self._write(start.encode("utf-8", "surrogatepass"))

    def _write(self, message: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a helper that died is noticed by its missing frames
            self._process.stdin.write(len(message).to_bytes(4, "big") + message)

    def frame(self) -> tuple[Any, ...]:
        """The next frame. Raises `Interrupted` when a stop comes first."""
        until = time.monotonic() + self._patience
        while True:
            heed()
            with contextlib.suppress(queue.Empty):
                frame = self._frames.get(timeout=STEP)
                break
            if time.monotonic() > until:
                raise ListingUnfinished(
                    f"the listing of {self._place.url} broke off: no page came for {self._patience:.0f} seconds",
                    cure=_AGAIN,
                )
        if frame is not None:
            with contextlib.suppress(EOFError, ValueError):
                found: tuple[Any, ...] = marshal.loads(frame)  # noqa: S302 - from our own helper
                return found
        self._process.kill()
        code = self._process.wait()
        raise ListingUnfinished(f"the listing of {self._place.url} broke off: its helper ended ({code})", cure=_AGAIN)

    def _read(self, pipe: IO[bytes]) -> None:
        """Hand on frame after frame, and None at the end."""
        read = bytearray()
        with contextlib.suppress(OSError, ValueError):
            while part := pipe.read(_CHUNK):
                read += part
                while len(read) >= 4 and len(read) >= (end := 4 + int.from_bytes(read[:4], "big")):
                    if not self._hand_on(bytes(read[4:end])):
                        return
                    del read[:end]
        self._hand_on(None)

    def _hand_on(self, frame: bytes | None) -> bool:
        """Put a frame where it is waited for; False when nobody waits any more."""
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._frames.put(frame, timeout=0.2)
                return True
        return False

    def close(self) -> None:
        """Kill the helper if it still runs, and wait for the reader."""
        self._closed.set()
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a chunk, where the system can (Linux) and lets us."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _CHUNK)
