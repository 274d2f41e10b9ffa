"""A file here, a folder there: one conflict over the whole folder, or the deletes that make room run first."""

from __future__ import annotations

from itertools import groupby, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sync.world import World, done, nothing_to_do, outcomes, reasons
from trueup.config import SyncConfig
from trueup.stores.base import Entry
from trueup.sync import sync
from trueup.sync.clashes import Clashes
from trueup.sync.decide import Action, Decision
from trueup.sync.pair import Pair
from trueup.testing import MemoryStore


@pytest.mark.parametrize(
    ("file_side", "delete", "mode"), list(product(["left", "right"], [False, True], ["two-way", "push", "pull"]))
)
def test_a_first_run_touches_neither_side_unless_it_may_delete(world: World, file_side: str, delete: bool, mode: str):
    folder_side = "left" if file_side == "right" else "right"
    world.put(file_side, "x", "file")
    world.put(folder_side, "x/a", "a")
    world.put(folder_side, "x/b/c", "c")
    world.put(folder_side, "x-1", "beside")
    world.put(folder_side, "x0", "beside too")
    for side in ("left", "right"):
        world.put(side, "keep", "k")
    before = world.trees()
    run = world.sync(mode=mode, delete=delete)
    source = {"push": "left", "pull": "right"}.get(mode)
    if source is None or not delete:
        conflicts = {key for key, (action, _) in outcomes(run).items() if action == "conflict"}
        assert conflicts == {"x"}, "one conflict over the whole folder"
        assert run.exit_code == 1
        for side, tree in zip(("left", "right"), before, strict=True):
            assert {k: v for k, v in world.tree(side).items() if k.startswith(("x/",)) or k == "x"} == {
                k: v for k, v in tree.items() if k.startswith("x/") or k == "x"
            }
        if mode != {"left": "pull", "right": "push"}[file_side] and mode == "two-way":
            assert {"x-1", "x0"} <= set(world.tree(file_side)), "what only looks alike is copied"
    else:
        assert run.status == "ok", run.items
        assert world.tree("left") == world.tree("right") == world.tree(source)
        assert world.tree(source) == before[0 if source == "left" else 1]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("delete", [False, True])
def test_a_file_that_became_a_folder(world: World, side: str, delete: bool):
    world.both({"x": "file", "z": "z"})
    world.remove(side, "x")
    world.put(side, "x/a", "a")
    world.put(side, "x/b", "b")
    before = world.trees()
    run = world.sync(delete=delete)
    if delete:
        assert run.status == "ok"
        assert world.tree("left") == world.tree("right") == {"x/a": b"a", "x/b": b"b", "z": b"z"}
    else:
        assert reasons(run) == {"x": "file-and-folder"}
        assert world.trees() == before
        assert outcomes(world.sync()) == {"x": ("conflict", "skipped")}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("delete", [False, True])
def test_a_folder_that_became_a_file(world: World, side: str, delete: bool):
    world.both({"x/a": "a", "x/b/c": "c", "z": "z"})
    world.remove(side, "x")
    world.put(side, "x", "file")
    before = world.trees()
    run = world.sync(delete=delete)
    if delete:
        assert run.status == "ok"
        assert world.tree("left") == world.tree("right") == {"x": b"file", "z": b"z"}
        other = "left" if side == "right" else "right"
        assert sorted(world.trash(other)) == [b"a", b"c"]
    else:
        assert reasons(run) == {"x": "file-and-folder"}
        assert world.trees() == before


def test_an_edit_below_keeps_the_folder_against_the_file(world: World):
    """The delete the file would need is beaten by an edit, so nothing is touched."""
    world.both({"x/a": "a", "x/b": "b", "z": "z"})
    world.remove("left", "x")
    world.put("left", "x", "file")
    world.put("right", "x/a", "edited")
    before = world.trees()
    run = world.sync(delete=True)
    assert reasons(run) == {"x": "file-and-folder"}
    assert world.trees() == before


def test_an_edited_file_stays_against_the_folder_that_took_its_name(world: World):
    world.both({"x": "file", "z": "z"})
    world.remove("left", "x")
    world.put("left", "x/a", "a")
    world.put("right", "x", "edited")
    before = world.trees()
    assert reasons(world.sync(delete=True)) == {"x": "file-and-folder"}
    assert world.trees() == before


