"""A second look at what differs by an inventory report: the place itself is asked how it is now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trueup.config import SyncConfig
from trueup.errors import Hidden, NotFound, Unaddressable
from trueup.stores.base import Entry, Store
from trueup.sync.content import Answer
from trueup.sync.decide import Action, decide
from trueup.sync.pair import Pair

_NO_DIFFERENCE: Final = (Action.UNCHANGED, Action.ADOPT, Action.FORGET)


class Again:
    """Asks those stores again whose listing was a report. Safe from many threads."""

    def __init__(self, stores: Mapping[str, Store], config: SyncConfig) -> None:
        self._stores = stores
        self._config = config

    def wanted(self, pair: Pair, answer: Answer) -> bool:
        """Whether a pair differs by a report: it may be that the report is old."""
        decision = decide(
            pair.left,
            pair.right,
            left_state=answer.left,
            right_state=answer.right,
            equal=answer.equal,
            config=self._config,
        )
        return decision.action not in _NO_DIFFERENCE

    def look(self, pair: Pair) -> Pair:
        """The pair as it is now. Raises `StoreError` where that cannot be learnt."""
        for side, store in self._stores.items():
            if side == "left":
                pair = pair._replace(left=_now(store, pair.left, _name(pair, left=True)))
            else:
                pair = pair._replace(right=_now(store, pair.right, _name(pair, left=False)))
        return pair


def _name(pair: Pair, *, left: bool) -> str:
    """What a side calls the key of a pair, or would."""
    own, other = (pair.left, pair.right) if left else (pair.right, pair.left)
    if own is not None:
        return own.key
    if pair.base is not None:
        return pair.base.left_key if left else pair.base.right_key
    return other.key if other is not None else pair.key


def _now(store: Store, listed: Entry | None, key: str) -> Entry | None:
    try:
        found = store.stat(key)
    except Hidden:
        raise
    except (NotFound, Unaddressable):
        return None
    if listed is not None and listed.size == found.size and listed.etag == found.etag != "":
        return listed  # which may tell an MD5 that a look at one object does not
    return found
