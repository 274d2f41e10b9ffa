"""Every pair this machine has synced, by its state file; one that cannot be read does not hide the others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from trueup.errors import TrueupError
from trueup.sync.state import PairState, said_plainly

_Read = TypeVar("_Read")


def state_files(home: Path) -> list[Path]:
    """The state files below the state folder, in the order of their names."""
    return sorted((home / "pairs").glob("*.db"))


def read_each(home: Path, read: Callable[[PairState], _Read]) -> tuple[list[tuple[Path, _Read]], list[str]]:
    """What `read` finds in each state file, and a sentence with file and cure for each that cannot be read."""
    found: list[tuple[Path, _Read]] = []
    problems = []
    for path in state_files(home):
        try:
            with closing(PairState(path, left_url="", right_url="")) as state, said_plainly(path):
                found.append((path, read(state)))
        except TrueupError as error:
            problems.append(str(error))
    return found, problems
