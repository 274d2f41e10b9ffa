"""Names and times as hostile as a disk allows."""

from __future__ import annotations

import os
import unicodedata
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sync.world import OLD, World, done, nothing_to_do, outcomes, scratch
from trueup import keys
from trueup.config import SyncConfig
from trueup.stores import walk
from trueup.sync import explain, sync
from trueup.testing import MemoryStore

HOSTILE = [
    "new\nline",
    "tab\tbell\a",
    "\x01\x1f\x7f",
    " leading",
    "trailing ",
    " ",
    "back\\slash",
    "-rf",
    "--delete",
    "*",
    "?",
    "[a]",
    "#comment",
    "!not",
    "$HOME",
    "%20",
    "%s%n",
    "'quote\"",
    "`ls`",
    "a:b",
    "con",
    "CON.txt",
    "dot.",
    "..dots",
    "...",
    "~",
    "🙂👨‍👩‍👧",
    "\u202eltr",
    "\ufeffbom",
    "zero\u200bwidth",
    "日本語/ファイル",
    "é",
    "o\u0308",
    "ﬁ",
    "İ",
    "n" * 255,
    "ü" * 127,
    "/".join(["d" * 100] * 20),
    "deep/" * 60 + "file",
    ".hidden",
    ".trueupish",
    "trueup",
    "a.conflict-left-1",
    "null",
    "\U0010ffff",
    "\ue000",
]


@pytest.fixture
def hostile(world: World) -> World:
    for name in HOSTILE:
        world.put("left", name, f"content of {name!a}")
    return world


def test_every_name_a_disk_takes_arrives_is_edited_undone_and_deleted(hostile: World):
    world = hostile
    expected = {name: f"content of {name!a}".encode() for name in HOSTILE}
    run = world.sync(delete=True)
    assert run.status == "ok", [item for item in run.items if item["outcome"] != "done"]
    assert world.tree("right") == expected
    assert nothing_to_do(world.sync())
    for name in HOSTILE:
        world.put("right", name, "edited")
    run = world.sync()
    assert done(run) == {"copy_left": len(HOSTILE)}
    assert world.undo(run).status == "ok"
    assert world.tree("left") == expected
    assert world.sync(release=True, prefer="right").status == "ok"
    for name in HOSTILE[1:]:
        world.remove("left", name)
    assert done(world.sync(delete=True, force=True)) == {"delete_right": len(HOSTILE) - 1, "unchanged": 1}
    assert world.tree("right") == {HOSTILE[0]: b"edited"}


def test_names_that_are_not_unicode_are_reported_and_hide_what_is_below(world: World):
    world.both({"a": "1"})
    bad = os.fsencode(str(world.left)) + b"/bad-\xff\xfe"
    Path(os.fsdecode(bad)).write_bytes(b"x")
    folder = Path(os.fsdecode(os.fsencode(str(world.left)) + b"/dir-\xc3"))
    folder.mkdir()
    (folder / "inside").write_bytes(b"y")
    world.put("left", "b", "2")
    run = world.sync(delete=True)
    assert run.status == "ok", "a warning"
    assert done(run) == {"copy_right": 1, "unaddressable": 2, "unchanged": 1}
    for item in run.items:
        str(item["key"]).encode()  # can be shown
    assert world.tree("right") == {"a": b"1", "b": b"2"}
    with world.plan() as planned:
        assert world.apply(planned).status == "ok"


def test_each_side_keeps_its_spelling_of_one_name(world: World):
    nfc, nfd = "d/é", "d/e\u0301"
    world.put("left", nfd, "1")
    world.put("right", nfc, "1")
    assert done(world.sync()) == {"adopt": 1}
    world.put("left", nfd, "2")
    assert done(world.sync()) == {"copy_right": 1}
    assert world.trees() == ({nfd: b"2"}, {nfc: b"2"})
    world.put("left", "z", "z")
    world.sync()
    world.remove("right", nfc)
    assert done(world.sync(delete=True)) == {"delete_left": 1, "unchanged": 1}
    assert world.trees() == ({"z": b"z"}, {"z": b"z"})


def test_a_deleted_name_comes_back_in_the_spelling_it_had(world: World):
    nfc, nfd = "é", "e\u0301"
    world.put("left", nfd, "1")
    world.put("right", nfc, "1")
    world.put("left", "z", "z")
    world.sync()
    world.remove("left", nfd)
    assert done(world.sync()) == {"copy_left": 1, "unchanged": 1}
    assert world.trees() == ({nfd: b"1", "z": b"z"}, {nfc: b"1", "z": b"z"})


