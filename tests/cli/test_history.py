"""runs and trash."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_sync import COUNTS
from trueup.config import state_home

Trees = tuple[Path, Path]


def only_pair() -> Path:
    """The state file of the one pair there is."""
    (path,) = (state_home() / "pairs").glob("*.db")
    return path


def ruin(path: Path) -> Path:
    """Leave nothing in a file that SQLite could read."""
    path.write_bytes(os.urandom(8192))
    return path


@pytest.fixture
def beside_a_ruin(cli: Cli, trees: Trees, tmp_path: Path) -> tuple[str, Path]:
    """The id of a run with something in the trash, and the unusable state file of another pair."""
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "other.txt").write_text("other")
    cli("sync", "./c", "./d")
    ruined = ruin(only_pair())
    cli("sync", "./a", "./b")
    (trees[0] / "one.txt").write_text("changed")
    return cli("sync", "./a", "./b", "--json").document["run"], ruined


def test_runs_lists_the_newest_first(cli: Cli, trees: Trees) -> None:
    assert cli("runs").out == "no runs yet\n"
    assert cli("runs", "--json").document == {"runs": []}
    first = cli("sync", "./a", "./b", "--json").document["run"]
    second = cli("sync", "./a", "./b", "--push", "--json").document["run"]

    lines = cli("runs").out.splitlines()
    assert {line.split()[0] for line in lines} == {first, second}
    assert f"{first}   sync ok          ./a  ./b   2 copied" in lines
    assert {row["run"] for row in cli("runs", "--json").document["runs"]} == {first, second}


def test_one_run_is_shown_by_the_beginning_of_its_id(cli: Cli, trees: Trees) -> None:
    run = cli("sync", "./a", "./b", "--json").document["run"]

    document = cli("runs", run[:-1], "--json").document
    assert (document["run"], document["status"], document["job"]) == (run, "ok", "sync")
    assert list(document["counts"]) == COUNTS
    assert document["started"].endswith("Z")

    shown = cli("runs", run).out
    assert "\ncopy right  2\n" in shown
    assert f"run         {run}\n" in shown
    assert "unchanged" not in shown


def test_a_refused_run_is_remembered_with_its_reason(cli: Cli, trees: Trees) -> None:
    cli("sync", "./nowhere", "./b", "--push")
    row = cli("runs", "--json").document["runs"][0]
    assert row["status"] == "refused"
    assert "is not there" in row["reason"]


def test_the_trash_is_listed_and_emptied(cli: Cli, trees: Trees) -> None:
    assert cli("trash", "ls").out == "the trash is empty\n"
    cli("sync", "./a", "./b")
    (trees[0] / "one.txt").write_text("changed")
    run = cli("sync", "./a", "./b", "--json").document["run"]

    assert cli("trash", "ls").out.startswith(f"{run}   ")
    assert "1 file " in cli("trash", "ls").out
    kept = cli("trash", "ls", "--json").document["trash"]
    assert [(row["run"], row["files"], row["state"]) for row in kept] == [(run, 1, "kept")]
    assert (kept[0]["left"][-2:], kept[0]["right"][-2:]) == ("/a", "/b")

    assert cli("trash", "empty", "--json").document == {"removed": 1, "problems": []}
    assert cli("trash", "empty").out == "removed 0 kept versions\n"
    undone = cli("undo", run)
    assert undone.code == 2
    assert "cannot be undone" in undone.err


def test_undo_says_what_it_did_and_what_it_holds(cli: Cli, trees: Trees) -> None:
    cli("sync", "./a", "./b")
    (trees[0] / "one.txt").write_text("changed")
    run = cli("sync", "./a", "./b", "--json").document["run"]

    undone = cli("undo", run, "--json").document
    assert (undone["job"], undone["status"]) == ("undo", "ok")
    assert undone["counts"]["copy_right"] == 1
    assert (trees[1] / "one.txt").read_text() == "one"
    assert cli("undo", run).code == 2


def test_a_trash_that_was_put_back_is_not_listed(cli: Cli, trees: Trees) -> None:
    (trees[0] / "three.txt").write_text("three")
    cli("sync", "./a", "./b")
    (trees[0] / "one.txt").write_text("changed")
    (trees[0] / "two.txt").unlink()
    run = cli("sync", "./a", "./b", "--delete", "--json").document["run"]
    assert [row["files"] for row in cli("trash", "ls", "--json").document["trash"]] == [2]

    undone = cli("undo", run, "--json").document["run"]

    kept = cli("trash", "ls", "--json").document["trash"]
    assert [(row["run"], row["files"]) for row in kept] == [(undone, 1)]
    assert cli("trash", "empty", "--json").document == {"removed": 1, "problems": []}
    assert cli("trash", "ls").out == "the trash is empty\n"


def test_versions_that_went_by_another_hand_are_not_counted_as_removed(cli: Cli, trees: Trees) -> None:
    cli("sync", "./a", "./b")
    for path in trees[0].iterdir():
        path.write_text("changed")
    run = cli("sync", "./a", "./b", "--json").document["run"]
    (trees[1] / ".trueup" / "trash" / run / "one.txt").unlink()

    assert cli("trash", "empty", "--json").document == {"removed": 1, "problems": []}


def test_an_unusable_state_file_does_not_hide_the_trash_of_other_pairs(
    cli: Cli, beside_a_ruin: tuple[str, Path]
) -> None:
    run, ruined = beside_a_ruin
    listed = cli("trash", "ls")
    assert listed.code == 1
    assert listed.out.startswith(f"{run}   ")
    assert f"warning: the state file {ruined} cannot be used" in listed.err
    assert "move it away" in listed.err
    document = cli("trash", "ls", "--json").document
    assert [row["run"] for row in document["trash"]] == [run]
    assert [str(ruined) in problem for problem in document["problems"]] == [True]

    emptied = cli("trash", "empty", "--quiet")
    assert emptied.code == 1
    assert str(ruined) in emptied.err, "what makes it end with 1 is said even with --quiet"
    again = cli("trash", "empty", "--json")
    assert (again.code, again.document["removed"]) == (1, 0)
    assert "is empty" not in cli("trash", "ls").out

    ruined.unlink()
    assert cli("trash", "ls").out == "the trash is empty\n"


def test_an_unusable_state_file_does_not_stop_the_undo_of_another_pair(
    cli: Cli, trees: Trees, beside_a_ruin: tuple[str, Path]
) -> None:
    run, ruined = beside_a_ruin
    undone = cli("undo", run)
    assert undone.code == 0
    assert f"warning: the state file {ruined} cannot be used" in undone.err
    assert (trees[1] / "one.txt").read_text() == "one"


def test_the_beginning_of_an_id_is_not_enough_where_a_state_file_cannot_be_read(
    cli: Cli, trees: Trees, beside_a_ruin: tuple[str, Path]
) -> None:
    run, ruined = beside_a_ruin
    refused = cli("undo", run[:-1])
    assert refused.code == 1
    assert str(ruined) in refused.err
    assert f"Write the whole id if it is this one: {run}" in refused.err
    assert (trees[1] / "one.txt").read_text() == "changed"


def test_a_run_that_may_be_in_an_unusable_state_file_is_not_called_unknown(
    cli: Cli, beside_a_ruin: tuple[str, Path]
) -> None:
    missing = cli("undo", "20200101T000000Z-abcdef")
    assert missing.code == 1
    assert str(beside_a_ruin[1]) in missing.err
    assert "move it away" in missing.err


def test_damage_in_the_middle_of_a_state_file_is_passed_over_too(cli: Cli, trees: Trees) -> None:
    cli("sync", "./a", "./b")
    path = only_pair()
    with closing(sqlite3.connect(path)) as db:
        db.execute("drop table runs")
        db.commit()
    listed = cli("trash", "ls")
    assert listed.code == 1
    assert str(path) in listed.err


@pytest.mark.parametrize("damage", ["no database", "a folder", "no such table", "a summary that is no JSON"])
def test_an_unusable_history_is_said_with_the_cure(cli: Cli, trees: Trees, damage: str) -> None:
    cli("sync", "./a", "./b")
    history = state_home() / "runs.db"
    if damage == "no database":
        ruin(history)
    elif damage == "a folder":
        history.unlink()
        history.mkdir()
    else:
        with closing(sqlite3.connect(history)) as db:
            rest = "drop table runs; create table runs (other text)"
            db.executescript("update runs set summary = '{'" if "JSON" in damage else rest)
    for command in (("runs",), ("runs", "2")):
        result = cli(*command)
        assert result.code == 1
        assert f"the history {history} cannot be used" in result.err
        assert ("whether it is a file" if damage == "a folder" else "Move the file away to start a new") in result.err
    assert cli("sync", "./a", "./b").code == 0
    assert "no run 2020 is known" in cli("undo", "2020").err, "the history is not needed for this answer"


def test_a_history_on_a_full_disk_is_not_to_be_moved_away(cli: Cli, trees: Trees) -> None:
    cli("sync", "./a", "./b")
    with closing(sqlite3.connect(state_home() / "runs.db")) as db:
        db.execute(
            "create trigger full before insert on runs begin select raise(abort, 'database or disk is full'); end"
        )
    (trees[0] / "three").write_text("three")
    result = cli("sync", "./a", "./b")
    assert (result.code, len(list(trees[1].iterdir()))) == (0, 3)
    assert result.err.startswith("warning: this run is not in the history")
    assert result.err.endswith("cannot be used: database or disk is full. Make room on its disk\n")


def test_a_pair_that_drifted_before_it_was_recorded_is_listed(cli: Cli, trees: Trees) -> None:
    (trees[1] / "one.txt").write_text("one")
    cli("sync", "./a", "./b", "--dry-run", "--plan-out", "plan.jsonl")
    (trees[1] / "one.txt").write_text("other")

    applied = cli("apply", "plan.jsonl")

    assert applied.code == 1
    assert "drifted (adopt)   one.txt   " in applied.out
    assert "not done: 1 no longer as planned" in applied.out


def test_runs_lists_what_was_taken_and_diagnosed_wherever_a_job_keeps_its_rows(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "a.txt").write_text("a")
    job = 'source = "drop"\ninto = "here"\nstable_for = "0s"\n'
    (tmp_path / "trueup.toml").write_text(
        f'[ingest.one]\n{job}[ingest.two]\n{job}database = "sqlite:///two.db"\n'.replace("here", "there", 1)
    )
    runs = {name: cli("ingest", name, "--json").document["run"] for name in ("one", "two")}
    cli("diagnose", "one")

    lines = cli("runs").out.splitlines()

    assert len(lines) == 3
    assert {f"{run}   ingest ok          {name}   1 taken" for name, run in runs.items()} <= set(lines)
    assert not any("diagnose" in line and "taken" in line for line in lines)
    facts = dict(line.split(maxsplit=1) for line in cli("runs", runs["two"]).out.splitlines())
    assert (facts["job"], facts["processed"], facts["listed"]) == ("ingest", "1", "1")
