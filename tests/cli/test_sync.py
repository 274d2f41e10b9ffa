"""The main path, started as people start it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.cli.conftest import Cli

COUNTS = [
    *("copy_right", "copy_left", "delete_right", "delete_left", "move_right", "move_left", "adopt"),
    *("conflict", "unaddressable", "unknown", "marker", "link", "held", "drifted", "failed", "unchanged"),
]
DOCUMENT = ["run", "job", "status", "reason", "left", "right", "mode", "counts", "bytes", "seconds", "items"]

Trees = tuple[Path, Path]


def test_a_dry_run_prints_the_plan_and_changes_nothing(spawn: Cli, trees: Trees) -> None:
    result = spawn("sync", "./a", "./b", "--dry-run")

    assert result.code == 0
    assert result.err == ""
    assert result.out.splitlines() == [
        "  copy right     one.txt   3 B   new",
        "  copy right     two.txt   8 B   new",
        "would copy 2 files to the right (11 B)",
        "nothing was changed; without --dry-run this is done",
    ]
    assert not list(trees[1].iterdir())


def test_a_sync_copies_then_has_nothing_to_do_then_is_undone(spawn: Cli, trees: Trees) -> None:
    first = spawn("sync", "./a", "./b")
    assert first.code == 0
    assert "copied 2 files to the right (11 B) in " in first.out
    run = re.search(r"trueup undo (\S+)", first.out)
    assert run
    assert (trees[1] / "one.txt").read_text() == "one"

    again = spawn("sync", "./a", "./b")
    assert (again.code, again.out) == (0, "nothing to do: both sides agree (2 files)\n")

    undone = spawn("undo", run[1])
    assert undone.code == 0
    assert "deleted 2 files on the right" in undone.out
    assert [path.name for path in trees[1].iterdir() if not path.name.startswith(".")] == []

    held = spawn("sync", "./a", "./b")
    assert held.code == 0
    assert "2 keys held by an undo" in held.out
    assert spawn("sync", "./a", "./b", "--release").out.startswith("  copy right")


def test_json_is_one_document_with_the_promised_keys(spawn: Cli, trees: Trees) -> None:
    result = spawn("sync", "./a", "./b", "--json")

    document = result.document
    assert list(document) == DOCUMENT
    assert list(document["counts"]) == COUNTS
    assert document["job"] == "sync"
    assert document["status"] == "ok"
    assert document["reason"] is None
    assert (document["left"], document["right"], document["mode"]) == ("./a", "./b", "two-way")
    assert document["bytes"] == {"right": 11, "left": 0}
    assert document["items"][0] == {
        "key": "one.txt", "action": "copy_right", "reason": "new", "bytes": 3, "outcome": "done", "error": None,
    }  # fmt: skip
    assert result.err == ""


def test_a_saved_plan_is_applied(spawn: Cli, trees: Trees, tmp_path: Path) -> None:
    planned = spawn("sync", "./a", "./b", "--dry-run", "--plan-out", "plan.jsonl", "--items-out", "items.jsonl")
    assert planned.code == 0
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [item["key"] for item in items] == ["one.txt", "two.txt"]
    (trees[0] / "two.txt").write_text("changed since the plan")

    applied = spawn("apply", "plan.jsonl", "--json")

    assert applied.code == 1
    assert applied.document["status"] == "partial"
    assert {item["key"]: item["outcome"] for item in applied.document["items"]} == {
        "one.txt": "done",
        "two.txt": "drifted",
    }
    shown = spawn("apply", "plan.jsonl")
    assert "drifted (copy right)" in shown.out
    assert "not done: " in shown.out


def test_a_conflict_names_its_winner_and_an_unresolved_one_is_left_alone(spawn: Cli, trees: Trees) -> None:
    (trees[1] / "one.txt").write_text("another one")

    unresolved = spawn("sync", "./a", "./b", "--prefer", "none")
    assert unresolved.code == 1
    assert re.search(r"conflict +one.txt +both sides changed", unresolved.out)
    assert "left alone: 1 conflict" in unresolved.out

    resolved = spawn("sync", "./a", "./b", "-v")
    assert resolved.code == 0
    assert re.search(r"copy left +one.txt +11 B +conflict", resolved.out)
    assert "the right won" in resolved.err
    assert (trees[0] / "one.txt").read_text() == "another one"


def test_events_are_json_lines(spawn: Cli, trees: Trees) -> None:
    result = spawn("sync", "./a", "./b", "--log-format", "json")

    names = [event["event"] for event in result.events]
    assert names[0] == "run_started"
    assert names[-1] == "run_finished"
    assert names.count("item_finished") == 2
    assert {event["run"] for event in result.events} == {result.events[0]["run"]}


def test_logging_and_events_share_one_form(spawn: Cli, trees: Trees) -> None:
    result = spawn("sync", "./a", "./b", "--log-format", "json", "-v")

    logged = [event for event in result.events if event["event"] == "log"]
    assert sorted(row["message"] for row in logged) == [
        "copy_right one.txt (new, 3 bytes)",
        "copy_right two.txt (new, 8 bytes)",
    ]
    assert {row["logger"] for row in logged} == {"trueup.sync"}


def test_names_cannot_speak_to_the_terminal(spawn: Cli, trees: Trees) -> None:
    name = "[bold red]x\x1b[31m\n.txt"
    (trees[0] / name).write_text("!")

    result = spawn("sync", "./a", "./b", "--dry-run", env={"FORCE_COLOR": "1"})

    assert r"[bold red]x\x1b[31m\n.txt" in result.out


def test_a_closed_pipe_does_not_stop_the_work(trees: Trees) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "trueup", "sync", "./a", "./b"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert err == b""
    assert (trees[1] / "two.txt").exists()
