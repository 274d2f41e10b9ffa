"""The trash of every pair this machine has synced: what is kept, and emptying it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from trueup.config import Settings, load
from trueup.errors import TrueupError
from trueup.runs import new_run_id
from trueup.sync import trash
from trueup.sync.pairs import read_each
from trueup.sync.session import session
from trueup.sync.state import PairState

log = logging.getLogger("trueup.sync")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashRun:
    """What one run put into the trash. `state` is `kept` while it can be undone; `started` is RFC 3339, UTC."""

    run: str
    started: str
    left: str
    right: str
    files: int
    state: str


def list_trash(settings: Settings | None = None, *, warn: Callable[[str], None] = log.warning) -> list[TrashRun]:
    """Every run whose replaced or deleted versions are still kept, oldest first. Contacts no store. `warn` is told of
    each state file that cannot be read; the trash of that pair is not in the list."""
    return [kept for kept, _ in _listed(settings or load(), warn)]


def _listed(settings: Settings, warn: Callable[[str], None]) -> list[tuple[TrashRun, bool]]:
    """The same, with whether the pair is remembered in the shared database."""
    found, problems = read_each(settings, _kept)
    for problem in problems:
        warn(problem)
    return sorted(((kept, known.shared) for known, pair in found for kept in pair), key=lambda row: row[0].run)


def _kept(state: PairState) -> list[TrashRun]:
    """The trash of one pair."""
    found = []
    for row in state.runs():
        files = sum(1 for _ in trash.contents(state, row.run))
        if row.trash == "kept" and files:
            started = datetime.fromtimestamp(row.started_ns / 1e9, UTC)
            found.append(
                TrashRun(
                    run=row.run,
                    started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
                    left=row.left_spec,
                    right=row.right_spec,
                    files=files,
                    state=row.trash,
                )
            )
    return found


def empty_trash(settings: Settings | None = None) -> tuple[int, list[str]]:
    """Remove every kept version of every pair; those runs cannot be undone afterwards. Returns how many versions went
    and what failed; a pair that cannot be read or reached or is busy is one failure, and the others go on."""
    settings = settings or load()
    removed = 0
    problems: list[str] = []
    for kept, shared in _listed(settings, problems.append):
        try:
            with session(kept.left, kept.right, settings, run=new_run_id(), shared=shared) as opened:
                stores = {opened.state.left_side: opened.sides.left, opened.state.right_side: opened.sides.right}
                gone, failed = trash.empty(opened.state, kept.run, stores)
        except TrueupError as error:
            gone, failed = 0, [f"{kept.run}: {error}"]
        removed += gone
        problems += failed
    return removed, problems
