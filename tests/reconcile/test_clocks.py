"""Clocks that differ: what is young stays in flight by whichever clock dated it, and what cannot be is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

import trueup
from tests.reconcile.test_reconcile import SETTINGS, World, verdicts
from tests.reconcile.test_references import Shop
from tests.servers.faulty_s3 import FaultyS3
from trueup.catalog import database
from trueup.cli import main

OFF = """
import sys
from datetime import UTC, datetime, timedelta
from trueup.cli import main
from trueup.reconcile import clocks

clocks.here = lambda: datetime.now(UTC) + timedelta(hours=float(sys.argv[1]))
sys.exit(main(["reconcile", *sys.argv[2:], "--json"]))
"""
"""The command on a machine whose clock is off by some hours."""
YEAR = timedelta(days=365)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def off(hours: float, *arguments: str) -> tuple[dict[str, str], list[str]]:
    """The verdicts of a machine whose clock is off, and its warnings."""
    command = [sys.executable, "-c", OFF, str(hours), *arguments]
    said = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=60).stdout)
    return {item["key"]: item["verdict"] for item in said["items"]}, said["warnings"]


@pytest.mark.parametrize("kind", ["postgres_url", "mongo_url"])
def test_what_was_just_uploaded_is_in_flight_for_a_machine_whose_clock_is_off(
    kind: str, world: World, request: pytest.FixtureRequest
):
    url = request.getfixturevalue(kind)
    database.upgrade(url)
    world.settings(f'[database]\nurl = "{url}"\n{SETTINGS.replace("0s", "1h")}')
    world.put("x")["x"].unlink()
    before = world.states()
    for hours, said in ((3, "3:00:00 behind"), (-3, "3:00:00 ahead of")):
        found, warnings = off(hours)
        assert found == {"x": "in_flight"}
        [warning] = warnings
        assert f"the clock of the pool's database is {said} this machine's, which says " in warning
    assert off(0) == ({"x": "in_flight"}, [])
    assert world.states() == before
    world.settings(f'[database]\nurl = "{url}"\n{SETTINGS}')
    found, [warning] = off(3)
    assert found == {"x": "missing"}


@pytest.mark.parametrize("kind", ["postgresql", "mongodb"])
def test_a_reference_is_judged_by_the_clock_of_its_database_too(
    kind: str, tmp_path: Path, new_database: Callable[[], str], mongo_url: str
):
    shop = Shop(tmp_path)
    ages = {"young": timedelta(minutes=20), "old": timedelta(hours=5)}
    if kind == "postgresql":
        url = new_database()
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as db:
            db.execute(sa.text("create table uploads (key text, at timestamptz)"))
            for key, age in ages.items():
                db.execute(sa.text("insert into uploads values (:key, now() - :age)"), {"key": key, "age": age})
        engine.dispose()
        what = 'query = "select key, at as created_at from uploads"'
    else:
        from pymongo import MongoClient

        url = mongo_url
        with MongoClient(url) as client:
            rows = [{"key": key, "created_at": datetime.now(UTC) - age} for key, age in ages.items()]
            client.get_default_database()["uploads"].insert_many(rows)
        what = 'collection = "uploads"'
    shop.settings(f'database = "{url}"\nprovider = "media"\n{what}', grace="1h")
    for hours in (0, 2, -2):
        found, warnings = off(hours, "shop")
        assert found == {"young": "in_flight", "old": "missing"}
        assert ["the clock of the database of shop is" in warning for warning in warnings] == [True] * bool(hours)


def test_a_database_that_does_not_tell_its_zone_is_not_asked_for_its_clock(tmp_path: Path):
    shop = Shop(tmp_path)
    shop.upload("a")
    assert off(3, "shop") == ({}, [])


def test_objects_are_judged_by_the_clock_of_their_store(tmp_path: Path, faulty_s3: FaultyS3):
    options = "".join(f'{name} = "{value}"\n' for name, value in faulty_s3.options.items())
    (tmp_path / "trueup.toml").write_text(
        f'[stores.s3]\nurl = "{faulty_s3.url}"\n{options}[pool.providers.s3]\nurl = "s3"\n[reconcile]\ngrace = "1h"\n'
    )
    for hours in (0, 5, -5):
        faulty_s3.clock_ahead = timedelta(hours=hours)
        theirs = datetime.now(UTC) + faulty_s3.clock_ahead
        faulty_s3.objects.update(old=b"x", young=b"x")
        faulty_s3.times.update(old=theirs - timedelta(minutes=70), young=theirs - timedelta(minutes=10))
        run = trueup.reconcile(dry_run=True)
        assert verdicts(run) == {"s3/old": "orphan", "s3/young": "in_flight"}
        assert ["the clock of s3 is " in warning for warning in run.warnings] == [True] * bool(hours)


def test_a_clock_that_is_off_is_told_to_people(tmp_path: Path, faulty_s3: FaultyS3, capsys: pytest.CaptureFixture[str]):
    options = "".join(f'{name} = "{value}"\n' for name, value in faulty_s3.options.items())
    (tmp_path / "trueup.toml").write_text(
        f'[stores.s3]\nurl = "{faulty_s3.url}"\n{options}[pool.providers.s3]\nurl = "s3"\n'
    )
    faulty_s3.clock_ahead = timedelta(minutes=10)
    assert main(["reconcile"]) == 0
    said = capsys.readouterr().err
    assert "warning: the clock of s3 is 0:10:0" in said
    assert "ahead of this machine's, which says " in said


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(timedelta(minutes=30), "in_flight"), (timedelta(minutes=90), "missing"), (YEAR, "missing")],
)
def test_a_row_dated_in_the_future_is_in_flight_for_a_grace_at_most(world: World, ahead: timedelta, verdict: str):
    world.settings(SETTINGS.replace("0s", "1h"))
    [path] = world.put("x").values()
    path.unlink()
    engine = sa.create_engine(f"sqlite:///{world.folder / 'trueup.db'}")
    with engine.begin() as db:
        at = (datetime.now(UTC) + ahead).replace(tzinfo=None)
        db.execute(sa.text("update objects set created_at = :at"), {"at": at.isoformat(" ", "microseconds")})
    engine.dispose()
    [item] = trueup.reconcile().items
    assert item["verdict"] == verdict
    assert (verdict == "missing") == ("its row is dated" in str(item["detail"]))
    assert [state for state, _ in world.states().values()] == ["stored" if verdict == "in_flight" else "missing"]


@pytest.mark.parametrize("ahead", [timedelta(minutes=30), YEAR])
def test_an_object_dated_in_the_future_is_in_flight_for_a_grace_at_most(world: World, ahead: timedelta):
    world.settings(SETTINGS.replace("0s", "1h"))
    foreign = world.folder / "a" / "foreign"
    foreign.write_bytes(b"?")
    at = (datetime.now(UTC) + ahead).timestamp()
    os.utime(foreign, (at, at))
    [item] = trueup.reconcile().items
    if ahead == YEAR:
        assert item["verdict"] == "orphan"
        assert str(item["detail"]).startswith("the object is dated 364 days, 2")
    else:
        assert (item["verdict"], item["detail"]) == ("in_flight", None)
