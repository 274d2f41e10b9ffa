"""The asyncio client, for code that takes one thing after the other.

The client runs its requests on threads of its own, as many as there are processors, and hands each result of the
asyncio client over under the GIL. Its blocking calls hold the GIL while they wait for those very threads. So who has
asked with asyncio and then blocks may wait for ever, with no timeout left to run, when a late result of a request that
was given up wants the GIL. From the first asyncio request on, all others are asked with asyncio too; but a listing that
was begun before may go on where the first asyncio request itself failed, because none is left then that was given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Coroutine, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from opendal import Operator
    from opendal.capability import Capability
    from opendal.types import Entry, Metadata

_TOGETHER: Final = 1000
"""Entries that are taken at once: a page of the server."""
_LONG: Final = 1.0
"""Seconds after which what has come is handed on, however little it is."""

Result = TypeVar("Result")


class Awaited:
    """An operator that is asked with asyncio, in the manner of the blocking one."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator.to_async_operator()
        self._runner = asyncio.Runner()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """What comes of it."""
        return self._runner.run(coroutine)

    def capability(self) -> Capability:
        """As the blocking operator's."""
        return self.operator.capability()

    def stat(self, path: str) -> Metadata:
        """As the blocking operator's."""
        return self.run(self._stat(path))

    def list(
        self, path: str, *, start_after: str | None = None, recursive: bool = False, limit: int | None = None
    ) -> Iterator[Entry]:
        """As the blocking operator's."""
        found = self.run(self._list(path, start_after=start_after, recursive=recursive, limit=limit))
        most = min(limit or _TOGETHER, _TOGETHER)  # a limit is the length of a page, and more pages may follow
        while taken := self.run(_some(found, most)):
            for each in taken:
                if isinstance(each, Exception):
                    raise each
                yield each

    async def _stat(self, path: str) -> Metadata:
        return await self.operator.stat(path)

    async def _list(
        self, path: str, *, start_after: str | None, recursive: bool, limit: int | None
    ) -> AsyncIterable[Entry]:
        return await self.operator.list(path, start_after=start_after, recursive=recursive, limit=limit)


async def _some(found: AsyncIterable[Entry], most: int) -> list[Entry | Exception]:
    """The next entries, at least one and so many at most, and the error that came after them; nothing at the end."""
    taken: list[Entry | Exception] = []
    until = monotonic() + _LONG
    try:
        async for entry in found:
            taken.append(entry)
            if len(taken) >= most or monotonic() > until:
                break
    except Exception as error:  # noqa: BLE001 - raised after the entries before it
        taken.append(error)
    return taken
