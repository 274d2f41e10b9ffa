"""How many files travel at once."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from tests.sync.world import World, done
from trueup.config import StoreConfig, SyncConfig
from trueup.stores.base import Entry, Features
from trueup.stores.cloud import CloudStore
from trueup.stores.local import LocalStore
from trueup.sync import sync
from trueup.sync.planner import Sides
from trueup.sync.verbs import Watched
from trueup.testing import MemoryStore


class Waiting(MemoryStore):
    """Reads that wait until as many are under way as `together` says, or nobody comes any more."""

    def __init__(self, together: int) -> None:
        super().__init__("memory://waiting")
        self._barrier = threading.Barrier(together)
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

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
            with super().read(key, expect=expect, offset=offset, length=length) as body:
                yield body
        finally:
            with self._lock:
                self._now -= 1


def most_at_once(world: World, size: int, **options: object) -> int:
    """Of 60 files of this size, taken from a store that is kept busy by 48 small ones."""
    theirs = Waiting(together=60)
    for number in range(60):
        theirs.write(f"{number:02}", [bytes(size)])
    result = sync(
        str(world.left),
        str(world.right),
        config=SyncConfig(**options),
        settings=world.settings,
        watched=Watched(sides=Sides(left=LocalStore(world.left), right=theirs)),
    )
    assert done(result) == {"copy_left": 60}
    return theirs.most


def test_as_many_small_files_travel_at_once_as_suit_the_place(world: World):
    assert most_at_once(world, 1000) == 48


def test_of_larger_files_fewer_do(world: World):
    assert most_at_once(world, (256 << 10) + 1) == 32


@pytest.mark.parametrize("size", [1000, (256 << 10) + 1])
@pytest.mark.parametrize("workers", [5, 40])
def test_who_says_how_many_gets_as_many(world: World, size: int, workers: int):
    assert most_at_once(world, size, workers=workers) == workers


def test_a_bucket_has_more_under_way_than_a_folder(world: World):
    bucket = CloudStore.open(StoreConfig(name="b", url="s3://b/x", options={"region": "us-east-1"}), {})
    here = LocalStore(world.left)
    assert Sides(left=here, right=bucket).workers(SyncConfig()) == 96
    assert Sides(left=here, right=LocalStore(world.right)).workers(SyncConfig()) == 32
