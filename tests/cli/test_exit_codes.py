"""One exit code for each way to end, and one line that says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_sync import COUNTS, DOCUMENT
from trueup.config import load
from trueup.errors import CredentialsExpired
from trueup.sync import verbs
from trueup.sync.session import session

Trees = tuple[Path, Path]


@pytest.fixture
def agreed(cli: Cli, trees: Trees) -> Trees:
    """Both sides hold thirty files."""
    for number in range(30):
        (trees[0] / f"{number:02}.dat").write_text(str(number))
    assert cli("sync", "./a", "./b").code == 0
    return trees


def lose_most(tree: Path) -> None:
    for path in tree.glob("*.dat"):
        path.unlink()


def test_check_exits_5_on_differences_and_0_without(cli: Cli, trees: Trees) -> None:
    assert cli("sync", "./a", "./b", "--check").code == 5
    assert cli("sync", "./a", "./b", "--dry-run", "--check", "--json").document["status"] == "dry-run"
    assert not list(trees[1].iterdir())
    cli("sync", "./a", "./b")
    assert cli("sync", "./a", "./b", "--check").code == 0


def test_a_refusal_exits_3_and_beats_check(cli: Cli, agreed: Trees) -> None:
    lose_most(agreed[0])

    result = cli("sync", "./a", "./b", "--delete")
    assert result.code == 3
    assert result.err.startswith("refused: the run would delete 30 of 32 files on the right (./b)")
    assert result.err.count("\n") == 1
    assert result.out == ""

    looked = cli("sync", "./a", "./b", "--delete", "--check")
    assert looked.code == 3
    assert "delete right" in looked.out
    assert "without --dry-run" not in looked.out
    assert looked.err == result.err

    assert cli("sync", "./a", "./b", "--delete", "--force").code == 0


def test_conflicts_exit_1_and_beat_check(cli: Cli, trees: Trees) -> None:
    (trees[1] / "one.txt").write_text("another")
    assert cli("sync", "./a", "./b", "--prefer", "none", "--check").code == 1


def test_a_busy_pair_exits_4(cli: Cli, trees: Trees) -> None:
    with session("./a", "./b", load(), run="other"):
        result = cli("sync", "./a", "./b", "--json")
    assert result.code == 4
    assert result.document["status"] == "busy"
    assert result.err.startswith("busy: ")


@pytest.mark.parametrize(
    "command",
    [
        ["sync"],
        ["sync", "./a", "./b", "--bogus"],
        ["undo"],
        ["pool", "ls", "x"],
        ["records", "sync", "--bogus"],
        ["snyc"],
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_wrong_usage_is_a_document_too(cli: Cli, command: list[str], before: bool) -> None:
    result = cli("--json", *command) if before else cli(*command, "--json")
    assert result.code == 2
    assert result.err == f"error: {result.document['reason']}\n"
    assert result.document["status"] == "failed"
    runs = command[0] in {"sync", "undo"}
    assert list(result.document) == (DOCUMENT if runs else ["status", "reason"])
    assert not runs or result.document["job"] == command[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sync", "./a", "ftp://x"], "no store answers to ftp://"),
        (["sync", "./a", "./b", "--exclude", "[z-a]"], "--exclude '[z-a]': bad character range z-a"),
        (["sync", "./a", "./b", "--plan-out", "F", "--items-out", "a/../F"], "--plan-out and --items-out both name F"),
        (["sync", "~nosuch/x", "./b"], "'~nosuch/x' begins with a home folder that is not known here"),
        (["sync", "./a", "x\0"], "'x\\x00' is no place: it holds a NUL character"),
        (["sync", "./a", os.fsdecode(b"r\xff")], "r\\udcff is no place for a sync: the name is not valid Unicode"),
        (["sync", "./a", "sftp://me@host/\udcff"], "\\udcff is no place for a sync: the name is not valid Unicode"),
        (["sync", "./a", "s3://b/\0"], "the prefix '\\x00' cannot be addressed"),
        (["sync", "./a", "./a"], "both sides are the same place"),
        (["sync", "./a", "./b", "--prefer", "best"], "prefer = 'best' is unknown. Use one of: right, left, newer"),
        (["sync", "./a", "./b", "--push", "--pull"], "--pull and --push contradict each other"),
        (["sync", "./a", "./b", "--bwlimit", "fast"], "'fast' is not a size"),
        (["sync", "./a", "./b", "--bwlimit", "0.5"], "'0.5' is less than one byte"),
        (["sync", "./a", "./b", "--workers", "257"], "workers = 257 is unusable"),
        (["sync", "./a", "./b", "--workers", "many"], "--workers"),
        (["sync", "./a", "./b", "--max-delete", "half"], "max_delete = 'half' is unusable"),
        (["sync", "./a", "./b", "--plan-out", "no/such/plan"], "no/such/plan cannot be written"),
        (["sync", "./a", "./b", "--bogus"], "No such option: --bogus"),
        (["sync", "./a", "./b", "--log-format", "xml"], "--log-format xml is unknown"),
        (["sync", "./a", "./b", "c"], "unexpected extra argument"),
        (["sync"], "Missing argument"),
        (["apply", "absent.jsonl"], "the plan absent.jsonl cannot be read"),
        (["apply", "a/one.txt"], "line 1 is not part of a trueup plan"),
        (["undo", "none"], "no run none is known here"),
        (["runs", "none"], "no run none is known here"),
        (["trash"], "Missing command"),
        (["snyc"], "No such command 'snyc'"),
        (["--config", "absent.toml", "sync", "x", "y"], "absent.toml is not there"),
    ],
)
def test_wrong_usage_exits_2_with_one_line(cli: Cli, trees: Trees, arguments: list[str], message: str) -> None:
    result = cli(*arguments)
    assert result.code == 2
    assert message in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert result.out == ""
    assert not (trees[1] / "one.txt").exists()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (CredentialsExpired("the credentials have expired", cure="Log in again"), "failed", 1),
        (RuntimeError("a bug\nin two lines"), "failed", 1),
        (KeyboardInterrupt(), "interrupted", 130),
        (PermissionError(13, "Permission denied", "/x"), "failed", 1),
    ],
)
def test_every_error_is_one_line_and_one_document(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: str, code: int
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(verbs, "sync", broken)

    result = cli("sync", "x", "y", "--json", "--push")

    assert result.code == code
    assert result.err.count("\n") == 1
    document = result.document
    assert list(document) == DOCUMENT
    assert list(document["counts"]) == COUNTS
    assert not any(document["counts"].values())
    assert (document["status"], document["left"], document["right"], document["mode"]) == (status, "x", "y", "push")
    assert document["reason"]


def test_a_bug_shows_its_traceback_in_the_log_only(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(verbs, "sync", broken)

    plain = cli("sync", "x", "y")
    assert plain.err == "error: unforeseen error: RuntimeError: a bug. Run it again with -v to see where it happened\n"
    assert "Traceback" in cli("sync", "x", "y", "-v").err


def test_a_missing_root_is_refused(cli: Cli, trees: Trees) -> None:
    result = cli("sync", "./nowhere", "./b", "--push", "--json")
    assert result.code == 3
    assert result.document["status"] == "refused"
    assert "./nowhere" in result.document["reason"]


def test_a_refused_run_leaves_an_older_plan_file_alone(cli: Cli, agreed: Trees, tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("precious")
    lose_most(agreed[0])
    (agreed[0] / "one.txt").unlink()
    (agreed[0] / "two.txt").unlink()
    agreed[0].rmdir()

    assert cli("sync", "./a", "./b", "--delete", "--plan-out", "plan").code == 3
    assert (tmp_path / "plan").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".trueup")] == []


def test_no_command_at_all_shows_the_help(cli: Cli) -> None:
    result = cli()
    assert result.code == 2
    assert "Usage: trueup" in result.out
