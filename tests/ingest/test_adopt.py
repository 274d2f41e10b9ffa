"""A table `processed_files` that an application made before: what it says holds, and the application goes on using
it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.ingest.bot import TABLE
from tests.ingest.world import World, done, layers, outcomes
from trueup.catalog.database import upgrade

MADE = {
    "bare": "create table processed_files (filename text, success boolean)",
    "numbered": "create table processed_files (id integer primary key, filename varchar(255) unique not null,"
    " success integer, error_message text, processed_at timestamp default current_timestamp)",
    "keyed": "create table processed_files (filename varchar(200) primary key, success boolean not null,"
    " file_hash text, note text default 'theirs')",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A database without a table of trueup's."""
    return World(tmp_path, database=request.getfixturevalue("postgres_url") if request.param == "postgresql" else "")


def adopted(world: World, made: str = "bare") -> None:
    """Four files on the server; the application's table knows three."""
    statement = MADE[made]
    if world.database.startswith("postgresql"):
        statement = statement.replace("id integer primary key", "id serial primary key").replace(
            "success integer", "success boolean"
        )
    world.run(TABLE, statement)
    unknown = "null" if "not null," not in statement.partition("success")[2] else "false"
    world.run(
        "insert into processed_files (filename, success) values"
        f" ('done.txt', true), ('failed.txt', false), ('unknown.txt', {unknown})"
    )
    if world.database.startswith("postgresql"):
        upgrade(world.database)
    for name in ("done", "failed", "unknown", "new"):
        world.put(f"{name}.txt", f"round {name}")


@pytest.mark.parametrize("made", MADE)
def test_what_an_application_processed_is_not_taken_again(bare: World, made: str):
    adopted(bare, made)
    run = bare.ingest()
    assert (run.exit_code, layers(run)) == (0, {"processed": 1}), run.reason
    taken = {"failed.txt", "unknown.txt", "new.txt"}
    assert outcomes(run) == dict.fromkeys(taken, "processed")
    bare.restart()
    assert done(bare.ingest()) == {"already": 4}
    assert bare.once(taken)
    told = bare.query("select filename from processed_files where success = true order by filename")
    assert [name for (name,) in told] == ["done.txt", "failed.txt", "new.txt", "unknown.txt"]
    if made == "keyed":
        assert {note for (note,) in bare.query("select note from processed_files")} == {"theirs"}


def test_the_application_may_go_on_writing(bare: World):
    adopted(bare)
    bare.ingest()
    bare.put("theirs.txt", "taken by the application")
    bare.run("insert into processed_files (filename, success) values ('theirs.txt', true)")
    assert done(bare.ingest()) == {"already": 5}
    bare.run("update processed_files set success = false where filename = 'done.txt'")
    assert outcomes(bare.ingest()) == {"done.txt": "processed"}
    bare.restart()
    assert done(bare.ingest()) == {"already": 5}
    assert "theirs.txt" not in bare.effects()


def test_an_application_s_row_beside_ours_counts_if_it_tells_of_an_effect(bare: World):
    adopted(bare)
    bare.put("bad.txt", "poison")
    bare.ingest()
    bare.run("insert into processed_files (filename, success) values ('bad.txt', true), ('new.txt', false)")
    bare.restart()
    run = bare.ingest(requeue="*")
    assert (run.exit_code, done(run)) == (0, {"already": 5})
    assert bare.effects()["new.txt"] == ["round new"]


def test_a_table_that_takes_each_name_once_serves_one_source(bare: World):
    adopted(bare, "numbered")
    bare.ingest()
    path = bare.base / "trueup.toml"
    path.write_text(path.read_text().replace("[ingest.stats]", "[ingest.other]").replace('"local"', '"local2"'))
    import trueup
    from trueup.config import load

    run = trueup.ingest("other", settings=load(path))
    assert (run.status, run.exit_code) == ("failed", 1)
    assert "a database of its own" in run.reason


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("create table processed_files (name text, success boolean)", "has no column 'filename'"),
        ("create table processed_files (filename text)", "has no column 'success'"),
        (
            "create table processed_files (filename text, success boolean, bot text not null)",
            "'bot'.*must have a value",
        ),
        ("create table processed_files (filename text, success boolean, size real)", "'size'.*cannot be used"),
    ],
)
def test_a_table_that_cannot_be_used_is_said_and_left_alone(tmp_path: Path, made: str, said: str):
    world = World(tmp_path)
    world.put("a.txt", "round")
    world.run(made)
    run = world.ingest()
    assert run.status == "failed"
    assert re.search(said, run.reason), run.reason
    assert world.query("select count(*) from sqlite_master where type = 'table'") == [(1,)]


def test_an_application_may_note_a_name_more_than_once(bare: World):
    """As one does that writes a row for each try."""
    adopted(bare)
    tries = "insert into processed_files (filename, success) values ('new.txt', false), ('done.txt', false)"
    bare.run(tries)
    bare.ingest()
    bare.run(tries)
    bare.put("bad.txt", "poison")
    bare.run("insert into processed_files (filename, success) values ('bad.txt', false), ('bad.txt', false)")
    bare.restart()
    run = bare.ingest()
    assert outcomes(run) == {"bad.txt": "failed"}
    assert run.counts["already"] == 4
    assert bare.once({"failed.txt", "unknown.txt", "new.txt"})
    bare.put("bad.txt", "mended")
    assert outcomes(bare.ingest()) == {"bad.txt": "processed"}
    assert done(bare.ingest()) == {"already": 5}


def test_no_job_forgets_what_an_application_noted_for_all(bare: World):
    adopted(bare)
    bare.set(forget="1h")
    for _ in range(2):
        (bare.drop / "done.txt").unlink(missing_ok=True)
        bare.ingest()
        bare.run("update processed_files set gone_since = '2020-01-01 00:00:00' where filename = 'done.txt'")
    assert "done.txt" in bare.rows()


def test_rows_without_a_source_are_everybodys(bare: World):
    bare.run(
        TABLE,
        "create table processed_files (filename text, success boolean, source text)",
        "insert into processed_files values ('a.txt', true, null)",
    )
    if bare.database.startswith("postgresql"):
        upgrade(bare.database)
    bare.put("a.txt", "round")
    assert layers(bare.ingest()) == {"processed": 1}


def test_a_time_that_nobody_can_read_is_said(tmp_path: Path):
    world = World(tmp_path)
    world.run(
        "create table processed_files (filename text, success boolean, processed_at timestamp)",
        "insert into processed_files values ('a.txt', true, 'yesterday')",
    )
    world.put("a.txt", "round")
    run = world.ingest()
    assert (run.status, run.exit_code) == ("failed", 1)
    assert "holds what cannot be read" in run.reason
