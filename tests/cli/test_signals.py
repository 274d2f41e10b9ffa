"""Ctrl-C, once and twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.servers import Bucket
from trueup.errors import ListingUnfinished
from trueup.sync import verbs
from trueup.sync.outputs import Outputs

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture
def slow(trees: tuple[Path, Path]) -> list[str]:
    """A sync that would take minutes."""
    for number in range(40):
        (trees[0] / f"big{number:02}").write_bytes(b"x" * 500_000)
    return [
        *(sys.executable, "-m", "trueup", "sync", "./a", "./b", "--log-format", "json", "--json", "--workers", "2"),
    ]


def start(command: list[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["event"] == "progress":
            return process
    raise AssertionError("it ended before it could be stopped")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_running_actions_finish(slow: list[str], trees: tuple[Path, Path], number: int) -> None:
    process = start([*slow, "--bwlimit", "1M"])
    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130
    document = json.loads(out)
    assert document["status"] == "interrupted"
    outcomes = [item["outcome"] for item in document["items"]]
    assert set(outcomes) == {"done", "skipped"}
    copied = [path for path in trees[1].iterdir() if path.is_file()]
    assert len(copied) == outcomes.count("done")
    assert "press Ctrl-C again to stop at once" in err
    done = subprocess.run([*slow], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["status"] == "ok"


def test_what_breaks_because_of_the_signal_is_an_interruption(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, outputs: Outputs, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while not outputs.stopped():
            time.sleep(0.01)
        raise ListingUnfinished("the listing broke off")

    monkeypatch.setattr(verbs, "sync", interrupted)

    result = cli("sync", "x", "y", "--json")

    assert result.code == 130
    assert result.document["status"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_signal_stops_at_once(slow: list[str]) -> None:
    process = start([*slow, "--bwlimit", "20k"])
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    for line in process.stderr:
        if "press Ctrl-C again" in line:
            break
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)

    assert process.returncode == 130
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("folder", ["slow", "endless-2"])
def test_a_signal_ends_a_listing_that_has_no_end(
    trees: tuple[Path, Path], sftp_folder: Bucket, sftp_server: dict[str, str], number: int, folder: str
) -> None:
    (Path(sftp_server["folder"], "data", sftp_folder.url.rpartition("/")[2]) / folder).mkdir()
    options = sftp_folder.options | {"url": sftp_folder.url, "password": "env:DROP_PASSWORD"}
    text = "".join(f'{name} = "{value}"\n' for name, value in options.items())
    (trees[0].parent / "trueup.toml").write_text(f"[stores.drop]\n{text}")
    process = subprocess.Popen(
        [sys.executable, "-m", "trueup", "sync", "drop", "./b", "--log-format", "json", "--json"],
        env={**os.environ, "DROP_PASSWORD": sftp_folder.options["password"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["event"] == "run_started"
        time.sleep(2)
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=8)
    finally:
        process.kill()
        process.communicate()

    assert time.monotonic() - began < 3
    assert (process.returncode, json.loads(out)["status"]) == (130, "interrupted")
    assert "Task was destroyed" not in err
    assert "Traceback" not in err
    assert list(trees[1].iterdir()) == []


AMID_IMPORTS = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt as error:
    raise ImportError("half a module") from error
"""


@pytest.mark.parametrize("start", [["-m", "trueup"], ["-c", "from trueup.cli import main; raise SystemExit(main())"]])
def test_a_signal_amid_imports_ends_it_without_a_word(tmp_path: Path, start: list[str]) -> None:
    (tmp_path / "typer.py").write_text(AMID_IMPORTS)
    done = subprocess.run(
        [sys.executable, *start, "runs"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_signal_that_an_import_made_another_error_of_is_an_interruption(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    monkeypatch.setattr(verbs, "sync", interrupted)

    result = cli("sync", "x", "y")
    assert (result.code, result.err) == (130, "interrupted: stopped\n")
