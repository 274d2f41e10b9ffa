"""runs and trash."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli
from tests.cli.test_sync import COUNTS

Trees = tuple[Path, Path]


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
    assert "copy right2" in shown.replace(" ", "").replace("copyright", "copy right")
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
