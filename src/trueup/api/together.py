"""Requests that ask the same at the same time are answered together: with what was looked up after each had asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool


class Together:
    """For one event loop."""

    def __init__(self) -> None:
        self._begun: dict[str, asyncio.Task[bytes]] = {}
        self._next: dict[str, asyncio.Task[bytes]] = {}

    async def answer(self, what: str, look: Callable[[], bytes]) -> bytes:
        """What `look` gives, which begins now or after the one that is under way, in another thread. Raises what it
        raises."""
        task = self._next.get(what)
        if task is None:
            task = self._next[what] = asyncio.create_task(self._after(self._begun.get(what), what, look))
            task.add_done_callback(_heard)
        return await asyncio.shield(task)  # others wait for it as well

    async def _after(self, before: asyncio.Task[bytes] | None, what: str, look: Callable[[], bytes]) -> bytes:
        if before is not None:
            await asyncio.wait([before])
        task = self._begun[what] = self._next.pop(what)
        try:
            return await run_in_threadpool(look)
        finally:
            if self._begun[what] is task:
                del self._begun[what]


def _heard(task: asyncio.Task[bytes]) -> None:
    """Whoever asked may be gone."""
    if not task.cancelled():
        task.exception()
