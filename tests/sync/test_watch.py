"""Two places kept in step while people work in them."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Self

import pytest

from tests.servers.faulty_s3 import FaultyS3
from tests.sync.world import World
from trueup import events
from trueup.config import Settings, StoreConfig, SyncConfig
from trueup.errors import AccessDenied, StoreError, Unreachable, UsageError
from trueup.runs import RunLog
from trueup.stores import open_store
from trueup.stores.base import Entry, Store
from trueup.stores.sort import sorted_entries
from trueup.sync import session as sessions
from trueup.sync.outputs import Outputs
from trueup.sync.report import SyncRun
from trueup.sync.watch import Audience, Clock, Pace, watch
from trueup.testing import FaultyStore, MemoryStore

NEVER = 3600.0
SETTLE = 0.3
TOGETHER = 20.0
"""Seconds for which two people edit both sides at once, three times as fast as people would."""


class Skewed(Clock):
    """A clock that can jump."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def wall(self) -> float:
        return super().wall() + self.ahead


class Hurried(Skewed):
    """A clock whose waits are short, for many passes in little time."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 4)


class Watching:
    """A watch in a thread, and what it told."""

    def __init__(self, left: str, right: str, settings: Settings, **options: object) -> None:
        self.told: list[SyncRun] = []
        self.events: list[events.Event] = []
        self.waits: list[bool] = []
        self.clock = options.pop("clock", None) or Skewed()
        self.code: int | None = None
        self.error: BaseException | None = None
        pace = Pace(poll=options.pop("poll", NEVER), settle=options.pop("settle", SETTLE))
        self._stop = threading.Event()
        self._arguments = {
            "config": SyncConfig(**options),
            "settings": settings,
            "outputs": Outputs(listener=self.events.append, stopped=self._stop.is_set),
            "audience": Audience(told=self.told.append, waiting=self.waits.append),
            "pace": pace,
            "clock": self.clock,
        }
        self._places = (left, right)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.code = watch(*self._places, **self._arguments)
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stop()
        if self.error is not None and kind is None:
            raise self.error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    def passes(self) -> int:
        return sum(isinstance(event, events.RunFinished) for event in self.events)

    def until(self, true: Callable[[], object], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert self._thread.is_alive(), self.error
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)

    def rest(self) -> None:
        """Until the first pass is over."""
        self.until(lambda: self.waits)


def statuses(watching: Watching) -> list[str]:
    return [run.status for run in watching.told]


def history(settings: Settings) -> list[str]:
    return [record.status for record in RunLog(settings.home).latest()]


# A folder and a folder


def test_an_edit_on_each_side_arrives_on_the_other(world: World):
    world.both({"a": "1", "deep/er/b": "2", "c": "3"})
    with Watching(*world.specs, world.settings, delete=True) as watching:
        watching.rest()
        world.put("left", "deep/er/new", "n", new=True)
        world.put("right", "a", "edited", new=True)
        world.remove("left", "c")
        watching.until(lambda: world.tree("left") == world.tree("right") and "c" not in world.tree("right"))
    assert world.tree("left") == {"a": b"edited", "deep/er/b": b"2", "deep/er/new": b"n"}
    assert watching.code == 0
    assert set(statuses(watching)) == {"ok"}


def test_a_renamed_folder_is_moved_not_copied(world: World):
    world.both({f"old/{name}": f"content {name}" for name in "abc"} | {"z": "z"})
    with Watching(*world.specs, world.settings, delete=True) as watching:
        watching.rest()
        (world.left / "old").rename(world.left / "new")
        watching.until(lambda: "new/a" in world.tree("right") and "old/a" not in world.tree("right"))
    assert world.tree("left") == world.tree("right")
    assert [run.counts["move_right"] for run in watching.told] == [3]


def test_what_a_pass_writes_itself_starts_no_other_one(world: World):
    world.both({"a": "1"})
    with Watching(*world.specs, world.settings) as watching:
        watching.rest()
        for number in range(5):
            world.put("left", f"folder/{number}", "n", new=True)
        watching.until(lambda: len(world.tree("right")) == 6)
        time.sleep(4 * SETTLE + 1)
        settled = watching.passes()
        time.sleep(2)
        assert watching.passes() == settled <= 4
    assert len(world.tree("left")) == 6
    assert [run.counts["copy_right"] for run in watching.told if run.counts["copy_right"]] == [5]


def test_passes_that_find_nothing_are_neither_told_nor_remembered(world: World):
    world.both({"a": "1"})
    before = history(world.settings)
    with Watching(*world.specs, world.settings, poll=0.1) as watching:
        watching.until(lambda: watching.passes() > 4)
    assert watching.told == []
    assert history(world.settings) == before
    assert set(watching.waits) == {True}
    assert watching.code == 0


def test_trueups_own_state_below_the_folder_starts_no_pass(world: World, tmp_path: Path):
    settings = Settings(home=world.left / "state", environ={})
    world.put("left", "a", "1")
    with Watching(*world.specs, settings) as watching:
        watching.until(lambda: "a" in world.tree("right"))
        time.sleep(3)
        assert watching.passes() <= 2


# What is being written


def test_a_file_that_grows_waits_until_it_is_whole(world: World):
    world.both({"a": "1"})
    with Watching(*world.specs, world.settings, settle=1.0, poll=0.2) as watching:
        watching.rest()
        with (world.left / "growing").open("wb", buffering=0) as file:
            for _ in range(20):
                file.write(b"x" * 1000)
                time.sleep(0.1)
                assert not (world.right / "growing").exists()
        watching.until((world.right / "growing").exists)
    assert world.tree("right")["growing"] == b"x" * 20_000
    assert {run.status for run in watching.told} == {"ok"}


# A folder and a bucket


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """What `memory://bucket` opens."""
    store = FaultyStore(MemoryStore("memory://bucket"))
    real = sessions.open_store

    def opened(config: StoreConfig | str, environ: Mapping[str, str]) -> Store:
        return store if getattr(config, "url", "") == store.url else real(config, environ)

    monkeypatch.setattr(sessions, "open_store", opened)
    yield store
    MemoryStore.forget()


def keys_in(bucket: FaultyStore) -> set[str]:
    assert isinstance(bucket.inner, MemoryStore)
    return {key for key in bucket.inner.contents() if not key.startswith(".trueup/")}


@contextmanager
def in_step(world: World, bucket: FaultyStore, **options: object) -> Iterator[Watching]:
    with Watching(str(world.left), bucket.url, world.settings, **options) as watching:
        watching.rest()
        yield watching


def listed(bucket: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The first and the last key of each listing from now on."""
    found: list[tuple[str, str]] = []
    real = bucket.inner.list

    def noted(start: str = "", *, ordered: bool = True) -> Iterator[object]:
        found.append((start, ""))
        for entry in real(start, ordered=ordered):
            found[-1] = (start, entry.key)
            yield entry

    monkeypatch.setattr(bucket.inner, "list", noted)
    return found


