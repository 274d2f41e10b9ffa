from __future__ import annotations

from pathlib import Path

import pytest

from trueup.stores.base import Store
from trueup.stores.local import LocalStore
from trueup.testing.contract import StoreContract


class TestLocalStore(StoreContract):
    def missing(self) -> Store:
        return LocalStore("missing")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return LocalStore(tmp_path)
