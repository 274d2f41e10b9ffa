"""The cloud store against real servers: the whole conformance suite on each."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.servers import Bucket
from trueup.config import StoreConfig
from trueup.stores.base import Entry, OutOfOrder
from trueup.stores.cloud import CloudStore
from trueup.testing.contract import StoreContract
from trueup.testing.listing import ODD


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
