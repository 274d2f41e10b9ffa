"""Cutting a store's keys into ranges of roughly equal numbers of objects, without listing them.

A page of keys from anywhere tells how dense the keys lie there. How many lie between two pages is estimated from that:
keys become numbers, read as digits whose alphabet is what was seen at their place in other keys. Where most is unknown,
another page is asked for: at the number in the middle, or just above all names that begin as the last known key does.
These take turns, because no alphabet knows of the one folder that holds everything.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final, Protocol, TypeAlias, runtime_checkable

from trueup import keys
from trueup.stores.base import OutOfOrder, Store
from trueup.stores.scale import TOP, Scale, shared

PAGE: Final = 1000
"""Keys in one sample: what every cloud gives in one page."""
_WORTH: Final = 4 * PAGE
"""Keys below which nothing is gained by cutting."""
_FINE: Final = 4
"""A gap is narrow enough when so many of it make a part."""
_FEW: Final = 10
"""So few keys tell nothing of how dense they lie."""

Sample: TypeAlias = Callable[[str], list[str]]
"""Gives the first `PAGE` keys, in normal form, that are not below a start."""


@runtime_checkable
class Sampled(Protocol):
    """A store that answers one question after the other more cheaply than by a listing for each."""

    def sampling(self) -> AbstractContextManager[Sample]: ...


def cut(store: Store, parts: int) -> list[str]:
    """Up to `parts - 1` ascending start keys, in normal form, that cut the store's keys into ranges of roughly equal
    numbers of objects: the first range begins at the first key, and each reaches to just before the next one's start.

    Asks for at most `64 + 4 * parts` pages of 1,000 keys, one after the other, whatever the store holds; fewer where
    the keys lie evenly. Empty where the store cannot start at a key, where its answer has keys below the start or in
    another order, and where fewer than 4,000 keys are there. Raises what `Store.list` raises. No key is lost by a bad
    cut; only the parts are less equal then.
    """
    if parts <= 1 or not store.features.start:
        return []
    try:
        with _sampling(store) as sample:
            return Survey(sample).cuts(parts)
    except OutOfOrder:
        return []


@contextmanager
def _sampling(store: Store) -> Iterator[Sample]:
    if isinstance(store, Sampled):
        with store.sampling() as sample:
            yield sample
        return

    def listed(start: str) -> list[str]:
        with closing(store.list(start)) as entries:
            return [keys.normal(entry.key) for entry in islice(entries, PAGE)]

    yield listed


@dataclass(slots=True)
class Island:
    """Keys that follow each other, and a gap after them that reaches to just below `end`. It is `closed` when nothing
    lies in there."""

    keys: list[str]
    end: str
    closed: bool = False
    looks: int = 0
    """How often the gap was looked into."""


class Survey:
    """Pages from all over a store, and what lies between them."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._scale = Scale()
        self._islands: list[Island] = []
        self._topmost: set[tuple[int, str]] = set()
        self._asked = 0

    def cuts(self, parts: int) -> list[str]:
        """See `cut`. Raises `OutOfOrder`."""
        most = 64 + 4 * parts
        first = self._page("")
        if not first:
            return []
        self._islands = islands = [Island(first, TOP, closed=len(first) < PAGE)]
        while self._asked < most and not islands[-1].closed and islands[-1].end == TOP:
            self._look(len(islands) - 1, self._scale.above(shared(islands[0].keys[0], islands[-1].keys[-1])))
        while self._asked < most:
            if self._look_above():
                continue
            gaps = self._gaps()
            total = sum(gaps) + sum(len(island.keys) for island in islands)
            widest = max(range(len(gaps)), key=gaps.__getitem__)
            if gaps[widest] * _FINE * parts < total:
                break
            self._split(widest)
        return self._quantiles(parts)

    def _page(self, start: str) -> list[str]:
        found = self._sample(start)[:PAGE]
        self._asked += 1
        for below, above in pairwise([start, *found]):
            if above < below:
                raise OutOfOrder(above)
        self._scale.learn(found[:: max(1, len(found) // 50)])
        return found

    def _look_above(self) -> bool:
        """Find out what no alphabet tells of yet: names in a folder that begin with a character above those that were
        seen so many folders down. Asked once for each depth and character; False when there is nothing to ask."""
        for number, island in enumerate(self._islands):
            last = island.keys[-1]
            folder = last[: last.rfind("/") + 1]
            start = self._scale.above(folder)
            topmost = (folder.count("/"), start[-2:])
            if not island.closed and last < start < island.end and topmost not in self._topmost:
                self._topmost.add(topmost)
                self._look(number, start)
                return True
        return False

    def _split(self, number: int) -> None:
        """Look into the middle of a gap: by number and by name, in turns."""
        island = self._islands[number]
        last, end = island.keys[-1], island.end
        start = "" if island.looks % 2 else self._scale.between(last, end)
        if not last < start < end:
            # Half way from the first character in which the last key differs from the end to its own last one.
            start = last[: (len(shared(last, end)) + 1 + len(last)) // 2] + TOP
        self._look(number, start)

    def _look(self, number: int, start: str) -> None:
        """Ask for what is in the gap after an island, from a start in there on."""
        island = self._islands[number]
        last, end = island.keys[-1], island.end
        if not last < start < end:
            start = last + "\0"
        page = self._page(start)
        found = page[: bisect_left(page, end)]
        if found:
            self._islands.insert(number + 1, Island(found, end, closed=len(found) < PAGE))
        island.end = start
        island.closed = start == last + "\0"
        island.looks += 1

    def _gaps(self) -> list[float]:
        """How many keys there may be in the gap after each island."""
        place = self._scale.place
        dense = [
            len(island.keys) / max(1, place(island.keys[-1]) - place(island.keys[0]))
            if len(island.keys) > _FEW
            else 0.0
            for island in self._islands
        ]
        found = []
        for number, island in enumerate(self._islands):
            near = [each for each in dense[number : number + 2] if each] or [0.0]
            wide = place(island.end) - place(island.keys[-1])
            found.append(0.0 if island.closed else max(1.0, wide * (sum(near) / len(near))))
        return found

    def _quantiles(self, parts: int) -> list[str]:
        """The sampled keys nearest to where equal parts would be cut."""
        marks: list[str] = []
        counts: list[float] = []
        total = 0.0
        for island, gap in zip(self._islands, self._gaps(), strict=True):
            step = max(1, len(island.keys) // 16)
            marks += island.keys[::step]
            counts += [total + at for at in range(0, len(island.keys), step)]
            total += len(island.keys) + gap
        if total < _WORTH:
            return []
        chosen: set[int] = set()
        for part in range(1, parts):
            wanted = total * part / parts
            above = bisect_left(counts, wanted)
            near = range(max(0, above - 1), min(len(marks), above + 1))
            chosen.add(min(near, key=lambda mark: abs(counts[mark] - wanted)))
        return sorted({marks[mark] for mark in chosen} - {marks[0]})
