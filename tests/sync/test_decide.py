"""The decision table, every cell: the design's table is written out here again, and the code is held to it."""

from __future__ import annotations

from itertools import product

import pytest

from trueup.config import MODES, PREFERENCES, SyncConfig
from trueup.stores.base import Entry
from trueup.sync.decide import Action, Decision, State, decide, needs_comparison

TWO_WAY = """
left \\ right | absent     | same          | new               | changed           | deleted
absent       | -          |               | copy left         |                   |
same         |            | nothing       |                   | copy left         | delete left*
new          | copy right |               | adopt or conflict |                   |
changed      |            | copy right    |                   | adopt or conflict | copy right
deleted      |            | delete right* |                   | copy left         | forget
"""
"""A blank cell cannot be: a baseline row speaks of both sides. `*` only with --delete, else what is left is copied
back."""

PUSH = """
left \\ right | absent | same  | new    | changed | deleted
absent       | -      |       | extra  |         |
same         |        | -     |        | copy    | copy
new          | copy   |       | equal? |         |
changed      |        | copy  |        | equal?  | copy
deleted      |        | extra |        | extra   | forget
"""
"""`extra` is deleted with --delete and left alone without; `equal?` is adopted if equal, else copied."""


def cells(table: str) -> dict[tuple[State, State], str]:
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return {
        (State(row[0]), State(column)): cell
        for row in rows
        for column, cell in zip(head[1:], row[1:], strict=True)
        if cell
    }


def entry(state: State, *, size: int, mtime_s: int) -> Entry | None:
    if state in {State.ABSENT, State.DELETED}:
        return None
    return Entry("k", size, mtime_s * 1_000_000_000, "print")


def verdict(
    left: State, right: State, *, equal: bool, sizes: tuple[int, int] = (5, 3), times=(10, 20), **options
) -> Decision:
    return decide(
        entry(left, size=sizes[0], mtime_s=times[0]),
        entry(right, size=sizes[1], mtime_s=times[1]),
        left_state=left,
        right_state=right,
        equal=equal,
        config=SyncConfig(**options),
    )


POSSIBLE = sorted(cells(TWO_WAY))


def test_both_tables_name_the_same_thirteen_combinations():
    assert set(cells(TWO_WAY)) == set(cells(PUSH))
    assert len(POSSIBLE) == 13


# left is larger and older; right is smaller and newer
WINNERS = {"right": "left", "left": "right", "newer": "left", "older": "right", "larger": "right", "smaller": "left"}
"""Preference -> the side that is written."""


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("delete", [True, False])
@pytest.mark.parametrize("prefer", PREFERENCES)
def test_two_way_follows_the_table(prefer: str, delete: bool, equal: bool):
    for (left, right), cell in cells(TWO_WAY).items():
        got = verdict(left, right, equal=equal, prefer=prefer, delete=delete)
        match cell:
            case "-" | "nothing":
                expected = Decision(Action.UNCHANGED, "same")
            case "forget":
                expected = Decision(Action.FORGET, "gone")
            case "delete left*":
                expected = (
                    Decision(Action.DELETE_LEFT, "deleted") if delete else Decision(Action.COPY_RIGHT, "restored")
                )
            case "delete right*":
                expected = (
                    Decision(Action.DELETE_RIGHT, "deleted") if delete else Decision(Action.COPY_LEFT, "restored")
                )
            case "adopt or conflict" if equal:
                expected = Decision(Action.ADOPT, "equal")
            case "adopt or conflict" if prefer == "none":
                expected = Decision(Action.CONFLICT, "none-preferred")
            case "adopt or conflict":
                expected = Decision(Action(f"copy_{WINNERS[prefer]}"), "conflict")
            case _:
                why = "new" if State.NEW in {left, right} else "changed"
                expected = Decision(Action(cell.replace(" ", "_")), why)
        assert got == expected, (left, right)


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("delete", [True, False])
@pytest.mark.parametrize("prefer", PREFERENCES)
@pytest.mark.parametrize("mode", ["push", "pull"])
def test_one_way_follows_the_table(mode: str, prefer: str, delete: bool, equal: bool):
    target = "right" if mode == "push" else "left"
    for (source, other), cell in cells(PUSH).items():
        left, right = (source, other) if mode == "push" else (other, source)
        got = verdict(left, right, equal=equal, mode=mode, prefer=prefer, delete=delete)
        match cell:
            case "-":
                expected = Action.UNCHANGED
            case "forget":
                expected = Action.FORGET
            case "extra":
                expected = Action(f"delete_{target}") if delete else Action.UNCHANGED
            case "equal?" if equal:
                expected = Action.ADOPT
            case _:
                expected = Action(f"copy_{target}")
        assert got.action is expected, (left, right)


@pytest.mark.parametrize("combination", list(product(State, State)))
def test_a_combination_outside_the_table_is_never_guessed_in_two_way(combination):
    if combination in cells(TWO_WAY):
        assert verdict(*combination, equal=False)
    else:
        with pytest.raises(KeyError):
            verdict(*combination, equal=False)