def test_a_clash_in_one_folder_does_not_keep_another_from_its_turn(world: World):
    world.both({"p/x": "file", "q/x": "file", "z": "z"})
    for folder, side in (("p", "left"), ("q", "right")):
        world.remove(side, f"{folder}/x")
        world.put(side, f"{folder}/x/a", "a")
    world.put("left", "new", "n")
    run = world.sync()
    assert outcomes(run) == {
        "p/x": ("conflict", "skipped"),
        "q/x": ("conflict", "skipped"),
        "new": ("copy_right", "done"),
    }
    assert world.sync(delete=True).status == "ok"
    assert world.tree("left") == world.tree("right") == {"p/x/a": b"a", "q/x/a": b"a", "z": b"z", "new": b"n"}


def test_a_clash_inside_a_clash_is_one_conflict(world: World):
    MemoryStore.forget()
    bucket = MemoryStore.named("memory://nested")
    for key in ("x", "x/y", "x/y/z"):
        bucket.put(key, key.encode())
    run = sync(str(world.left), "memory://nested", settings=world.settings)
    assert {key: action for key, (action, _) in outcomes(run).items()} == {"x": "conflict"}
    assert world.tree("left") == {}


def test_an_empty_folder_is_in_nobodys_way(world: World):
    """Folders are not kept, so one without a file in it does not hold a name; a killed run may have left it."""
    world.put("left", "x", "file")
    world.put("left", "d/e", "file")
    (world.right / "x" / "nothing" / "in it").mkdir(parents=True)
    (world.right / "d" / "e").mkdir(parents=True)
    assert done(world.sync()) == {"copy_right": 2}
    assert world.tree("right") == {"x": b"file", "d/e": b"file"}


def test_a_link_inside_the_folder_keeps_it(world: World):
    world.both({"x/a": "a", "z": "z"})
    (world.right / "x" / "link").symlink_to("a")
    world.remove("left", "x")
    world.put("left", "x", "file")
    before = world.tree("right")
    run = world.sync(delete=True)
    assert reasons(run)["x"] == "file-and-folder"
    assert world.tree("right") == before
    assert (world.right / "x" / "link").is_symlink()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", ["two-way", "one-way"])
def test_a_folder_that_holds_what_is_out_of_scope_is_not_emptied_for_a_file(world: World, side: str, mode: str):
    other = "left" if side == "right" else "right"
    world.both({"p/x/a": "a", "p/x/b": "b", "p/y/a": "a", "z": "z"})
    for name in ("p/x", "p/y"):
        world.remove(other, name)
        world.put(other, name, "file")
    world.put(side, "p/x/deep/i.tmp", "out of scope")
    before = world.trees()
    options = {"mode": {"left": "pull", "right": "push"}[side] if mode == "one-way" else mode, "delete": True}
    run = world.sync(exclude=("*.tmp",), **options)
    assert outcomes(run) == {
        "p/x": ("conflict", "skipped"),
        "p/y": (f"copy_{side}", "done"),
        "p/y/a": (f"delete_{side}", "done"),
    }
    errors = {item["key"]: str(item["error"]) for item in run.items}
    assert f"a folder on the {side} that holds what is out of scope" in errors["p/x"]
    kept = {key: data for key, data in before[side == "right"].items() if not key.startswith("p/y")}
    assert world.tree(side) == kept | {"p/y": b"file"}
    assert reasons(world.sync(exclude=("*.tmp",), **options)) == {"p/x": "file-and-folder"}
    world.remove(side, "p/x/deep/i.tmp")
    assert world.sync(exclude=("*.tmp",), **options).status == "ok"
    assert world.tree("left") == world.tree("right") == {"p/x": b"file", "p/y": b"file", "z": b"z"}


@pytest.mark.parametrize("renamed", [False, True])
def test_a_file_that_meets_nothing_but_what_is_out_of_scope_fails_with_the_reason(world: World, renamed: bool):
    world.both({"old": "file", "z": "z"})
    if renamed:
        world.remove("right", "old")
    world.put("right", "x", "file")
    world.put("left", "x/i.tmp", "out of scope")
    before = world.trees()
    run = world.sync(exclude=("*.tmp",), delete=True)
    assert outcomes(run) == {"x": ("move_left" if renamed else "copy_left", "failed")}
    assert run.items[0]["error"] == "the folder x holds what is out of scope; move it away or rename the file"
    assert world.trees() == before
    world.remove("left", "x")
    assert world.sync(exclude=("*.tmp",), delete=True).status == "ok"
    assert world.tree("left") == world.tree("right")


