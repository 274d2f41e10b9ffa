"""Whose bytes are read to find out whether two contents are the same."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from trueup.config import SyncConfig
from trueup.stores.base import Entry
from trueup.stores.local import LocalStore
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
