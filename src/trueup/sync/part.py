"""A part of two trees: some keys and what lies below them. Of the rest, a run over a part concludes nothing."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Final

from trueup import keys
from trueup.errors import NotFound
from trueup.stores.base import Entry, OutOfOrder, Store
from trueup.sync.decide import Action
from trueup.sync.pair import Agreed

if TYPE_CHECKING:  # both import this module
    from trueup.sync.plan import Plan
    from trueup.sync.sides import Sides
    from trueup.sync.state import PairState

SEEKS: Final = 20
"""So many listings of a part each begin at their own key; one listing that sweeps over all of them is cheaper then."""


class Unclear(Exception):
    """What was seen of the part depends on what lies outside it: the whole must be looked at."""


class Part:
    """The keys `tops` (raw or normal), and all below them; the whole trees without any."""

    def __init__(self, tops: Iterable[str] = ()) -> None:
        distinct: list[str] = []
        for top in sorted(map(keys.normal, tops), key=lambda key: f"{key}/"):
            if not distinct or not f"{top}/".startswith(f"{distinct[-1]}/"):
                distinct.append(top)
        self.tops: Final = frozenset(distinct)
        self.whole: Final = not distinct
        """Whether it is no part but everything."""
        self._ranges = list(_ranges(sorted(distinct)))

    def __contains__(self, key: str) -> bool:
        """Whether a key (normal form) is in it."""
        return self.whole or key in self.tops or any(above in self.tops for above in keys.parents(key))

    def entries(self, store: Store, *, ordered: bool = True) -> Generator[Entry]:
        """What a store lists of it, in order. Raises `Unclear` when something above it cannot be seen."""
        if self.whole:
            with closing(store.list(ordered=ordered)) as found:
                yield from found
            return
        ranges = self._ranges
        if len(ranges) > SEEKS or not (ordered and store.features.start):
            ranges = [(ranges[0][0], ranges[-1][1])]
        for start, end in ranges:
            with closing(store.list(start, ordered=ordered)) as found:
                for entry in found:
                    key = keys.normal(entry.key)
                    if key >= end:
                        break
                    if key in self:
                        yield entry
                    elif entry.fault and any(top.startswith(f"{key}/") for top in self.tops):
                        raise Unclear

    def agreed(self, state: PairState) -> Iterator[Agreed]:
        """The baseline's rows of it, in order."""
        if self.whole:
            yield from state.baseline()
            return
        for start, end in self._ranges:
            yield from (row for row in state.baseline(start, end) if row.key in self)

    def require_clear(self, plan: Plan, sides: Sides) -> None:
        """Raise `Unclear` for a plan of a part that holds what only the whole can answer: a conflict, something that
        cannot be seen, a name that may meet another one outside the part."""
        counts = plan.counts()
        if any(counts[note] for note in (Action.CONFLICT, Action.UNKNOWN, Action.UNADDRESSABLE)):
            raise Unclear
        for side, copy in (("left", Action.COPY_LEFT), ("right", Action.COPY_RIGHT)):
            if not counts[copy]:
                continue
            features = sides[side].features
            if features.folds_case and plan.makes(side):
                raise Unclear
            if not features.tree and plan.makes(side):  # a tree refuses a folder where it has a file
                for above in sorted({above for top in self.tops for above in keys.parents(top)}):
                    _require_absent(sides[side], above)


class KeyRange(Part):
    """All keys from `start` to before `end` (normal forms; empty: no end), each as if there were no others: whoever
    looks at every range puts together what this cannot see, which is renames, and what guards compare with."""

    def __init__(self, start: str, end: str) -> None:
        super().__init__()
        self.start, self.end = start, end

    def entries(self, store: Store, *, ordered: bool = True) -> Generator[Entry]:
        """See `Part`."""
        with closing(store.list(self.start, ordered=ordered)) as found:
            for entry in found:
                if self.end and keys.normal(entry.key) >= self.end:
                    if entry.key < keys.lowest(self.end):  # before all that is listed for the range it belongs to
                        raise OutOfOrder(entry.key)
                    return
                yield entry

    def agreed(self, state: PairState) -> Iterator[Agreed]:
        """See `Part`."""
        yield from state.baseline(self.start, self.end)


def _ranges(tops: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Ascending and apart, the ranges of keys (the end not in it) that hold all of these and what lies below them."""
    start = end = ""
    for top in tops:
        if top >= end:
            if end:
                yield start, end
            start = top
        end = max(end, f"{top}0")  # "0" is the character after "/"
    if end:
        yield start, end


def _require_absent(store: Store, key: str) -> None:
    try:
        store.stat(key)
    except NotFound:
        return
    raise Unclear
