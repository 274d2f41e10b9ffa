"""The cloud store against real servers: the whole conformance suite on each."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.servers import Bucket
from trueup.config import StoreConfig
from trueup.errors import NotFound, PreconditionFailed
from trueup.stores.base import CHUNK, Entry, Metadata, OutOfOrder
from trueup.stores.cloud import CloudStore
from trueup.stores.local import LocalStore
from trueup.testing.contract import StoreContract
from trueup.testing.listing import ODD
from trueup.testing.looking import content
from trueup.testing.memory import MemoryStore


class Persistent(CloudStore):
    """Does what a caller does: asks again, for a sorted listing, where the server keeps an order of its own."""

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry]:
        try:
            found = [*super().list(start, ordered=ordered)]
        except OutOfOrder:
            found = [*super().list(start, ordered=False)]
        yield from found


def opened(bucket: Bucket, prefix: str = "") -> CloudStore:
    """The store, its conditions probed, so that the suite tries those the server has."""
    store = Persistent.open(StoreConfig(url=f"{bucket.url}/{prefix}", options=bucket.options), {})
    store._client.conditions()
    return store


class CloudContract(StoreContract):
    bucket: Bucket

    def missing(self) -> CloudStore:
        return CloudStore.open(StoreConfig(url=self.bucket.url + "-absent", options=self.bucket.options), {})

    @pytest.fixture
    def store(self, request: pytest.FixtureRequest) -> CloudStore:
        return opened(self.bucket)

    # From one prefix of a bucket to another.

    def test_a_copy_between_two_prefixes_does_not_pass_here(self) -> None:
        source, target = opened(self.bucket, "from"), opened(self.bucket, "to")
        said = Metadata(mtime_ns=1_500_000_000_000_000_000, content_type="text/x-odd", user={"colour": "blue"})
        planned = source.write("d/a", [bytes(9 * CHUNK)], metadata=said)
        made = target.copy_from(source, planned, "e/b", if_absent=True)
        assert made is not None
        assert (made.key, made.size, made.md5) == ("e/b", 9 * CHUNK, planned.md5)
        assert made.fingerprint == target.stat("e/b").fingerprint
        assert content(target, "e/b") == bytes(9 * CHUNK)
        assert target.metadata("e/b") == said
        with pytest.raises(PreconditionFailed):
            target.copy_from(source, planned, "e/b", if_absent=True)
        newer = source.write("d/a", [b"2" * 9 * CHUNK])
        with pytest.raises(PreconditionFailed):
            target.copy_from(source, planned, "e/c", if_absent=True)
        other = target.write("e/b", [b"other"])
        with pytest.raises(PreconditionFailed):
            target.copy_from(source, newer, "e/b", if_match=made)
        assert content(target, "e/b") == b"other"
        assert target.copy_from(source, newer, "e/b", if_match=other) is not None
        assert content(target, "e/b") == b"2" * 9 * CHUNK
        source.delete("d/a")
        with pytest.raises(NotFound):
            target.copy_from(source, newer, "e/d", if_absent=True)
        assert [entry.key for entry in target.list()] == ["e/b"]

    def test_a_copy_from_anywhere_else_is_not_tried(self, store: CloudStore, tmp_path: Path) -> None:
        elsewhere = CloudStore.open(StoreConfig(url=self.bucket.url + "-absent", options=self.bucket.options), {})
        for origin in (LocalStore(tmp_path), MemoryStore(), elsewhere):
            assert store.copy_from(origin, Entry("a", 1), "b", if_absent=True) is None


class TestSeaweedFS(CloudContract):
    @pytest.fixture(autouse=True)
    def _bucket(self, seaweed_bucket: Bucket) -> None:
        self.bucket = seaweed_bucket

    @pytest.mark.parametrize("key", [key for key in ODD if "\\" not in key])
    def test_an_odd_name_is_kept_exactly_or_refused(self, store: CloudStore, key: str) -> None:
        # SeaweedFS turns a backslash into a slash and says nothing.
        super().test_an_odd_name_is_kept_exactly_or_refused(store, key)


class TestMoto(CloudContract):
    refused = frozenset(["a\nb"])  # its URL pattern ends at a line break

    @pytest.fixture(autouse=True)
    def _bucket(self, moto_bucket: Bucket) -> None:
        self.bucket = moto_bucket


class TestAzurite(CloudContract):
    @pytest.fixture(autouse=True)
    def _bucket(self, azurite_container: Bucket) -> None:
        self.bucket = azurite_container


class TestGcs(CloudContract):
    @pytest.fixture(autouse=True)
    def _bucket(self, gcs_bucket: Bucket) -> None:
        self.bucket = gcs_bucket
