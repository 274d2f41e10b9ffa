"""Copies that begin while the listings go on: which may, and that such a run does and says what one without does."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.sync.model import CONTENTS, KEYS, Edit, edits
from tests.sync.world import World, done, files, nothing_to_do, scratch
from trueup import events
from trueup.config import SyncConfig
from trueup.errors import Interrupted, ListingUnfinished, Refused, TrueupError, Unreachable
from trueup.keys import normal
from trueup.stores.base import Entry, Features, OutOfOrder, Store
from trueup.stores.local import LocalStore
from trueup.sync import plan, sync
from trueup.sync.outputs import Outputs
from trueup.sync.report import SyncRun
from trueup.sync.sides import Sides
from trueup.sync.verbs import Watched
from trueup.testing import FaultyStore, MemoryStore

NAMES = [f"f{number:03}.txt" for number in range(200)]
"""Enough that planning looks up from its work before it has seen the last one."""
FIRST = NAMES[0]


class Pausing(LocalStore):
    """A folder whose listing calls `pause` before its last name."""

    pause: Callable[[], object] = staticmethod(lambda: None)

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:
        for entry in super().list(start, ordered=ordered):
            if entry.key == NAMES[-1]:
                self.pause()
            yield entry


class Later(LocalStore):
    """A folder where nothing begins early, because a new file might take another one's place."""

    def guards_absent(self) -> bool:
        return False


class LaterMemory(MemoryStore):
    def guards_absent(self) -> bool:
        return False


def filled(world: World) -> Pausing:
    for name in NAMES:
        world.put("left", name, name)
    return Pausing(world.left)


def run(world: World, left: Store, right: Store, *, outputs: Outputs | None = None, **options: object) -> SyncRun:
    return sync(
        str(world.left),
        str(world.right),
        config=SyncConfig(**options),
        settings=world.settings,
        outputs=outputs,
        watched=Watched(sides=Sides(left=left, right=right)),
    )


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing began while the listing went on"
        time.sleep(0.005)


@pytest.mark.parametrize("kind", ["folder", "bucket"])
@pytest.mark.parametrize("mode", ["two-way", "push"])
def test_new_files_are_copied_while_the_listing_goes_on(world: World, kind: str, mode: str):
    left, right = filled(world), LocalStore(world.right) if kind == "folder" else MemoryStore("memory://right")
    contents = (lambda: world.tree("right")) if kind == "folder" else right.contents
    seen: list[int] = []
    left.pause = lambda: (until(lambda: FIRST in contents()), seen.append(len(contents())))
    heard: list[events.Event] = []
    result = run(world, left, right, outputs=Outputs(listener=heard.append), mode=mode)
    assert seen
    assert 0 < seen[0] < len(NAMES)
    assert result.status == "ok"
    assert done(result) == {"copy_right": len(NAMES)}
    assert [item["key"] for item in result.items] == NAMES
    assert {item["outcome"] for item in result.items} == {"done"}
    assert result.bytes_right == sum(map(len, NAMES))
    assert contents() == world.tree("left")
    finished = [event.key for event in heard if isinstance(event, events.ItemFinished)]
    assert sorted(finished) == NAMES
    (planned,) = (event for event in heard if isinstance(event, events.Planned))
    assert (planned.actions, planned.bytes_right, planned.counts["copy_right"]) == (
        len(NAMES),
        result.bytes_right,
        len(NAMES),
    )
    for event in heard:
        if isinstance(event, events.Progress):
            assert event.actions_done <= event.actions == len(NAMES)


def nothing_begins(world: World, left: Pausing, right: LocalStore, **options: object) -> None:
    """Nothing is written, while the listing goes on, that was not there; what a run does later is its own matter."""
    before = world.tree("right")
    seen: list[dict[str, bytes]] = []
    # Long after a copy would have been there: it takes a few milliseconds.
    left.pause = lambda: (time.sleep(0.2), seen.append(world.tree("right")))
    outputs = Outputs(plan_out=(world.base / "plan").open("w")) if options.pop("plan_out", False) else None
    try:
        run(world, left, right, outputs=outputs, **options)
    except TrueupError as error:
        assert isinstance(error, Refused)  # noqa: PT017 - or none at all
    finally:
        if outputs is not None and outputs.plan_out is not None:
            outputs.plan_out.close()
    assert seen == [before]


