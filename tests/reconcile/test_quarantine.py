"""Orphans moved aside and back: never the wrong ones, and never out of reach."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import trueup
from tests.reconcile.test_reconcile import World, provider
from trueup.catalog.base import Reservation, now
from trueup.cli import main
from trueup.config import load
from trueup.errors import Unreachable
from trueup.reconcile import work
from trueup.stores.local import LocalStore


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_where_the_fix_is_refused_no_orphan_is_moved(world: World):
    for path in world.put(*(f"k{number:03}" for number in range(240)), size=1).values():
        if path.parent.name == "a":
            path.unlink()
    (world.folder / "a" / "foreign").write_bytes(b"foreign")
    run = trueup.reconcile(quarantine_orphans=True)
    assert (run.exit_code, provider(run, "a").refused) == (3, True)
    assert (world.folder / "a" / "foreign").exists()
    assert not (world.folder / "a" / ".trueup").exists()


def test_what_came_onto_the_books_meanwhile_is_not_moved(world: World, monkeypatch: pytest.MonkeyPatch):
    foreign = world.folder / "a" / "x"
    foreign.write_bytes(b"foreign")
    real = work.look_across

    def later(*arguments: object, **options: object) -> None:
        real(*arguments, **options)
        with world.pool() as pool:
            assert pool._ledger.reserve(Reservation("token", "a", "x", 7, 7, "", now() + timedelta(hours=1)))
            assert pool._ledger.commit("token", 7, "", now())

    with monkeypatch.context() as patch:
        patch.setattr(work, "look_across", later)
        run = trueup.reconcile(quarantine_orphans=True)
    assert [(item["key"], item["fix"]) for item in run.items] == [("x", "skipped")]
    assert foreign.exists()
    assert trueup.reconcile().items == ()


def test_a_bucket_that_is_away_loses_nothing_of_its_quarantine(world: World, capsys: pytest.CaptureFixture[str]):
    foreign = world.folder / "a" / "foreign"
    foreign.write_bytes(b"foreign")
    run = trueup.reconcile(quarantine_orphans=True)
    away = (world.folder / "a").rename(world.folder / "away")
    assert main(["undo", run.run]) == 1
    assert "is not there" in capsys.readouterr().err
    away.rename(world.folder / "a")
    assert main(["undo", run.run]) == 0
    assert foreign.read_bytes() == b"foreign"


def test_what_was_moved_although_the_answer_got_lost_comes_back(world: World, monkeypatch: pytest.MonkeyPatch):
    foreign = world.folder / "a" / "foreign"
    foreign.write_bytes(b"foreign")
    real = LocalStore.move

    def lost(*arguments: object, **options: object) -> None:
        real(*arguments, **options)
        raise Unreachable("the answer got lost")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "move", lost)
        run = trueup.reconcile(quarantine_orphans=True)
    assert not foreign.exists()
    assert main(["undo", run.run]) == 0
    assert foreign.read_bytes() == b"foreign"


def test_a_move_that_was_cut_in_half_is_taken_back(world: World):
    foreign = world.folder / "a" / "foreign"
    foreign.write_bytes(b"foreign")
    run = trueup.reconcile(quarantine_orphans=True)
    moved = world.folder / "a" / ".trueup" / "quarantine" / run.run / "foreign"
    foreign.write_bytes(moved.read_bytes())  # a bucket copies, and then deletes
    assert main(["undo", run.run]) == 0
    assert foreign.read_bytes() == b"foreign"
    assert not moved.exists()


def test_a_dry_run_says_what_would_be_moved_and_moves_nothing(world: World, capsys: pytest.CaptureFixture[str]):
    foreign = world.folder / "a" / "foreign"
    foreign.write_bytes(b"foreign")
    trueup.reconcile()
    assert main(["reconcile", "--quarantine-orphans", "--dry-run"]) == 0
    assert "foreign  it would go to .trueup/quarantine/" in capsys.readouterr().out
    assert foreign.exists()


def test_what_was_counted_before_is_told_as_moved_with_the_way_back(world: World, capsys: pytest.CaptureFixture[str]):
    foreign = world.folder / "a" / "foreign"
    foreign.write_bytes(b"foreign")
    trueup.reconcile()
    assert main(["reconcile", "--quarantine-orphans"]) == 0
    told = capsys.readouterr().out
    assert "Updated successfully!" in told
    assert "take it back with: trueup undo" in told
    assert provider(trueup.reconcile(), "a").ledger == (0, 0)


def test_a_note_of_what_was_moved_that_cannot_be_read_stops_all(world: World, capsys: pytest.CaptureFixture[str]):
    foreign = world.folder / "a" / "foreign"
    foreign.write_bytes(b"foreign")
    notes = load().home / "reconcile" / "quarantine.db"
    notes.parent.mkdir(parents=True)
    notes.write_bytes(b"no database at all" * 100)
    assert main(["reconcile", "--quarantine-orphans"]) == 1
    assert "quarantine.db cannot be used" in capsys.readouterr().err
    assert foreign.exists()
