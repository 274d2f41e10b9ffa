"""How many files travel at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from tests.sync.world import World, done
from trueup.config import SyncConfig
from trueup.errors import AccessDenied, StoreError, Unreachable
from trueup.stores.base import Entry, Features
from trueup.stores.local import LocalStore
from trueup.sync import sync
from trueup.sync.report import SyncRun
from trueup.sync.sides import Sides
from trueup.sync.verbs import Watched
from trueup.testing import MemoryStore

SECRET = "00 secret"


class Waiting(MemoryStore):
    """Reads that wait until as many are under way as `together` says, or nobody comes any more."""

    def __init__(self, together: int) -> None:
        super().__init__("memory://waiting")
        self._barrier = threading.Barrier(together)
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0
        self.denied = 0

    @property
    def features(self) -> Features:
        return replace(super().features, transfers=48)

    @contextmanager
    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> Generator[Iterator[bytes], None, None]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        with suppress(threading.BrokenBarrierError):
            self._barrier.wait(0.5)
        try:
            if key == SECRET:
                self.denied += 1
                raise AccessDenied(f"'{key}' cannot be read")
            with super().read(key, expect=expect, offset=offset, length=length) as body:
                yield body
        finally:
            with self._lock:
                self._now -= 1


def synced(world: World, theirs: MemoryStore, **options: object) -> SyncRun:
    return sync(
        str(world.left),
        str(world.right),
        config=SyncConfig(**options),
        settings=world.settings,
        watched=Watched(sides=Sides(left=LocalStore(world.left), right=theirs)),
    )


def most_at_once(world: World, size: int, **options: object) -> int:
    """Of 60 files of this size, taken from a store that is kept busy by 48 small ones."""
    theirs = Waiting(together=60)
    for number in range(60):
        theirs.write(f"{number:02}", [bytes(size)])
    assert done(synced(world, theirs, **options)) == {"copy_left": 60}
    return theirs.most


def test_as_many_small_files_travel_at_once_as_suit_the_place(world: World):
    assert most_at_once(world, 1000) == 48


def test_of_larger_files_fewer_do(world: World):
    assert most_at_once(world, (256 << 10) + 1) == 32


@pytest.mark.parametrize("size", [1000, (256 << 10) + 1])
@pytest.mark.parametrize("workers", [5, 40])
def test_who_says_how_many_gets_as_many(world: World, size: int, workers: int):
    assert most_at_once(world, size, workers=workers) == workers


class Limited(MemoryStore):
    """Refuses to read for more than 40 at once, in words of its own."""

    def __init__(self, error: StoreError) -> None:
        super().__init__("memory://limited")
        self._error = error
        self._lock = threading.Lock()
        self._now = 0
        self.refused = 0

    @property
    def features(self) -> Features:
        return replace(super().features, transfers=96)

    @contextmanager
    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> Generator[Iterator[bytes], None, None]:
        with self._lock:
            self._now += 1
            crowded = self._now > 40
            self.refused += crowded
        try:
            time.sleep(0.02)
            if crowded:
                raise self._error
            with super().read(key, expect=expect, offset=offset, length=length) as body:
                yield body
        finally:
            with self._lock:
                self._now -= 1


@pytest.mark.parametrize("error", [Unreachable("slow down"), StoreError("too many open handles")])
def test_a_place_that_cannot_take_so_many_gets_fewer_and_every_file_arrives(world: World, error: StoreError):
    theirs = Limited(error)
    for number in range(400):
        theirs.write(f"{number:03}", [b"x"])
    result = synced(world, theirs)
    assert (result.status, done(result)) == ("ok", {"copy_left": 400})
    assert theirs.refused
    assert world.tree("left") == theirs.contents()


def test_what_is_refused_for_another_reason_changes_nothing(world: World):
    theirs = Waiting(together=60)
    for name in [SECRET, *(f"{number:02}" for number in range(59))]:
        theirs.write(name, [b"x"])
    result = synced(world, theirs)
    assert result.counts["failed"] == 1
    assert theirs.most == 48
    assert theirs.denied == 1


@pytest.mark.parametrize(("files", "workers"), [(64, "32"), (160, "48"), (256, "96"), (1024, "96")])
def test_a_process_that_may_have_few_files_open_takes_fewer_on(files: int, workers: str):
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))\n"
        "from trueup.config import StoreConfig, SyncConfig\n"
        "from trueup.stores.cloud import CloudStore\n"
        "from trueup.stores.local import LocalStore\n"
        "from trueup.sync import width\n"
        "from trueup.sync.sides import Sides\n"
        "bucket = CloudStore.open(StoreConfig(name='b', url='s3://b/x', options={'region': 'us-east-1'}), {})\n"
        "print(width.many(SyncConfig(), Sides(left=LocalStore('/tmp'), right=bucket)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == workers
