"""Whose bytes are read to find out whether two contents are the same."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path

import pytest

from tests.sync.world import OLD, outcomes
from trueup.config import Settings, SyncConfig
from trueup.stores.base import Entry
from trueup.stores.local import LocalStore
from trueup.sync import sync
from trueup.sync.header import Header
from trueup.sync.plan import Plan
from trueup.sync.planner import build
from trueup.sync.sides import Sides
from trueup.sync.state import PairState
from trueup.testing import FaultyStore, MemoryStore

BODY = b"the same on both sides"


class Tagged(MemoryStore):
    """A bucket whose listing shows ETags that look like MD5s: real ones, or those of an encrypting bucket."""

    def __init__(self, *, encrypts: bool) -> None:
        super().__init__()
        self.encrypts = encrypts

    def _tagged(self, entry: Entry) -> Entry:
        tag = entry.md5[::-1] if self.encrypts else entry.md5
        return entry._replace(fingerprint=tag, md5=tag, etag=tag)

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry]:
        for entry in super().list(start, ordered=ordered):
            yield self._tagged(entry)

    def stat(self, key: str) -> Entry:
        return self._tagged(super().stat(key))

    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        return super().read(key, offset=offset, length=length)  # nothing changes here meanwhile


@pytest.fixture
def state(tmp_path: Path) -> Iterator[PairState]:
    with closing(PairState.at(tmp_path / "home", "file:///left", "memory://right")) as state:
        yield state


def planned(tmp_path: Path, state: PairState, bucket: FaultyStore) -> dict[str, int]:
    header = Header(
        run="r", left="left", right="right", left_url="file:///left", right_url="memory://right", config=SyncConfig()
    )
    sides = Sides(left=LocalStore(tmp_path / "left"), right=bucket)
    with Plan(header, folder=tmp_path) as plan:
        build(plan, sides, state)
        return dict(plan.counts())


def filled(tmp_path: Path, *, encrypts: bool) -> FaultyStore:
    (tmp_path / "left").mkdir()
    inner = Tagged(encrypts=encrypts)
    for number in range(20):
        (tmp_path / "left" / f"{number}.txt").write_bytes(BODY)
        MemoryStore.write(inner, f"{number}.txt", iter([BODY]))
    return FaultyStore(inner)


def reads(store: FaultyStore) -> int:
    return sum(operation == "read" for operation, _ in store.calls)


def test_an_etag_that_is_the_md5_settles_it_without_reading_the_bucket(tmp_path: Path, state: PairState) -> None:
    bucket = filled(tmp_path, encrypts=False)
    assert planned(tmp_path, state, bucket) == {"adopt": 20}
    assert reads(bucket) == 0


def test_an_etag_that_only_looks_like_one_is_settled_by_reading(tmp_path: Path, state: PairState) -> None:
    bucket = filled(tmp_path, encrypts=True)
    assert planned(tmp_path, state, bucket) == {"adopt": 20}
    assert reads(bucket) == 20
    assert planned(tmp_path, state, bucket) == {"adopt": 20}
    assert reads(bucket) == 20  # the second time the hash cache knows


def test_a_comparison_by_size_vouches_for_no_content(world):
    world.both({"a": "AAAA", "z": "zz"})
    world.put("left", "held", "h")
    world.undo(world.sync())
    world.put("right", "a", "BBBB")
    assert world.sync(compare="size").counts["unchanged"] == 2
    run = world.sync()
    assert outcomes(run)["a"] == ("copy_left", "done")
    assert world.tree("left")["a"] == b"BBBB"


@pytest.mark.parametrize("keep_loser", [False, True])
@pytest.mark.parametrize("compare", ["size", "size-mtime", "md5"])
def test_a_copy_that_arrived_before_a_crash_is_no_conflict(tmp_path, monkeypatch, compare, keep_loser):
    MemoryStore.forget()
    folder, bucket = tmp_path / "folder", MemoryStore.named("memory://bucket")
    folder.mkdir()

    def put(name: str, data: bytes, at: int) -> None:
        (folder / name).write_bytes(data)
        os.utime(folder / name, (at, at))

    put("edited", b"one", OLD)
    settings = Settings(home=tmp_path / "state", environ={})
    config = SyncConfig(compare=compare, keep_loser=keep_loser, prefer="newer" if keep_loser else "none")
    go = partial(sync, str(folder), "memory://bucket", config=config, settings=settings)
    assert go().status == "ok"
    put("edited", b"two, longer", OLD + 1)
    put("new", b"new", OLD + 2)

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:  # both arrive, and nobody can write that down
        broken.setattr(PairState, "settle_journal", fails)
        assert go().status == "failed"
    arrived = {entry.key: entry.md5 for entry in bucket.list()}
    assert arrived["edited"] == hashlib.md5(b"two, longer", usedforsecurity=False).hexdigest()
    run = go()
    assert run.status == "ok", run.items
    assert {entry.key: entry.md5 for entry in bucket.list()} == arrived
    assert sorted(path.name for path in folder.iterdir()) == ["edited", "new"]
    assert not go().differences