def test_a_stop_amid_a_listing_ends_the_watch_without_a_complaint(
    world: World, bucket: FaultyStore, monkeypatch: pytest.MonkeyPatch
):
    listing = threading.Event()

    def endless(start: str = "", *, ordered: bool = True) -> Iterator[Entry]:
        for number in count():
            listing.set()
            time.sleep(0.01)
            yield Entry(f"f{number:07}", 1, fingerprint="x")

    with in_step(world, bucket, poll=0.1) as watching:
        monkeypatch.setattr(bucket.inner, "list", lambda *_, **__: sorted_entries(endless()))
        watching.until(listing.is_set)
        began = time.monotonic()
        watching.stop()
        assert time.monotonic() - began < 2
    assert (watching.code, watching.told) == (0, [])
    assert {path.name for path in world.left.iterdir()} <= {".trueup"}


def test_only_what_was_touched_is_listed(world: World, bucket: FaultyStore, monkeypatch: pytest.MonkeyPatch):
    for number in range(50):
        world.put("left", f"folder{number:02}/a", str(number))
    with in_step(world, bucket) as watching:
        ranges = listed(bucket, monkeypatch)
        world.put("left", "folder20/a", "edited", new=True)
        world.put("left", "folder20/b", "new", new=True)
        watching.until(lambda: "folder20/b" in keys_in(bucket))
        assert ranges == [("folder20/a", "folder21/a"), ("folder20/b", "folder21/a")]
        watching.until(lambda: len(watching.told[-1].items) == 2)
        time.sleep(4 * SETTLE + 1)
        assert len(ranges) == 2, "the quiet pair stays quiet"
    assert bucket.inner.stat("folder20/a").size == len("edited")


