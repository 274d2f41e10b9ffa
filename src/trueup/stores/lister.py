"""The helper process that lists one bucket: `python -m trueup.stores.lister`, a request on stdin, frames on stdout.

OpenDAL's blocking lister holds the GIL for each page request, and cannot be interrupted; here it disturbs nobody, and
can be killed. Here too its answers are distrusted. It takes an HTML page for the clean end of an S3 listing, goes round
in circles when a continuation token repeats, and says "no more" when asked again after an error. So keys must ascend,
the end is asked for a second time, and only the frame `finished` ends a listing.

Or it tells what follows a key, again and again, for as long as its parent asks.

The request: a marshalled dict. Frames: see `trueup.stores.frames`.
For samples, after the request: start keys in UTF-8, each after four bytes of length; each is answered by one frame,
`("rows", [key, ...])`.
"""

from __future__ import annotations

import gc
import marshal
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any, Final

from trueup import keys
from trueup.stores.frames import HEARTBEAT, packed, receive, send, write
from trueup.stores.order import Order, ascending
from trueup.stores.rows import Row, columns_of, rows_of, unaddressable

if TYPE_CHECKING:
    from opendal import Operator
    from opendal.types import Entry

    from trueup.stores.awaited import Awaited
    from trueup.stores.range_lister import Page
    from trueup.stores.tree_lister import TreeListing

FIRST: Final = 4
"""Pages that are asked for one after the other before anything else is tried."""
WAIT: Final = 0.02
"""Seconds for a page on the way from the server, from which on it is worth to ask for several at once: the client needs
about twice the processor time for a key then, which is 5 ms for a page."""
_HIGHEST: Final = "\U0010ffff"
_ROOT: Final = frozenset({"/", ""})
"""How the client shows an object that has the name of what is listed."""
_SLASHED: Final = "objects whose names begin with '/' lie in this bucket; the client cannot address them"


class Broken(Exception):
    """The server contradicted itself."""


