"""Settings that cannot be used, and runs that only look."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import trueup
from tests.ingest.world import World, done, outcomes
from trueup.cli import main
from trueup.config import load


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('sorce = "x"', "sorce is unknown"),
        ('handler = "nowhere"', "names no function"),
        ('handler = "no.such.module:f"', "there is no such module"),
        ('handler = "tests.ingest.bot:nothing"', "has no function nothing"),
        ('on_rewrite = "maybe"', "Use one of: ignore, version, error"),
        ('on_duplicate = "maybe"', "Use one of: process, skip"),
        ('stable_for = "soon"', "stable_for"),
        ("attempts = 0", "attempts = '0' is unusable"),
        ('lease = "1ms"', "lease is too short"),
        ('include = "a"\nexclude = [1]', "is no list of patterns"),
        ('into = "drop/below"', "source and into overlap"),
        ('into = ""', "has no into"),
        ('into = "s3://bucket/folder"', "is no folder"),
        ('into = "both"\n[ingest.other]\nsource = "elsewhere"\ninto = "both/below"', "share the folder"),
        ('poll = "0s"', "is no pause"),
        ('database = "sqlite://"', "would be forgotten"),
        ('source = "gopher://x"', "gopher"),
        ('database = "mongodb://127.0.0.1/x"', "a SQL database"),
        ('database = "nonsense"', "is no database URL"),
    ],
)
def test_a_bad_setting_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, said: str):
    (tmp_path / "drop").mkdir()
    name = setting.partition(" ")[0]
    default = {"source": 'source = "drop"', "into": 'into = "local"'}
    lines = ["[ingest.stats]", *(line for key, line in default.items() if key != name), setting]
    (tmp_path / "trueup.toml").write_text("\n".join(lines))
    assert main(["ingest", "stats"]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in out + err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drop", "trueup.toml"]


def test_a_job_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "trueup.toml").write_text('[ingest.stats]\nsource = "drop"\ninto = "local"\n')
    assert main(["ingest", "states"]) == 2
    assert "there is no [ingest.states]. Known: stats" in capsys.readouterr().err
    with pytest.raises(trueup.errors.ConfigError):
        trueup.should_process("states", "a.txt", settings=load(tmp_path / "trueup.toml"))


def test_the_catalog_may_be_elsewhere_when_the_job_has_a_database(tmp_path: Path):
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "a.csv").write_text("player\nann\n")
    (tmp_path / "trueup.toml").write_text(
        '[database]\nurl = "mongodb://127.0.0.1/x"\n[ingest.stats]\nsource = "drop"\ninto = "local"\n'
        'handler = "csv:sessions"\nstable_for = 0\ndatabase = "sqlite:///stats.db"\n'
    )
    assert trueup.ingest("stats", settings=load(tmp_path / "trueup.toml")).counts["processed"] == 1
    assert (tmp_path / "stats.db").exists()


def everything(folder: Path) -> dict[str, bytes]:
    """All that is there; SQLite's own scratch files, which come and go with who reads, left out."""
    paths = (path for path in folder.rglob("*") if not path.name.endswith(("-shm", "-wal")))
    return {str(path): b"" if path.is_dir() else path.read_bytes() for path in paths}


def test_a_dry_run_of_a_new_job_makes_nothing_at_all(tmp_path: Path, hermetic: Path):
    world = World(tmp_path)
    names = world.fill(3)
    assert world.settings
    before = everything(tmp_path) | everything(hermetic)
    run = trueup.ingest("stats", settings=load(tmp_path / "trueup.toml"), dry_run=True)
    assert (run.status, run.exit_code, outcomes(run)) == ("dry-run", 0, dict.fromkeys(names, "planned"))
    assert everything(tmp_path) | everything(hermetic) == before


def test_a_dry_run_says_what_a_run_would_do_and_changes_nothing(world: World, hermetic: Path):
    world.fill(3)
    world.put("bad.txt", "poison")
    world.ingest()
    world.put("a.txt", "new")
    world.restart()
    (world.local / "unknown.txt").write_text("round")
    world.put("unknown.txt", "round")
    folder = world.base
    before = everything(folder) | everything(hermetic)
    run = trueup.ingest("stats", settings=load(folder / "trueup.toml"), dry_run=True)
    assert outcomes(run) == {"a.txt": "planned", "bad.txt": "waiting"}
    assert run.counts["already"] == 4
    assert everything(folder) | everything(hermetic) == before


def test_a_dry_run_leaves_an_old_database_as_it_is(tmp_path: Path):
    world = World(tmp_path)
    world.put("done.txt", "round")
    world.put("new.txt", "round")
    world.run(
        "create table processed_files (filename text, success boolean)",
        "insert into processed_files values ('done.txt', 1)",
    )
    before = (tmp_path / "bot.db").read_bytes()
    run = world.ingest(dry_run=True)
    assert outcomes(run) == {"new.txt": "planned"}
    assert (tmp_path / "bot.db").read_bytes() == before
    with closing(sqlite3.connect(tmp_path / "bot.db")) as db:
        assert [name for (name,) in db.execute("select name from sqlite_master")] == ["processed_files"]


def test_a_dry_run_on_a_shared_database_makes_no_index(tmp_path: Path, postgres_url: str):
    world = World(tmp_path, database=postgres_url, on_duplicate="skip")
    world.empty_table()
    world.put("a.txt", "round")
    tables = "select indexname from pg_indexes where tablename = 'processed_files' order by 1"
    before = world.query(tables)
    assert outcomes(world.ingest(dry_run=True)) == {"a.txt": "planned"}
    assert world.query(tables) == before
    assert world.rows() == {}


def test_a_listing_stops_when_nobody_waits_for_it_any_more(world: World, monkeypatch: pytest.MonkeyPatch):
    world.fill(200)
    store = world.faulty(monkeypatch)
    seen: list[str] = []
    listed = store.list

    def counted(*arguments: object, **more: object):
        for entry in listed(*arguments, **more):
            seen.append(entry.key)
            yield entry

    store.list = counted
    run = world.ingest(stopped=lambda: len(seen) >= 20)
    assert (run.status, run.exit_code) == ("interrupted", 130)
    assert len(seen) < 150
    assert world.effects() == {}


def test_the_command_tells_what_it_did(world: World, capsys: pytest.CaptureFixture[str]):
    world.put("a.txt", "round")
    world.put("bad.txt", "poison")
    assert world.settings
    assert main(["ingest", "stats"]) == 1
    out = capsys.readouterr().out
    assert "bad.txt" in out
    assert "1 file taken" in out
    assert "1 file failed" in out
    assert main(["ingest", "stats", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], done(trueup.ingest("stats"))) == ("ok", {"already": 1, "waiting": 1})
