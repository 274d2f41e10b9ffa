"""Renames: what a delete and a new file of the same content on one side become on the other."""

from __future__ import annotations

import pytest

from tests.sync.world import World, done, nothing_to_do, outcomes, reasons
from trueup.sync import sync
from trueup.sync.report import SyncRun
from trueup.testing import MemoryStore


def moves(run: SyncRun) -> dict[str, str]:
    return {str(item["from"]): str(item["key"]) for item in run.items if "from" in item}


def rename(world: World, side: str, old: str, new: str) -> None:
    target = world[side] / new
    target.parent.mkdir(parents=True, exist_ok=True)
    (world[side] / old).rename(target)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_rename_is_followed_and_no_byte_moves(world: World, side: str):
    world.both({"a/old": "content", "z": "z"})
    rename(world, side, "a/old", "b/c/new")
    other = "left" if side == "right" else "right"
    inode = (world[other] / "a/old").stat().st_ino
    run = world.sync(delete=True)
    assert done(run) == {f"move_{other}": 1, "unchanged": 1}
    assert (run.bytes_left, run.bytes_right) == (0, 0)
    assert moves(run) == {"a/old": "b/c/new"}
    assert (world[other] / "b/c/new").stat().st_ino == inode
    assert world.tree("left") == world.tree("right")
    assert world.trash(other) == []
    assert nothing_to_do(world.sync(delete=True))


def test_without_delete_a_rename_is_a_copy_and_the_old_name_comes_back(world: World):
    world.both({"old": "content"})
    rename(world, "left", "old", "new")
    assert done(world.sync()) == {"copy_right": 1, "copy_left": 1}
    assert set(world.tree("left")) == set(world.tree("right")) == {"old", "new"}


def test_one_way_runs_follow_renames_too(world: World):
    world.both({"old": "content", "z": "z"})
    rename(world, "left", "old", "new")
    assert done(world.sync(mode="push", delete=True)) == {"move_right": 1, "unchanged": 1}


def test_a_copy_is_not_a_rename(world: World):
    world.both({"a": "content"})
    world.put("left", "b", "content")
    assert done(world.sync(delete=True)) == {"copy_right": 1, "unchanged": 1}


def test_a_rename_with_an_edit_is_a_delete_and_a_copy(world: World):
    world.both({"old": "content", "z": "z"})
    world.remove("left", "old")
    world.put("left", "new", "CONTENT")
    assert done(world.sync(delete=True)) == {"copy_right": 1, "delete_right": 1, "unchanged": 1}


def test_empty_files_are_never_taken_for_each_other(world: World):
    world.both({"old": "", "z": "z"})
    rename(world, "left", "old", "new")
    assert done(world.sync(delete=True)) == {"copy_right": 1, "delete_right": 1, "unchanged": 1}


def test_equal_files_are_matched_one_to_one(world: World):
    world.both({f"old/{number}": "the same" for number in range(5)} | {"z": "z"})
    for number in range(3):
        rename(world, "left", f"old/{number}", f"new/{number}")
    world.remove("left", "old/3")
    run = world.sync(delete=True)
    assert done(run) == {"move_right": 3, "delete_right": 1, "unchanged": 2}
    assert world.tree("left") == world.tree("right")


def test_more_new_names_than_old_ones(world: World):
    world.both({"old": "content", "z": "z"})
    rename(world, "left", "old", "new1")
    world.put("left", "new2", "content")
    world.put("left", "new3", "content")
    assert done(world.sync(delete=True)) == {"move_right": 1, "copy_right": 2, "unchanged": 1}
    assert world.tree("left") == world.tree("right")


def test_both_sides_rename_at_once(world: World):
    world.both({"a": "one", "b": "two", "z": "z"})
    rename(world, "left", "a", "left/a")
    rename(world, "right", "b", "right/b")
    assert done(world.sync(delete=True)) == {"move_right": 1, "move_left": 1, "unchanged": 1}
    assert world.tree("left") == world.tree("right") == {"left/a": b"one", "right/b": b"two", "z": b"z"}


def test_the_same_file_renamed_differently_on_both_sides_keeps_both_names(world: World):
    world.both({"a": "one", "z": "z"})
    rename(world, "left", "a", "left-name")
    rename(world, "right", "a", "right-name")
    world.sync(delete=True)
    assert world.tree("left") == world.tree("right") == {"left-name": b"one", "right-name": b"one", "z": b"z"}


def test_an_edit_on_the_other_side_beats_the_rename(world: World):
    world.both({"a": "one", "z": "z"})
    rename(world, "left", "a", "b")
    world.put("right", "a", "edited")
    run = world.sync(delete=True)
    assert reasons(run) == {"a": "changed", "b": "new"}
    assert world.tree("left") == world.tree("right") == {"a": b"edited", "b": b"one", "z": b"z"}


def test_names_that_change_places(world: World):
    world.both({"a": "one", "b": "two", "c": "three"})
    for old, new in (("a", "x"), ("b", "a"), ("c", "b"), ("x", "c")):
        rename(world, "left", old, new)
    assert world.sync(delete=True).status == "ok"
    assert world.tree("left") == world.tree("right") == {"a": b"two", "b": b"three", "c": b"one"}


@pytest.mark.parametrize(("old", "new"), [("a", "a/b"), ("a/b", "a"), ("a", "a/a/a"), ("a/a/a", "a")])
def test_a_file_that_moves_into_a_folder_of_its_own_name_and_back(world: World, old: str, new: str):
    world.both({old: "content", "z": "z"})
    world.remove("left", old)
    world.put("left", new, "content")
    assert world.sync(delete=True).status == "ok"
    assert world.tree("left") == world.tree("right") == {new: b"content", "z": b"z"}
    assert nothing_to_do(world.sync(delete=True))


def test_a_rename_whose_target_cannot_be_named_there_is_reported(world: World):
    MemoryStore.forget()
    bucket = MemoryStore.named("memory://moves")
    specs = (str(world.left), "memory://moves")
    world.put("left", "a", "content")
    world.put("left", "z", "z")
    sync(*specs, settings=world.settings)
    rename(world, "left", "a", " a ")
    from trueup.config import SyncConfig

    run = sync(*specs, config=SyncConfig(delete=True), settings=world.settings)
    assert outcomes(run) == {" a ": ("unaddressable", "skipped"), "a": ("delete_right", "done")}
    assert run.exit_code == 0
    assert "a" not in bucket.contents()
