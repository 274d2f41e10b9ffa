"""ingest and diagnose, as people read them."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

JOB = '[ingest.stats]\nsource = "drop"\nexclude = ["*_ws.txt"]\ninto = "here"\n'


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """A drop folder with three old files, one of them not wanted, and a job that takes the others."""
    (tmp_path / "trueup.toml").write_text(JOB)
    folder = tmp_path / "drop"
    folder.mkdir()
    for name in ("a.txt", "b.txt", "a_ws.txt"):
        (folder / name).write_text(name)
        os.utime(folder / name, (time.time() - 864_000,) * 2)
    return folder


def test_a_dry_run_says_what_would_be_taken_and_takes_nothing(cli: Cli, drop: Path) -> None:
    result = cli("ingest", "stats", "--dry-run")
    assert result.code == 0
    assert re.fullmatch(r" +planned  a.txt\n +planned  b.txt\nstats: 2 files would be taken in [\d.]+ s\n", result.out)
    assert not (drop.parent / "here").exists()
    assert cli("ingest", "stats").out.startswith("stats: 2 files taken in ")


def test_a_repair_says_how_many_files_it_fetched(cli: Cli, drop: Path) -> None:
    cli("ingest", "stats")
    (drop.parent / "here" / "a.txt").unlink()
    said = cli("ingest", "stats", "--repair").out
    assert said.startswith("stats: 0 files taken, 2 files known, 1 downloaded in ")


def test_a_source_that_is_not_there_is_one_line(cli: Cli, drop: Path) -> None:
    cli("ingest", "stats")
    drop.rename(drop.with_name("away"))
    result = cli("ingest", "stats")
    assert (result.code, result.out) == (1, "")
    assert result.err == f"error: the folder {drop} is not there\n"


def test_a_diagnosis_names_first_what_matters_and_last_what_is_not_wanted(cli: Cli, drop: Path) -> None:
    cli("ingest", "stats")
    (drop.parent / "here" / "b.txt").unlink()
    healthy = cli("diagnose", "stats", "--check")
    assert (healthy.code, healthy.out.splitlines()[0]) == (0, "stats: healthy")

    (drop / "c.txt").write_text("new")
    os.utime(drop / "c.txt", (time.time() - 60,) * 2)
    result = cli("diagnose", "stats", "--check", "--report", "report.md")

    assert result.code == 5
    causes = ("never_seen", "cleaned_locally", "filtered")
    assert re.findall(rf"^ *({'|'.join(causes)})  ", result.out, re.MULTILINE) == list(causes)
    assert "-> 1 file not taken yet: trueup ingest stats" in result.out
    assert Path("report.md").read_text().startswith("# stats: attention\n\n- 1 file that matters\n")


def test_the_database_of_a_job_is_upgraded_with_the_shared_one(cli: Cli, drop: Path, postgres_url: str) -> None:
    Path("trueup.toml").write_text(f'{JOB}database = "{postgres_url}"\n')
    before = cli("ingest", "stats")
    assert (before.code, "Run: trueup db upgrade" in before.err) == (1, True), before.err
    assert cli("db", "upgrade").code == 0
    assert "stats: 2 files would be taken in " in cli("ingest", "stats", "--dry-run").out
    assert " is up to date, at revision" in cli("doctor").out


def test_what_a_handler_prints_is_no_part_of_the_document(cli: Cli, drop: Path) -> None:
    code = "def take(file, db):\n    print('took', file.key)\ndef already_done(entry, db):\n    print('asked')\n"
    (drop.parent / "loud.py").write_text(code)
    with Path("trueup.toml").open("a") as settings:
        settings.write('handler = "loud:take"\n')
    taken = cli("ingest", "stats", "--json")
    assert json.loads(taken.out)["counts"]["processed"] == 2
    assert "took a.txt" in taken.err
    assert json.loads(cli("diagnose", "stats", "--json").out)["status"] == "attention"
    assert "asked" in cli("diagnose", "stats").out