MIXED = ["é/é", "é/e\u0301", "e\u0301/é", "e\u0301/e\u0301"]
"""The same key to trueup, in four spellings."""


@pytest.mark.parametrize("agreed", [None, *MIXED[:2]])
@pytest.mark.parametrize("prefer", ["left", "right"])
def test_what_is_undone_is_held_however_the_sides_spell_it(world: World, prefer: str, agreed: str | None):
    spelled = {str(number): each for number, each in enumerate(permutations(MIXED, 2), 10)}
    if agreed:
        world.both({f"{folder}/{agreed}": "agreed" for folder in spelled})
    for side in ("left", "right"):
        for folder in spelled if agreed else ():
            world.remove(side, f"{folder}/{agreed}")
    for folder, (left, right) in spelled.items():
        world.put("left", f"{folder}/{left}", "left's")
        world.put("right", f"{folder}/{right}", "right's own")
    before = world.trees()
    for key in MIXED:
        found = explain(*world.specs, f"10/{key}", settings=world.settings)
        assert found.lines[:2] == ("left: 6 bytes", "right: 11 bytes")
    run = world.sync(prefer=prefer)
    assert done(run) == {"copy_right" if prefer == "left" else "copy_left": len(spelled)}
    assert world.undo(run).status == "ok"
    assert world.trees() == before
    for _ in range(2):
        assert done(world.sync(prefer=prefer)) == {"held": len(spelled)}
        assert explain(*world.specs, f"10/{MIXED[0]}", settings=world.settings).action == "held"
        assert world.trees() == before
    world.put("left", f"10/{spelled['10'][0]}", "edited")
    assert done(world.sync(prefer="left")) == {"held": len(spelled) - 1, "copy_right": 1}


def test_a_rename_that_was_undone_is_held_however_the_sides_spell_it(world: World):
    nfc, nfd = "d/é", "d/e\u0301"
    world.put("left", nfd, "1")
    world.put("right", nfc, "1")
    world.put("left", "z", "z")
    world.sync()
    world.remove("left", nfd)
    world.put("left", "ü", "1")
    before = world.trees()
    run = world.sync(delete=True)
    assert done(run)["move_right"] == 1
    assert world.undo(run).status == "ok"
    assert outcomes(world.sync(delete=True)) == {nfc: ("held", "skipped"), "ü": ("held", "skipped")}
    assert world.trees() == before


@pytest.mark.parametrize("respelled", ["left", "right"])
def test_a_number_taken_in_another_spelling_is_not_taken_again(world: World, respelled: str):
    spelled = {str(number): each for number, each in enumerate(permutations(MIXED, 2), 10)}
    world.both({f"{folder}/{before}": "agreed" for folder, (before, _) in spelled.items()})
    for folder, (before, _) in spelled.items():
        for side in ("left", "right"):
            world.put(side, f"{folder}/{before}", f"{side} 1")
    assert world.sync(keep_loser=True).status == "ok"
    for folder, (before, after) in spelled.items():
        world.remove(respelled, f"{folder}/{before}")
        for side in ("left", "right"):
            world.put(side, f"{folder}/{after if side == respelled else before}", f"{side} 2")
    assert done(world.sync(keep_loser=True)) == {"copy_left": len(spelled), "unchanged": len(spelled)}
    expected = {"é/é": b"right 2", "é/é.conflict-left-1": b"left 1", "é/é.conflict-left-2": b"left 2"}
    for side in ("left", "right"):
        tree = world.tree(side)
        assert {keys.normal(key): data for key, data in tree.items()} == {
            f"{folder}/{key}": data for folder in spelled for key, data in expected.items()
        }
        assert len(tree) == len(expected) * len(spelled), "no twins"
    assert nothing_to_do(world.sync(keep_loser=True))


def test_twins_are_reported_and_left_alone_with_what_is_below(world: World):
    nfc, nfd = "é", "e\u0301"
    world.put("left", nfc, "one")
    world.put("left", nfd, "two")
    world.put("right", nfc, "three")
    world.put("left", "z", "z")
    before = world.trees()
    run = world.sync(delete=True)
    assert outcomes(run) == {nfc: ("unaddressable", "skipped"), "z": ("copy_right", "done")}
    assert world.tree("left") == before[0]
    assert world.tree("right") == before[1] | {"z": b"z"}
    world.remove("left", nfd)
    assert done(world.sync()) == {"copy_left": 1, "unchanged": 1}