@pytest.mark.parametrize("options", [{"delete": True}, {"plan_out": True}])
def test_nothing_begins_where_the_end_may_say_otherwise(world: World, options: dict[str, object]):
    nothing_begins(world, filled(world), LocalStore(world.right), **options)


def test_nothing_begins_where_a_new_file_may_take_the_place_of_another(world: World):
    nothing_begins(world, filled(world), Later(world.right))


class Folding(LocalStore):
    @property
    def features(self) -> Features:
        return Features(tree=True, folds_case=True, if_absent=True, start=True, keeps_mtime=True)


def test_nothing_begins_where_case_is_folded(world: World):
    world.put("left", "F000.TXT", "another name for the first")
    nothing_begins(world, filled(world), Folding(world.right))


def test_nothing_begins_before_it_is_certain_that_no_side_became_empty(world: World):
    world.both({"z": "agreed"})
    left = filled(world)
    world.remove("right", "z")
    nothing_begins(world, left, LocalStore(world.right))
    assert world.tree("right") == {}


def test_a_dry_run_and_a_plan_begin_nothing(world: World):
    filled(world)
    assert world.sync(dry_run=True).counts["copy_right"] == len(NAMES)
    with plan(*world.specs, settings=world.settings) as planned:
        assert planned.size() == len(NAMES)
    assert world.tree("right") == {}


def test_a_name_below_a_new_one_is_a_conflict_and_neither_is_touched(world: World):
    """`f000.txt` on one side, `f000.txt/x` on the other; and a name that begins like it between them."""
    left = filled(world)
    world.put("right", f"{FIRST}/x", "x")
    world.put("left", f"{FIRST}-", "between")
    result = run(world, left, LocalStore(world.right))
    assert done(result) == {"copy_right": len(NAMES), "conflict": 1}
    assert world.tree("right")[f"{FIRST}/x"] == b"x"
    assert world.tree("left") == {name: name.encode() for name in NAMES} | {f"{FIRST}-": b"between"}


# A run with early copies beside one without


def comparable(result: SyncRun) -> dict[str, object]:
    found = result.to_json()
    for name in ("run", "seconds", "left", "right"):
        del found[name]
    return found


def without_trash(store: MemoryStore) -> dict[str, bytes]:
    return {key: data for key, data in store.contents().items() if not key.startswith(".trueup/")}


@settings(max_examples=30)
@given(
    st.lists(edits, min_size=1, max_size=3),
    st.fixed_dictionaries(
        {"mode": st.sampled_from(["two-way", "push", "pull"]), "prefer": st.sampled_from(["right", "left", "none"])}
    ),
    st.sampled_from([1, 8]),
)
@example([[Edit("write", "left", "a", "c", b"1", False), Edit("write", "right", "a/x", "c", b"2", False)]], {}, 1)
@example([[Edit("write", "right", "a", "c", b"1", False), Edit("write", "left", "a/x/y", "c", b"2", False)]], {}, 8)
def test_the_result_is_the_one_of_a_run_without(rounds: list[list[Edit]], options: dict[str, object], workers: int):
    with scratch() as folder:
        found = []
        for kind in (LocalStore, Later):
            world = World(Path(folder) / kind.__name__)
            results = []
            for changes in rounds:
                for change in changes:
                    change.act(world)
                options = {**options, "workers": workers, "force": True}
                result = run(world, kind(world.left), kind(world.right), **options)
                results.append((comparable(result), world.trees(), world.baseline()))
                assert not world.temporaries()
            found.append(results)
        assert found[0] == found[1]


@settings(max_examples=20)
@given(
    st.dictionaries(st.sampled_from(KEYS + NAMES[:30]), st.sampled_from(CONTENTS), max_size=30),
    st.dictionaries(st.sampled_from(KEYS + NAMES[:30]), st.sampled_from(CONTENTS), max_size=30),
)
def test_the_result_in_buckets_is_the_one_of_a_run_without(left: dict[str, bytes], right: dict[str, bytes]):
    found = []
    for kind in (MemoryStore, LaterMemory):
        with scratch() as folder:
            world = World(Path(folder))
            sides = kind("memory://left"), kind("memory://right")
            for store, objects in zip(sides, (left, right), strict=True):
                for key, data in objects.items():
                    store.put(key, data)
            result = comparable(run(world, *sides, prefer="left"))
            found.append((result, *(without_trash(store) for store in sides)))
    assert found[0] == found[1]


# Listings that go wrong after copies began


