"""Cutting a store's keys into ranges of about equal size."""

from __future__ import annotations

import hashlib
import random
import string
import unicodedata
import uuid
from bisect import bisect_left
from collections.abc import Generator, Sequence
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import Bucket
from tests.servers.faulty_s3 import FaultyS3
from tests.servers.kinds import s3_client
from tests.stores.test_cloud_listing import opened
from trueup import keys
from trueup.errors import Unreachable
from trueup.stores.base import Entry, Features, Store
from trueup.stores.ranges import cut
from trueup.testing import MemoryStore

COUNT = 40_000


class Names(MemoryStore):
    """A bucket of many empty objects, which lists fast and counts how often it was asked."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = sorted({*names})
        self.asked = 0

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:
        self.asked += 1
        yield from map(Entry, islice(self.names, bisect_left(self.names, start), None))

    def sizes(self, cuts: Sequence[str]) -> list[int]:
        """How many objects each range holds."""
        return [b - a for a, b in pairwise([0, *(bisect_left(self.names, each) for each in cuts), len(self.names)])]


def _dates(chance: random.Random) -> list[str]:
    days = [f"2024/{1 + day // 28:02}/{1 + day % 28:02}" for day in range(336)]
    return [f"{chance.choice(days)}/{_uuid(chance)}.gz" for _ in range(COUNT)]


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128)))


def _word(chance: random.Random, letters: str, least: int, most: int) -> str:
    return "".join(chance.choices(letters, k=chance.randint(least, most)))


SHAPES = {
    "numbers": lambda _: [f"photos/{n // 250:06}/image-{n:09}.jpg" for n in range(COUNT)],
    "numbers of any length": lambda _: [f"img{n}.jpg" for n in range(COUNT)],
    "one long prefix": lambda _: [f"{'a/very/long/way/down/' * 8}this-is-a-file-{n:09}.dat" for n in range(COUNT)],
    "dates": _dates,
    "hashes": lambda _: [hashlib.md5(b"%d" % n).hexdigest() for n in range(COUNT)],
    "hashes in folders": lambda _: [f"{h[:2]}/{h}" for n in range(COUNT) if (h := hashlib.md5(b"%d" % n).hexdigest())],
    "uuids": lambda chance: [_uuid(chance) for _ in range(COUNT)],
    "99 of 100 in one folder": lambda chance: [
        *(f"{folder}/{_uuid(chance)}" for folder in ("alpha", "beta", "omega") for _ in range(COUNT // 300)),
        *(f"mail/new/{_uuid(chance)}" for _ in range(COUNT * 99 // 100)),
    ],
    "one folder among a thousand": lambda chance: [
        *(f"user-{n:04}/x" for n in range(1000)),
        *(f"user-0617/archive/{_uuid(chance)}" for _ in range(COUNT)),
    ],
    "few users do most": lambda chance: [f"u{int(1e4 * chance.random() ** 5)}/{_uuid(chance)}" for _ in range(COUNT)],
    "not ASCII": lambda chance: [
        f"фото/{chance.choice(['лето', 'зима', 'été', '東京'])}/{_word(chance, 'абвгдежзиклмнопрст', 8, 8)}"
        for _ in range(COUNT)
    ],
    "words": lambda chance: [f"{_word(chance, 'etaoinshrdlu', 3, 12)}/{n % 9}.txt" for n in range(COUNT)],
    "base 64": lambda chance: [_word(chance, f"{string.ascii_letters}0123456789-_", 22, 22) for _ in range(COUNT)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_ranges_are_of_about_equal_size(shape: str) -> None:
    store = Names([keys.normal(name) for name in SHAPES[shape](random.Random(shape))])
    cuts = cut(store, 16)
    assert len(cuts) == 15
    assert max(store.sizes(cuts)) < 2.5 * len(store.names) / 16
    assert store.asked <= 128


@settings(deadline=None, max_examples=30)
@given(
    letters=st.text(st.characters(exclude_categories=["Cs"]), min_size=2, max_size=12),
    longest=st.integers(2, 14),
    parts=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_cuts_ascend_and_leave_no_range_empty(letters: str, longest: int, parts: int, seed: int) -> None:
    chance = random.Random(seed)
    names = [keys.normal(_word(chance, f"{letters}/", 1, longest)) for _ in range(9000)]
    store = Names(names)
    cuts = cut(store, parts)
    assert len(cuts) <= parts - 1 or not cuts
    assert store.asked <= 64 + 4 * parts
    assert all(unicodedata.is_normalized("NFC", each) for each in cuts)
    assert all(store.sizes(cuts)) or not cuts
    assert cuts == sorted({*cuts})
    assert (len(store.names) >= 4000) >= bool(cuts)


class FirstPageAlways(Names):
    """Says that it can start at a key, and does not."""

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:
        yield from super().list()


class NoStart(Names):
    @property
    def features(self) -> Features:
        return Features(tree=False)


@pytest.mark.parametrize(
    "store",
    [
        Names([]),
        Names(["a"]),
        Names([f"{n}" for n in range(3000)]),
        NoStart([f"{n}" for n in range(9000)]),
        FirstPageAlways([f"{n}" for n in range(9000)]),
    ],
    ids=["empty", "one", "small", "cannot start", "does not start"],
)
def test_what_cannot_be_cut_is_one_range(store: Store) -> None:
    assert cut(store, 16) == []


def test_one_part_is_the_whole() -> None:
    store = Names([f"{n}" for n in range(9000)])
    assert cut(store, 1) == []
    assert not store.asked


@pytest.mark.parametrize("prefix", ["", "p"])
def test_a_bucket_on_a_server(moto_bucket: Bucket, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueup.stores.ranges.PAGE", 4)
    monkeypatch.setattr("trueup.stores.ranges._WORTH", 16)
    client = s3_client(moto_bucket.options["endpoint"])
    names = [f"p/{chr(0x430 + n % 5)}/{n:03}" for n in range(80)]
    for name in [*names, "/slash", "/p/other", "-below"]:
        client.put_object(Bucket=moto_bucket.name, Key=name, Body=b"")
    client.close()
    store = opened(moto_bucket, prefix, byte_ordered="true", timeout="20s")
    cuts = cut(store, 4)
    assert len(cuts) == 3
    shown = sorted(name.removeprefix(f"{prefix}/") if prefix else name for name in names)
    at = [bisect_left(shown, each) for each in cuts]
    assert max(b - a for a, b in pairwise([0, *at, len(shown)])) < 50
    assert [entry.key for entry in store.list(cuts[1])] == shown[at[1] :]


def test_a_server_that_fails_is_said_so(faulty_s3: FaultyS3) -> None:
    faulty_s3.faults.fail("SlowDown", 503)
    with pytest.raises(Unreachable):
        cut(opened(faulty_s3, byte_ordered="true", retries="0"), 4)


def test_a_server_in_another_order_is_one_range(faulty_s3: FaultyS3) -> None:
    faulty_s3.objects.update({f"k{number:04}": b"" for number in range(5000)})
    store = opened(faulty_s3, byte_ordered="true", timeout="9s")
    assert len(cut(store, 4)) == 3
    faulty_s3.faults.pages[1] = "unsorted"
    assert cut(store, 4) == []