def test_twin_folders_lose_nothing(world: World):
    """Two folders whose names have one normal form: files in them pair by their normal names."""
    nfc, nfd = "é", "e\u0301"
    world.put("left", f"{nfc}/a", "1")
    world.put("left", f"{nfd}/b", "2")
    world.put("left", f"{nfc}/same", "3")
    world.put("left", f"{nfd}/same", "4")
    before = world.tree("left")
    run = world.sync(delete=True)
    assert world.tree("left") == before
    assert {unicodedata.normalize("NFC", key): data for key, data in world.tree("right").items()} == {
        "é/a": b"1",
        "é/b": b"2",
    }
    assert outcomes(run)["é/same"] == ("unaddressable", "skipped")
    assert world.sync(delete=True).status == "ok"
    assert world.tree("left") == before


def bucket_pair(world: World) -> tuple[MemoryStore, tuple[str, str]]:
    MemoryStore.forget()
    return MemoryStore.named("memory://names"), (str(world.left), "memory://names")


@pytest.mark.parametrize(
    "key", ["a//b", "../up", "./x", "a/..", "/root", "x\0y", "\ud800", " a", "a ", "\u2003a", "a/", "k" * 1025]
)
def test_keys_no_store_may_be_asked_for_are_reported_and_never_touched(world: World, key: str):
    bucket, specs = bucket_pair(world)
    bucket.put(key, b"odd")
    bucket.put("fine", b"fine")
    run = sync(*specs, config=SyncConfig(delete=True), settings=world.settings)
    assert run.status == "ok"
    expected = "marker" if key == "a/" else "unaddressable"
    assert done(run) == {"copy_left": 1, expected: 1}
    assert world.tree("left") == {"fine": b"fine"}
    assert sorted(path.name for path in world.base.iterdir()) == ["left", "right", "state"]
    assert bucket.contents() == {key: b"odd", "fine": b"fine"}


def test_a_key_of_1024_bytes_is_copied_but_not_overwritten_without_a_way_back(world: World):
    bucket, specs = bucket_pair(world)
    key = "/".join(["k" * 127] * 8)
    assert len(key) == 1023
    key += "k"
    bucket.put(key, b"1")
    assert done(sync(*specs, settings=world.settings)) == {"copy_left": 1}
    world.put("left", key, "2")
    run = sync(*specs, settings=world.settings)
    assert outcomes(run) == {key: ("copy_right", "failed")}
    assert "trash" in str(run.items[0]["error"])
    assert bucket.contents() == {key: b"1"}
    assert done(sync(*specs, config=SyncConfig(trash=False), settings=world.settings)) == {"copy_right": 1}
    assert bucket.contents() == {key: b"2"}


def test_a_segment_too_long_for_the_disk_is_reported(world: World):
    bucket, specs = bucket_pair(world)
    bucket.put("s" * 256, b"1")
    bucket.put("ü" * 128, b"1")
    run = sync(*specs, settings=world.settings)
    assert done(run) == {"unaddressable": 2}
    assert run.exit_code == 0


def test_names_the_bucket_cannot_hold_stay_on_the_disk(world: World):
    _, specs = bucket_pair(world)
    for name in (" a", "b ", "c"):
        world.put("left", name, "1")
    run = sync(*specs, config=SyncConfig(delete=True), settings=world.settings)
    assert done(run) == {"copy_right": 1, "unaddressable": 2}
    assert len(world.tree("left")) == 3


SEGMENT = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text not in {".", ".."} and len(text.encode()) < 200
)


@settings(max_examples=60)
@given(st.lists(st.lists(SEGMENT, min_size=1, max_size=3).map("/".join), min_size=1, max_size=6))
def test_any_names_at_all_end_in_two_equal_trees_or_are_reported(names):
    with scratch() as folder:
        world = World(Path(folder))
        for number, name in enumerate(names):
            try:
                world.put("left" if number % 2 else "right", name, str(number))
            except OSError:
                continue  # a file where this name needs a folder
        run = world.sync()
        assert not {outcome for _, outcome in outcomes(run).values()} & {"failed", "drifted"}, run.items
        reported = {str(item["key"]) for item in run.items if item["outcome"] == "skipped"}
        left, right = ({keys.normal(key): data for key, data in tree.items()} for tree in world.trees())
        for key in left.keys() ^ right.keys():
            assert keys.is_reserved(key) or any(
                key == name or key.startswith(name + "/") or name.startswith(key + "/") for name in reported
            )


