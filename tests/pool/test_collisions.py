"""What happens to one key from several sides at once, and what a crash between two steps leaves: exact books."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.pool.test_pool import KB, World
from trueup.errors import Busy, PoolFull, StoreError, Unreachable
from trueup.stores import open_store
from trueup.stores.base import Store
from trueup.testing.faulty import FaultyStore
from trueup.testing.memory import MemoryStore

File = Callable[..., Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    def make(size: int, letter: bytes = b"x") -> Path:
        path = tmp_path / f"{letter.decode()}-{size}"
        path.write_bytes(letter * size)
        return path

    return make


def world_of(database: str, **quotas: int) -> World:
    stores: dict[str, Store] = {name: FaultyStore(MemoryStore(f"memory://{name}")) for name in quotas}
    return World(database, stores, {name: quota * KB for name, quota in quotas.items()})


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = world_of(database_url, a=100, b=60)
    with made.pool:
        yield made


@pytest.fixture
def alone(database_url: str) -> Iterator[World]:
    made = world_of(database_url, a=100)
    with made.pool:
        yield made


def end_leases(world: World) -> None:
    late = world.ledger.overdue(datetime.now(UTC) + timedelta(days=1))
    world.ledger.renew([found.token for found in late], datetime.now(UTC) - timedelta(seconds=1))


def read(world: World, key: str, tmp_path: Path) -> bytes:
    return world.pool.get(key, tmp_path / "back")[1].read_bytes()


def test_a_key_that_is_being_overwritten_cannot_be_removed(alone: World, file: File):
    alone.pool.upload(file(90 * KB), "k")
    said: list[Exception] = []

    def during(_: str) -> None:
        for verb in (lambda: alone.pool.delete("k"), lambda: alone.pool.upload(file(90 * KB, b"o"), "other")):
            with pytest.raises((Busy, PoolFull)) as caught:
                verb()
            said.append(caught.value)

    alone.stores["a"].on("write", during, key="k", nth=1)
    alone.pool.upload(file(100 * KB, b"n"), "k")
    assert [type(error) for error in said] == [Busy, PoolFull]
    alone.check()
    alone.pool.delete("k")
    alone.check()


def test_a_key_that_is_about_to_be_booked_cannot_be_removed(alone: World, file: File, monkeypatch: pytest.MonkeyPatch):
    alone.pool.upload(file(10 * KB), "k")
    commit = alone.ledger.commit

    def late(*given: object) -> bool:
        with pytest.raises(Busy):
            alone.pool.delete("k")
        return commit(*given)

    with monkeypatch.context() as patch:
        patch.setattr(alone.ledger, "commit", late)
        alone.pool.upload(file(20 * KB, b"n"), "k")
    alone.check()


def test_what_was_removed_just_before_an_overwrite_gives_it_no_room(
    alone: World, file: File, monkeypatch: pytest.MonkeyPatch
):
    alone.pool.upload(file(90 * KB), "k")
    reserve = alone.ledger.reserve

    def late(wanted: object) -> bool:
        monkeypatch.undo()
        alone.pool.delete("k")
        alone.pool.upload(file(90 * KB, b"o"), "other")
        return reserve(wanted)

    monkeypatch.setattr(alone.ledger, "reserve", late)
    with pytest.raises(Busy):
        alone.pool.upload(file(100 * KB, b"n"), "k")
    alone.check()


def test_an_old_version_does_not_come_back(world: World, file: File, tmp_path: Path):
    first = world.stores["a"]
    first.fail("write", Unreachable("reset"), after=True, nth=1)
    first.fail("stat", Unreachable("no route"), nth=1)
    assert world.pool.upload(file(20 * KB, b"1"), "k").provider == "b"
    world.pool.upload(file(21 * KB, b"2"), "k")
    end_leases(world)
    world.pool.sweep()
    assert read(world, "k", tmp_path) == b"2" * 21 * KB
    world.check()
    assert len(world.ledger.find("k")) == 1


def test_a_named_upload_goes_to_the_next_provider_too(world: World, file: File):
    first = world.stores["a"]
    first.fail("write", Unreachable("down"))
    first.fail("stat", Unreachable("down"))
    assert world.pool.upload(file(20 * KB), "k", idempotency="T").provider == "b"
    assert world.pool.upload(file(20 * KB), "k", idempotency="T").provider == "b"
    assert world.reserved() == {"a": 20 * KB, "b": 0}


def test_what_failed_can_be_tried_again_at_once(alone: World, file: File):
    store = alone.stores["a"]
    store.fail("write", Unreachable("down"), nth=1)
    store.fail("stat", Unreachable("down"), nth=1)
    with pytest.raises(Unreachable):
        alone.pool.upload(file(20 * KB), "k", idempotency="T")
    assert alone.pool.upload(file(20 * KB), "k", idempotency="T").file_size == 20 * KB
    alone.check()


@pytest.mark.parametrize("before", [None, 3])
def test_a_stream_into_a_folder_that_was_killed_is_settled(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, before: int | None
):
    folder = open_store(str(tmp_path / "a"), {})
    folder.create()
    world = World(database_url, {"a": folder}, {"a": 100 * KB})
    with world.pool:
        if before is not None:
            world.pool.upload(io.BytesIO(bytes(before)), "k")
        with monkeypatch.context() as patch:
            patch.setattr(world.ledger, "commit", _die)
            with pytest.raises(SystemExit):
                world.pool.upload(io.BytesIO(b"n" * 3000), "k")
        end_leases(world)
        assert world.pool.sweep().committed == 1
        assert read(world, "k", tmp_path) == b"n" * 3000
        world.check()


def _die(*_: object, **__: object) -> bool:
    raise SystemExit


def test_a_stream_goes_where_there_is_room(world: World, file: File):
    world.pool.upload(file(60 * KB), "first")
    world.pool.upload(file(60 * KB, b"2"), "second")
    full = next(name for name, held in world.held().items() if sum(held.values()) == 60 * KB and name == "b")
    assert full == "b"
    for number in range(8):
        assert world.pool.upload(io.BytesIO(b"hi"), f"s{number}").provider == "a"


@pytest.mark.parametrize("step", ["cloud", "books"])
def test_a_removal_that_was_killed_is_finished(alone: World, file: File, monkeypatch: pytest.MonkeyPatch, step: str):
    alone.pool.upload(file(10 * KB), "k")
    with monkeypatch.context() as patch:
        if step == "cloud":
            patch.setattr(alone.stores["a"], "delete", _die)
        else:
            patch.setattr(alone.ledger, "remove", _die)
        with pytest.raises(SystemExit):
            alone.pool.delete("k")
    end_leases(alone)
    assert alone.pool.sweep().problems == []
    assert alone.held() == {"a": {}}
    alone.check()


@pytest.mark.parametrize("step", ["find", "cloud", "books"])
def test_a_move_to_another_provider_that_was_killed_is_finished(
    world: World, file: File, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str
):
    world.pool.upload(file(50 * KB, b"1"), "k", idempotency="one")
    [old] = world.ledger.find("k")
    filler = world.pool.upload(file(40 * KB, b"f"), "filler")
    assert (old.provider, filler.provider) == ("a", "b")
    world.pool.upload(file(45 * KB, b"g"), "more")
    with monkeypatch.context() as patch:
        if step == "find":
            commit = world.ledger.commit

            def then(*given: object) -> bool:
                assert commit(*given)
                raise SystemExit

            patch.setattr(world.ledger, "commit", then)
        elif step == "cloud":
            patch.setattr(world.stores["a"], "delete", _die)
        else:
            patch.setattr(world.ledger, "remove", _die)
        world.stores["a"].fail("write", StoreError("refused"))
        with pytest.raises(SystemExit):
            world.pool.upload(file(20 * KB, b"2"), "k")
    end_leases(world)
    world.pool.sweep()
    end_leases(world)
    assert world.pool.sweep().problems == []
    assert read(world, "k", tmp_path) == b"2" * 20 * KB
    assert [row.provider for row in world.ledger.find("k")] == ["b"]
    world.check()


def test_two_that_put_a_new_key_at_one_moment_are_one_object_after_a_sweep(world: World, file: File, tmp_path: Path):
    def during(_: str) -> None:
        assert world.pool.upload(file(55 * KB, b"2"), "k").provider == "b"

    world.stores["a"].on("write", during, key="k", nth=1)
    assert world.pool.upload(file(45 * KB, b"1"), "k").provider == "a"
    assert world.pool.sweep().problems == []
    assert len(world.ledger.find("k")) == 1
    assert read(world, "k", tmp_path) == b"1" * 45 * KB
    world.check()


def test_a_removal_whose_answer_was_lost_is_finished_by_a_sweep(alone: World, file: File):
    for number in range(10):  # whatever part of a millisecond lies between
        alone.pool.upload(file(10 * KB), f"k{number}")
        alone.stores["a"].fail("delete", Unreachable("reset"), key=f"k{number}", after=True, nth=1)
        with pytest.raises(Unreachable):
            alone.pool.delete(f"k{number}")
        assert alone.pool.sweep().problems == []
        alone.check()
        assert alone.held() == {"a": {}}


def test_what_lies_at_a_key_and_is_nobodys_is_not_replaced(alone: World, file: File):
    alone.stores["a"].write("k", [b"theirs"])
    with pytest.raises(StoreError, match=r"on nobody's books.*--adopt-orphans"):
        alone.pool.upload(file(10), "k")
    assert alone.held() == {"a": {"k": 6}}
    assert alone.reserved() == {"a": 0}


def test_a_file_larger_than_any_quota_makes_nobody_full(alone: World, file: File):
    for number in range(3):
        with pytest.raises(PoolFull):
            alone.pool.upload(file(101 * KB), "big")
        alone.pool.upload(file(10), f"k{number}")
    assert alone.pool._catalog.outbox.due(datetime.now(UTC)) == []
    assert not alone.pool.stats().providers[0].is_full


def test_refusals_of_large_files_are_told_once(alone: World, file: File):
    alone.pool.upload(file(50 * KB), "half")
    for number in range(3):
        with pytest.raises(PoolFull):
            alone.pool.upload(file(60 * KB), "big")
        alone.pool.upload(file(10), f"k{number}")
    assert len(alone.pool._catalog.outbox.due(datetime.now(UTC))) == 1
