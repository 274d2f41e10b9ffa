"""Both sides changed: who wins, where the loser goes, and that the next run has nothing to say about it."""

from __future__ import annotations

import logging

import pytest

from tests.sync.world import OLD, World, done, nothing_to_do, outcomes, reasons

WINNERS = [
    ("right", "right"),
    ("left", "left"),
    ("newer", "right"),
    ("older", "left"),
    ("larger", "left"),
    ("smaller", "right"),
]


def disputed(world: World, key: str = "a.txt") -> None:
    """Left: larger and older."""
    world.put("left", key, "left's longer", mtime_ns=(OLD + 10_000) * 10**9)
    world.put("right", key, "right's", mtime_ns=(OLD + 20_000) * 10**9)


@pytest.mark.parametrize(("prefer", "winner"), WINNERS)
@pytest.mark.parametrize("first_run", [True, False])
def test_the_preferred_side_wins_and_the_loser_lies_in_the_trash(world, prefer, winner, first_run):
    if not first_run:
        world.both({"a.txt": "agreed"})
    disputed(world)
    contents = {side: world.tree(side)["a.txt"] for side in ("left", "right")}
    loser = "left" if winner == "right" else "right"
    run = world.sync(prefer=prefer)
    assert run.status == "ok"
    assert reasons(run) == {"a.txt": "conflict"}
    assert done(run) == {f"copy_{loser}": 1}
    assert world.tree("left") == world.tree("right") == {"a.txt": contents[winner]}
    assert world.trash(loser) == [contents[loser]]
    assert world.trash(winner) == []
    assert nothing_to_do(world.sync(prefer=prefer))


@pytest.mark.parametrize(("prefer", "winner"), WINNERS)
def test_with_keep_loser_it_lies_beside_the_winner_on_both_sides(world, prefer, winner):
    disputed(world, "d/a.tar.gz")
    contents = {side: world.tree(side)["d/a.tar.gz"] for side in ("left", "right")}
    loser = "left" if winner == "right" else "right"
    run = world.sync(prefer=prefer, keep_loser=True)
    assert run.status == "ok"
    expected = {"d/a.tar.gz": contents[winner], f"d/a.tar.conflict-{loser}-1.gz": contents[loser]}
    assert world.tree("left") == world.tree("right") == expected
    assert nothing_to_do(world.sync(prefer=prefer, keep_loser=True))


def test_the_log_says_who_won_and_why(world: World, caplog: pytest.LogCaptureFixture):
    disputed(world)
    with caplog.at_level(logging.INFO, logger="trueup.sync"):
        world.sync(prefer="larger")
    assert "conflict a.txt: both sides changed, the left won (prefer=larger)" in caplog.text


@pytest.mark.parametrize(
    ("prefer", "left", "right"),
    [
        ("none", ("l", 1), ("rr", 50)),
        ("newer", ("l", 100), ("rr", 101)),
        ("older", ("l", 100), ("rr", 100)),
        ("larger", ("aa", 1), ("bb", 90)),
        ("smaller", ("aa", 1), ("bb", 90)),
    ],
)
def test_where_no_rule_can_choose_both_stay_and_it_is_said_each_time(world, prefer, left, right):
    for side, (data, age) in (("left", left), ("right", right)):
        world.put(side, "a", data, mtime_ns=(OLD + age) * 10**9)
    before = world.trees()
    for _ in range(2):
        run = world.sync(prefer=prefer, keep_loser=True)
        assert run.status == "partial"
        assert run.exit_code == 1
        assert outcomes(run) == {"a": ("conflict", "skipped")}
        assert run.counts["conflict"] == 1
        assert world.trees() == before
    assert world.baseline() == {}
    assert world.sync(prefer="left").status == "ok"


def test_an_unresolved_conflict_ends_when_the_contents_meet(world: World):
    disputed(world)
    world.sync(prefer="none")
    world.put("left", "a.txt", "right's")
    assert done(world.sync(prefer="none")) == {"adopt": 1}
    assert nothing_to_do(world.sync(prefer="none"))


def test_numbers_count_up_over_several_conflicts(world: World):
    for number in range(1, 4):
        world.put("left", "a.txt", f"left {number}")
        world.put("right", "a.txt", f"right {number}")
        assert world.sync(keep_loser=True).status == "ok"
    expected = {f"a.conflict-left-{number}.txt": f"left {number}".encode() for number in range(1, 4)}
    assert world.tree("left") == world.tree("right") == {"a.txt": b"right 3"} | expected