def test_a_change_in_the_bucket_is_found_by_the_interval(world: World, bucket: FaultyStore):
    world.put("left", "a", "1")
    with in_step(world, bucket, poll=0.3) as watching:
        bucket.inner.write("from/afar", [b"hello"])
        watching.until(lambda: "from/afar" in world.tree("left"))


def test_an_outage_is_told_once_and_survived(world: World, bucket: FaultyStore):
    world.put("left", "a", "1")
    with in_step(world, bucket, poll=0.3) as watching:
        assert statuses(watching) == ["ok"]
        bucket.fail("list", Unreachable("no route to host 10.0.0.1"))
        world.put("left", "b", "2", new=True)
        watching.until(lambda: bucket.count("list") > 5)
        assert statuses(watching) == ["ok", "failed"]
        assert watching.waits[-1] is False
        bucket.heal()
        watching.until(lambda: "b" in keys_in(bucket))
        watching.until(lambda: watching.waits[-1])
        assert statuses(watching)[:3] == ["ok", "failed", "ok"]
    assert "no route" in str(watching.told[1].reason)
    assert watching.code == 0
    assert history(world.settings).count("failed") == 1


def test_an_outage_that_ends_with_nothing_to_do_is_told_as_well(world: World, bucket: FaultyStore):
    world.put("left", "a", "1")
    with in_step(world, bucket, poll=0.3) as watching:
        bucket.fail("list", Unreachable("no route"))
        watching.until(lambda: statuses(watching) == ["ok", "failed"])
        bucket.heal()
        watching.until(lambda: statuses(watching) == ["ok", "failed", "ok"])


def test_credentials_that_are_wrong_from_the_start_end_it(world: World, bucket: FaultyStore):
    bucket.fail("list", AccessDenied("wrong key"))
    with Watching(str(world.left), bucket.url, world.settings) as watching:
        watching.join()
        assert isinstance(watching.error, AccessDenied)
        watching.error = None


def test_credentials_that_expire_later_do_not(world: World, bucket: FaultyStore):
    world.put("left", "a", "1")
    with in_step(world, bucket, poll=0.3) as watching:
        bucket.fail("list", AccessDenied("expired"))
        watching.until(lambda: statuses(watching) == ["ok", "failed"])
        bucket.heal()
        watching.until(lambda: statuses(watching) == ["ok", "failed", "ok"])


def test_a_place_nobody_knows_ends_it(world: World):
    with Watching(str(world.left), "nowhere://x", world.settings) as watching:
        watching.join()
        assert isinstance(watching.error, UsageError)
        watching.error = None


def test_a_file_that_fails_is_told_once_and_tried_again(world: World, bucket: FaultyStore):
    world.put("left", "a", "1")
    with in_step(world, bucket, poll=0.2) as watching:
        bucket.fail("write", StoreError("refused"), key="b")
        world.put("left", "b", "2", new=True)
        watching.until(lambda: bucket.count("write", "b") > 3)
        assert statuses(watching) == ["ok", "partial"]
        bucket.heal()
        watching.until(lambda: "b" in keys_in(bucket))


def test_a_copy_that_broke_off_after_the_old_version_was_kept_is_tried_again(world: World, bucket: FaultyStore):
    world.put("left", "a", "1")
    with in_step(world, bucket, poll=0.2) as watching:
        bucket.fail("read", StoreError("broken"), key="a", nth=1)
        bucket.inner.write("a", [b"edited"])
        watching.until(lambda: world.tree("left") == {"a": b"edited"})
        watching.until(lambda: watching.waits[-1])
    assert watching.code == 0


