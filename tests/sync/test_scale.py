"""Work that grows with the number of rows, and no faster: counted in steps of SQLite, because time proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from trueup.config import SyncConfig
from trueup.stores.base import Entry
from trueup.sync.decide import Action
from trueup.sync.header import Header
from trueup.sync.item import Phase
from trueup.sync.moves import find_moves
from trueup.sync.plan import Plan

SMALL, LARGE = 4_000, 16_000


def planned(rows: Callable[[Plan, int], None], number: int) -> Plan:
    places = {"left": "a", "right": "b", "left_url": "file:///a", "right_url": "file:///b"}
    plan = Plan(Header(run="r", config=SyncConfig(), **places))
    for count in range(number):
        rows(plan, count)
    plan.flush()
    return plan


def steps(plan: Plan, act: Callable[[], object]) -> int:
    """Hundreds of instructions of SQLite's machine."""
    seen = 0

    def count() -> int:
        nonlocal seen
        seen += 1
        return 0

    plan.db.set_progress_handler(count, 100)
    act()
    plan.db.set_progress_handler(None, 0)
    return seen


def adopted(plan: Plan, number: int) -> None:
    entry = Entry(f"{number}", 1, 1, "print")
    plan.add(f"{number}", Action.ADOPT, "equal", left=entry, right=entry)


def renamed(plan: Plan, number: int) -> None:
    """A file that vanished, and one of the same size that came."""
    size = number + 1
    gone, new = Entry(f"old/{number}", size, 1, "print"), Entry(f"new/{number}", size, 1, "print")
    plan.add(gone.key, Action.DELETE_RIGHT, "deleted", right=gone, right_key=gone.key, md5=f"{size:032}")
    plan.add(new.key, Action.COPY_RIGHT, "new", left=new, left_key=new.key, bytes=size)


def found(plan: Plan) -> None:
    with ThreadPoolExecutor(1) as pool:
        find_moves(plan, lambda _side, entry: f"{entry.size:032}", pool, touches_clash=lambda _key: False)


@pytest.mark.parametrize(
    ("rows", "work"),
    [
        (adopted, lambda plan: sum(1 for _ in plan.items(Phase.RECORD))),
        (adopted, lambda plan: sum(1 for _ in plan.items())),
        (adopted, lambda plan: sum(1 for _ in plan.items(hidden=False))),
        (renamed, found),
    ],
    ids=["one phase", "all", "shown", "moves"],
)
def test_four_times_the_rows_are_about_four_times_the_work(rows, work, monkeypatch: pytest.MonkeyPatch):
    # Who heeds stops while a statement runs is called back in the same way as who counts here.
    monkeypatch.setattr("trueup.sync.sql.heeding", lambda _db: nullcontext())
    effort = []
    for number in (SMALL, LARGE):
        with planned(rows, number) as plan:
            effort.append(steps(plan, lambda plan=plan: work(plan)))
            if rows is renamed:
                assert plan.counts() == {"move_right": number}
    assert 0 < effort[1] < 6 * effort[0], effort