@pytest.mark.parametrize("where", ["left", "right", "both"])
def test_a_number_that_is_taken_by_something_else_is_skipped(world: World, where: str):
    disputed(world)
    for side in ("left", "right") if where == "both" else (where,):
        world.put(side, "a.conflict-left-1.txt", "something else")
    run = world.sync(keep_loser=True)
    assert run.status == "ok", run.items
    tree = world.tree("left")
    assert tree == world.tree("right")
    assert tree["a.conflict-left-1.txt"] == b"something else"
    assert tree["a.conflict-left-2.txt"] == b"left's longer"


def test_a_number_of_the_same_size_but_other_bytes_is_skipped(world: World):
    disputed(world)
    for side in ("left", "right"):
        world.put(side, "a.conflict-left-1.txt", "LEFT'S LONGER")
    world.sync(keep_loser=True)
    assert world.tree("left")["a.conflict-left-1.txt"] == b"LEFT'S LONGER"
    assert world.tree("left")["a.conflict-left-2.txt"] == b"left's longer"


def test_a_number_that_holds_these_very_bytes_is_used_again(world: World):
    disputed(world)
    for side in ("left", "right"):
        world.put(side, "a.conflict-left-1.txt", "left's longer")
    assert world.sync(keep_loser=True).status == "ok"
    assert set(world.tree("left")) == set(world.tree("right")) == {"a.txt", "a.conflict-left-1.txt"}
    assert nothing_to_do(world.sync(keep_loser=True))


@pytest.mark.parametrize(
    ("key", "beside"),
    [
        ("name", "name.conflict-left-1"),
        (".bashrc", ".bashrc.conflict-left-1"),
        ("d.ir/name", "d.ir/name.conflict-left-1"),
        ("a.b.c", "a.b.conflict-left-1.c"),
        ("ü ber.txt", "ü ber.conflict-left-1.txt"),
        ("ends.", "ends.conflict-left-1."),
        ("new\nline.x", "new\nline.conflict-left-1.x"),
    ],
)
def test_the_name_of_the_loser_keeps_its_extension(world: World, key: str, beside: str):
    disputed(world, key)
    assert world.sync(keep_loser=True).status == "ok"
    assert set(world.tree("right")) == {key, beside}


def test_a_loser_whose_new_name_is_too_long_is_not_overwritten(world: World):
    key = "n" * 250
    disputed(world, key)
    before = world.trees()
    run = world.sync(keep_loser=True)
    assert outcomes(run) == {key: ("copy_left", "failed")}
    assert world.trees() == before


def test_a_one_way_run_asks_nobody(world: World):
    world.both({"a": "agreed"})
    disputed(world, "a")
    run = world.sync(mode="push", prefer="none")
    assert reasons(run) != {"a": "conflict"}
    assert world.tree("right") == world.tree("left") == {"a": b"left's longer"}
    assert world.trash("right") == [b"right's"]


def test_equal_edits_on_both_sides_are_no_conflict(world: World):
    world.both({"a": "old", "empty": "x"})
    for side in ("left", "right"):
        world.put(side, "a", "the same edit")
        world.put(side, "empty", "")
    run = world.sync(prefer="none")
    assert done(run) == {"adopt": 2}
    assert nothing_to_do(world.sync(prefer="none"))


@pytest.mark.parametrize("compare", ["md5", "size-mtime", "size"])
def test_equal_sizes_are_told_apart_as_far_as_the_comparison_looks(world: World, compare: str):
    world.put("left", "same-time", "aaa", mtime_ns=OLD * 10**9)
    world.put("right", "same-time", "bbb", mtime_ns=OLD * 10**9)
    world.put("left", "other-time", "aaa", mtime_ns=OLD * 10**9)
    world.put("right", "other-time", "bbb", mtime_ns=(OLD + 9) * 10**9)
    run = world.sync(compare=compare)
    different = {"md5": {"same-time", "other-time"}, "size-mtime": {"other-time"}, "size": set()}[compare]
    assert {key for key, (action, _) in outcomes(run).items() if action == "copy_left"} == different
    assert nothing_to_do(world.sync(compare=compare))