def broken_off(world: World, error: Exception, listener: events.Listener = events.ignore) -> tuple[SyncRun, Pausing]:
    """The run over a listing that breaks off once a copy is there."""
    left = filled(world)

    def fail() -> None:
        until(lambda: FIRST in world.tree("right"))
        raise error

    left.pause = fail
    return run(world, left, LocalStore(world.right), outputs=Outputs(listener=listener)), left


@pytest.mark.parametrize("error", [ListingUnfinished("it broke off", cure="Run again"), Unreachable("no route")])
def test_a_listing_that_breaks_off_after_copies_is_a_failed_run_that_tells_them(world: World, error: TrueupError):
    heard: list[events.Event] = []
    result, left = broken_off(world, error, heard.append)
    assert (result.status, result.exit_code) == ("failed", 1)
    copied = world.tree("right")
    assert 0 < len(copied) < len(NAMES)
    assert result.counts["copy_right"] == len(copied)
    assert result.bytes_right == sum(map(len, copied.values()))
    assert f"{error.message}; by then {len(copied)} new files had been copied" in str(result.reason)
    assert [event.message for event in heard if isinstance(event, events.Warned)] == [result.reason]
    assert (
        {str(item["key"]) for item in result.items if item["outcome"] == "done"} == set(copied) == set(world.baseline())
    )
    assert {item["outcome"] for item in result.items} <= {"done", "skipped"}
    assert not world.temporaries()
    left.pause = lambda: None
    again = run(world, left, LocalStore(world.right))
    assert done(again) == {"copy_right": len(NAMES) - len(copied), "unchanged": len(copied)}
    assert nothing_to_do(world.sync())


def test_what_a_run_copied_before_it_broke_off_is_undone(world: World):
    result, _ = broken_off(world, ListingUnfinished("it broke off"))
    assert world.undo(result).status == "ok"
    assert world.tree("right") == {}
    assert len(world.tree("left")) == len(NAMES)


def test_a_listing_that_breaks_off_before_any_copy_is_refused(world: World):
    left = FaultyStore(filled(world))
    left.break_listing(after=3)
    with pytest.raises(ListingUnfinished):
        run(world, left, LocalStore(world.right))
    assert world.tree("right") == world.baseline() == {}


def test_early_and_late_copies_of_a_run_are_undone_together(world: World):
    left = filled(world)
    left.pause = lambda: until(lambda: FIRST in world.tree("right"))
    world.put("right", "zz", "the other way")
    result = run(world, left, LocalStore(world.right))
    assert done(result) == {"copy_right": len(NAMES), "copy_left": 1}
    assert world.undo(result).status == "ok"
    assert world.tree("right") == {"zz": b"the other way"}
    assert len(world.tree("left")) == len(NAMES)


@pytest.mark.parametrize("fault", ["none", "vanishes", "changes", "fails"])
def test_a_listing_out_of_order_is_sorted_and_nothing_is_told_twice(world: World, fault: str):
    """What happens meanwhile to a file that was copied is for the next run."""
    bucket = FaultyStore(MemoryStore("memory://right"))
    inner = bucket.inner
    assert isinstance(inner, MemoryStore)
    left = FaultyStore(filled(world))
    left.disorder_listing(after=len(NAMES) - 1)
    if fault == "fails":
        bucket.fail("write", key=FIRST)

    def meddle(_: str) -> None:  # the second listing begins
        if fault == "vanishes":
            inner.delete(FIRST)
        elif fault == "changes":
            inner.put(FIRST, b"somebody else's")

    left.on("list", lambda _: until(lambda: inner.contents() or fault == "fails"), nth=2)
    left.on("list", meddle, nth=2)
    result = run(world, left, bucket)
    keys = [str(item["key"]) for item in result.items]
    assert sorted(keys) == NAMES, "each is told once"
    expected = {"copy_right": len(NAMES)} if fault != "fails" else {"copy_right": len(NAMES) - 1, "failed": 1}
    assert done(result) == expected
    bucket.heal()
    left.heal()
    again = run(world, left, bucket)
    expected = {"vanishes": {"copy_right": 1}, "changes": {"copy_left": 1}, "fails": {"copy_right": 1}}.get(fault, {})
    assert done(again) == expected | {"unchanged": len(NAMES) - len(expected)}


