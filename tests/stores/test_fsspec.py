"""fsspec's file systems: FTP against a real server, and what needs none."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.servers import Bucket, kinds
from trueup.config import StoreConfig
from trueup.stores import open_store
from trueup.stores.base import Store
from trueup.testing.contract import StoreContract
from trueup.testing.listing import ODD


def opened(place: Bucket, below: str = "", **options: str) -> Store:
    return open_store(StoreConfig(url=place.url + below, options=place.options | options), {})


class Contract(StoreContract):
    def missing(self) -> Store:
        return self.absent


class TestFtp(Contract):
    @pytest.fixture
    def store(self, ftp_folder: Bucket):
        with closing(opened(ftp_folder)) as store, closing(opened(ftp_folder, "/missing")) as self.absent:
            yield store

    @pytest.mark.parametrize("key", [key for key in ODD if not {"\t", "\x7f"} & set(key)])
    def test_an_odd_name_is_kept_exactly_or_refused(self, store: Store, key: str) -> None:
        # rclone's server shows a control character as a picture of it.
        super().test_an_odd_name_is_kept_exactly_or_refused(store, key)


class TestMemory(Contract):
    @pytest.fixture
    def store(self):
        url = f"fsspec+memory://{kinds.unique_name()}"
        with closing(open_store(url, {})) as store, closing(open_store(f"{url}/missing", {})) as self.absent:
            store.create()
            yield store


class TestLocal(Contract):
    @pytest.fixture
    def store(self, tmp_path: Path):
        url = f"fsspec+local://{tmp_path}"
        with closing(open_store(url, {})) as store, closing(open_store(f"{url}/missing", {})) as self.absent:
            yield store
