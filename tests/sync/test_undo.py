"""Undo after do: the trees of before, byte for byte; what changed since is left alone and said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sync.cases import AGREED, disagree, prepared
from tests.sync.model import choices, edits
from tests.sync.world import World, done, nothing_to_do, outcomes, reasons, scratch
from trueup.errors import UsageError


@pytest.fixture
def full(world: World) -> World:
    return prepared(world)


@pytest.mark.parametrize("keep_loser", [False, True])
@pytest.mark.parametrize("delete", [False, True])
@pytest.mark.parametrize("mode", ["two-way", "push", "pull"])
def test_undo_restores_both_trees_and_holds_the_keys(full: World, mode: str, delete: bool, keep_loser: bool):
    before = full.trees()
    options = {"mode": mode, "delete": delete, "keep_loser": keep_loser, "force": True}
    run = full.sync(**options)
    after = full.trees()
    assert after != before
    undone = full.undo(run)
    assert undone.job == "undo"
    assert full.trees() == before
    assert undone.status == "ok", undone.items
    assert not full.temporaries()
    again = full.sync(**options)
    assert full.trees() == before, "held keys are skipped"
    assert {item["action"] for item in again.items} <= {"held", "conflict"}
    assert again.counts["held"] > 0
    released = full.sync(**options, release=True)
    assert full.trees() == after, "released, the same run does the same again"
    adopted = {"adopt", "unchanged"}  # what the first run adopted was in step already
    assert {n: c for n, c in done(released).items() if n not in adopted} == {
        n: c for n, c in done(run).items() if n not in adopted
    }


@settings(max_examples=40)
@given(edits, edits, choices, st.booleans())
def test_undo_after_do_changes_nothing_whatever_was_done(agreed, changes, options, keep_loser):
    with scratch() as folder:
        world = World(Path(folder))
        for change in agreed:
            change.act(world)
        world.sync()
        for change in changes:
            change.act(world)
        before, base = world.trees(), world.baseline()
        run = world.sync(force=True, keep_loser=keep_loser, **options)
        after = world.trees()
        if before == after:
            return
        undone = world.undo(run)
        assert undone.status == "ok", undone.items
        assert world.trees() == before
        for key, agreed_on in base.items():
            if key in world.held():
                assert world.baseline()[key] == agreed_on
        world.sync(force=True, **options)
        assert world.trees() == before
        world.sync(force=True, keep_loser=keep_loser, release=True, **options)
        assert world.trees() == after


def test_undo_counts_what_it_put_back(world: World):
    world.both({"changed": "old", "deleted": "gone"})
    world.put("left", "changed", "newer")
    world.put("left", "new", "n")
    world.remove("left", "deleted")
    undone = world.undo(world.sync(delete=True))
    assert outcomes(undone) == {
        "changed": ("copy_right", "done"),
        "new": ("delete_right", "done"),
        "deleted": ("copy_right", "done"),
    }
    assert done(undone) == {"copy_right": 2, "delete_right": 1}


def test_a_beginning_of_the_id_is_enough_and_an_ambiguous_one_is_not(world: World):
    world.both({"a": "1"})
    world.put("left", "a", "2")
    run = world.sync()
    with pytest.raises(UsageError, match="beginning of 2 runs"):
        world.undo(run.run[:3])
    assert world.undo(run.run[:-1]).status == "ok"


@pytest.mark.parametrize("run", ["", "nonsense"])
def test_an_unknown_run_is_said_to_be_unknown(world: World, run: str):
    world.both({"a": "1"})
    with pytest.raises(UsageError, match="no run"):
        world.undo(run)


def test_undo_twice_is_refused_and_changes_nothing(full: World):
    run = full.sync(delete=True)
    full.undo(run)
    trees = full.trees()
    with pytest.raises(UsageError, match="undone already"):
        full.undo(run)
    assert full.trees() == trees


def test_an_undo_is_not_undone_but_released(world: World):
    world.both({"a": "1"})
    world.put("left", "a", "2")
    undone = world.undo(world.sync())
    trees = world.trees()
    with pytest.raises(UsageError, match="was itself an undo"):
        world.undo(undone)
    assert world.trees() == trees


def test_a_run_that_changed_nothing_cannot_be_undone(world: World):
    world.both({"a": "1"})
    with pytest.raises(UsageError, match="changed nothing"):
        world.undo(world.sync())


def test_a_run_without_trash_cannot_be_undone(world: World):
    world.both({"a": "1"})
    world.put("left", "a", "2")
    run = world.sync(trash=False)
    assert world.trash("right") == []
    with pytest.raises(UsageError, match="--no-trash"):
        world.undo(run)


def test_what_changed_since_is_left_alone_and_the_rest_is_put_back(world: World):
    world.both({"a": "old", "b": "old", "c": "old", "d": "old"})
    for key in "abcd":
        world.put("left", key, "new")
    run = world.sync()
    world.put("right", "b", "NEW")
    world.put("right", "c", "longer than before")
    undone = world.undo(run)
    assert undone.status == "partial"
    assert outcomes(undone) == {
        "a": ("copy_right", "done"),
        "b": ("copy_right", "drifted"),
        "c": ("copy_right", "drifted"),
        "d": ("copy_right", "done"),
    }
    assert world.tree("right") == {"a": b"old", "b": b"NEW", "c": b"longer than before", "d": b"old"}
    assert world.held() == {"a", "d"}


def test_a_deleted_name_that_is_taken_again_is_not_overwritten(world: World):
    world.both({"a": "old", "b": "b"})
    world.remove("left", "a")
    run = world.sync(delete=True)
    world.put("right", "a", "somebody's new one")
    undone = world.undo(run)
    assert outcomes(undone)["a"][1] == "drifted"
    assert world.tree("right")["a"] == b"somebody's new one"
    assert b"old" in world.trash("right")


def test_a_touch_since_does_not_stop_an_undo(world: World):
    world.both({"a": "old"})
    world.put("left", "a", "new")
    run = world.sync()
    os.utime(world.right / "a")
    (world.right / "a").chmod(0o600)
    assert world.undo(run).status == "ok"
    assert world.tree("right") == {"a": b"old"}


def test_runs_are_undone_one_after_the_other_newest_first(world: World):
    states, runs = [], []
    for number in range(4):
        world.put("left", "a", f"version {number}")
        world.put("left", f"new-{number}", str(number))
        if number:
            world.remove("left", f"new-{number - 1}")
        states.append(world.tree("right"))
        runs.append(world.sync(delete=True, force=True))
    for state, run in zip(reversed(states), reversed(runs), strict=True):
        undone = world.undo(run)
        assert undone.status == "ok", undone.items
        assert world.tree("right") == state


def test_undoing_the_older_run_first_does_not_touch_what_the_newer_wrote(world: World):
    world.both({"a": "1"})
    world.put("left", "a", "2")
    first = world.sync()
    world.put("left", "a", "3")
    world.sync()
    undone = world.undo(first)
    assert outcomes(undone) == {"a": ("copy_right", "drifted")}
    assert world.tree("right") == {"a": b"3"}


def test_a_move_is_undone_as_a_move(world: World):
    world.both({"folder/old": "content", "other": "o"})
    world.remove("left", "folder/old")
    world.put("left", "elsewhere/new", "content")
    run = world.sync(delete=True)
    assert reasons(run) == {"elsewhere/new": "renamed"}
    undone = world.undo(run)
    assert done(undone) == {"move_right": 1}
    assert world.tree("right") == {"folder/old": b"content", "other": b"o"}
    assert not (world.right / "elsewhere").exists(), "no empty folder stays behind"
    assert world.sync(delete=True).counts["held"] == 2
    assert world.tree("right") == {"folder/old": b"content", "other": b"o"}


def test_a_kept_loser_goes_away_again(world: World):
    world.put("left", "a.txt", "left's")
    world.put("right", "a.txt", "right's")
    before = world.trees()
    run = world.sync(keep_loser=True)
    assert set(world.tree("left")) == {"a.txt", "a.conflict-left-1.txt"}
    assert world.undo(run).status == "ok"
    assert world.trees() == before


def test_a_held_key_is_let_go_when_either_side_changes(world: World):
    world.both({"a": "1", "b": "1"})
    world.put("left", "a", "2")
    world.put("left", "b", "2")
    world.undo(world.sync())
    assert world.sync().counts["held"] == 2
    world.put("left", "a", "3")
    run = world.sync()
    assert outcomes(run) == {"a": ("copy_right", "done"), "b": ("held", "skipped")}
    assert world.tree("right") == {"a": b"3", "b": b"1"}
    assert world.held() == {"b"}
    assert run.exit_code == 0


def test_holding_is_for_everybody_who_names_the_pair(world: World):
    world.both({"a": "1"})
    world.put("left", "a", "2")
    world.undo(world.sync())
    assert world.swapped().sync().counts["held"] == 1
    assert world.trees() == ({"a": b"2"}, {"a": b"1"})
    world.swapped().sync(release=True, prefer="left")
    assert world.trees() == ({"a": b"2"}, {"a": b"2"})


def test_undo_works_from_a_state_that_was_closed_and_with_other_files_added_since(full: World):
    before = full.trees()
    run = full.sync(delete=True)
    full.put("left", "later/on", "new")
    full.sync()
    assert full.undo(run).status == "ok"
    left, right = full.trees()
    assert left.pop("later/on") == right.pop("later/on") == b"new"
    assert (left, right) == before


def test_the_baseline_is_that_of_before_for_what_was_put_back(world: World):
    world.both(AGREED)
    base = world.baseline()
    disagree(world)
    world.undo(world.sync(delete=True))
    after = world.baseline()
    assert {key: after.get(key) for key in world.held() if key in base} == {
        key: base[key] for key in world.held() if key in base
    }
    assert not {key for key in world.held() if key not in base} & set(after)


def test_emptied_trash_makes_a_run_final(world: World):
    from trueup.sync.trash_can import empty_trash, list_trash

    world.both({"a": "1"})
    world.put("left", "a", "2")
    run = world.sync()
    assert [(kept.run, kept.files) for kept in list_trash(world.settings)] == [(run.run, 1)]
    assert empty_trash(world.settings) == (1, [])
    assert world.trash("right") == []
    with pytest.raises(UsageError, match="it was emptied"):
        world.undo(run)
    assert nothing_to_do(world.sync())


def test_a_run_older_than_the_trash_is_kept_is_said_to_be_that(world: World):
    world.both({"a": "1"})
    world.put("left", "a", "2")
    run = world.sync()
    with world.state() as state:
        row = state.run(run.run)
        assert row is not None
        state.start_run(row._replace(started_ns=row.started_ns - 31 * 24 * 3600 * 10**9))
    world.sync()
    assert world.trash("right") == []
    with pytest.raises(UsageError, match="older than the trash is kept"):
        world.undo(run)


def test_what_drifted_stays_in_the_trash_and_is_counted(world: World):
    from trueup.sync.trash_can import empty_trash, list_trash

    world.both({"a": "1", "b": "1", "gone": "1", "z": "z"})
    for key in "ab":
        world.put("left", key, "2")
    world.remove("left", "gone")
    run = world.sync(delete=True)
    world.put("right", "b", "edited since")
    undone = world.undo(run)
    assert done(undone) == {"copy_right": 2, "drifted": 1}
    assert {(kept.run, kept.files) for kept in list_trash(world.settings)} == {(run.run, 1), (undone.run, 1)}
    assert sorted(world.trash("right")) == [b"1", b"2"]
    assert empty_trash(world.settings) == (2, [])
    assert world.trash("right") == []


def test_every_count_is_there_under_a_plain_name(world: World):
    from trueup.sync.report import COUNTS

    world.put("left", "a", "1")
    run = world.sync()
    for result in (run, world.sync(), world.sync(dry_run=True), world.undo(run)):
        assert list(result.counts) == list(COUNTS)
        assert {type(name) for name in result.counts} == {str}
        assert result.counts == result.to_json()["counts"]


@pytest.mark.parametrize("delete", [False, True])
def test_a_plan_made_before_leaves_what_an_undo_put_back(world, delete):
    world.both({"old name": "moved", "x": "x"})
    (world.left / "old name").rename(world.left / "new name")
    world.put("left", "new", "n")
    with world.plan(delete=delete) as planned:
        before = world.trees()
        run = world.apply(planned)
        after = world.trees()
        assert after != before
        world.undo(run)
        assert world.trees() == before
        again = world.apply(planned)
        assert world.trees() == before
        assert outcomes(again)["new"] == ("held", "skipped")
        assert outcomes(again)["new name"] == ("held", "skipped")
    with world.plan(delete=delete, release=True) as planned:
        world.apply(planned)
    assert world.trees() == after
    assert not world.held()
