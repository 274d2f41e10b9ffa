"""A stop while places are listed: in time, and as if nothing had been asked."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count, repeat
from pathlib import Path

import pytest

from tests.servers.faulty_s3 import FaultyS3
from tests.sync.world import World
from trueup.config import StoreConfig, SyncConfig
from trueup.errors import Interrupted
from trueup.runs import RunLog
from trueup.stores import open_store
from trueup.stores.base import Entry, Store
from trueup.stores.remote_service import Found
from trueup.stores.remote_walk import walk as remote_walk
from trueup.stores.sort import sorted_entries
from trueup.stores.stopping import apart, heeding
from trueup.stores.walk import walk
from trueup.sync import apply, plan, sql, sync
from trueup.sync.outputs import Outputs
from trueup.sync.sides import Sides
from trueup.sync.verbs import Watched
from trueup.testing import FaultyStore, MemoryStore

SOON = 2.0
"""Seconds from the stop to the end of the run."""


class Slow(MemoryStore):
    """A bucket that shows a name every 10 ms, in no order that it keeps to, and never comes to an end."""

    def __init__(self, *, is_sorted: bool = True) -> None:
        super().__init__("memory://slow")
        self.is_closed = False
        self._is_sorted = is_sorted

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:
        yield from sorted_entries(self._names()) if self._is_sorted else self._names()

    def _names(self) -> Generator[Entry, None, None]:
        try:
            for number in count():
                time.sleep(0.01)
                yield Entry(f"f{number:07}", 1, fingerprint="x")
        finally:
            self.is_closed = True


def stopped(after: float = 0.5) -> Callable[[], bool]:
    """A stop that comes so many seconds from now."""
    at = time.monotonic() + after
    return lambda: time.monotonic() > at


def interrupted(world: World, right: Store | str, **options: object) -> None:
    """A run that is stopped while it looks ends soon, and did nothing."""
    began = time.monotonic()
    watched = None
    if not isinstance(right, str):
        watched = Watched(sides=Sides(left=open_store(str(world.left), {}), right=right))
    name = right if isinstance(right, str) else right.url
    with pytest.raises(Interrupted, match="nothing was done"):
        sync(
            str(world.left),
            name,
            config=SyncConfig(**options),
            settings=world.settings,
            outputs=Outputs(stopped=stopped()),
            watched=watched,
        )
    assert time.monotonic() - began < 0.5 + SOON
    assert [run.status for run in RunLog(world.settings.home).latest()] == ["interrupted"]


@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_listing_without_an_end_is_left(world: World, is_sorted: bool):
    world.put("left", "a", "1")
    right = Slow(is_sorted=is_sorted)
    interrupted(world, right)
    assert right.is_closed
    assert right.contents() == {}


def test_a_listing_of_which_nothing_takes_part_is_left(world: World):
    right = Slow(is_sorted=False)
    interrupted(world, right, exclude=("*",))
    assert right.is_closed


def test_a_place_that_does_not_answer_is_left(world: World):
    right = FaultyStore(MemoryStore("memory://mute"))
    gate = right.hang("exists")
    try:
        interrupted(world, right)
    finally:
        gate.open.set()


def test_a_plan_may_be_stopped_too(world: World, faulty_s3: FaultyS3):
    faulty_s3.objects["a"] = b"x"
    faulty_s3.faults.pages[1] = "hang"
    world.settings = replace(
        world.settings, stores={"b": StoreConfig(name="b", url=faulty_s3.url, options=faulty_s3.options)}
    )
    began = time.monotonic()
    with pytest.raises(Interrupted, match="nothing was done"):
        plan(str(world.left), "b", settings=world.settings, outputs=Outputs(stopped=stopped(1.0)))
    assert time.monotonic() - began < 1.0 + SOON


def test_a_saved_plan_is_left_where_a_place_does_not_answer(world: World, faulty_s3: FaultyS3):
    """Both places are looked at again before anything is done."""
    world.put("left", "a", "1")
    faulty_s3.objects["k"] = b"1"
    settings = replace(
        world.settings, stores={"b": StoreConfig(name="b", url=faulty_s3.url, options=faulty_s3.options)}
    )
    with plan(str(world.left), "b", settings=settings) as planned:
        faulty_s3.faults.pages[1] = "hang"
        began = time.monotonic()
        with pytest.raises(Interrupted, match="nothing was done"):
            apply(planned, settings=settings, outputs=Outputs(stopped=stopped(1.0)))
        assert time.monotonic() - began < 1.0 + SOON
    assert set(faulty_s3.objects) == {"k"}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket", {"endpoint": "http://{}", "access_key_id": "a", "secret_access_key": "b", "region": "x"}),
        ("fsspec+ftp://t@{}/x", {"password": "x"}),
        ("", {"service": "webdav", "endpoint": "http://{}"}),
    ],
)
def test_a_server_that_takes_connections_and_says_nothing_is_left(world: World, url: str, options: dict[str, str]):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        given = {name: text.format(address) for name, text in options.items()}
        config = StoreConfig(name="b", url=url.format(address), options={"retries": "0", **given})
        world.settings = replace(world.settings, stores={"b": config})
        interrupted(world, "b")


class Hanging:
    """A service that answers for its root only."""

    url = "hanging://"

    def __init__(self) -> None:
        self.over = threading.Event()

    def exists(self) -> bool:
        return True

    def listed(self) -> None:
        return None

    def unaddressable(self, key: str) -> str | None:
        return None

    def folder(self, key: str) -> list[Found]:
        if key:
            self.over.wait(60)
        return [Found("folder", Entry(f"d{number}")) for number in range(9)]


def test_a_folder_that_hangs_holds_up_nobody_and_its_thread_ends_with_it():
    service = Hanging()
    before = set(threading.enumerate())
    began = time.monotonic()
    with heeding(stopped()), pytest.raises(Interrupted):
        list(remote_walk(service, "", 4))
    assert time.monotonic() - began < 0.5 + SOON
    service.over.set()
    while set(threading.enumerate()) - before:
        assert time.monotonic() - began < 10
        time.sleep(0.01)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(("make", "asked"), [(Path.mkdir, 100), (Path.touch, 3)])
def test_a_stop_comes_between_empty_folders_and_amid_a_full_one(
    tmp_path: Path, make: Callable[[Path], None], asked: int, ordered: bool
):
    for number in range(200):
        make(tmp_path / f"{number}")
    asking = count()
    with heeding(lambda: next(asking) >= asked), pytest.raises(Interrupted):
        next(walk(str(tmp_path), ordered=ordered))


def test_what_is_asked_apart_answers_and_fails_as_ever():
    def fail() -> Iterator[None]:
        raise ZeroDivisionError

    with heeding(lambda: False):
        assert apart(lambda: 5) == 5
        with pytest.raises(ZeroDivisionError):
            apart(fail)


def test_a_long_statement_is_ended_and_a_wrong_one_is_still_wrong():
    with closing(sqlite3.connect(":memory:")) as db:
        with heeding(stopped()), pytest.raises(Interrupted, match="nothing was done"), sql.heeding(db):
            db.execute("with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n")
        with heeding(lambda: False), pytest.raises(sqlite3.OperationalError, match="no such table"), sql.heeding(db):
            db.execute("select * from nowhere")


class Endless(FaultyStore):
    """Its files are longer than anybody has time for."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.is_read = threading.Event()

    @contextmanager
    def read(self, key: str, **_: object) -> Iterator[Iterator[bytes]]:
        self.is_read.set()
        yield repeat(b"more", 10_000_000)


def test_a_file_that_may_be_a_renamed_one_is_left_amid_its_content(world: World):
    world.both({"old": "content", "kept": "stays"})
    (world.left / "old").rename(world.left / "new")
    left = Endless(open_store(str(world.left), {}))
    watched = Watched(sides=Sides(left=left, right=open_store(str(world.right), {})))
    config, outputs = SyncConfig(delete=True), Outputs(stopped=left.is_read.is_set)
    with pytest.raises(Interrupted, match="nothing was done"):
        sync(*world.specs, config=config, settings=world.settings, watched=watched, outputs=outputs)
    assert (world.right / "old").read_text() == "content"
