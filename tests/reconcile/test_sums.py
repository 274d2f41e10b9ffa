"""Sums that somebody else has written, in every database: they are made those of the rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from pymongo import MongoClient

import trueup
from tests.reconcile.test_reconcile import SETTINGS, World, provider
from trueup.cli import main

WRONG = {"total_size_bytes": 777_777, "file_count": 99}


@pytest.fixture(params=["sqlite", "postgresql", "mongodb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'trueup.db'}"
    if request.param == "mongodb":
        return request.getfixturevalue("mongo_url")
    make: Callable[[], str] = request.getfixturevalue("new_database")
    return make()


@pytest.fixture
def world(tmp_path: Path, url: str) -> World:
    world = World(tmp_path)
    world.settings(f'[database]\nurl = "{url}"\n{SETTINGS}')
    assert main(["db", "upgrade"]) == 0
    return world


def write(url: str) -> None:
    """What an application does that keeps these numbers itself."""
    if url.startswith("mongodb"):
        with MongoClient(url) as client:
            client.get_default_database()["storage_stats"].update_one({"provider": "a"}, {"$set": WRONG})
        return
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as db:
        statement = "update storage_stats set total_size_bytes = :total_size_bytes, file_count = :file_count"
        db.execute(sa.text(f"{statement} where provider = 'a'"), WRONG)
    engine.dispose()


@pytest.mark.parametrize("foreign", [False, True])
def test_sums_that_others_have_written_are_made_true_and_put_back(world: World, url: str, *, foreign: bool):
    world.put("x", "y", "z")
    if foreign:
        (world.folder / "a" / "foreign").write_bytes(b"foreign")
    write(url)
    assert main(["reconcile", "--check"]) == 5
    run = trueup.reconcile()
    report = provider(run, "a")
    assert (run.status, report.mismatch, report.fixed, report.ledger) == ("ok", True, True, (99, 777_777))
    world.check()
    again = trueup.reconcile()
    assert (again.status, again.findings) == ("ok", False)
    assert not any(report.mismatch or report.fixed for report in again.providers)
    assert report.backup is not None
    assert main(["backups", "restore", report.backup]) == 0
    with world.pool() as pool:
        if not url.startswith("mongodb"):
            assert {row.provider: row.file_count for row in pool.stats().providers}["a"] == 99
    trueup.reconcile()
    world.check()


def test_sums_that_change_because_of_uploads_are_not_wrong(world: World, monkeypatch: pytest.MonkeyPatch):
    from trueup.reconcile import eyes

    real = eyes.first_look

    def busy(*arguments: object, **options: object) -> object:
        world.put("later")
        monkeypatch.setattr(eyes, "first_look", real)
        return real(*arguments, **options)

    world.put("x")
    monkeypatch.setattr(eyes, "first_look", busy)
    run = trueup.reconcile()
    assert (run.status, run.findings) == ("ok", False)
    assert not any(report.fixed for report in run.providers)
    world.check()