def every_decision():
    for mode, prefer, delete, equal in product(MODES, PREFERENCES, [True, False], [True, False]):
        for left, right in POSSIBLE:
            yield mode, delete, left, right, verdict(left, right, equal=equal, mode=mode, prefer=prefer, delete=delete)


def test_one_way_never_writes_its_source():
    for mode, _, _, _, (action, _) in every_decision():
        if mode != "two-way":
            assert not action.endswith("_left" if mode == "push" else "_right")


def test_without_delete_nothing_is_deleted():
    for _, delete, _, _, (action, _) in every_decision():
        if not delete:
            assert not action.startswith("delete")


def test_an_edit_beats_a_delete():
    for mode, _, left, right, (action, _) in every_decision():
        if mode == "two-way" and {left, right} == {State.CHANGED, State.DELETED}:
            assert action is (Action.COPY_RIGHT if left is State.CHANGED else Action.COPY_LEFT)


def test_only_what_is_there_is_copied_or_deleted():
    there = {State.SAME, State.NEW, State.CHANGED}
    for _, _, left, right, (action, _) in every_decision():
        if action in {Action.COPY_RIGHT, Action.DELETE_LEFT}:
            assert left in there
        if action in {Action.COPY_LEFT, Action.DELETE_RIGHT}:
            assert right in there


def test_a_file_is_deleted_only_where_the_other_side_has_none():
    gone = {State.ABSENT, State.DELETED}
    for _, _, left, right, (action, _) in every_decision():
        if action is Action.DELETE_LEFT:
            assert right in gone
        if action is Action.DELETE_RIGHT:
            assert left in gone


def test_the_table_is_symmetric():
    """Mirroring both sides, the mode and the preference mirrors the decision."""
    mirror = {"right": "left", "left": "right", "push": "pull", "pull": "push"}
    for mode, prefer, delete, equal in product(MODES, PREFERENCES, [True, False], [True, False]):
        for left, right in POSSIBLE:
            one = verdict(left, right, equal=equal, mode=mode, prefer=prefer, delete=delete)
            other = verdict(
                right, left, equal=equal, mode=mirror.get(mode, mode), prefer=mirror.get(prefer, prefer), delete=delete,
                sizes=(3, 5), times=(20, 10),
            )  # fmt: skip
            action, _, side = one.action.rpartition("_")
            mirrored = f"{action}_{mirror[side]}" if side in mirror else one.action
            assert (mirrored, one.reason) == tuple(other)


def test_contents_are_compared_exactly_where_the_decision_depends_on_them():
    for mode, prefer, delete in product(MODES, PREFERENCES, [True, False]):
        options = {"mode": mode, "prefer": prefer, "delete": delete}
        for left, right in POSSIBLE:
            depends = verdict(left, right, equal=True, **options) != verdict(left, right, equal=False, **options)
            assert depends == needs_comparison(left, right, mode), (mode, left, right)


@pytest.mark.parametrize(
    ("prefer", "times", "sizes", "expected"),
    [
        ("newer", (10, 20), (1, 1), "copy_left"),
        ("newer", (20, 10), (1, 1), "copy_right"),
        ("older", (10, 20), (1, 1), "copy_right"),
        ("newer", (10, 11), (1, 1), "no-newer"),
        ("older", (10, 11), (1, 1), "no-older"),
        ("newer", (10, 12), (1, 1), "copy_left"),
        ("newer", (0, 20), (1, 1), "no-newer"),
        ("older", (10, 0), (1, 1), "no-older"),
        ("larger", (1, 1), (5, 5), "no-larger"),
        ("smaller", (1, 1), (5, 5), "no-smaller"),
        ("larger", (1, 1), (0, 1), "copy_left"),
        ("smaller", (1, 1), (0, 1), "copy_right"),
        ("none", (1, 50), (0, 1), "none-preferred"),
    ],
)
def test_a_rule_that_sees_no_difference_leaves_both_alone_and_says_so(prefer, times, sizes, expected):
    for state in (State.NEW, State.CHANGED):
        got = verdict(state, state, equal=False, prefer=prefer, times=times, sizes=sizes)
        if expected.startswith("copy"):
            assert got == Decision(Action(expected), "conflict")
        else:
            assert got == Decision(Action.CONFLICT, expected)


@pytest.mark.parametrize(
    ("ahead_s", "expected"), [(0, "copy_left"), (8, "copy_left"), (9, "conflict"), (11, "conflict"), (12, "copy_right")]
)
def test_newer_takes_the_measured_clock_difference_off(ahead_s: int, expected: str):
    """The right shows 20 s, the left 10 s; the right's clock is ahead."""
    got = decide(
        Entry("k", 1, 10 * 10**9, "l"),
        Entry("k", 1, 20 * 10**9, "r"),
        left_state=State.NEW,
        right_state=State.NEW,
        equal=False,
        config=SyncConfig(prefer="newer"),
        clock_ahead_ns=ahead_s * 10**9,
    )
    assert got.action == expected