class Listing:
    """One listing under way: what came last, and the rows not sent yet."""

    def __init__(self, operator: Operator, request: dict[str, Any]) -> None:
        self.operator: Operator | Awaited = operator
        self.service: str = request["service"]
        self.prefix: str = request["prefix"]
        self.start: str = request["start"]
        self.ordered: bool = request["ordered"]
        self.byte_ordered: bool = request["byte_ordered"]
        self.size: int = request["page"]
        self.at_once: int = request["at_once"] if self.ordered else 1
        self.count = 0
        self.last = ""
        self.before = ""
        self.last_normal = ""
        self.slashed = False
        self.page: list[Row] = []
        self.sending = 0.0
        """Seconds spent on handing pages on."""
        self.due = monotonic() + HEARTBEAT

    def run(self) -> None:
        """List everything, or raise."""
        capable = bool(self.operator.capability().list_with_start_after)
        if self.start and capable:
            self.follow(self.asked(below(self.start)))
        elif self.prefix or not capable:
            self.follow(self.asked())
        else:
            self.whole_bucket()
        # S3's parser finds an empty last page in any HTML. Google's insists on JSON; Azure's starts again from the
        # first page, and keys that repeat are noticed.
        if self.service == "s3":
            self.confirm_end()
        self.send_page()
        send(("finished", self.count))

    def asked(self, start_after: str = "") -> Iterator[Entry]:
        """One listing as the server gives it."""
        if start_after:
            return iter(self.operator.list("/", recursive=True, start_after=start_after))
        return iter(self.operator.list("/", recursive=True))

    def answer(self, start_after: str = "") -> Iterator[Entry]:
        """The same without the marker of the root itself."""
        return (entry for entry in self.asked(start_after) if entry.path not in _ROOT)

    def whole_bucket(self) -> None:
        """A bucket's root may hold names that begin with `/`; the client drops that slash, so `/a` looks like `a`. They
        are found by beginning the listing below and above them: nothing but such names lies between."""
        if not self.slashed_names():
            self.follow(self.asked())
            return
        # The listing is P, S, R: names below "/", names that begin with it (shown without), names above. Shown names
        # of S that look as if they belong to P come first in S, so as many are held back at the end of P.
        hold = 0
        for entry in self.answer("." + _HIGHEST):
            if entry.path[0] >= "/":
                break
            hold += 1
        held: deque[Entry] = deque()
        for entry in self.answer():
            if entry.path[0] >= "/":
                break
            held.append(entry)
            if len(held) > hold:
                self.drain([held.popleft()])
        self.slashed = True
        self.page.append(("/", 0, 0, "", "", "", "unaddressable", _SLASHED))
        self.follow(self.answer("/" + _HIGHEST))

    def slashed_names(self) -> bool:
        """Whether names that begin with `/` lie at this bucket's root."""
        shown = ""
        while True:
            below_slash = next(self.answer("." + _HIGHEST), None)
            above_slash = next(self.answer("/" + _HIGHEST), None)
            if below_slash is None or (above_slash and below_slash.path == above_slash.path):
                return False
            # SeaweedFS, whose order is that of paths, answers nothing above "/": there the name shown is a real one.
            # One that was deleted just now is not shown again.
            if self.byte_ordered or above_slash or below_slash.path == shown:
                return True
            shown = below_slash.path
            if self.holds(shown):
                return False

    def follow(self, found: Iterator[Entry]) -> None:
        """Take every entry of an answer; of several ranges at once, where it is the server that is waited for."""
        while self.at_once > 1:
            waited = self.waiting()
            if self.drain(islice(found, FIRST * self.size)) < FIRST * self.size:
                return
            if self.waiting() - waited < FIRST * WAIT:
                continue
            # At a bucket's root what was shown may really begin with "/", and to begin after it would leave out more.
            if not (self.prefix or self.slashed) and (self.last < "0" or self.slashed_folder()):
                continue
            self.send_page()
            count = self.count
            if self.ranges():
                return
            if self.count == count:
                break  # where the first of them failed; no request is open that was given up
            found = self.asked(self.last)
        self.drain(found)

    def waiting(self) -> float:
        """Seconds that were spent on waiting for pages, since some moment."""
        return monotonic() - thread_time() - self.sending

    def ranges(self) -> bool:
        """Take everything above the last key. False where that has to go on plainly."""
        sys.modules.setdefault("ssl", None)  # type: ignore[arg-type] # asyncio can do without, and takes 5 MB less
        from trueup.stores.awaited import Awaited
        from trueup.stores.range_lister import Ranges

        if not isinstance(self.operator, Awaited):
            self.operator = Awaited(self.operator)
        return self.operator.run(Ranges(self.operator.operator, self, self.at_once).run())

    def take(self, page: Page) -> None:
        """Take the next page of a range."""
        ascending((page.first,), self.last, self.last_normal)
        self.before, self.last, self.last_normal = page.before or self.last, page.last, keys.normal(page.last)
        self.count += page.keys
        if page.frame or monotonic() > self.due:
            write(page.frame or packed(("rows", [])))
            self.due = monotonic() + HEARTBEAT

    def slashed_folder(self) -> bool:
        """Whether the folders of a bucket's root are said to include `/`: one request, and `slashed_names` has found
        nothing; but it takes two names for one that are equal but for their slash."""
        first = next(iter(self.operator.list("/", start_after="." + _HIGHEST, limit=1)), None)
        return first is not None and first.path == "/"

    def drain(self, found: Iterable[Entry]) -> int:
        """Take every entry of an answer; how many there were, the marker of the root among them."""
        count = 0
        taken: list[Entry] = []
        room = self.size - len(self.page)
        try:
            for entry in found:
                taken.append(entry)
                if len(taken) >= room or monotonic() > self.due:
                    full, taken = taken, []  # never twice, whatever comes of them
                    count += len(full)
                    self.add(full)
                    room = self.size - len(self.page)
        finally:  # what came before an error counts
            self.add(taken)
        return count + len(taken)

    def add(self, taken: Sequence[Entry]) -> None:
        """Take entries that follow each other, without the root's marker; hand on a page that is full, or due."""
        names = [entry.path for entry in taken]
        if not _ROOT.isdisjoint(names):
            taken = [entry for entry in taken if entry.path not in _ROOT]
            names = [entry.path for entry in taken]
        if not names:
            return
        if self.ordered:
            try:
                self.last_normal = ascending(names, self.last, self.last_normal)
            except Order as signal:
                self.add(taken[: signal.before])
                raise
        self.before, self.last = names[-2] if len(names) > 1 else self.last, names[-1]
        self.count += len(names)
        if len(names) == self.size and (columns := columns_of(names, taken, self.service, self.prefix)):
            self.send(("columns", *columns))
            return
        # One by one: what comes before an object that cannot be read counts.
        self.page.extend(rows_of(names, taken, self.service, self.prefix))
        if len(self.page) >= self.size or monotonic() > self.due:
            self.send_page(alive=True)

    def confirm_end(self) -> None:
        """Ask again from just before the last key: the answer must show it, and whatever else had been left out."""
        if not self.count:
            if self.holds(f"{keys.TEMPORARY}no-such-object-{os.urandom(8).hex()}"):
                raise Broken("the server claims to hold an object that cannot exist, and lists nothing")
            return
        if self.slashed and self.last < "/":
            return  # what follows cannot be told from the names that begin with a slash, and it was not listed
        while True:
            expected, count = self.last, self.count
            first, found = self.rest(self.before)
            if first is None or first.path != expected:
                # SeaweedFS finds nothing of `x/...` after the key `x`; a start beside the expected key helps there.
                first, found = self.rest(below(expected))
            if (first is None or first.path != expected) and self.holds(expected):
                raise Broken("the server ended the listing with a page that was not one")
            if first is None:
                return
            if first.path != expected:
                self.drain([first])
            self.drain(found)
            if self.count == count:
                return

    def rest(self, start_after: str) -> tuple[Entry | None, Iterator[Entry]]:
        """What the server shows from the last key on: that key, or the one after it, and all that follows."""
        found = self.answer(start_after)
        for entry in found:
            # What lies before the expected key came in meanwhile. In an unordered listing, so does all else.
            if entry.path == self.last or (self.ordered and keys.normal(entry.path) > self.last_normal):
                return entry, found
        return None, found

    def holds(self, key: str) -> bool:
        """Whether an object of this name answers."""
        from opendal.exceptions import NotFound, PermissionDenied

        if unaddressable(key, self.service, self.prefix):
            return False  # the client would ask for another one
        try:
            self.operator.stat(key)
        except (NotFound, PermissionDenied):
            return False
        return True

    def send_page(self, *, alive: bool = False) -> None:
        """Send the rows there are. `alive`: also none, so that the parent hears that keys come, if only such as are
        none of its business."""
        if self.page or alive:
            self.send(("rows", self.page))
            self.page.clear()

    def send(self, frame: tuple[Any, ...]) -> None:
        """Send a frame of what was listed."""
        began = monotonic()
        send(frame)
        now = monotonic()
        self.sending += now - began
        self.due = now + HEARTBEAT


