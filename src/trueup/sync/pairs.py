"""Every pair that is remembered here, in a state file or in the shared database; one that cannot be read does not hide
the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

from trueup.config import Settings
from trueup.errors import TrueupError
from trueup.sync.session import SHARED
from trueup.sync.state import PairState, said_plainly

_Read = TypeVar("_Read")


class Known(NamedTuple):
    """Where a pair is remembered."""

    path: Path
    """Its state file, if it has one on this machine; the lock lies beside it."""
    shared: bool
    """Whether it is remembered in the shared database."""


def state_files(home: Path) -> list[Path]:
    """The state files below the state folder, in the order of their names."""
    return sorted((home / "pairs").glob("*.db"))


def read_each(settings: Settings, read: Callable[[PairState], _Read]) -> tuple[list[tuple[Known, _Read]], list[str]]:
    """What `read` finds of each pair, and a sentence with the cure for each place that cannot be read."""
    found: list[tuple[Known, _Read]] = []
    problems = []
    for path in state_files(settings.home):
        try:
            with closing(PairState(path, left_url="", right_url="")) as state, said_plainly(path):
                if not state.note(SHARED):
                    found.append((Known(path, shared=False), read(state)))
        except TrueupError as error:
            problems.append(str(error))
    try:
        found += [(Known(state.path, shared=True), read(state)) for state in _shared(settings)]
    except TrueupError as error:
        problems.append(str(error))
    return found, problems


def _shared(settings: Settings) -> Iterator[PairState]:
    from trueup.catalog.database import database_of, may_share

    url = database_of(settings)
    if not may_share(url):
        return
    from trueup.sync.shared import SharedState
    from trueup.sync.shared_pairs import shared_pairs

    for pair in shared_pairs(url):
        with closing(SharedState(url, pair, home=settings.home)) as state:
            yield state
