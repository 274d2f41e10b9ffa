"""The built-in handlers: rows of CSV and NDJSON files into a table."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from tests.ingest.world import World, done, outcomes

CSV = "player,kills,rating\nann,3,1.5\nbob,,\n"
NDJSON = '{"player": "ann", "kills": 3, "tags": ["a", 1]}\n\n{"player": "bob", "kills": null}\n'


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    database = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    made = World(tmp_path, database=database, handler="csv:sessions", include=["*"])
    if database:
        from trueup.catalog.database import upgrade

        upgrade(database)
    return made


def test_a_csv_file_fills_a_table_that_it_makes(world: World):
    world.put("a.csv", CSV)
    world.put("sub/b.csv", '\ufeffplayer,kills,rating\r\n"c, d",7,2\r\n')
    assert world.ingest().counts["processed"] == 2
    assert world.query("select player, kills, rating, trueup_file from sessions order by player") == [
        ("ann", "3", "1.5", "a.csv"), ("bob", "", "", "a.csv"), ("c, d", "7", "2", "sub/b.csv"),
    ]  # fmt: skip
    world.restart()
    assert done(world.ingest()) == {"already": 2}


def test_a_table_that_is_there_gives_the_types(world: World):
    world.run(
        "create table sessions (player text, kills integer, rating numeric(8, 2), day date, won boolean, note text)"
    )
    world.put("a.csv", "kills,player,rating,day,won\n 3 ,ann,1.50,2024-03-24,yes\n,bob,,,no\n")
    run = world.ingest()
    assert run.exit_code == 0, run.items
    rows = world.query("select player, kills, rating, day, won, note from sessions order by player")
    ann, bob = [
        (name, kills, rating, str(day) if day else day, won, note) for name, kills, rating, day, won, note in rows
    ]
    assert ann == ("ann", 3, Decimal("1.50"), str(date(2024, 3, 24)), 1, None)
    assert bob == ("bob", None, None, None, 0, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("player,kills\nann,3\nbob,many\n", r"row 2: 'many' does not fit the column 'kills'"),
        ("player,deaths\nann,3\n", "no column 'deaths'"),
        ("player,kills\nann\n", "line 2 has 1 cells, and the header 2"),
        ("player,player\nann,3\n", "the header names a column twice"),
        ('player,kills\n"ann,3\n', "line 2"),
    ],
)
def test_a_bad_cell_is_named_and_nothing_of_its_file_stays(world: World, content: str, said: str):
    world.run("create table sessions (player text, kills integer)")
    world.put("bad.csv", content)
    world.put("good.csv", "player,kills\nann,1\n")
    run = world.ingest()
    assert outcomes(run) == {"bad.csv": "failed", "good.csv": "processed"}
    assert said in run.items[0]["error"]
    assert world.query("select player, kills from sessions") == [("ann", 1)]


def test_a_version_replaces_the_rows_of_the_one_before(world: World):
    world.put("a.csv", CSV)
    world.put("b.csv", CSV)
    world.ingest()
    world.put("a.csv", "player,kills,rating\neve,1,1\n")
    world.ingest()
    assert world.query("select player, trueup_file from sessions order by trueup_file, player") == [
        ("eve", "a.csv"), ("ann", "b.csv"), ("bob", "b.csv"),
    ]  # fmt: skip


def test_an_empty_file_has_an_effect_too(world: World):
    world.put("a.csv", "")
    world.put("b.csv", "player,kills\n")
    assert world.ingest().counts["processed"] == 2
    assert done(world.ingest()) == {"already": 2}


def test_ndjson_keeps_its_types(world: World):
    world.set(handler="ndjson:sessions")
    world.put("a.ndjson", NDJSON)
    assert world.ingest().exit_code == 0
    assert world.query("select player, kills, tags from sessions order by player") == [
        ("ann", 3, '["a", 1]'), ("bob", None, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"player": "ann"}\n{"player"\n', "line 2 is no JSON"), ("[1]\n", "line 1 is no JSON object")],
)
def test_a_bad_line_of_ndjson_is_named(world: World, content: str, said: str):
    world.set(handler="ndjson:sessions")
    world.put("a.ndjson", content)
    run = world.ingest()
    assert outcomes(run) == {"a.ndjson": "failed"}
    assert said in run.items[0]["error"]


def test_no_number_is_rounded(world: World):
    world.set(handler="ndjson:sessions")
    world.put("a.ndjson", '{"kills": 1}\n{"kills": 1.5}\n')
    (item,) = world.ingest().items
    assert "row 2: 1.5 does not fit the column 'kills'" in item["error"]
