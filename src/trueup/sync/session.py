"""A run's surroundings: both stores opened, the pair's state, its lock."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trueup import keys
from trueup.config import Settings
from trueup.errors import DatabaseUnavailable, TrueupError, UsageError
from trueup.runs import run_at, run_lock
from trueup.stores import open_store
from trueup.sync.sides import Sides
from trueup.sync.state import PairState, pair_id, said_plainly
from trueup.sync.without import without

if TYPE_CHECKING:
    from trueup.sync.shared import SharedState

SHARED: Final = "shared"
"""The note in a state file whose contents moved to the shared database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Everything a run works with."""

    left: str
    right: str
    sides: Sides
    state: PairState
    folder: Path
    """Where plans lie while they are made."""
    settings: Settings

    def lasting(self, side: str) -> str:
        """What names a side in a later command too: a relative path means another place in another folder."""
        word = self.left if side == "left" else self.right
        if word in self.settings.stores or "://" in word:
            return word
        return self.sides[side].url


@contextmanager
def opened_sides(left: str, right: str, settings: Settings, *, inventory: bool = False) -> Iterator[Sides]:
    """Open both places. The state folder is in neither side's listing. With `inventory`, what has reports is listed by
    them. Raises `UsageError` for places that overlap or whose names are not Unicode, and what opening a store
    raises."""
    with ExitStack() as stack:
        sides = Sides(
            left=stack.enter_context(closing(open_store(settings.store(left), settings.environ))),
            right=stack.enter_context(closing(open_store(settings.store(right), settings.environ))),
        )
        for side in (sides.left, sides.right):
            _require_unicode(side.url)
        refuse_overlap(sides.left.url, sides.right.url)
        if inventory:
            sides = stack.enter_context(_by_reports(sides, {"left": left, "right": right}, settings))
        yield _without_state(sides, settings.home)


@contextmanager
def _by_reports(sides: Sides, words: Mapping[str, str], settings: Settings) -> Iterator[Sides]:
    """The sides listed by the reports that their settings name, which are of one at least."""
    from trueup.stores.inventory import by_report

    configs = {side: settings.store(word) for side, word in words.items()}
    if not any(config.inventory for config in configs.values()):
        cure = 'Write [stores.NAME] inventory = "URL" for one of them, and use its name'
        raise UsageError("neither side has inventory reports", cure=cure)
    with ExitStack() as stack:
        reports = {}
        for side, config in configs.items():
            if config.inventory:
                store, reports[side] = stack.enter_context(by_report(sides[side], config, settings))
                sides = replace(sides, left=store) if side == "left" else replace(sides, right=store)
        yield replace(sides, reports=reports)


def under_way(left: str, right: str, settings: Settings) -> str:
    """The id of the run of this state folder that works on two places now; empty where none does. Raises what
    `opened_sides` raises."""
    with opened_sides(left, right, settings) as sides:
        return run_at(_lock(sides, settings))


@contextmanager
def session(
    left: str,
    right: str,
    settings: Settings,
    *,
    run: str,
    lock: bool = True,
    killed: str | None = None,
    sides: Sides | None = None,
    shared: bool = False,
    inventory: bool = False,
) -> Iterator[Session]:
    """Open both places and their state. `sides` that are open already stay so. A `shared` state is in the database
    which all workers reach, and stays there for later runs; one of which nothing is remembered here may be there
    already. Raises `Busy` when another run works on this pair, `TrueupError` when that database is not to be asked, and
    what `opened_sides` raises.

    A caller that has the lock of this machine says which run was `killed` that held it before; empty for none.
    """
    with ExitStack() as stack:
        if sides is None:
            sides = stack.enter_context(opened_sides(left, right, settings, inventory=inventory))
        if lock and killed is None:
            killed = stack.enter_context(run_lock(_lock(sides, settings), run=run))
        state = stack.enter_context(closing(PairState.at(settings.home, sides.left.url, sides.right.url)))
        stack.enter_context(said_plainly(state.path))
        if shared or state.note(SHARED) or _is_shared(state, sides, settings):
            ours = stack.enter_context(_shared(sides, settings))
            if lock:
                stack.enter_context(ours.locked(run, instead_of=killed or ""))
            if not state.note(SHARED):
                if shared:
                    ours.move_in(state)
                state.set_note(SHARED, "yes")
            state = ours
        yield Session(
            left=left, right=right, sides=sides, state=state, folder=settings.home / "plans", settings=settings
        )


def _is_shared(state: PairState, sides: Sides, settings: Settings) -> bool:
    """Whether workers sync a pair of which nothing is remembered here, led from elsewhere. Raises `TrueupError` when
    the database does not say: two runs at once would not know of each other."""
    if "database" not in settings.sections or state.has_baseline() or state.runs():
        return False
    from trueup.catalog.database import database_of, may_share

    url = database_of(settings)
    if not may_share(url) or any(sides[side].features.tree for side in ("left", "right")):
        return False  # workers share buckets only
    from trueup.sync.shared_pairs import is_shared

    try:
        return is_shared(url, pair_id(sides.left.url, sides.right.url))
    except UsageError:
        raise
    except TrueupError as error:
        kind = DatabaseUnavailable if isinstance(error, DatabaseUnavailable) else TrueupError
        what = "nothing is remembered here of these two places, and whether workers sync them is not known"
        raise kind(
            f"{what}: {error.message}",
            cure="Where no workers do, leave [database] out of these settings",
        ) from error


@contextmanager
def _shared(sides: Sides, settings: Settings) -> Iterator[SharedState]:
    from trueup.catalog.database import database_of
    from trueup.sync.shared import SharedState, opened_plainly

    url = database_of(settings)
    with opened_plainly(SharedState.of(url, sides.left.url, sides.right.url, settings.home)) as state:
        yield state


def _require_unicode(url: str) -> None:
    """Names of places are kept in databases and sent to servers, which take nothing else."""
    try:
        url.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{keys.display(url)} is no place for a sync: the name is not valid Unicode", cure="Rename the folder"
        ) from None


def refuse_overlap(left_url: str, right_url: str) -> None:
    """One place cannot be synced with itself or with a part of itself."""
    left, right = (re.sub(r"/+$", "", _plainly(url)) + "/" for url in (left_url, right_url))
    if left == right:
        raise UsageError(f"both sides are the same place: {left_url}")
    if left.startswith(right) or right.startswith(left):
        raise UsageError(
            f"one side lies inside the other: {left_url} and {right_url}",
            cure="Use two places that do not overlap",
        )


def _plainly(url: str) -> str:
    """A folder of this machine by its path, by whatever means it is reached."""
    path = re.sub(r"^fsspec\+(file|local)://", "", url)
    return url if path == url else open_store(path, {}).url


def _lock(sides: Sides, settings: Settings) -> Path:
    return settings.home / "pairs" / f"{pair_id(sides.left.url, sides.right.url)}.lock"


def _without_state(sides: Sides, home: Path) -> Sides:
    """The sides without the state folder, if it lies in one of them: it changes while the run reads it, and another
    machine's must not be written over. The other side is spared its copy as well, which may be from another tool."""
    state = open_store(str(home.absolute()), {}).url
    for side in ("left", "right"):
        root = _plainly(sides[side].url).rstrip("/")
        if state == root:
            raise UsageError(
                f"the {side} is trueup's own state folder: {state}",
                cure="Name another folder, or set TRUEUP_HOME to another one",
            )
        if state.startswith(f"{root}/"):
            folder = state.removeprefix(f"{root}/")
            return replace(sides, left=without(sides.left, folder), right=without(sides.right, folder))
    return sides