def test_a_held_file_keeps_its_name_against_a_folder(world: World):
    world.both({"x": "old", "z": "z"})
    world.put("left", "x", "new")
    world.undo(world.sync())
    world.put("right", "z", "edited")
    assert outcomes(world.sync()) == {"x": ("held", "skipped"), "z": ("copy_left", "done")}


# A bucket may hold both


@pytest.mark.parametrize("delete", [False, True])
def test_a_bucket_that_holds_both_is_reported_and_neither_is_written_locally(world: World, delete: bool):
    MemoryStore.forget()
    bucket = MemoryStore.named("memory://both")
    for key in ("x", "x/a", "y"):
        bucket.put(key, key.encode())
    run = sync(str(world.left), "memory://both", config=SyncConfig(delete=delete), settings=world.settings)
    assert outcomes(run) == {"x": ("conflict", "skipped"), "y": ("copy_left", "done")}
    assert run.exit_code == 1
    assert world.tree("left") == {"y": b"y"}
    assert {"x", "x/a", "y"} <= set(bucket.contents())


def test_two_buckets_may_hold_both(world: World):
    MemoryStore.forget()
    one, two = MemoryStore.named("memory://one"), MemoryStore.named("memory://two")
    for key in ("x", "x/a"):
        one.put(key, key.encode())
    specs = ("memory://one", "memory://two")
    assert done(sync(*specs, settings=world.settings)) == {"copy_right": 2}
    assert two.contents() == one.contents()
    assert nothing_to_do(sync(*specs, settings=world.settings))


def test_a_folder_may_be_pushed_beside_a_bucket_object_of_its_name(world: World):
    MemoryStore.forget()
    bucket = MemoryStore.named("memory://push")
    bucket.put("x", b"object")
    world.put("left", "x/a", "a")
    run = sync(str(world.left), "memory://push", config=SyncConfig(mode="push"), settings=world.settings)
    assert run.status == "ok"
    assert bucket.contents() == {"x": b"object", "x/a": b"a"}


SEGMENT = st.sampled_from(["a", "b", "a-", "ab", "a0"])
KEY = st.lists(SEGMENT, min_size=1, max_size=3).map("/".join)


@settings(max_examples=600)
@given(st.sets(KEY, max_size=20), st.sampled_from([(True, True), (True, False), (False, True)]), st.data())
def test_what_nobody_touched_is_watched_in_blocks_with_the_same_result(found, trees, data):
    def possible(keys: set[str], is_tree: bool) -> set[str]:
        return {key for key in keys if not (is_tree and any(key.startswith(f"{above}/") for above in keys))}

    there = [possible({key for key in found if data.draw(st.integers(0, 3))}, is_tree) for is_tree in trees]
    watched = []
    for key in sorted(there[0] | there[1]):
        left, right = (Entry(key) if key in side else None for side in there)
        action = Action.UNCHANGED
        if left is None or right is None:
            choice = data.draw(st.sampled_from(["copy", "delete", "leave"]))
            copy, delete = (
                (Action.COPY_LEFT, Action.DELETE_RIGHT) if left is None else (Action.COPY_RIGHT, Action.DELETE_LEFT)
            )
            action = {"copy": copy, "delete": delete, "leave": Action.UNCHANGED}[choice]
        watched.append((Pair(key, left, right, None), Decision(action, "")))
    whole, blocks = (Clashes(left_is_tree=trees[0], right_is_tree=trees[1]) for _ in range(2))
    for item, decision in watched:
        whole.watch(item, decision)
    for same, stretch in groupby(watched, lambda each: None not in each[0][1:3] and data.draw(st.integers(0, 5)) > 0):
        group = list(stretch)
        if not (same and blocks.watch_untouched([item.key for item, _ in group])):
            for item, decision in group:
                blocks.watch(item, decision)
    assert (blocks.blocked, blocks.freed) == (whole.blocked, whole.freed)
