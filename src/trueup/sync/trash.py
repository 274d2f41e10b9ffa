"""Where replaced and deleted versions go: `.trueup/trash/<run>/<key>`, on their own side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from trueup import keys
from trueup.errors import NotFound, StoreError, Unaddressable
from trueup.stores.base import Entry, Store
from trueup.sync.state import PairState

KEEP_SECONDS: Final = 30 * 24 * 3600
"""How long a version stays."""


def trash_key(run: str, key: str) -> str:
    """Where the version of `key` that `run` replaced lies."""
    return f"{keys.RESERVED}/trash/{run}/{key}"


def preserve(store: Store, run: str, entry: Entry) -> None:
    """Keep the present version before it is replaced. Raises `Unaddressable` when it cannot be kept: what cannot be
    trashed is not overwritten."""
    store.preserve(entry.key, _target(store, run, entry), if_match=entry)


def take_away(store: Store, run: str, entry: Entry) -> None:
    """Delete by moving to the trash."""
    store.move(entry.key, _target(store, run, entry), if_match=entry)


def _target(store: Store, run: str, entry: Entry) -> str:
    target = trash_key(run, entry.key)
    if (problem := store.unaddressable(target)) is not None:
        raise Unaddressable(
            f"{keys.display(entry.key)} cannot be kept in the trash: {problem}",
            cure="It was left alone; with --no-trash it is replaced without a copy being kept",
        )
    return target


_MAY_HOLD: Final = ("done", "interrupted", "drifted", "failed", "intent")
"""States of journal rows whose earlier version may lie in the trash: an undo has put back the others, or they never
began."""


def contents(state: PairState, run: str) -> Iterator[tuple[str, str]]:
    """(side `a`/`b`, raw key) of what a run put into the trash and nothing took out again. Of actions that failed or
    drifted it is not known how far they came, so theirs are among them."""
    for row in state.journal(run, states=_MAY_HOLD, trashed=True):
        yield row.side, row.source or row.target


def empty(state: PairState, run: str, stores: dict[str, Store]) -> tuple[int, list[str]]:
    """Remove what a run put into the trash. `stores` by side `a`/`b`. Returns how many versions went, and what failed;
    a trash with failures stays listed, to be tried again."""
    gone, problems = 0, []
    for side, key in contents(state, run):
        kept = trash_key(run, key)
        try:
            stores[side].stat(kept)  # to delete what is absent is no error, and would count
            stores[side].delete(kept)
            gone += 1
        except NotFound:
            continue
        except StoreError as error:
            problems.append(str(error))
    if not problems:
        state.set_trash(run, "emptied")
    return gone, problems


def expired(state: PairState, now_ns: int | None = None) -> list[str]:
    """Runs whose trash is older than it is kept."""
    limit = (time.time_ns() if now_ns is None else now_ns) - KEEP_SECONDS * 1_000_000_000
    return [row.run for row in state.runs() if row.trash == "kept" and row.started_ns < limit]
