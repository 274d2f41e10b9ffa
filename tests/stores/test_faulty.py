from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from trueup.errors import ListingUnfinished, NoSpace, PreconditionFailed, StoreError, Unreachable
from trueup.stores.base import CHUNK, OutOfOrder
from trueup.testing import FaultyStore, MemoryStore
from trueup.testing.looking import content, listing, names_of


@pytest.fixture
def store() -> FaultyStore:
    inner = MemoryStore()
    for key in ("a", "b", "c/d", "c/e", "f"):
        inner.put(key, key.encode())
    return FaultyStore(inner)


def test_the_nth_call_of_a_kind_fails_and_the_others_do_not(store: FaultyStore):
    store.fail("write", NoSpace("full"), key="x", nth=2)
    store.write("x", [b"1"])
    store.write("y", [b"1"])
    with pytest.raises(NoSpace):
        store.write("x", [b"2"])
    store.write("x", [b"3"])
    assert store.count("write") == 4
    assert store.count("write", "x") == 3
    assert content(store, "x") == b"3"


def test_a_lost_answer_leaves_its_effect(store: FaultyStore):
    store.fail("delete", Unreachable("reset"), after=True)
    with pytest.raises(Unreachable):
        store.delete("a")
    assert "a" not in names_of(listing(store))


def test_somebody_else_can_come_between(store: FaultyStore):
    planned = store.stat("a")
    store.on("write", lambda key: store.inner.write(key, [b"theirs"]), nth=1)
    with pytest.raises(PreconditionFailed):
        store.write("a", [b"ours"], if_match=planned)


def test_a_listing_breaks_off_ends_early_or_loses_its_order(store: FaultyStore):
    store.break_listing(after=2)
    with pytest.raises(ListingUnfinished):
        listing(store)
    store.cut_listing(after=2)
    assert names_of(listing(store)) == ["a", "b"]
    store.disorder_listing(after=2)
    with pytest.raises(OutOfOrder):
        list(store.list())
    assert len(listing(store, ordered=False)) == 5
    store.heal()
    assert len(listing(store)) == 5


def test_keys_are_hidden_or_blinded_in_their_place(store: FaultyStore):
    store.hide("a")
    store.blind("c", "link")
    store.blind("z")
    assert [(entry.key, entry.fault) for entry in store.list()] == [
        ("b", ""),
        ("c", "link"),
        ("f", ""),
        ("z", "unreadable"),
    ]
    assert store.stat("a").size == 1


def test_a_source_changes_or_breaks_off_under_the_read(store: FaultyStore):
    store.inner.write("big", [bytes(3 * CHUNK)])
    store.change_under_read("big", b"other")
    with pytest.raises(PreconditionFailed, match="changed"):
        content(store, "big")
    store.inner.write("big", [bytes(3 * CHUNK)])
    store.break_read("big", after=1)
    with store.read("big") as body:
        assert next(body)
        with pytest.raises(StoreError, match="broke off"):
            next(body)
    assert len(content(store, "big")) == 3 * CHUNK


def test_an_operation_hangs_until_its_gate_opens(store: FaultyStore):
    gate = store.hang("stat", key="a")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.stat, "a")
        assert gate.reached.wait(10)
        assert store.stat("b").size == 1
        assert not waiting.done()
        gate.open.set()
        assert waiting.result(10).size == 1


def test_an_unknown_operation_is_a_mistake_in_the_test(store: FaultyStore):
    with pytest.raises(ValueError, match="rite"):
        store.fail("rite")
