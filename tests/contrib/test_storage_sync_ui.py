"""`storage_sync_ui`: the terminal UI of a site, on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.contrib.conftest import EXAMPLE


def test_without_a_terminal_it_says_what_to_use(site: Path):
    with pytest.raises(CommandError, match="needs a terminal") as caught:
        call_command("storage_sync_ui")
    assert (caught.value.returncode, "update_storage" in str(caught.value)) == (2, True)


def test_without_textual_it_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "textual", None)
    with pytest.raises(CommandError, match=r"trueup\[tui\]") as caught:
        call_command("storage_sync_ui")
    assert caught.value.returncode == 2


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(self, *command: str, environ: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.written = ""

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def watch(self, *, until: Callable[[str], bool], within: float = 40) -> None:
        """Read what is drawn, without its colours and movements, until it is what is waited for."""
        end = time.monotonic() + within
        while not until(self.shown):
            assert time.monotonic() < end, self.shown[-3000:]
            if select.select([self._ours], [], [], 0.1)[0]:
                try:
                    self.written += os.read(self._ours, 65536).decode(errors="replace")
                except OSError:  # the other end is closed, a moment before the process is gone
                    time.sleep(0.05)

    @property
    def shown(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.written)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def test_a_root_is_chosen_synced_and_left_and_log_lines_stay_off_the_screen(tmp_path: Path):
    var = tmp_path / "var"
    for name in ("static", "media"):
        (var / name).mkdir(parents=True)
        (var / name / f"{name}.txt").write_text(name)
    environ = os.environ | {"SITE_VAR": str(var), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    with closing(Terminal(sys.executable, str(EXAMPLE / "manage.py"), "storage_sync_ui", environ=environ)) as terminal:
        terminal.watch(until=lambda shown: "static" in shown and "media" in shown)
        terminal.press(b"\r")
        terminal.watch(until=lambda shown: "Start asks before it does it" in shown)
        terminal.press(b"s")
        terminal.watch(until=lambda shown: "Cancel" in shown)
        terminal.press(b"\r")
        terminal.watch(until=lambda _: (var / "bucket" / "static" / "static.txt").exists())
        time.sleep(0.5)  # for the screen to say that it is done
        terminal.press(b"\x03")
        terminal.watch(until=lambda _: terminal.process.poll() is not None)
        assert terminal.process.returncode == 0
        assert "INFO" not in terminal.shown
    assert not (var / "bucket" / "media").exists()