def test_a_conflict_nobody_settles_is_told_once(world: World, bucket: FaultyStore):
    world.put("left", "a", "1")
    with in_step(world, bucket, poll=0.2, prefer="none") as watching:
        bucket.inner.write("a", [b"right's"])
        world.put("left", "a", "left's", new=True)
        watching.until(lambda: "partial" in statuses(watching))
        settled = watching.passes()
        watching.until(lambda: watching.passes() > settled + 3)
        assert statuses(watching).count("partial") == 1
    assert watching.code == 1


def test_after_a_sleep_of_the_machine_everything_is_looked_at(world: World, bucket: FaultyStore):
    world.put("left", "a", "1")
    with in_step(world, bucket) as watching:
        bucket.inner.write("meanwhile", [b"x"])
        time.sleep(0.5)
        assert "meanwhile" not in world.tree("left")
        watching.clock.ahead += 8 * 3600
        watching.until(lambda: "meanwhile" in world.tree("left"))


# Guards


def test_a_root_that_vanishes_deletes_nothing_and_may_come_back(world: World, bucket: FaultyStore):
    for name in "abc":
        world.put("left", name, name)
    with in_step(world, bucket, delete=True) as watching:
        world.left.rename(world.base / "elsewhere")
        watching.until(lambda: "refused" in statuses(watching))
        assert keys_in(bucket) == {"a", "b", "c"}
        (world.base / "elsewhere" / "d").write_text("new")
        (world.base / "elsewhere").rename(world.left)
        watching.until(lambda: statuses(watching) == ["ok", "refused", "ok"])
    assert keys_in(bucket) == {"a", "b", "c", "d"}


def test_a_root_that_was_emptied_deletes_nothing(world: World, bucket: FaultyStore):
    for name in "abc":
        world.put("left", f"x/{name}", name)
    with in_step(world, bucket, delete=True, max_delete="100%") as watching:
        shutil.rmtree(world.left / "x")
        watching.until(lambda: "refused" in statuses(watching))
        assert len(keys_in(bucket)) == 3
    assert watching.code == 3
    assert "is empty" in str(watching.told[-1].reason)


def test_a_folder_removed_counts_against_the_whole_tree(world: World, bucket: FaultyStore):
    for number in range(40):
        world.put("left", f"stays/{number}", str(number))
    for number in range(15):
        world.put("left", f"goes/{number}", str(number))
    with in_step(world, bucket, delete=True) as watching:
        shutil.rmtree(world.left / "goes")
        watching.until(lambda: len(keys_in(bucket)) == 40)
        shutil.rmtree(world.left / "stays")
        watching.until(lambda: "refused" in statuses(watching))
        assert len(keys_in(bucket)) == 40


# Stopping


def test_a_stop_amid_a_pass_lets_running_copies_finish(world: World, bucket: FaultyStore):
    for number in range(40):
        world.put("left", f"f{number:02}", "x" * number)
    gate = bucket.hang("write", nth=3)
    with Watching(str(world.left), bucket.url, world.settings, workers=1) as watching:
        assert gate.reached.wait(20)
        watching._stop.set()
        time.sleep(0.3)
        gate.open.set()
        watching.join()
    assert watching.code == 130
    assert statuses(watching) == ["interrupted"]
    assert 3 <= len(keys_in(bucket)) < 40
    assert world.temporaries() == []


def test_a_stop_amid_a_listing_cuts_nothing_short(world: World, bucket: FaultyStore):
    world.put("left", "a", "1")
    with in_step(world, bucket, poll=0.2) as watching:
        gate = bucket.hang("list")
        assert gate.reached.wait(20)
        watching._stop.set()
        gate.open.set()
        watching.join()
    assert watching.code == 0


# The real thing


