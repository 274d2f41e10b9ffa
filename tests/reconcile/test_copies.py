"""One key in several places: whatever is done with it, no copy is lost that nobody has."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import trueup
from tests.reconcile.test_reconcile import World, provider, verdicts
from trueup.catalog.base import Reservation, now
from trueup.reconcile import work
from trueup.reconcile.fix import Fixing


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def other(world: World, path: Path) -> Path:
    """The same name at the other provider."""
    return world.folder / ("b" if path.parent.name == "a" else "a") / path.name


def sweep(world: World) -> None:
    with world.pool() as pool:
        pool.sweep()


def test_two_orphans_of_one_key_are_not_taken_into_the_books(world: World):
    """Else the next sweep took one for what an overwrite had left, and removed it."""
    copies = {world.folder / "a" / "x": b"one", world.folder / "b" / "x": b"another"}
    for path, data in copies.items():
        path.write_bytes(data)
    run = trueup.reconcile(adopt_orphans=True)
    assert (run.exit_code, verdicts(run)) == (1, {"a/x": "duplicate", "b/x": "duplicate"})
    sweep(world)
    assert {path: path.read_bytes() for path in copies} == copies
    world.check()


def test_what_is_on_the_books_of_a_cloud_that_is_down_is_not_adopted_elsewhere(world: World):
    [path] = world.put("x").values()
    copy = other(world, path)
    copy.write_bytes(b"another")
    away = path.parent.rename(world.folder / "away")
    run = trueup.reconcile(adopt_orphans=True)
    assert (run.exit_code, verdicts(run)) == (1, {f"{copy.parent.name}/x": "duplicate"})
    away.rename(path.parent)
    sweep(world)
    assert path.exists()
    assert copy.exists()


def test_what_comes_back_beside_a_newer_one_is_a_duplicate(world: World):
    [path] = world.put("x").values()
    kept = path.rename(world.folder / "kept")
    (path.parent / "fill").write_bytes(b"f" * 100_000)
    trueup.reconcile()
    [newer] = world.put("x", size=10).values()
    assert newer == other(world, path)
    kept.rename(path)
    run = trueup.reconcile()
    assert verdicts(run) == {f"{path.parent.name}/fill": "orphan", f"{path.parent.name}/x": "duplicate"}
    sweep(world)
    assert path.exists()
    assert newer.exists()
    world.check()
    assert provider(trueup.reconcile(), path.parent.name).fixed is False


def test_what_was_put_elsewhere_after_it_was_looked_at_is_not_adopted(world: World, monkeypatch: pytest.MonkeyPatch):
    copy = world.folder / "a" / "x"
    copy.write_bytes(b"a copy that makes the other place the emptier one")
    real = work.look_across

    def later(*arguments: object, **options: object) -> None:
        real(*arguments, **options)
        with world.pool() as pool:
            pool._ledger.reserve(Reservation("token", "b", "x", 4, 4, "", now() + timedelta(hours=1)))
            (world.folder / "b" / "x").write_bytes(b"mine")
            pool._ledger.commit("token", 4, "", now())

    with monkeypatch.context() as patch:
        patch.setattr(work, "look_across", later)
        run = trueup.reconcile(adopt_orphans=True)
    assert [(item["key"], item["fix"]) for item in run.items] == [("x", "skipped")]
    sweep(world)
    assert copy.exists()
    assert verdicts(trueup.reconcile()) == {"a/x": "duplicate"}
    world.check()


def test_other_bytes_of_the_same_length_are_not_the_lost_object(world: World):
    [path] = world.put("x").values()
    path.unlink()
    foreign = other(world, path)
    foreign.write_bytes(b"!" * 1000)
    run = trueup.reconcile()
    assert verdicts(run) == {f"{path.parent.name}/x": "missing", f"{foreign.parent.name}/x": "orphan"}
    world.check()


def test_a_row_stays_where_its_new_place_cannot_be_booked(world: World, monkeypatch: pytest.MonkeyPatch):
    [path] = world.put("x").values()
    moved = path.rename(other(world, path))
    real = work.look_across

    def later(*arguments: object, **options: object) -> None:
        real(*arguments, **options)
        with world.pool() as pool:
            wanted = Reservation("token", moved.parent.name, "x", 5, 5, "", now() + timedelta(hours=1))
            assert pool._ledger.reserve(wanted)

    with monkeypatch.context() as patch:
        patch.setattr(work, "look_across", later)
        run = trueup.reconcile()
    assert [(item["verdict"], item["fix"]) for item in run.items] == [("misplaced", "skipped")]
    assert world.states() == {f"{path.parent.name}/x": ("stored", 1000)}


@pytest.mark.parametrize("where", ["a", "b"])
def test_a_sweep_between_the_two_steps_of_a_move_removes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
):
    there = world.put("x", "y")
    [path] = [path for path in there.values() if path.parent.name == where]
    moved = path.rename(other(world, path))
    real = Fixing._move

    def killed(*arguments: object) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Fixing, "_move", killed)
        with pytest.raises(KeyboardInterrupt):
            trueup.reconcile()
    sweep(world)
    assert moved.exists()
    trueup.reconcile()
    world.check()
    assert world.states()[f"{moved.parent.name}/{path.name}"] == ("stored", 1000)


def test_half_of_a_move_put_back_loses_nothing(world: World):
    there = world.put("x", "y")
    moved = [path.rename(other(world, path)) for path in there.values()]
    trueup.reconcile()
    with world.pool() as pool:
        corrections = pool._catalog.corrections
        corrections.restore(corrections.backups()[0].id)
    sweep(world)
    assert all(path.exists() for path in moved)
    trueup.reconcile()
    sweep(world)
    assert all(path.exists() for path in moved)


def test_both_sides_of_a_move_are_told_as_updated(world: World, capsys: pytest.CaptureFixture[str]):
    [path] = world.put("x").values()
    path.rename(other(world, path))
    run = trueup.reconcile()
    assert {report.provider: (report.fixed, bool(report.backup)) for report in run.providers} == {
        "a": (True, True),
        "b": (True, True),
    }
