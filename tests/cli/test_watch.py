"""`trueup sync --watch`, as people start and stop it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture
def trees(trees: tuple[Path, Path]) -> tuple[Path, Path]:
    """Nobody is writing these files any more."""
    for path in trees[0].iterdir():
        os.utime(path, (1_500_000_000, 1_500_000_000))
    return trees


@contextmanager
def watching(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command at work, its first pass done."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trueup", "sync", *arguments, "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(true: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def line(process: subprocess.Popen[str], holds: str) -> str:
    assert process.stdout is not None
    for found in process.stdout:
        if holds in found:
            return found
    raise AssertionError(f"it ended without a line with {holds}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_syncs_what_changes_until_it_is_stopped(trees: tuple[Path, Path], number: int, cli: Cli) -> None:
    with watching("./a", "./b") as process:
        line(process, "watching for changes")
        assert (trees[1] / "one.txt").read_text() == "one"
        (trees[1] / "three.txt").write_text("three")
        until((trees[0] / "three.txt").exists)
        assert "copied 1 file to the left" in line(process, "copied")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out.count("nothing to do")) == (0, 0)
        assert "press Ctrl-C again" in err
    assert not list(trees[0].rglob(".trueup-*"))
    assert [run["status"] for run in cli("runs", "--json").document["runs"]] == ["ok", "ok"]


def test_json_is_a_document_a_line_for_each_pass_that_did_something(trees: tuple[Path, Path]) -> None:
    with watching("./a", "./b", "--json", "--log-format", "json") as process:
        first = json.loads(line(process, "copy_right"))
        assert (first["status"], first["counts"]["copy_right"]) == ("ok", 2)
        (trees[0] / "three.txt").write_text("three")
        second = json.loads(line(process, "copy_right"))
        assert [item["key"] for item in second["items"]] == ["three.txt"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "")
    events = [json.loads(found) for found in err.splitlines()]
    assert {first["run"], second["run"]} <= {event["run"] for event in events if event["event"] == "run_finished"}


def test_a_refusal_is_shown_and_waited_out(trees: tuple[Path, Path]) -> None:
    with watching("./a", "./b", "--poll", "500ms", "--delete") as process:
        line(process, "watching for changes")
        trees[0].rename("elsewhere")
        assert process.stderr is not None
        assert "refused: the left (./a) is not there" in process.stderr.readline()
        Path("elsewhere").rename(trees[0])
        line(process, "both sides agree")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dry-run"], "--dry-run and --watch cannot go together"),
        (["--check"], "--check and --watch cannot go together"),
        (["--explain", "x"], "--explain and --watch cannot go together"),
        (["--plan-out", "p"], "--plan-out and --watch cannot go together"),
        (["--items-out", "i"], "--items-out and --watch cannot go together"),
        (["--force"], "--force and --watch cannot go together"),
        (["--poll", "soon"], "--poll = 'soon' is unusable"),
    ],
)
def test_what_makes_no_sense_over_and_over_is_refused(
    cli: Cli, trees: tuple[Path, Path], options: list[str], said: str
) -> None:
    result = cli("sync", "./a", "./b", "--watch", *options)
    assert result.code == 2
    assert said in result.err
    assert not list(trees[1].iterdir())


def test_poll_is_for_a_watch(cli: Cli) -> None:
    result = cli("sync", "./a", "./b", "--poll", "1m")
    assert (result.code, "Add --watch" in result.err) == (2, True)


def test_a_place_that_makes_no_sense_ends_it_at_once(cli: Cli) -> None:
    result = cli("sync", "./a", "nowhere://x", "--watch", "--json")
    assert result.code == 2
    assert result.document["status"] == "failed"


@pytest.mark.parametrize(
    ("limit", "number"), [("watches", 2), ("instances", 0)], ids=["too many folders", "too many watchers"]
)
def test_where_the_system_cannot_tell_it_says_so_and_looks_itself(
    trees: tuple[Path, Path], limit: str, number: int
) -> None:
    """In a user namespace of its own, whose limits anybody may lower."""
    lowered = f"echo {number} > /proc/sys/user/max_inotify_{limit}"
    if subprocess.run(["unshare", "-Ur", "sh", "-c", lowered], capture_output=True, check=False).returncode:
        pytest.skip("needs user namespaces")
    (trees[0] / "x" / "y").mkdir(parents=True)
    command = [sys.executable, "-m", "trueup", "sync", "./a", "./b", "--watch"]
    process = subprocess.Popen(
        ["unshare", "-Ur", "sh", "-c", f'{lowered} && exec "$@"', "sh", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line(process, "watching for changes")
        (trees[0] / "x" / "new").write_text("new")
        until((trees[1] / "x" / "new").exists, 15)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert err.count("warning: the system cannot tell of changes in") >= 1
    assert f"sudo sysctl fs.inotify.max_user_{limit}=" in err
