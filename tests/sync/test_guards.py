"""What must hold before anything is deleted, and what happens to an item that is not as planned any more."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sync.world import OLD, World, done, nothing_to_do, outcomes, reasons
from trueup import events
from trueup.config import SyncConfig
from trueup.errors import AccessDenied, ConfigError, ListingUnfinished, Refused, StoreError, Unreachable
from trueup.sync import session as sessions
from trueup.sync import sync
from trueup.sync.outputs import Outputs
from trueup.testing import FaultyStore, MemoryStore


def many(world: World, number: int) -> None:
    world.both({f"f{index:03}": str(index) for index in range(number)})


def drop(world: World, side: str, number: int) -> None:
    for index in range(number):
        world.remove(side, f"f{index:03}")


# --max-delete


@pytest.mark.parametrize(
    ("held", "deleted", "max_delete", "refused"),
    [
        (40, 20, "50%", False),
        (40, 21, "50%", True),
        (40, 11, "25%", True),
        (40, 10, "25%", False),
        (40, 10, "0%", False),  # ten are free
        (40, 11, "0%", True),
        (40, 39, "100%", False),
        (40, 12, "12", False),
        (40, 12, "11", True),
        (12, 10, "50%", False),
        (12, 11, "50%", True),
        (200, 100, "50%", False),
        (200, 101, "50%", True),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_strictly_more_deletes_than_allowed_refuse_the_run(world, side, held, deleted, max_delete, refused):
    many(world, held)
    drop(world, side, deleted)
    world.put("left", "something new", "to copy")
    other = "left" if side == "right" else "right"
    before = world.trees()
    if refused:
        with pytest.raises(Refused, match=f"delete {deleted} of {held} files on the {other}") as caught:
            world.sync(delete=True, max_delete=max_delete)
        assert caught.value.exit_code == 3
        assert world.trees() == before, "nothing at all was done"
        assert world.sync(delete=True, max_delete=max_delete, dry_run=True).status == "refused"
        assert world.sync(delete=True, max_delete=max_delete, force=True).status == "ok"
    else:
        assert world.sync(delete=True, max_delete=max_delete).counts[f"delete_{other}"] == deleted
    assert len(world.tree(other)) == held - deleted + 1


def test_each_side_is_counted_for_itself(world: World):
    many(world, 40)
    for index in range(15):
        world.remove("left", f"f{index:03}")
        world.remove("right", f"f{index + 20:03}")
    assert world.sync(delete=True).status == "ok"


def test_without_a_baseline_the_targets_listing_counts(world: World):
    for index in range(30):
        world.put("right", f"extra{index}", "x")
    for index in range(20):
        world.put("left", f"f{index}", str(index))
        world.put("right", f"f{index}", str(index))
    with pytest.raises(Refused, match="30 of 50"):
        world.sync(mode="push", delete=True)
    assert world.sync(mode="push", delete=True, max_delete="60%").counts["delete_right"] == 30


def test_a_folder_renamed_is_moves_and_no_delete(world: World):
    world.both({f"old/{index}": f"content {index}" for index in range(60)} | {"other": "o"})
    (world.left / "old").rename(world.left / "new")
    run = world.sync(delete=True, max_delete="0")
    assert done(run) == {"move_right": 60, "unchanged": 1}
    assert world.tree("left") == world.tree("right")


@pytest.mark.parametrize("value", ["", "-1", "50 %", "half", "5.5%", "%"])
def test_an_unusable_limit_is_said(value: str):
    with pytest.raises(ConfigError, match="max_delete"):
        SyncConfig(max_delete=value)


# Sides that are empty or missing


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("options", [{}, {"delete": True}, {"prefer": "left"}])
def test_a_side_that_became_empty_refuses_the_run(world: World, side: str, options: dict):
    world.both({"a": "1", "b/c": "2"})
    for name in ("a", "b/c"):
        world.remove(side, name)
    with pytest.raises(Refused, match=f"the {side} .* is empty, but held 2 files"):
        world.sync(**options)
    assert len(world.tree("left")) + len(world.tree("right")) == 2


def test_force_believes_an_empty_side(world: World):
    world.both({"a": "1", "b": "2"})
    drop_all(world, "left")
    assert world.sync(delete=True, force=True).counts["delete_right"] == 2
    assert world.tree("right") == {}
    assert sorted(world.trash("right")) == [b"1", b"2"]


def drop_all(world: World, side: str) -> None:
    for key in world.tree(side):
        world.remove(side, key)


@pytest.mark.parametrize("number", [1, 10])
def test_free_deletes_are_no_licence_to_empty_a_side(world: World, number: int):
    for index in range(number):
        world.put("right", f"extra{index}", "x")
    with pytest.raises(Refused, match="leaves it empty"):
        world.sync(mode="push", delete=True, max_delete="100%")
    world.put("left", "a", "1")
    assert world.sync(mode="push", delete=True).counts["delete_right"] == number


@pytest.mark.parametrize("left_over", ["link", "socket"])
def test_what_is_no_file_does_not_make_an_emptied_side_full(world: World, left_over: str, monkeypatch):
    """An unmounted disk may show a stray link in its place."""
    world.both({"a": "1", "b": "2"})
    drop_all(world, "left")
    world.put("right", "new", "so that deleting two leaves it not empty")
    if left_over == "link":
        (world.left / "stray").symlink_to("nowhere")
    else:
        monkeypatch.chdir(world.left)
        with socket.socket(socket.AF_UNIX) as stray:
            stray.bind("stray")
    with pytest.raises(Refused, match="is empty, but held 2"):
        world.sync(delete=True)
    assert len(world.tree("right")) == 3


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("force", [False, True])
def test_a_root_that_was_there_and_is_missing_refuses_the_run(world: World, side: str, force: bool):
    world.both({"a": "1"})
    world[side].rename(world.base / "elsewhere")
    with pytest.raises(Refused, match=f"the {side} .* is not there, although"):
        world.sync(delete=True, force=force)
    assert not world[side].exists()
    (world.base / "elsewhere").rename(world[side])
    assert nothing_to_do(world.sync(delete=True))


@pytest.mark.parametrize(
    ("mode", "missing"), [("two-way", "left"), ("two-way", "right"), ("push", "right"), ("pull", "left")]
)
def test_a_missing_target_is_made_on_the_first_run(world: World, mode: str, missing: str):
    world[missing].rmdir()
    other = "left" if missing == "right" else "right"
    world.put(other, "a/b", "1")
    assert world.sync(mode=mode).status == "ok"
    assert world.tree(missing) == {"a/b": b"1"}


@pytest.mark.parametrize(("mode", "missing"), [("push", "left"), ("pull", "right")])
def test_a_missing_source_is_refused(world: World, mode: str, missing: str):
    world[missing].rmdir()
    world.put("left" if missing == "right" else "right", "a", "1")
    with pytest.raises(Refused, match="nothing to make it from"):
        world.sync(mode=mode, delete=True, force=True)


def test_two_missing_roots_are_refused(world: World):
    world.left.rmdir()
    world.right.rmdir()
    with pytest.raises(Refused):
        world.sync()
    assert not world.left.exists()


def test_a_dry_run_makes_no_root(world: World):
    world.right.rmdir()
    world.put("left", "a", "1")
    assert world.sync(dry_run=True).status == "dry-run"
    assert not world.right.exists()


# Listings that lie or break


@pytest.fixture
def faulty(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], FaultyStore]:
    """The store of one side, to be broken."""
    broken: dict[str, FaultyStore] = {}
    real = sessions.open_store

    def opened(config, environ):
        store = real(config, environ)
        if (known := broken.get(store.url)) is None:
            return store
        known.inner = store
        return known

    monkeypatch.setattr(sessions, "open_store", opened)

    def make(side: str) -> FaultyStore:
        store = broken[f"file://{world[side]}"] = FaultyStore(MemoryStore())
        return store

    return make


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", ["two-way", "push", "pull"])
def test_a_listing_that_breaks_off_concludes_nothing(world, faulty, mode, side, after):
    world.both({f"f{index}": str(index) for index in range(6)})
    world.put("left", "new", "n")
    before = world.trees()
    faulty(side).break_listing(after=after)
    with pytest.raises(ListingUnfinished) as caught:
        world.sync(mode=mode, delete=True, force=True)
    assert caught.value.exit_code == 3
    assert world.trees() == before


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", ["two-way", "push", "pull"])
@pytest.mark.parametrize("delete", [False, True])
def test_a_listing_that_is_silently_short_deletes_and_overwrites_nothing(world, faulty, mode, side, after, delete):
    world.both({f"f{index}": str(index) for index in range(6)})
    other = "left" if side == "right" else "right"
    for index in range(6):
        world.put(other, f"f{index}", f"edited {index}")
    world.put("left", "g", "left's")
    world.put("right", "g", "right's, another")
    before = world.trees()
    everything = {*before[0].items(), *before[1].items()}
    faulty(side).cut_listing(after=after)
    run = world.sync(mode=mode, delete=delete, force=True)
    assert not {"delete_left", "delete_right", "move_left", "move_right"} & set(done(run))
    assert set(world.tree("left")) == set(before[0])
    assert set(world.tree("right")) == set(before[1])
    hidden = [f"f{index}" for index in range(6)][after:]
    for key in hidden:
        assert world.tree(side)[key] == before[0 if side == "left" else 1][key], "what was hidden is untouched"
    shown = {data for tree in world.trees() for data in tree.values()}
    assert {data for _, data in everything} <= shown | set(world.trash("left")) | set(world.trash("right"))


def test_a_rename_seen_by_a_short_listing_moves_nothing(world, faulty):
    world.both({"a": "content", "b": "other"})
    world.put("left", "z", "content")
    store = faulty("left")
    store.hide("a")
    run = world.sync(delete=True)
    assert run.status == "partial"
    assert outcomes(run) == {"z": ("move_right", "drifted")}
    assert world.tree("right") == {"a": b"content", "b": b"other"}
    store.heal()
    assert done(world.sync(delete=True)) == {"copy_right": 1, "unchanged": 2}


def test_when_absence_cannot_be_confirmed_nothing_is_deleted(world, faulty):
    world.both({"a": "1", "b": "2"})
    world.remove("left", "a")
    faulty("left").fail("stat", Unreachable("no answer"), key="a")
    run = world.sync(delete=True)
    assert outcomes(run) == {"a": ("delete_right", "failed")}
    assert world.tree("right") == {"a": b"1", "b": b"2"}


def test_an_unreadable_folder_is_unknown_and_all_below_it_kept(world, faulty):
    world.both({"dir/a": "1", "dir/b/c": "2", "dir-x": "3", "z": "4"})
    world.put("right", "dir/a", "edited")
    world.put("right", "dir/new", "new")
    world.put("right", "z", "edited")
    faulty("left").blind("dir")
    run = world.sync(delete=True)
    assert run.status == "partial"
    assert run.exit_code == 1
    assert outcomes(run)["z"] == ("copy_left", "done")
    assert {item["action"] for item in run.items if str(item["key"]).startswith("dir/")} == {"unknown"}
    assert world.tree("right")["dir/a"] == b"edited"
    assert world.tree("left")["dir/a"] == b"1"
    assert {"dir/a", "dir/b/c"} <= set(world.baseline()), "the baseline is kept"


@pytest.mark.parametrize("scope", [{"include": ("*.txt",)}, {"include": ("dir/*",)}, {"exclude": ("*.tmp",)}])
def test_a_filter_does_not_turn_what_cannot_be_seen_into_absence(world, faulty, scope):
    world.both({"dir/a.txt": "1", "b.txt": "2"})
    store = faulty("left")
    store.blind("dir")
    run = world.sync(delete=True, force=True, **scope)
    assert done(run)["unknown"] == 2
    assert "drifted" not in done(run)
    assert world.tree("right") == {"dir/a.txt": b"1", "b.txt": b"2"}
    assert world.baseline().keys() >= {"dir/a.txt"}


def test_an_excluded_folder_that_cannot_be_read_is_nobodys_business(world, faulty):
    world.both({"dir/a": "1", "b": "2"})
    faulty("left").blind("dir")
    assert nothing_to_do(world.sync(delete=True, exclude=("dir/",)))


def test_a_file_that_cannot_be_read_fails_and_the_rest_goes_on(world, faulty):
    for key in "abc":
        world.put("left", key, key)
    faulty("left").fail("read", AccessDenied("no right to read it"), key="b")
    run = world.sync()
    assert run.status == "partial"
    assert outcomes(run) == {"a": ("copy_right", "done"), "b": ("copy_right", "failed"), "c": ("copy_right", "done")}
    assert world.tree("right") == {"a": b"a", "c": b"c"}


@pytest.mark.parametrize("operation", ["write", "preserve", "read", "stat", "move"])
def test_any_failing_operation_loses_nothing_and_heals(world, faulty, operation):
    world.both({"a": "1", "b": "2", "c": "3", "m": "move me"})
    world.put("left", "a", "changed")
    world.remove("left", "b")
    world.put("left", "n", "new")
    (world.left / "m").rename(world.left / "moved")
    before = world.tree("right")
    for side in ("left", "right"):
        store = faulty(side)
        store.fail(operation, StoreError(f"{operation} failed"))
    run = world.sync(delete=True)
    assert run.status in {"ok", "partial"}
    kept = [*world.tree("right").values(), *world.trash("right")]
    assert set(before.values()) <= set(kept)
    assert not world.temporaries()
    for side in ("left", "right"):
        faulty(side)
    assert world.sync(delete=True).status == "ok"
    assert world.tree("right") == world.tree("left") == {"a": b"changed", "c": b"3", "n": b"new", "moved": b"move me"}


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_listing_out_of_order_is_sorted_and_the_plan_begun_anew(world, faulty, side):
    world.both({f"f{index}": str(index) for index in range(6)})
    world.put("left", "f1", "edited")
    world.remove("right", "f4")
    store = faulty(side)
    store.disorder_listing(after=2)
    assert done(world.sync(delete=True)) == {"copy_right": 1, "delete_left": 1, "unchanged": 4}
    assert world.tree("left") == world.tree("right")
    before = store.count("list")
    assert nothing_to_do(world.sync())
    assert store.count("list") == before + 1, "next time it is sorted from the start"


def test_a_listing_that_repeats_a_key_for_ever_ends_in_a_refusal(world, faulty):
    world.both({"a": "1", "b": "2"})
    store = faulty("left")
    store._listing = lambda entries, _: (entry for entry in entries for _ in range(2))
    with pytest.raises(Refused):
        world.sync(delete=True)
    assert world.trees() == ({"a": b"1", "b": b"2"},) * 2


# Links and special files


def test_links_are_reported_kept_and_hide_what_lies_below(world: World):
    world.both({"a": "1", "dir/b": "2", "c": "3"})
    outside = world.base / "outside"
    outside.mkdir()
    outside.joinpath("b").write_text("outside")
    world.remove("left", "a")
    world.remove("left", "dir/b")
    world.remove("left", "c")
    world.put("left", "d", "4")
    (world.left / "a").symlink_to("d")
    (world.left / "dir").symlink_to(outside)
    (world.left / "c").symlink_to("nowhere")
    world.put("right", "dir/b", "edited")
    world.put("right", "dir/new", "new")
    run = world.sync(delete=True)
    assert run.status == "ok", "links are a warning"
    assert {key: action for key, (action, _) in outcomes(run).items()} == {
        "a": "link",
        "c": "link",
        "dir": "link",
        "dir/b": "link",
        "dir/new": "link",
        "d": "copy_right",
    }
    assert world.tree("right") == {"a": b"1", "c": b"3", "d": b"4", "dir/b": b"edited", "dir/new": b"new"}
    assert outside.joinpath("b").read_text() == "outside"
    assert [path.name for path in outside.iterdir()] == ["b"]
    assert {"a", "c", "dir/b"} <= set(world.baseline())


def test_pipes_and_sockets_are_reported_and_left_alone(world: World):
    world.both({"pipe": "a file once", "x": "1"})
    world.remove("left", "pipe")
    os.mkfifo(world.left / "pipe")
    run = world.sync(delete=True)
    assert outcomes(run) == {"pipe": ("link", "skipped")}
    assert reasons(run) == {"pipe": "special"}
    assert run.exit_code == 0
    assert world.tree("right") == {"pipe": b"a file once", "x": b"1"}


# Between plan and apply


def after_planning(world: World, edit: Callable[[], object], **options: object):
    """Plan, let somebody else edit, apply."""
    with world.plan(**options) as planned:
        edit()
        return world.apply(planned)


def test_a_parent_replaced_by_a_link_is_not_written_through(world: World):
    world.both({"dir/a": "1", "keep": "k"})
    world.put("left", "dir/a", "22")
    world.put("left", "dir/new", "n")
    outside = world.base / "outside"

    def edit() -> None:
        (world.right / "dir").rename(outside)
        (world.right / "dir").symlink_to(outside)

    run = after_planning(world, edit)
    assert run.status == "partial"
    assert outcomes(run) == {"dir/a": ("copy_right", "drifted"), "dir/new": ("copy_right", "drifted")}
    assert [path.name for path in outside.iterdir()] == ["a"]
    assert outside.joinpath("a").read_bytes() == b"1"


def test_a_parent_replaced_by_a_link_on_the_source_is_not_read_through(world: World):
    world.both({"keep": "k"})
    world.put("left", "dir/new", "n")

    def edit() -> None:
        (world.left / "dir").rename(world.base / "outside")
        (world.left / "dir").symlink_to(world.base / "outside")

    assert outcomes(after_planning(world, edit)) == {"dir/new": ("copy_right", "drifted")}
    assert world.tree("right") == {"keep": b"k"}


def test_a_delete_behind_a_link_is_no_confirmed_absence(world: World):
    """The listing saw an absent file; at apply time its folder is a link: nothing is known about it."""
    world.both({"dir/a": "1", "dir/b": "2"})
    world.remove("left", "dir/a")

    def edit() -> None:
        (world.left / "dir").rename(world.base / "outside")
        (world.left / "dir").symlink_to(world.base / "outside")

    run = after_planning(world, edit, delete=True)
    assert outcomes(run) == {"dir/a": ("delete_right", "drifted")}
    assert world.tree("right") == {"dir/a": b"1", "dir/b": b"2"}


STAMP = (OLD + 77) * 10**9

DRIFTS: dict[str, Callable[[World], object]] = {
    "the source was edited": lambda w: w.put("left", "a", "EDITED"),
    "the source was edited to the same size": lambda w: w.put("left", "a", "NEW"),
    "the source vanished": lambda w: w.remove("left", "a"),
    "the source became a link": lambda w: (w.remove("left", "a"), (w.left / "a").symlink_to("z")),
    "the source became a folder": lambda w: (w.remove("left", "a"), w.put("left", "a/b", "x")),
    "the target was edited": lambda w: w.put("right", "a", "theirs"),
    "the target was edited to the same size": lambda w: w.put("right", "a", "OLD"),
    "the target was edited within the same time": lambda w: w.put(
        "right", "a", "OLD", mtime_ns=(w.right / "a").stat().st_mtime_ns
    ),
    "the target vanished": lambda w: w.remove("right", "a"),
    "the target became a link": lambda w: (w.remove("right", "a"), (w.right / "a").symlink_to("z")),
    "the target became a folder": lambda w: (w.remove("right", "a"), w.put("right", "a/b", "x")),
}


@pytest.mark.parametrize("what", DRIFTS)
def test_an_overwrite_that_is_not_as_planned_drifts(world: World, what: str):
    world.both({"a": "old", "z": "z"})
    world.put("left", "a", "new")
    seen: dict[str, object] = {}

    def edit() -> None:
        DRIFTS[what](world)
        seen["trees"] = world.trees()

    run = after_planning(world, edit)
    assert outcomes(run) == {"a": ("copy_right", "drifted")}
    assert run.status == "partial"
    assert run.exit_code == 1
    assert world.trees() == seen["trees"], "what somebody else did stands"
    assert not world.temporaries()


@pytest.mark.parametrize("new", ["same size..", "longer than that", ""])
def test_a_new_target_that_appeared_meanwhile_is_not_overwritten(world: World, new: str):
    world.both({"z": "z"})
    world.put("left", "a", "left's file")
    run = after_planning(world, lambda: world.put("right", "a", new))
    assert outcomes(run) == {"a": ("copy_right", "drifted")}
    assert world.tree("right")["a"] == new.encode()


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_delete_drifts_when_either_side_is_edited(world: World, side: str):
    world.both({"a": "old", "z": "z"})
    world.remove("left", "a")
    run = after_planning(world, lambda: world.put(side, "a", "back again"), delete=True)
    assert outcomes(run) == {"a": ("delete_right", "drifted")}
    assert world.tree(side)["a"] == b"back again"
    assert world.tree("right")["a"] == (b"back again" if side == "right" else b"old")


def test_a_delete_of_what_is_gone_already_is_no_accident(world: World):
    world.both({"a": "old", "z": "z"})
    world.remove("left", "a")
    run = after_planning(world, lambda: world.remove("right", "a"), delete=True)
    assert outcomes(run) == {"a": ("delete_right", "drifted")}
    assert nothing_to_do(world.sync(delete=True))
    assert set(world.baseline()) == {"z"}


@pytest.mark.parametrize("what", ["old back", "new edited", "target taken", "target edited"])
def test_a_move_drifts_when_anything_about_it_changed(world: World, what: str):
    world.both({"old": "content", "z": "z"})
    (world.left / "old").rename(world.left / "new")
    edits = {
        "old back": lambda: world.put("left", "old", "content"),
        "new edited": lambda: world.put("left", "new", "CONTENT"),
        "target taken": lambda: world.put("right", "new", "theirs"),
        "target edited": lambda: world.put("right", "old", "theirs!"),
    }
    seen = {}

    def edit() -> None:
        edits[what]()
        seen["right"] = world.tree("right")

    run = after_planning(world, edit, delete=True)
    assert outcomes(run) == {"new": ("move_right", "drifted")}
    assert world.tree("right") == seen["right"]


def test_a_source_that_changes_while_it_is_copied_is_not_published(world, faulty):
    world.put("left", "a", "x" * 3_000_000)
    world.put("left", "b", "fine")
    faulty("left").change_under_read("a", b"y" * 3_000_000)
    faulty("left").on("read", lambda _: None)
    store = faulty("left")
    store.break_read("a", after=1)
    run = world.sync()
    assert outcomes(run) == {"a": ("copy_right", "failed"), "b": ("copy_right", "done")}
    assert world.tree("right") == {"b": b"fine"}
    assert not world.temporaries()


def test_memory_and_folder_follow_the_same_rules(world: World):
    """A bucket instead of the right folder: conditional writes, no times, no folders."""
    MemoryStore.forget()
    bucket = MemoryStore.named("memory://bucket")
    specs = (str(world.left), "memory://bucket")
    world.put("left", "a", "1")
    world.put("left", "b/c", "2")
    bucket.put("d", b"3")
    assert done(sync(*specs, settings=world.settings)) == {"copy_right": 2, "copy_left": 1}
    assert nothing_to_do(sync(*specs, settings=world.settings))
    world.put("left", "a", "4")
    world.remove("left", "b/c")
    bucket.put("d", b"5")
    run = sync(*specs, config=SyncConfig(delete=True), settings=world.settings)
    assert done(run) == {"copy_right": 1, "delete_right": 1, "copy_left": 1}
    kept = {key: data for key, data in bucket.contents().items() if not key.startswith(".trueup/")}
    assert kept == {"a": b"4", "d": b"5"} == world.tree("left")
    assert sorted(data for key, data in bucket.contents().items() if key.startswith(".trueup/trash/")) == [b"1", b"2"]
    assert Path(world.left / "d").read_bytes() == b"5"


def test_a_panic_of_a_client_fails_its_item_and_no_other(world, faulty):
    """What Rust code raises in a panic is no `Exception`."""

    class Panic(BaseException):
        pass

    def panic(key: str) -> None:
        raise Panic("index out of bounds")

    for name in "abc":
        world.put("left", name, name)
    faulty("right").on("write", panic, key="b")
    run = world.sync()
    assert (run.status, run.counts["copy_right"], run.counts["failed"]) == ("partial", 2, 1)
    assert [row["error"] for row in run.items if row["outcome"] == "failed"] == [
        "unforeseen Panic: index out of bounds"
    ]


def test_what_a_killed_run_left_and_cannot_be_removed_is_told(world, faulty):
    """The file stays, out of the scope of every run; nobody should have to find it by chance."""
    world.put("left", "a", "a")
    run = world.sync()
    with world.state() as state, state.transaction():
        row = next(iter(state.journal(run.run)))
        state.write_journal([row._replace(state="intent")])
    faulty("right").fail("discard", AccessDenied("no right to"))
    told = []
    world.sync(outputs=Outputs(listener=told.append))
    assert any("could not be removed" in event.message for event in told if isinstance(event, events.Warned))


def test_what_was_written_but_could_not_be_flushed_is_undone_like_the_rest(world, faulty):
    for name in "abc":
        world.put("left", name, name)
    faulty("right").fail("flush", StoreError("the disk reports an error"))
    run = world.sync()
    assert (run.status, run.counts["failed"]) == ("partial", 3)
    assert world.baseline() == {}
    assert world.tree("right") == world.tree("left")
    assert world.undo(run).status == "ok"
    assert world.tree("right") == {}


@pytest.mark.parametrize("dead", [True, False])
def test_a_store_that_fails_and_fails_is_given_up_and_the_rest_is_told_of(world, faulty, dead):
    for number in range(1500):
        world.put("left", f"{number:04}", str(number))
    broken = faulty("right")
    if dead:
        broken.fail("write", Unreachable("no route"))
    else:
        broken.fail("write", Unreachable("no route"), key="0000")
    told = []
    run = world.sync(workers=1, outputs=Outputs(listener=told.append))
    warnings = [event.message for event in told if isinstance(event, events.Warned)]
    if dead:
        assert run.exit_code == 1
        assert re.fullmatch(r"[\d,]+ of 1,500 changes were left undone: .* failures of the store in a row", run.reason)
        assert warnings == [run.reason]
    else:
        assert (run.status, run.reason, warnings) == ("partial", None, [])


# A root that goes away


def test_a_saved_plan_does_not_make_a_root_that_went_away(world):
    world.both({name: name for name in "abcd"})
    world.put("right", "n", "new")
    world.remove("left", "d")
    with world.plan(delete=True) as planned:
        world.left.rename(world.base / "not mounted")
        right = world.tree("right")
        with pytest.raises(Refused, match=r"the left .* is not there"):
            world.apply(planned)
        assert not world.left.exists()
        assert world.tree("right") == right
        (world.base / "not mounted").rename(world.left)
        assert done(world.apply(planned)).keys() >= {"copy_left", "delete_right"}


@pytest.mark.parametrize("agreed", [False, True])
def test_a_saved_plan_is_not_applied_to_a_place_that_became_empty(world, agreed):
    if agreed:
        world.both({name: name for name in "abcd"})
    world.put("left", "l", "new")
    world.put("right", "r", "new")
    with world.plan() as planned:
        world.left.rename(world.base / "not mounted")
        world.left.mkdir()
        with pytest.raises(Refused, match=r"the left .* is empty, but held"):
            world.apply(planned)
        world.left.rmdir()
        with pytest.raises(Refused):
            world.apply(planned)
        assert not world.left.exists()
        (world.base / "not mounted").rename(world.left)
        assert done(world.apply(planned)) | {"unchanged": 0} == {"copy_left": 1, "copy_right": 1, "unchanged": 0}


@pytest.mark.parametrize("left_behind", ["nothing", "the empty mount point"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_nothing_is_deleted_when_a_root_goes_away_after_it_was_listed(world, side, left_behind):
    other = "right" if side == "left" else "left"
    world.both({name: name for name in "abcd"})
    world.remove(side, "d")
    kept = world.tree(other)

    def unmount(event: events.Event) -> None:
        if isinstance(event, events.Planned):
            world[side].rename(world.base / "not mounted")
            if left_behind != "nothing":
                world[side].mkdir()

    outputs = Outputs(listener=unmount)
    if left_behind == "nothing":
        with pytest.raises(Refused, match=f"the {side} .* went away"):
            world.sync(delete=True, outputs=outputs)
        assert not world[side].exists()
    else:
        run = world.sync(delete=True, outputs=outputs)
        assert run.status == "partial"
        assert outcomes(run) == {"d": (f"delete_{other}", "failed")}
        assert "not the folder any more" in str(run.items[0]["error"])
    assert world.tree(other) == kept


def test_a_refused_run_lets_no_key_go(world):
    many(world, 30)
    world.put("left", "a", "one")
    world.sync()
    world.put("left", "a", "two")
    world.undo(world.sync())
    drop(world, "left", 30)
    with pytest.raises(Refused):
        world.sync(release=True, delete=True)
    assert world.held() == {"a"}
    assert world.sync().counts["held"] == 1
    assert outcomes(world.sync(release=True))["a"] == ("copy_right", "done")
    assert not world.held()
