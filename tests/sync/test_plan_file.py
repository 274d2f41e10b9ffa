"""A plan on paper: saved, read again, applied later; and what happens to one that somebody tampered with."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sync.cases import prepared
from tests.sync.world import World, done, nothing_to_do, outcomes, scratch
from trueup.errors import TrueupError, UsageError
from trueup.sync.outputs import Outputs
from trueup.sync.plan import Plan


def saved(world: World, **options: object) -> list[str]:
    paper = io.StringIO()
    with world.plan(**options) as planned:
        planned.save(paper)
    return paper.getvalue().splitlines()


def applied(world: World, lines: list[str]):
    with Plan.load(lines) as planned:
        return world.apply(planned)


@pytest.mark.parametrize("options", [{}, {"delete": True}, {"delete": True, "keep_loser": True, "prefer": "newer"}])
def test_a_saved_plan_applies_as_if_it_had_been_done_at_once(tmp_path, options):
    at_once, later = prepared(World(tmp_path / "one")), prepared(World(tmp_path / "two"))
    run = at_once.sync(**options)
    lines = saved(later, **options)
    again = applied(later, lines)
    assert done(again) == done(run)
    assert later.trees() == at_once.trees()
    assert later.baseline() == at_once.baseline()
    assert later.sync(**options).status == at_once.sync(**options).status


def test_planning_writes_nothing(world: World):
    prepared(world)
    before, baseline = world.trees(), world.baseline()
    saved(world, delete=True)
    assert (world.trees(), world.baseline()) == (before, baseline)
    assert not (world.right / ".trueup").exists()


def test_a_plan_survives_being_saved_and_loaded_and_saved(world: World):
    head, *rows = saved(prepared(world), delete=True)
    paper = io.StringIO()
    with Plan.load([head, *rows]) as planned:
        planned.save(paper)
    again = paper.getvalue().splitlines()
    assert again[1:] == rows
    assert {**json.loads(again[0]), "run": ""} == {**json.loads(head), "run": ""}, "it is applied as a run of its own"


def test_the_same_plan_comes_out_of_a_run_with_plan_out(world: World):
    prepared(world)
    paper = io.StringIO()
    world.sync(delete=True, dry_run=True, outputs=Outputs(plan_out=paper))
    assert done(applied(world, paper.getvalue().splitlines()))["delete_left"] == 3


def test_a_plan_holds_names_as_they_are(world: World):
    names = ["a b", " x ", "ü", "u\u0308ber", "🙂", "new\nline", "tab\t", "back\\slash", "quote\"'", "日本/語"]
    for name in names:
        world.put("left", name, name)
    assert applied(world, saved(world)).status == "ok"
    assert set(world.tree("right")) == set(names)


def test_times_before_1970_and_far_ahead_survive_the_paper(world: World):
    world.put("left", "old", "1", mtime_ns=-86_400 * 10**9)
    world.put("left", "zero", "1", mtime_ns=0)
    world.put("left", "future", "1", mtime_ns=4_000_000_000 * 10**9)
    assert applied(world, saved(world)).status == "ok"
    assert world.tree("right") == world.tree("left")


def test_applying_twice_drifts_and_keeps_the_first_run_undoable(world: World):
    world.both({"a": "old", "b": "gone", "z": "z"})
    world.put("left", "a", "new")
    world.remove("left", "b")
    before = world.trees()
    lines = saved(world, delete=True)
    first = applied(world, lines)
    assert first.status == "ok"
    second = applied(world, lines)
    assert {outcome for _, outcome in outcomes(second).values()} == {"drifted"}
    assert second.run != first.run
    assert world.undo(first).status == "ok"
    assert world.trees() == before


def test_one_plan_object_applied_twice_drifts_too(world: World):
    world.both({"a": "old", "z": "z"})
    world.put("left", "a", "new")
    with world.plan() as planned:
        first = world.apply(planned)
        second = world.apply(planned)
    assert (first.status, second.status) == ("ok", "partial")
    assert world.undo(first).status == "ok"
    assert world.tree("right")["a"] == b"old"


def test_only_what_the_world_left_as_planned_is_done(world: World):
    world.both({"a": "1", "b": "1", "c": "1", "d": "1"})
    world.put("left", "a", "2")
    world.put("left", "b", "2")
    world.remove("left", "c")
    world.remove("left", "d")
    lines = saved(world, delete=True)
    world.put("left", "a", "3")
    world.put("left", "c", "back")
    run = applied(world, lines)
    assert outcomes(run) == {
        "a": ("copy_right", "drifted"),
        "b": ("copy_right", "done"),
        "c": ("delete_right", "drifted"),
        "d": ("delete_right", "done"),
    }
    assert world.tree("right") == {"a": b"1", "b": b"2", "c": b"1"}


def test_a_plan_from_before_another_run_cannot_undo_that_run(world: World):
    """What was only to be recorded is stale by then: it must not make the next run delete or overwrite."""
    world.put("left", "a", "same")
    world.put("right", "a", "same")
    lines = saved(world)
    world.sync()
    world.remove("left", "a")
    world.put("left", "keep", "k")
    world.sync(delete=True)
    world.put("right", "a", "same")
    applied(world, lines)
    assert done(world.sync(delete=True)) == {"copy_left": 1, "unchanged": 1}
    assert world.tree("left") == world.tree("right") == {"a": b"same", "keep": b"k"}


def test_the_guards_run_again(world: World):
    world.both({f"f{index:02}": str(index) for index in range(30)})
    for index in range(20):
        world.remove("left", f"f{index:02}")
    lines = saved(world, delete=True)
    with pytest.raises(TrueupError, match="max-delete") as caught:
        applied(world, lines)
    assert caught.value.exit_code == 3
    assert len(world.tree("right")) == 30


def test_a_plan_for_another_pair_is_refused(world: World, tmp_path):
    other = World(tmp_path / "other")
    for each in (world, other):
        each.put("left", "a", "1")
    head, *rows = saved(world)
    changed = json.loads(head) | {"left": str(other.left), "right": str(other.right)}
    with pytest.raises(UsageError, match="the plan was made for"):
        applied(world, [json.dumps(changed), *rows])
    assert other.tree("right") == {}


def test_a_plan_with_its_sides_swapped_is_refused(world: World):
    world.both({"a": "1", "b": "2"})
    world.remove("left", "a")
    head, *rows = saved(world, delete=True)
    swapped = json.loads(head)
    swapped["left"], swapped["right"] = swapped["right"], swapped["left"]
    before = world.trees()
    with pytest.raises(UsageError, match="the plan was made for"):
        applied(world, [json.dumps(swapped), *rows])
    assert world.trees() == before


BAD_KEYS = [
    "", "../up", "a/../../up", "/etc/passwd", "a//b", "a/", "./a", "a/.", "nul\0", "\ud800", ".trueup/trash/x/a",
    "a/.trueup/b", ".trueup-tmp", "d/.trueup-x",
]  # fmt: skip


def change(line: str, **fields: Any) -> str:
    return json.dumps(json.loads(line) | fields)


@pytest.mark.parametrize("key", BAD_KEYS)
@pytest.mark.parametrize("field", ["key", "left_key", "right_key"])
@pytest.mark.parametrize("action", ["copy", "delete", "record"])
def test_a_key_that_may_not_be_written_is_refused(world: World, action: str, field: str, key: str):
    world.both({"gone": "g", "z": "z"})
    match action:
        case "copy":
            world.put("left", "new", "n")
        case "delete":
            world.remove("left", "gone")
        case "record":
            world.put("left", "both", "same")
            world.put("right", "both", "same")
    head, row = saved(world, delete=True)
    refused_and_unchanged(world, [head, change(row, **{field: key})])


def refused_and_unchanged(world: World, lines: list[str]) -> None:
    before = sorted(str(path) for path in world.base.rglob("*") if "state" not in path.parts)
    trees, baseline = world.trees(), world.baseline()
    with pytest.raises(UsageError, match=r"line|no plan") as caught:
        applied(world, lines)
    assert caught.value.exit_code == 2
    assert (world.trees(), world.baseline()) == (trees, baseline)
    assert sorted(str(path) for path in world.base.rglob("*") if "state" not in path.parts) == before


@pytest.mark.parametrize("field", ["left_key", "right_key"])
def test_a_row_whose_spelling_is_of_another_key_is_refused(world: World, field: str):
    world.put("left", "new", "n")
    head, row = saved(world)
    refused_and_unchanged(world, [head, change(row, **{field: "another"})])


@pytest.mark.parametrize(
    ("field", "key"), [("source", "other"), ("source_key", "other"), ("source_key", "../x"), ("source", "")]
)
def test_a_move_whose_source_does_not_hold_together_is_refused(world: World, field: str, key: str):
    world.both({"old": "content", "z": "z"})
    (world.left / "old").rename(world.left / "new")
    head, row = saved(world, delete=True)
    refused_and_unchanged(world, [head, change(row, **{field: key})])


WRONG: dict[str, Callable[[dict], dict]] = {
    "an unknown action": lambda row: row | {"action": "format_disk"},
    "a note's action with a phase that acts": lambda row: row | {"action": "conflict", "phase": 2},
    "another phase": lambda row: row | {"phase": 3},
    "a phase that is none": lambda row: row | {"phase": 77},
    "a copy that frees": lambda row: row | {"phase": 0},
    "no key": lambda row: {name: value for name, value in row.items() if name != "key"},
    "a number for a key": lambda row: row | {"key": 5},
    "null for a key": lambda row: row | {"key": None},
    "bytes below zero": lambda row: row | {"bytes": -1},
    "text for bytes": lambda row: row | {"bytes": "1"},
    "a truth for bytes": lambda row: row | {"bytes": True},
    "bytes beyond counting": lambda row: row | {"bytes": 1 << 70},
    "a fraction": lambda row: row | {"bytes": 1.5},
    "an entry that is a list": lambda row: row | {"left": [1]},
    "an entry without a size": lambda row: row | {"left": {"mtime_ns": 1}},
    "a size that is text": lambda row: row | {"left": row["left"] | {"size": "9"}},
    "a fingerprint that is none": lambda row: row | {"left": row["left"] | {"fingerprint": None}},
    "a lone surrogate": lambda row: row | {"reason": "\ud800"},
    "a lone surrogate in a fingerprint": lambda row: row | {"left": row["left"] | {"fingerprint": "\ud800"}},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_row_that_no_plan_has_is_refused(world: World, what: str):
    world.put("left", "a", "1")
    head, row = saved(world)
    refused_and_unchanged(world, [head, json.dumps(WRONG[what](json.loads(row)))])


HEADS: dict[str, Callable[[dict], object]] = {
    "another format": lambda head: head | {"trueup_plan": 99},
    "no format": lambda head: {name: value for name, value in head.items() if name != "trueup_plan"},
    "a list": lambda _: [],
    "null": lambda _: None,
    "a number": lambda _: 7,
    "no config": lambda head: {name: value for name, value in head.items() if name != "config"},
    "a config that is a list": lambda head: head | {"config": []},
    "an unknown option": lambda head: head | {"config": head["config"] | {"evil": 1}},
    "an unknown mode": lambda head: head | {"config": head["config"] | {"mode": "sideways"}},
    "too many workers": lambda head: head | {"config": head["config"] | {"workers": 10**6}},
    "patterns that are a number": lambda head: head | {"config": head["config"] | {"include": 3}},
    "totals below zero": lambda head: head | {"left_entries": -1},
    "a place that is a number": lambda head: head | {"left": 3},
}


@pytest.mark.parametrize("what", HEADS)
def test_a_header_that_no_plan_has_is_refused(world: World, what: str):
    world.put("left", "a", "1")
    head, row = saved(world)
    refused_and_unchanged(world, [json.dumps(HEADS[what](json.loads(head))), row])


@pytest.mark.parametrize("run", ["../../x", "a/b", "", ".", "..", "x" * 300, "\n"])
def test_the_run_named_in_a_plan_is_not_used_as_a_path(world: World, run: str):
    world.both({"a": "1", "z": "z"})
    world.put("left", "a", "2")
    world.put("left", "n", "n")
    head, *rows = saved(world)
    result = applied(world, [change(head, run=run), *rows])
    assert result.status == "ok"
    assert result.run != run
    assert [path.parent.parent.name for path in world.right.rglob("trash/*/a")] == ["trash"]
    assert {path.name for path in world.base.iterdir()} == {"left", "right", "state"}


@pytest.mark.parametrize("lines", [[], [""], ["nonsense"], ["{}"], ["[" * 100_000], ['{"trueup_plan": 1}']])
def test_what_is_no_plan_is_refused(world: World, lines: list[str]):
    refused_and_unchanged(world, lines)


def test_sizes_beyond_any_disk_add_up(world: World):
    for name in "ab":
        world.put("left", name, name)
    head, *rows = saved(world)
    changed = [json.loads(row) for row in rows]
    for row in changed:
        row["bytes"] = row["left"]["size"] = (1 << 63) - 1
    run = applied(world, [head, *map(json.dumps, changed)])
    assert {outcome for _, outcome in outcomes(run).values()} == {"drifted"}
    assert world.tree("right") == {}


@settings(max_examples=60)
@given(st.data())
def test_a_plan_cut_off_anywhere_is_refused_or_does_less(data):
    with scratch() as folder:
        from pathlib import Path

        world = World(Path(folder))
        world.both({"a": "1", "b": "2", "z": "z"})
        world.put("left", "a", "3")
        world.put("left", "n", "4")
        world.remove("left", "b")
        text = "\n".join(saved(world, delete=True))
        cut = text[: data.draw(st.integers(0, len(text)))]
        before = world.trees()
        try:
            run = applied(world, cut.splitlines())
        except UsageError:
            assert world.trees() == before
        else:
            assert run.status == "ok"
            complete = cut.count("\n") - 1 + (cut.splitlines()[-1] in text.splitlines())
            assert sum(done(run).values()) - done(run).get("unchanged", 0) <= complete + 1


def test_a_plan_that_was_applied_leaves_nothing_to_do(world: World):
    prepared(world)
    applied(world, saved(world, delete=True))
    assert nothing_to_do(world.sync(delete=True))
