"""Standard streams that are closed, or on a full disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Result

Trees = tuple[Path, Path]
LOST = "error: the result cannot be written to standard output: {}. What was done is done\n"


def redirected(redirections: str, *arguments: str) -> Result:
    """The command as a shell starts it."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "trueup", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Result(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.mark.parametrize(("where", "why"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")])
@pytest.mark.parametrize("arguments", [("sync", "./a", "./b", "--json"), ("--version",), ("sync", "--help")])
def test_a_result_that_cannot_be_written_is_told_once(
    trees: Trees, where: str, why: str, arguments: tuple[str, ...]
) -> None:
    result = redirected(where, *arguments)
    assert (result.code, result.err) == (1, LOST.format(why))
    assert len(list(trees[1].iterdir())) == (2 if "--json" in arguments else 0)


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_without_stderr_the_work_is_done_and_the_result_comes(trees: Trees, where: str) -> None:
    (trees[0] / "link").symlink_to("one.txt")
    result = redirected(where, "sync", "./a", "./b", "--json", "-vv")
    assert (result.code, json.loads(result.out)["status"]) == (0, "ok")
    assert len(list(trees[1].iterdir())) == 2
    assert redirected(where, "sync").code == 2


def test_no_file_takes_the_place_of_a_closed_stream(trees: Trees, tmp_path: Path) -> None:
    result = redirected("<&- >&- 2>&-", "sync", "./a", "./b", "-vv", "--items-out", "items")
    assert (result.code, result.out, result.err) == (1, "", "")
    assert [json.loads(line)["outcome"] for line in (tmp_path / "items").read_text().splitlines()] == ["done", "done"]
    assert redirected("", "sync", "./a", "./b", "--json").code == 0


def test_nothing_to_write_needs_no_stdout(trees: Trees) -> None:
    result = redirected(">&-", "sync", "./a", "./b", "--quiet")
    assert (result.code, result.err) == (0, "")
