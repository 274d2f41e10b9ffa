"""Requests that ask the same at the same time are answered together: with what was looked up after each had asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

Version = Callable[[], object]
"""Says whether something has changed; None: nobody knows."""


class Together:
    """For one event loop."""

    def __init__(self) -> None:
        self._begun: dict[str, asyncio.Task[bytes]] = {}
        self._next: dict[str, asyncio.Task[bytes]] = {}
        self._known: dict[str, tuple[object, bytes]] = {}

    async def answer(self, what: str, look: Callable[[], bytes], version: Version = lambda: None) -> bytes:
        """What `look` gives, which begins now or after the one that is under way, in another thread; or gave, while
        `version`, which must wait for nobody, says what it said before that. Raises what they raise."""
        now, known = version(), self._known.get(what)
        if now is not None and known is not None and known[0] == now:
            return known[1]
        task = self._next.get(what)
        if task is None:
            task = self._next[what] = asyncio.create_task(self._after(self._begun.get(what), what, look, version))
            task.add_done_callback(_heard)
        return await asyncio.shield(task)  # others wait for it as well

    async def _after(
        self, before: asyncio.Task[bytes] | None, what: str, look: Callable[[], bytes], version: Version
    ) -> bytes:
        if before is not None:
            await asyncio.wait([before])
        task = self._begun[what] = self._next.pop(what)
        try:
            now = version()  # before it is looked up: what is written meanwhile may not be in it
            found = await run_in_threadpool(look)
            if now is not None:
                self._known[what] = now, found
            return found
        finally:
            if self._begun[what] is task:
                del self._begun[what]


def _heard(task: asyncio.Task[bytes]) -> None:
    """Whoever asked may be gone."""
    if not task.cancelled():
        task.exception()