def test_a_bucket_on_a_real_server_is_kept_in_step(world: World, seaweed_bucket):
    config = StoreConfig(name="cloud", url=seaweed_bucket.url, options=seaweed_bucket.options)
    settings = Settings(home=world.base / "state", environ={}, stores={"cloud": config})
    world.put("left", "a", "1")
    with closing(open_store(config, {})) as store, Watching(str(world.left), "cloud", settings, poll=1.0) as watching:
        watching.rest()
        world.put("left", "folder/b", "2", new=True)
        store.write("folder/c", [b"3"])
        watching.until(lambda: "folder/c" in world.tree("left") and "folder/b" in {e.key for e in store.list()})
    assert watching.code == 0


def test_a_server_in_trouble_is_waited_for_and_its_part_listed_from_the_key_on(world: World, faulty_s3: FaultyS3):
    options = {"timeout": "2s", "retries": "1", "byte_ordered": "true", **faulty_s3.options}
    config = StoreConfig(name="cloud", url=f"{faulty_s3.url}/p", options=options)
    settings = Settings(home=world.base / "state", environ={}, stores={"cloud": config})
    world.put("left", "m/a", "1")
    with Watching(str(world.left), "cloud", settings) as watching:
        watching.rest()
        world.put("left", "m/b", "2", new=True)
        watching.until(lambda: "p/m/b" in faulty_s3.objects)
        starts = [request.query.get("start-after", "") for request in faulty_s3.requests if request.page]
        assert starts[-1].startswith("p/m/a")
        faulty_s3.faults.fail("ServiceUnavailable", 503)
        world.put("left", "m/c", "3", new=True)
        watching.until(lambda: statuses(watching)[-1] != "ok")
        faulty_s3.faults.clear()
        watching.until(lambda: "p/m/c" in faulty_s3.objects)
        watching.until(lambda: watching.waits[-1])
        assert statuses(watching) in (["ok", "ok", "failed", "ok"], ["ok", "ok", "refused", "ok"])
    assert watching.code == 0


def edits(folder: Path, names: list[str], seed: int, until: float) -> None:
    """What a person does to a folder: write, grow, rename, remove."""
    chance = random.Random(seed)
    count = 0
    while time.monotonic() < until:
        count += 1
        path = folder / chance.choice(names)
        kind = chance.random()
        try:
            if kind < 0.6:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{seed} wrote {count} " * chance.randint(1, 200))
            elif kind < 0.7:
                with path.open("a") as file:
                    file.write(f"{seed} added {count}\n")
            elif kind < 0.8:
                path.unlink()
            elif kind < 0.9:
                target = folder / chance.choice(names)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
            else:
                shutil.rmtree(path.parent if path.parent != folder else path, ignore_errors=True)
        except OSError:
            continue
        time.sleep(chance.uniform(0.001, 0.04))


def test_two_people_at_work_at_once_end_with_equal_trees(world: World):
    names = [f"{folder}{name}" for folder in ("", "one/", "two/", "two/three/") for name in "abcdefgh"]
    for name in names:
        world.put("left", name, f"at first {name}")
    world.put("left", "stays", "so that no side is ever empty")
    pace = {"poll": 1.0, "settle": 0.1, "clock": Hurried()}
    with Watching(*world.specs, world.settings, delete=True, max_delete="100%", **pace) as watching:
        watching.until(lambda: len(world.tree("right")) == len(names) + 1)
        until = time.monotonic() + TOGETHER
        people = [
            threading.Thread(target=edits, args=(world[side], names, seed, until))
            for seed, side in enumerate(("left", "right"))
        ]
        for person in people:
            person.start()
        for person in people:
            person.join()
        watching.until(lambda: world.tree("left") == world.tree("right"), 30)
        time.sleep(1)
        quiet = world.trees()
        waits = len(watching.waits)
        watching.until(lambda: len(watching.waits) > waits + 1)  # two more passes over the whole
        assert world.trees() == quiet
    assert world.tree("left") == world.tree("right") == quiet[0]
    assert world.temporaries() == []
    assert sum(sum(run.counts[f"copy_{side}"] for side in ("left", "right")) for run in watching.told) > 10
    assert watching.code == 0
