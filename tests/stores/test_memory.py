from __future__ import annotations

import pytest

from trueup.stores import open_store
from trueup.stores.base import Store
from trueup.testing import FaultyStore, MemoryStore
from trueup.testing.contract import StoreContract
from trueup.testing.looking import content, listing


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestFaultyStoreWithoutFaults(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return FaultyStore(MemoryStore())


def test_a_name_is_one_place_in_a_process():
    MemoryStore.forget()
    one, same, other = (open_store(url, {}) for url in ("memory://a", "memory://a/", "memory://b"))
    one.write("k", [b"x"])
    assert content(same, "k") == b"x"
    assert listing(other) == []
    MemoryStore.forget()
    assert listing(open_store("memory://a", {})) == []


def test_odd_keys_of_a_bucket_are_listed_in_their_place_with_their_fault():
    store = MemoryStore()
    for key in ("b", "a//b", "../up", "./x", "dir/", " a", "c\0d"):
        store.put(key, b"x")
    shown = listing(store)
    assert [(entry.key, entry.fault) for entry in shown] == [
        (" a", "unaddressable"),
        ("../up", "unaddressable"),
        ("./x", "unaddressable"),
        ("a//b", "unaddressable"),
        ("b", ""),
        ("c\0d", "unaddressable"),
        ("dir/", "marker"),
    ]
    assert all(entry.detail for entry in shown if entry.fault)
