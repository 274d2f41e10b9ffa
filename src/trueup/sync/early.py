"""Copies that begin while the plan is still made: those of new files that nothing further down the listings can object
to.

A file may have the name of a folder on the other side, and what lies in that folder comes behind it: so a copy waits
for the next key. Of two names that are one where case is folded, the second may come much later: on such a disk nothing
begins early; nor does a name that has several spellings, nor anything where the server would let a file take the place
of one that came there meanwhile. A bucket's listing may turn out not to be in order, and then what seemed absent was
not: into a bucket, copies begin once its own listing has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from trueup.stores.base import Store
from trueup.stores.stopping import apart
from trueup.sync.clashes import Clashes
from trueup.sync.item import Item
from trueup.sync.plan import Plan


class Hands(Protocol):
    """Who does it."""

    @property
    def free(self) -> bool:
        """Whether there is room for one more. What finds none is done later, with the rest of the plan: a listing that
        waited for transfers might be held open for hours, and nobody would know how much there is to do."""
        ...

    def begin(self, item: Item) -> None:
        """Take on a copy."""
        ...

    def tend(self) -> None:
        """Look after what was begun. Called again and again, between two steps of planning."""
        ...


class Early:
    """One pass over the listings: keeps one copy back until the next key is known."""

    def __init__(self, plan: Plan, clashes: Clashes, hands: Hands) -> None:
        self._plan = plan
        self._clashes = clashes
        self._hands = hands
        self._kept: partial[None] | None = None
        self._safe: dict[str, bool] = {}
        self._begun = plan.begun()
        self._next_begun = next(self._begun, None)

    def offer(self, side: str, store: Store, add: partial[None]) -> None:
        """Have a copy of something new to a side added to the plan, by `add(begun=…)`, whose first argument is its
        key. The key has been watched for clashes, which settles those with names above it."""
        if self._safe.get(side) is None:
            self._safe[side] = not store.features.folds_case and apart(store.guards_absent)
        if self._safe[side] and not self._clashes.touches(add.args[0]):
            self._kept = add
        else:
            add()

    def passed(self, key: str) -> None:
        """The pairs went on to a key (empty at their end). Names below the kept one would be next, or behind others
        that begin like it: those few are left for later too."""
        add, self._kept = self._kept, None
        if add is None:
            return
        begun = not key.startswith(add.args[0]) and self._hands.free
        add(begun=begun)
        if begun:
            self._hands.begin(self._plan.added())

    def has_begun(self, key: str) -> bool:
        """Whether an earlier pass began a copy of this key: then this run looks at it no more. Keys ascend."""
        while self._next_begun is not None and self._next_begun < key:
            self._next_begun = next(self._begun, None)
        return self._next_begun == key

    def has_begun_within(self, keys: Sequence[str]) -> bool:
        """The same of any of these keys, which ascend."""
        self.has_begun(keys[0])
        return self._next_begun is not None and self._next_begun <= keys[-1]

    def tend(self) -> None:
        """As `Hands.tend`."""
        self._hands.tend()
