"""The engine against the model: random edits on both sides, then a run, and what must be true of it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.sync.model import CONTENTS, KEYS, Edit, Model, choices, edits
from tests.sync.world import World, done, files, nothing_to_do, scratch
from trueup.sync.report import SyncRun

SIDES = ("left", "right")


def edit(kind: str, side: str, key: str, content: bytes = b"1", other: str = "c", *, new: bool = False) -> Edit:
    return Edit(kind, side, key, other, content, new)


def assert_nothing_lost(world: World, run: SyncRun, before: dict[str, dict[str, bytes]]) -> None:
    """Each version that was there is in its place, was moved by the run, or lies in the run's trash under its key."""
    moved = {item["from"]: item["key"] for item in run.items if "from" in item and item["outcome"] == "done"}
    for side in SIDES:
        now, kept = world.tree(side), files(world[side] / ".trueup" / "trash" / run.run)
        for key, content in before[side].items():
            assert content in {now.get(key, b"-"), now.get(str(moved.get(key)), b"-"), kept.get(key, b"-")}, (side, key)


def look(world: World) -> dict[str, dict[str, bytes]]:
    return {side: world.tree(side) for side in SIDES}


def checked_sync(world: World, model: Model, **options: object) -> tuple[Model, SyncRun]:
    """One run, held to everything that must be true of any run; the model afterwards."""
    before = look(world)
    assert (model.left, model.right) == (before["left"], before["right"])
    planned = world.sync(dry_run=True, force=True, **options)
    assert look(world) == before, "a dry run changes nothing"
    expected, conflicts = model.synced(**options)
    run = world.sync(force=True, **options)
    assert look(world) == {"left": expected.left, "right": expected.right}
    assert {str(item["key"]) for item in run.items if item["action"] == "conflict"} == conflicts
    assert run.status == ("partial" if conflicts else "ok"), run.items
    assert done(run) == done(planned), "what was planned is what was done"
    assert not world.temporaries()
    assert_nothing_lost(world, run, before)
    assert set(world.baseline()) == set(expected.base)
    if options.get("mode") == "push":
        assert before["left"] == world.tree("left")
        assert not (world.left / ".trueup" / "trash" / run.run).exists()
    if options.get("mode") == "pull":
        assert before["right"] == world.tree("right")
        assert not (world.right / ".trueup" / "trash" / run.run).exists()
    again = world.sync(force=True, **options)
    if conflicts:
        assert {item["action"] for item in again.items} == {"conflict"}
        assert set(done(again)) <= {"conflict", "unchanged"}
    else:
        assert nothing_to_do(again), again.items
    assert look(world) == {"left": expected.left, "right": expected.right}
    return expected, run


@settings(max_examples=80)
@given(st.lists(st.tuples(edits, choices), min_size=1, max_size=4))
@example([([edit("both", "left", "a")], {}), ([edit("rename", "left", "a", other="b")], {"delete": True})])
@example([([edit("both", "left", "a")], {}), ([edit("write", "right", "a/x", b"2")], {"delete": True})])
@example(
    [([edit("both", "left", "a/x"), edit("both", "left", "a/y")], {}), ([edit("write", "left", "a")], {"delete": True})]
)
@example([([edit("both", "left", "a/x/y")], {}), ([edit("write", "left", "a")], {"delete": True, "prefer": "left"})])
@example(
    [
        ([edit("both", "left", "a")], {}),
        ([edit("delete", "left", "a")], {}),
        ([edit("delete", "right", "a")], {"delete": True}),
    ]
)
def test_a_run_does_what_the_model_says_loses_nothing_and_the_next_one_is_idle(rounds):
    with scratch() as folder:
        world, model = World(Path(folder)), Model()
        for changes, options in rounds:
            for change in changes:
                change.act(world)
            model.left, model.right = world.trees()
            model, _ = checked_sync(world, model, **options)


@settings(max_examples=40)
@given(st.lists(st.tuples(edits, choices), min_size=1, max_size=3))
def test_keeping_losers_loses_no_version_and_comes_to_rest(rounds):
    with scratch() as folder:
        world = World(Path(folder))
        for changes, options in rounds:
            for change in changes:
                change.act(world)
            before = look(world)
            run = world.sync(force=True, keep_loser=True, **options)
            assert run.status in {"ok", "partial"}, run.items
            assert not {item["outcome"] for item in run.items} & {"drifted", "failed"}, run.items
            assert_nothing_lost(world, run, before)
            after = look(world)
            for item in run.items:
                if item["reason"] == "conflict":
                    loser = "left" if item["action"] == "copy_left" else "right"
                    lost = before[loser][str(item["key"])]
                    beside = [name for name in after["left"] if f".conflict-{loser}-" in name]
                    assert any(after["left"][name] == after["right"].get(name) == lost for name in beside)
            again = world.sync(force=True, keep_loser=True, **options)
            assert {item["action"] for item in again.items} <= {"conflict"}
            assert look(world) == after


def test_the_first_run_of_two_filled_trees_deletes_nothing(world: World):
    world.put("left", "only-left", "l")
    world.put("right", "only-right", "r")
    world.put("left", "both", "same")
    world.put("right", "both", "same")
    run = world.sync(delete=True)
    assert done(run) == {"copy_right": 1, "copy_left": 1, "adopt": 1}
    assert world.tree("left") == world.tree("right") == {"only-left": b"l", "only-right": b"r", "both": b"same"}


def test_without_delete_a_deleted_file_comes_back(world: World):
    world.both({"a": "1", "b": "2"})
    world.remove("left", "a")
    world.remove("right", "b")
    run = world.sync()
    assert done(run) == {"copy_right": 1, "copy_left": 1}
    assert world.tree("left") == world.tree("right") == {"a": b"1", "b": b"2"}


def test_a_touch_moves_nothing_and_is_asked_once(world: World):
    world.both({"a": "1"})
    world.put("left", "a", "1", new=False)
    assert nothing_to_do(world.sync())
    with world.state() as state:
        row = state.agreed("a")
    assert row.left_print, "the new fingerprint was recorded"


def test_modification_times_are_kept(world: World):
    world.put("left", "a", "1")
    stamp = (world.left / "a").stat().st_mtime_ns
    world.sync()
    assert (world.right / "a").stat().st_mtime_ns == stamp


def test_the_same_run_with_one_worker_and_with_many(tmp_path: Path):
    trees = []
    for workers in (1, 2, 32):
        world = World(tmp_path / str(workers))
        for number in range(120):
            world.put("left" if number % 2 else "right", f"d{number % 7}/f{number}", str(number))
        assert done(world.sync(workers=workers)) == {"copy_right": 60, "copy_left": 60}
        trees.append(world.trees())
    assert trees[0] == trees[1] == trees[2]


def test_model_and_keys_stay_meaningful():
    """The generator reaches what it is for: a name that is a file for one and a folder for another."""
    assert any(other.startswith(key + "/") for key in KEYS for other in KEYS)
    assert len({len(content) for content in CONTENTS}) < len(CONTENTS), "contents of equal size"