def test_a_stop_while_planning_tells_what_was_copied(world: World):
    left = filled(world)
    is_there: list[int] = []
    left.pause = lambda: (until(lambda: FIRST in world.tree("right")), is_there.append(1), time.sleep(0.3))
    result = run(world, left, LocalStore(world.right), outputs=Outputs(stopped=lambda: bool(is_there)))
    copied = world.tree("right")
    assert (result.status, result.exit_code) == ("interrupted", 130)
    assert result.counts["copy_right"] == len(copied) == len(world.baseline()) > 0
    assert world.sync().status == "ok"
    assert world.tree("right") == world.tree("left")


def test_a_stop_before_anything_was_copied_did_nothing(world: World):
    left = filled(world)
    with pytest.raises(Interrupted, match="nothing was done"):
        run(world, left, LocalStore(world.right), outputs=Outputs(stopped=lambda: True))
    assert world.tree("right") == {}


def test_a_server_that_is_gone_is_left_alone_and_nothing_more_begins(world: World):
    bucket = FaultyStore(MemoryStore("memory://right"))
    bucket.fail("write", Unreachable("no route"))
    left = filled(world)
    left.pause = lambda: until(lambda: bucket.count("write") >= 20)
    result = run(world, left, bucket, workers=1)
    assert result.status == "partial"
    assert result.counts["failed"] == bucket.count("write") < len(NAMES)
    assert {item["outcome"] for item in result.items} == {"failed", "skipped"}


KILLED = """
import sys, time
from pathlib import Path
from tests.sync.test_early import Pausing, run
from tests.sync.world import World
from trueup.stores.local import LocalStore
world = World(Path(sys.argv[1]))
left = Pausing(world.left)
left.pause = lambda: time.sleep(60)
run(world, left, LocalStore(world.right), workers=4)
"""


def test_a_kill_while_the_listing_goes_on_leaves_nothing_that_the_next_run_does_not_settle(world: World):
    filled(world)
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(world.base)], cwd=root, env=environment)
    try:
        until(lambda: len(files(world.right)) > 30 or process.poll() is not None)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    result = world.sync()
    assert result.status == "ok"
    assert world.tree("right") == world.tree("left")
    assert not world.temporaries()
    assert nothing_to_do(world.sync())


class Raw(LaterMemory):
    """As some bucket: keys in the order of their bytes, which is not always that of their normal forms."""

    early = True

    def guards_absent(self) -> bool:
        return self.early

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:
        last = ""
        for entry in sorted(super().list(start, ordered=False), key=lambda entry: entry.key if ordered else ""):
            if ordered and normal(entry.key) < last:
                raise OutOfOrder(entry.key)
            last = normal(entry.key)
            yield entry


@pytest.mark.parametrize("early", [True, False])
def test_a_target_that_turns_out_to_be_in_disorder_makes_nothing_doubtful(tmp_path: Path, early: bool):
    world = World(tmp_path)
    bucket = Raw(f"memory://disorder-{early}")
    bucket.early = early
    for number in range(300):
        world.put("left", f"f{number:03}", f"data {number}" if number % 2 else "mine")
        bucket.write(f"f{number:03}", [f"data {number}".encode()])
    for name in ("é1", "é2"):
        bucket.write(unicodedata.normalize("NFD", name), [b"x"])
        world.put("left", name, "x")
    made = run(world, LocalStore(world.left), bucket, mode="push")
    assert made.status == "ok", made.items
    assert done(made) == {"copy_right": 150, "adopt": 152}


def test_of_two_spellings_on_the_source_none_is_copied(tmp_path: Path):
    world = World(tmp_path)
    source = MemoryStore("memory://spellings")
    for form in ("NFC", "NFD"):
        source.write(unicodedata.normalize(form, "é1"), [form.encode()])
    source.write("zz", [b"z"])
    made = run(world, LocalStore(world.left), source, mode="pull")
    assert done(made) == {"copy_left": 1, "unaddressable": 1}


def test_copies_that_could_not_be_written_down_are_said_to_be_there(world: World):
    left = filled(world)

    def fail() -> None:
        until(lambda: FIRST in world.tree("right"))
        (path,) = (world.settings.home / "pairs").glob("*.db")
        with closing(sqlite3.connect(path)) as db:
            db.execute("drop table journal")
        raise Unreachable("no route")

    left.pause = fail
    result = run(world, left, LocalStore(world.right))
    assert (result.status, result.exit_code) == ("failed", 1)
    assert result.counts["copy_right"] < len(world.tree("right"))
    assert (
        f"by then {result.counts['copy_right']} new files had been copied, not counting what could not be written down"
    ) in str(result.reason)
    assert "the state file" in str(result.reason)
