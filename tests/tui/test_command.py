"""`trueup ui` as people start it: what it opens, what it refuses, and a session in a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture, found by name
from tests.servers import Bucket
from tests.tui.conftest import write
from trueup.cli.ui_command import _jobs
from trueup.config import load
from trueup.sync import sync

TWO_JOBS = '[sync.site]\nleft = "site"\nright = "bucket"\n[sync.media]\nleft = "media"\nright = "copy"\n'


def test_without_a_name_it_opens_what_the_settings_name(tmp_path: Path):
    (tmp_path / "trueup.toml").write_text(TWO_JOBS)
    assert list(_jobs(load(), None, None)) == ["site", "media"]
    assert list(_jobs(load(), "media", None)) == ["media"]
    pair = _jobs(load(), "./a", "./b")[""]
    assert (pair.left, pair.right) == ("./a", "./b")


def test_nothing_to_open_is_wrong_usage_with_a_cure(cli: Cli):  # noqa: F811
    result = cli("ui")
    assert result.code == 2
    assert "trueup ui LEFT RIGHT" in result.err


def test_an_unknown_name_is_answered_with_the_known_ones(cli: Cli, tmp_path: Path):  # noqa: F811
    (tmp_path / "trueup.toml").write_text(TWO_JOBS)
    result = cli("ui", "sight")
    assert result.code == 2
    assert "media, site" in result.err


@pytest.mark.parametrize("flag", ["--json", "--quiet", "--log-format=json"])
def test_a_screen_has_no_form_for_scripts(cli: Cli, flag: str):  # noqa: F811
    result = cli("ui", "./a", "./b", flag)
    assert result.code == 2
    assert "trueup sync --json" in result.out + result.err


def test_without_a_terminal_it_says_what_to_use(cli: Cli):  # noqa: F811
    result = cli("ui", "./a", "./b")
    assert result.code == 2
    assert "needs a terminal" in result.err


def test_without_textual_it_names_the_extra(cli: Cli, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "textual", None)
    result = cli("ui", "./a", "./b")
    assert result.code == 2
    assert "pip install 'trueup[tui]'" in result.err


def test_the_command_line_alone_never_imports_the_screen():
    code = "import sys\nfrom trueup.cli import main\nmain(['ui', '--help'])\nassert 'trueup.tui' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


class Terminal:
    """`trueup ui` in a terminal of 80 columns and 24 lines."""

    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, *arguments: str) -> None:
        self._handle, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trueup", "ui", *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
            env=os.environ | {"TERM": "xterm-256color"},
        )
        self.started.append(self.process)
        os.close(inside)
        self.output = ""

    def until(self, pattern: str, seconds: float = 40.0) -> None:
        """Read until the terminal was sent this, and forget what was read."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.output):
            assert time.monotonic() < end, f"{pattern} did not come:\n{self.output[-3000:]}"
            self._read()
        self.output = ""

    def _read(self) -> None:
        ready, _, _ = select.select([self._handle], [], [], 0.1)
        if ready:
            try:
                text = os.read(self._handle, 65536).decode("utf-8", "replace")
            except OSError:  # the other end is closed
                time.sleep(0.1)
                return
            self.output += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    def type(self, keys: str) -> None:
        os.write(self._handle, keys.encode())

    def ended(self, seconds: float = 40.0) -> int:
        """The exit code, once it is there."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self._read()
        self.process.kill()
        return self.process.wait()


@pytest.fixture(autouse=True)
def _nothing_goes_on_behind_a_test() -> Iterator[None]:
    yield
    while Terminal.started:
        process = Terminal.started.pop()
        process.kill()
        process.wait()


def test_a_session_in_a_terminal(places: tuple[Path, Path]):
    _, right = places
    terminal = Terminal("./site", "./bucket")
    terminal.until("Refresh shows")
    terminal.type("s")
    terminal.until("3 changes")
    terminal.type("\r")
    terminal.until("ok: 3 changes made")
    assert (right / "index.html").read_text() == "hello\n"
    terminal.type("\x03")
    assert terminal.ended() == 0


def test_a_bucket_is_synced_from_a_screen(places: tuple[Path, Path], tmp_path: Path, seaweed_bucket: Bucket):
    left, _ = places
    options = "".join(f'{name} = "{value}"\n' for name, value in seaweed_bucket.options.items())
    write(
        tmp_path / "trueup.toml",
        f'[stores.shop]\nurl = "{seaweed_bucket.url}"\n{options}[sync.shop]\nleft = "site"\nright = "shop"\n',
    )
    terminal = Terminal("shop")
    terminal.until("Refresh shows")
    terminal.type("s")
    terminal.until("2 changes")
    terminal.type("\r")
    terminal.until("ok: 2 changes made")
    (left / "index.html").unlink()
    terminal.type("r")
    terminal.until("1 change planned")  # what is missing comes back
    terminal.type("\x03")
    assert terminal.ended() == 0


def test_a_signal_from_outside_leaves_the_terminal_as_it_was(places: tuple[Path, Path]):
    terminal = Terminal("./site", "./bucket")
    terminal.until("Refresh shows")
    terminal.process.terminate()
    assert terminal.ended() == 0


def test_the_third_ctrl_c_does_not_wait_and_the_next_run_goes_on(tmp_path: Path):
    for number in range(20):
        write(tmp_path / "site" / f"{number:02}.bin", "x" * 900_000)
    (tmp_path / "trueup.toml").write_text(
        '[sync.site]\nleft = "site"\nright = "bucket"\nworkers = 1\nbwlimit = "10k"\n'
    )
    terminal = Terminal("site")
    terminal.until("Refresh shows")
    terminal.type("s")
    terminal.until("20 changes")
    terminal.type("\r")
    terminal.until(r"00\.bin  878")  # it is on its way, and not only in the table
    terminal.type("\x03")
    terminal.until("stopping after")
    terminal.type("\x03")
    terminal.until("quitting after")
    terminal.type("\x03")
    assert terminal.ended() == 130
    run = sync("./site", "./bucket")
    assert run.status == "ok"
    assert sorted(path.name for path in (tmp_path / "bucket").glob("*.bin")) == [f"{n:02}.bin" for n in range(20)]
    assert not list((tmp_path / "bucket").glob(".trueup-*"))