# Clocks


@pytest.mark.parametrize("year", [1600, 2400])
def test_a_time_outside_of_what_a_database_holds_is_only_a_time(year: int):
    """64 bits of nanoseconds end in 2262; disks go on."""
    with scratch() as folder:
        world = World(Path(folder))
        world.put("left", "a", "1", mtime_ns=(year - 1970) * 31_556_952 * 10**9)
        assert done(world.sync()) == {"copy_right": 1}
        last = (1 << 63) - 1
        nearest = max(-last, min(last, (world.left / "a").stat().st_mtime_ns))
        assert (world.right / "a").stat().st_mtime_ns == nearest
        assert nothing_to_do(world.sync())
        world.put("right", "a", "2")
        assert done(world.sync()) == {"copy_left": 1}
        assert world.tree("left") == {"a": b"2"}


@pytest.mark.parametrize("stamp", [0, 1, -(10**9), 4_102_444_800 * 10**9, OLD * 10**9 + 123_456_789])
def test_any_time_is_kept_and_settles(world: World, stamp: int):
    world.put("left", "a", "1", mtime_ns=stamp)
    assert world.sync().status == "ok"
    assert world.tree("right") == {"a": b"1"}
    if stamp:  # zero is what a store says that knows no time
        assert (world.right / "a").stat().st_mtime_ns == stamp
    assert nothing_to_do(world.sync())
    with world.state() as state:
        assert state.agreed("a").left_print, "an odd time is not asked about for ever"
    world.put("left", "a", "2", mtime_ns=stamp)
    assert done(world.sync()) == {"copy_right": 1}


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fingerprints as on Windows: the modification time alone."""
    monkeypatch.setattr(walk, "_BY_FD", False)


@pytest.mark.parametrize("first", ["copied", "compared", "hashed"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_an_edit_within_the_same_time_is_noticed(world: World, coarse: None, side: str, first: str):
    """Written, synced, and written again before the clock went on: size and time show nothing."""
    path = world.put("left", "a", "one", new=True)
    if first != "copied":
        world.put("right", "a", "one", mtime_ns=path.stat().st_mtime_ns)
    world.sync()
    if first == "hashed":
        assert nothing_to_do(world.sync())
    stamp = (world[side] / "a").stat().st_mtime_ns
    world.put(side, "a", "two", mtime_ns=stamp)
    other = "left" if side == "right" else "right"
    assert done(world.sync()) == {f"copy_{other}": 1}
    assert world.tree(other) == {"a": b"two"}


def test_an_edit_within_the_same_time_is_no_rename_of_another_content(world: World, coarse: None):
    world.both({"old": "one", "z": "z"})
    world.remove("left", "old")
    path = world.put("left", "new", "one", new=True)
    world.sync(delete=True, dry_run=True)
    world.put("left", "new", "two", mtime_ns=path.stat().st_mtime_ns)
    world.sync(delete=True)
    assert world.tree("right") == {"new": b"two", "z": b"z"}


def test_an_old_file_with_the_same_time_and_size_is_trusted_on_its_ctime(world: World):
    """Where the disk tells more than the modification time, nothing hides behind a set-back clock."""
    world.both({"a": "one"})
    stamp = (world.left / "a").stat().st_mtime_ns
    world.put("left", "a", "two", mtime_ns=stamp)
    assert done(world.sync()) == {"copy_right": 1}


def test_empty_files_are_files(world: World):
    world.both({"empty": "", "folder/empty": ""})
    assert world.tree("right") == {"empty": b"", "folder/empty": b""}
    world.put("left", "empty", "full")
    world.put("right", "folder/empty", "full")
    assert done(world.sync()) == {"copy_right": 1, "copy_left": 1}
    world.put("left", "empty", "")
    assert done(world.sync()) == {"copy_right": 1, "unchanged": 1}
    assert world.tree("right") == {"empty": b"", "folder/empty": b"full"}
    assert nothing_to_do(world.sync())
