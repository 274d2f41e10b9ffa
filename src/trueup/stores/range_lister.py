"""The helper's listing of several ranges of one bucket at once, handed on in the order of keys.

A plain listing waits for one page after the other, each a journey to the server. Here listings begin further ahead as
well: after keys that are guessed, a few pages apart, from how dense the last pages lay. A bad guess makes a range too
long, which is cut again while it is listed, or too short, which costs a request. It cannot lose or repeat a key: each
range is listed until its answer shows a key of the next one, and the answer of that one must have begun with this very
key. So the ranges together are what one plain listing shows; where they are not, the plain one goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from trueup.stores.frames import HEARTBEAT, packed
from trueup.stores.order import Order, ascending
from trueup.stores.rows import columns_of, rows_of
from trueup.stores.scale import Scale

if TYPE_CHECKING:
    from opendal import AsyncOperator
    from opendal.types import Entry

    from trueup.stores.lister import Listing

LONG: Final = 5
"""Pages that a range shall have."""
SHORT: Final = 2
"""Fewer pages are not worth a range of their own."""
AHEAD: Final = 5
"""Pages of one range that are kept until the ranges before it have ended, at most; then it waits. There are at most
twice as many ranges as requests at once, and a page takes about 150 kB: 12 MB with eight requests; with the longest
names, 1,000 letters, about 80 MB."""


class _Stray(Exception):
    """An answer began at or below the key after which it should."""


class Page(NamedTuple):
    """Rows that follow each other, ready to be sent, and the keys around them."""

    frame: bytes
    keys: int
    """Keys, those of trueup's own included."""
    first: str
    before: str
    """The key before the last one; empty where there is only one."""
    last: str


class Range:
    """The keys above `after`, up to and including `end`, or to the last of all, and how far they have come."""

    def __init__(self, after: str, end: str | None, pace: int) -> None:
        self.after = after
        self.end = end
        self.last = after
        self.pace = pace
        """By how much the number of a key grows in a page; 0 while nobody knows."""
        self.firsts: deque[str] = deque(maxlen=4)
        """The first keys of its last pages."""
        self.pages: deque[Page] = deque()
        self.shown: str | None = None
        """The key that its answer began with, once it is there."""
        self.following: str | None = None
        """The first key above the end in its answer."""
        self.done = False
        self.error: Exception | None = None
        self.waits = False
        """It is far enough ahead."""
        self.room = asyncio.Event()
        self.tried = False
        """A listing that begins ahead of its last page was tried."""


class Ranges:
    """A listing from the last key on that a plain one has handed on, with so many requests at once."""

    def __init__(self, operator: AsyncOperator, listing: Listing, at_once: int) -> None:
        self._operator = operator
        self._listing = listing
        self._at_once = at_once
        self._scale = Scale()
        self._ranges: list[Range] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._ended = False
        """An answer showed nothing: what begins further ahead would show nothing either."""

    async def run(self) -> bool:
        """Hand on everything above the listing's last key. False where what came does not prove to be all: then
        nothing but what directly follows that key was handed on. Raises what went wrong."""
        self._begin(0, Range(self._listing.last, None, 0))
        try:
            return await self._in_order()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _in_order(self) -> bool:
        while True:
            head = self._ranges[0]
            head.room.set()
            while head.pages:
                self._listing.take(head.pages.popleft())
            if not head.done:
                await self._change()
                continue
            if isinstance(head.error, Order):
                raise head.error
            if head.error is not None:
                self._listing.at_once = 1  # what is too much at once may do one after the other
                return False
            if len(self._ranges) == 1:
                return True
            following = self._ranges[1]
            while following.shown is None and not following.done:
                await self._change()
            if following.shown != head.following and not (following.shown is None and following.error):
                return False
            del self._ranges[0]
            self._plan()

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    # Where to begin.

    def _begin(self, number: int, made: Range) -> None:
        self._ranges.insert(number, made)
        task = asyncio.create_task(self._list(made))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _plan(self) -> None:
        """Begin further ahead, in the first range that is long enough, as long as more can be asked at once."""
        number = 0
        while number < len(self._ranges) < 2 * self._at_once:
            if sum(not (each.done or each.waits) for each in self._ranges) >= self._at_once:
                return
            found = self._ranges[number]
            number += 1
            if guess := self._guess(found):
                self._begin(number, Range(guess, found.end, found.pace))
                found.end = guess

    def _guess(self, found: Range) -> str | None:
        """A key some pages ahead in a range, where a listing is worth beginning."""
        if found.done or found.tried or not found.pace or (found.end is None and self._ended):
            return None
        here, pages = self._scale.place(found.last), LONG
        if found.end is not None:
            pages = min(LONG, (self._scale.place(found.end) - here) // found.pace // 2)
            if pages < SHORT:
                return None
        found.tried = True
        guess = self._scale.key(here + pages * found.pace, found.pace // 4)
        return guess if found.last < guess and (found.end is None or guess < found.end) else None

    # Listing.

    async def _list(self, this: Range) -> None:
        try:
            await self._pages(this)
        except Exception as error:  # noqa: BLE001 - raised once its turn comes
            this.error = error
        this.done = True
        self._ended |= this.shown is None and this.error is None
        self._changed.set()
        self._plan()

    async def _pages(self, this: Range) -> None:
        found: list[Entry] = []
        last_normal = ""
        due = monotonic() + HEARTBEAT
        async for entry in await self._operator.list("/", recursive=True, start_after=this.after):
            key = entry.path
            if key in {"/", ""}:
                continue
            if this.shown is None:
                this.shown = key
                self._changed.set()
                if key <= this.after:
                    raise _Stray
            if this.end is not None and key > this.end:
                this.following = key
                break
            found.append(entry)
            if len(found) >= self._listing.size or monotonic() > due:
                last_normal = await self._page(this, found, last_normal)
                found, due = [], monotonic() + HEARTBEAT
        if found:
            await self._page(this, found, last_normal)

    async def _page(self, this: Range, found: list[Entry], last_normal: str) -> str:
        """Keep a page until its turn comes; the normal form of its last key."""
        names = [entry.path for entry in found]
        normal = ascending(names, this.last, last_normal)
        frame = self._frame(names, found)
        before = names[-2] if len(names) > 1 else ""
        this.pages.append(Page(frame, len(names), names[0], before, names[-1]))
        this.last, this.tried = names[-1], False
        this.firsts.append(names[0])
        self._scale.learn(islice(names, 0, None, 50))
        if len(names) == self._listing.size:
            grown = self._scale.place(this.last) - self._scale.place(this.firsts[0])
            this.pace = grown // len(this.firsts)
        self._changed.set()
        self._plan()
        while this is not self._ranges[0] and len(this.pages) >= AHEAD:
            this.waits = True
            self._plan()
            await this.room.wait()
            this.waits = False
        return normal

    def _frame(self, names: list[str], found: list[Entry]) -> bytes:
        """As it is sent; nothing where all names are trueup's own."""
        service, prefix = self._listing.service, self._listing.prefix
        if columns := columns_of(names, found, service, prefix):
            return packed(("columns", *columns))
        rows = [*rows_of(names, found, service, prefix)]
        return packed(("rows", rows)) if rows else b""
