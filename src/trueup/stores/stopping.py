"""Whether what a place is asked for is still wanted. Who asks sets it around the asking; what takes long heeds it.

It goes with the calls and not through the stores' protocol, because a stop is none of their business: a store that
heeds nothing is still a store, and only holds up the stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Final, TypeVar

from trueup.errors import Interrupted

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

STEP: Final = 0.1
"""Seconds of a wait, after which it is asked again whether to go on waiting."""
OFTEN: Final = 0x3F
"""A loop asks each time its count has none of these bits: asking costs more than many an entry."""

_stopped: ContextVar[Callable[[], bool] | None] = ContextVar("stopped", default=None)


@contextmanager
def heeding(stopped: Callable[[], bool]) -> Iterator[None]:
    """Let what is called in this block raise `Interrupted` once `stopped` says so."""
    token = _stopped.set(stopped)
    try:
        yield
    finally:
        _stopped.reset(token)


def heed() -> None:
    """Raise `Interrupted` if nobody wants the answer any more."""
    stopped = _stopped.get()
    if stopped is not None and stopped():
        raise Interrupted("stopped while planning; nothing was done")


def heeded(items: Iterable[_Item]) -> Iterator[_Item]:
    """The items, until nobody wants them any more."""
    for number, item in enumerate(items, 1):
        if not number & OFTEN:
            heed()
        yield item


def awaited(future: Future[_Result]) -> _Result:
    """What the future brings. It is not cancelled when the stop comes first."""
    if _stopped.get() is not None:
        heed()
        while not future.done():
            wait((future,), STEP)
            heed()
    return future.result()


def together(pool: Executor, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """What the work makes of each item, in the threads of a pool, where it heeds the stop as well."""
    futures = [pool.submit(copy_context().run, work, item) for item in items]
    try:
        return [awaited(future) for future in futures]
    finally:
        for future in futures:
            future.cancel()


def apart(question: Callable[[], _Result]) -> _Result:
    """What the question learns, asked in a thread of its own where a stop may come: a server that hangs holds up only
    that thread, which ends with the process."""
    if _stopped.get() is None:
        return question()
    heed()
    future: Future[_Result] = Future()
    context = copy_context()

    def ask() -> None:
        try:
            future.set_result(context.run(question))
        except BaseException as error:  # noqa: BLE001 - raised where the answer is waited for
            future.set_exception(error)

    threading.Thread(target=ask, name="asking", daemon=True).start()
    return awaited(future)
