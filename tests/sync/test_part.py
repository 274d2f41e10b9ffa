"""What a look at a part of two trees may conclude, and when it must look at everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.faulty_s3 import FaultyS3
from tests.stores.test_cloud_listing import opened
from tests.sync.world import World, done
from trueup import keys
from trueup.errors import Refused
from trueup.stores.base import OutOfOrder
from trueup.sync import sync
from trueup.sync.changes import MOST, SIBLINGS, TOPS, Touched, gathered
from trueup.sync.part import KeyRange, Part
from trueup.sync.report import SyncRun
from trueup.sync.sides import View
from trueup.sync.verbs import Watched
from trueup.testing import MemoryStore

# Which keys


@pytest.mark.parametrize(
    ("tops", "inside", "outside"),
    [
        (["a"], ["a", "a/b", "a/b/c"], ["a-b", "a.txt", "a0", "b", "A"]),
        (["a/b", "a"], ["a/c"], ["b"]),
        (["a", "a-b"], ["a", "a/x", "a-b", "a-b/x"], ["a-c", "a-", "a.b"]),
        (["e\u0301"], ["\u00e9", "\u00e9/x"], ["e"]),
        ([], ["anything"], []),
    ],
)
def test_a_part_is_some_keys_and_what_lies_below_them(tops: list[str], inside: list[str], outside: list[str]):
    part = Part(tops)
    assert all(key in part for key in inside)
    assert not any(key in part for key in outside)


names = st.lists(st.sampled_from(["a", "a-", "a0", "b", "a!", "é"]), min_size=1, max_size=3).map("/".join)


@given(st.sets(names, max_size=12), st.sets(names, min_size=1, max_size=4), st.booleans())
def test_the_listing_of_a_part_is_the_whole_one_without_the_rest(held: set[str], tops: set[str], ordered: bool):
    store = MemoryStore()
    for key in held:
        store.put(key, b"x")
    part = Part(tops)
    expected = [entry.key for entry in store.list() if entry.key in part]
    assert [entry.key for entry in part.entries(store, ordered=ordered)] == expected


SPELLED = ("Caf", "Cafe\u0301", "Caf\u00e9", "r\u030c", "s", "\u0415\u0308", "\u0415", "\u0439", "\uac00")


@pytest.mark.parametrize("folder", ["Cafe\u0301", "Caf\u00e9", "\u1100\u1161"])
def test_a_folder_is_cut_amid_its_names_however_it_is_spelled(faulty_s3: FaultyS3, folder: str):
    expected = ["A", *(f"{folder}/{number}" for number in range(9)), "\U0001f600"]
    faulty_s3.objects.update(dict.fromkeys(expected, b""))
    store = opened(faulty_s3, byte_ordered="true")
    border = keys.normal(expected[5])
    found = [[entry.key for entry in KeyRange(*ends).entries(store)] for ends in (("", border), (border, ""))]
    assert found == [expected[:5], expected[5:]]


@settings(deadline=None, max_examples=8)
@given(
    st.sets(st.tuples(st.sampled_from(SPELLED), st.sampled_from(SPELLED)).map("".join), min_size=1, max_size=6),
    st.sets(st.tuples(st.sampled_from(SPELLED), st.sampled_from(SPELLED)).map("".join), min_size=1, max_size=3),
)
def test_no_range_misses_a_key_without_a_word(held: set[str], borders: set[str]):
    """Whatever lies there, and wherever it is cut."""
    with FaultyS3() as server:
        server.objects.update(dict.fromkeys(held, b""))
        store = opened(server, byte_ordered="true")
        cuts = sorted(map(keys.normal, borders))
        try:
            found = [
                entry.key
                for ends in zip(("", *cuts), (*cuts, ""), strict=True)
                for entry in KeyRange(*ends).entries(store)
            ]
        except OutOfOrder:
            return
    assert sorted(found) == sorted(held)


# What it concludes


def run(world: World, *tops: str, right: str = "", **options: object) -> SyncRun:
    from trueup.config import SyncConfig

    return sync(
        world.specs[0],
        right or world.specs[1],
        config=SyncConfig(**options),
        settings=world.settings,
        watched=Watched(view=View(part=Part(tops))),
    )


def test_what_lies_outside_is_neither_copied_nor_deleted_nor_forgotten(world: World):
    world.both({"in/a": "1", "in/b": "2", "out/a": "3", "out/b": "4", "out-x": "5"})
    world.put("left", "in/a", "edited")
    world.put("left", "out/a", "edited too")
    world.remove("left", "in/b")
    world.remove("left", "out/b")
    assert done(run(world, "in", delete=True)) == {"copy_right": 1, "delete_right": 1}
    assert world.tree("right") == {"in/a": b"edited", "out/a": b"3", "out/b": b"4", "out-x": b"5"}
    assert set(world.baseline()) == {"in/a", "out/a", "out/b", "out-x"}
    assert done(run(world, delete=True)) == {"copy_right": 1, "delete_right": 1, "unchanged": 2}


def test_a_rename_out_of_the_part_loses_nothing(world: World):
    world.both({"in/a": "content", "z": "z"})
    (world.left / "in" / "a").rename(world.left / "a")
    assert done(run(world, "in", delete=True)) == {"delete_right": 1}
    assert world.trash("right") == [b"content"]
    assert done(run(world, "a", delete=True)) == {"copy_right": 1}
    assert world.tree("left") == world.tree("right")


def test_a_rename_within_two_places_of_the_part_is_a_move(world: World):
    world.both({"x/a": "content", "z": "z"})
    (world.left / "y").mkdir()
    (world.left / "x" / "a").rename(world.left / "y" / "b")
    assert done(run(world, "x/a", "y/b", delete=True)) == {"move_right": 1}


def test_deletes_are_measured_against_the_whole_tree(world: World):
    world.both({f"in/{number}": str(number) for number in range(20)} | {f"out/{number}": "x" for number in range(21)})
    world.remove("left", "in")
    assert done(run(world, "in", delete=True)) == {"delete_right": 20}
    world.remove("left", "out")
    with pytest.raises(Refused, match="is empty, but held 21 files"):
        run(world, "out", delete=True)
    assert len(world.tree("right")) == 21


def test_what_a_guard_refuses_for_the_part_is_judged_by_the_whole(world: World):
    world.both({f"in/{number}": f"content {number}" for number in range(30)} | {"out": "x"})
    (world.left / "in").rename(world.left / "moved")
    assert done(run(world, "in", delete=True)) == {"move_right": 30, "unchanged": 1}


def test_a_folder_above_that_cannot_be_seen_is_not_an_absence(world: World):
    world.both({"folder/deep/a": "1", "b": "2"})
    (world.left / "folder").rename(world.base / "elsewhere")
    (world.left / "folder").symlink_to(world.base / "elsewhere")
    counts = done(run(world, "folder/deep", delete=True, max_delete="100%"))
    assert counts == {"link": 2, "unchanged": 1}
    assert set(world.tree("right")) == {"folder/deep/a", "b"}


def test_a_file_above_on_the_other_side_is_a_clash(world: World):
    MemoryStore.forget()
    bucket = MemoryStore.named("memory://clash")
    world.put("left", "z", "z")
    assert run(world, right="memory://clash").status == "ok"
    bucket.put("folder", b"a file")
    world.put("left", "folder/a", "below it")
    counts = done(run(world, "folder/a", right="memory://clash"))
    assert counts["conflict"] == 1
    assert "folder/a" not in bucket.contents()
    MemoryStore.forget()


def test_a_conflict_without_a_winner_is_told_with_everything_else(world: World):
    world.both({"a": "1", "b": "2"})
    for side in ("left", "right"):
        world.put(side, "a", f"edited on the {side}")
    world.put("left", "b", "edited")
    assert done(run(world, "a", prefer="none")) == {"conflict": 1, "copy_right": 1}


# What was touched


def test_keys_are_taken_when_they_have_come_to_rest():
    touched = Touched()
    touched.add(["a"], 0.0)
    assert touched.take(1.0, 2.0) == set()
    touched.add(["b"], 1.5)
    assert touched.take(2.5, 2.0) == set(), "it waits for the other one"
    assert touched.take(3.5, 2.0) == {"a", "b"}
    assert touched.take(9.0, 2.0) == set()


def test_a_key_that_never_rests_does_not_hold_up_the_others():
    touched = Touched()
    taken: set[str] = set()
    touched.add(["a"], 0.0)
    for step in range(1, 30):
        touched.add(["busy"], step * 1.0)
        taken |= touched.take(step * 1.0, 2.0) or set()
    assert taken == {"a"}


def test_too_many_keys_are_everything():
    touched = Touched()
    touched.add([f"f{number}" for number in range(MOST + 1)], 0.0)
    assert touched.take(0.0, 2.0) is None
    assert touched.take(9.0, 2.0) == set()


def test_many_keys_of_one_folder_become_the_folder():
    crowd = {f"a/b/{number}" for number in range(SIBLINGS + 1)}
    assert gathered(crowd | {"x/y", "z"}) == {"a/b", "x/y", "z"}
    assert gathered({f"{number}" for number in range(SIBLINGS + 1)}) is None
    assert gathered({f"{n // 64}/{n // 8 % 8}/{n % 8}" for n in range(TOPS + 1)}) is None