class Sampler:
    """Answers what follows a key, as often as it is asked. See `trueup.stores.ranges`."""

    def __init__(self, operator: Operator, request: dict[str, Any]) -> None:
        self._operator = operator
        self._prefix: str = request["prefix"]
        self._size: int = request["page"]

    def run(self) -> None:
        """Answer until the parent closes the pipe."""
        while length := receive(0, 4):
            start = receive(0, int.from_bytes(length, "big")).decode("utf-8", "surrogatepass")
            send(("rows", self._following(start)))

    def _following(self, start: str) -> list[str]:
        """The normal forms of the keys that follow a start, a page of them."""
        if not self._prefix:
            start = max(start, "0")  # a bucket's names that begin with "/" look as if they did not
        low = below(start) if start else ""
        if low:
            answer = self._operator.list("/", recursive=True, start_after=low, limit=self._size)
        else:
            answer = self._operator.list("/", recursive=True, limit=self._size)
        found = []
        for entry in islice(answer, self._size):
            key = entry.path
            if key in {"/", ""} or keys.is_reserved(key):
                continue
            normal = keys.normal(key)
            if normal >= start or key <= low:  # a key at or below where it should begin is told: it is a fault
                found.append(normal)
        return found


def below(start: str) -> str:
    """A key such that nothing worth mentioning lies between it and `start`, which shall be included in any spelling."""
    low = keys.lowest(start)
    rest, code = low[:-1], ord(low[-1]) - 1
    if 0xD800 <= code <= 0xDFFF:
        code = 0xD7FF
    return f"{rest}{chr(code)}{_HIGHEST}" if code > 0 else rest


def _die_with_parent() -> None:
    os.read(0, 1)  # the parent keeps our stdin open and writes nothing more: this returns when it is gone
    os._exit(1)


def main() -> None:
    """List, and tell the parent how it went."""
    gc.set_threshold(10_000, 10, 10)  # rows are no cycles, and looking for some after every 700 takes its time
    request = marshal.loads(receive(0, int.from_bytes(receive(0, 4), "big")))  # noqa: S302 - from our parent
    if not request["sample"]:
        threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        from trueup.stores.operators import build

        options, timeout, retries = request["options"], request["timeout"], request["retries"]
        operator = build(request["service"], options, timeout=timeout, retries=retries)
        if request["sample"]:
            Sampler(operator, request).run()
            os._exit(0)
        listing: Listing | TreeListing
        if request["tree"]:
            from trueup.stores.tree_lister import TreeListing

            listing = TreeListing(operator, request)
        else:
            listing = Listing(operator, request)
        try:
            listing.run()
        except BaseException:
            listing.send_page()
            raise
    except Order as signal:
        send(("order", signal.args[0]))
    except Broken as signal:
        send(("broken", signal.args[0]))
    except BaseException as error:  # noqa: BLE001 - a panic of the client is one of these, and the parent must know
        send(("error", type(error).__name__, str(error)))
    os._exit(0)  # without the interpreter's farewell: the watching thread sits in a read


if __name__ == "__main__":
    main()
