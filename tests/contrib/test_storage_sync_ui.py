"""`storage_sync_ui`: the terminal UI of a site, on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
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


def test_both_roots_are_offered_and_q_leaves(tmp_path: Path):
    for name in ("static", "media"):
        (tmp_path / "var" / name).mkdir(parents=True)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "manage.py"), "storage_sync_ui"],
        env=os.environ | {"SITE_VAR": str(tmp_path / "var"), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = ""
    asked = False
    end = time.monotonic() + 40
    try:
        while process.poll() is None and time.monotonic() < end:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    seen += os.read(ours, 65536).decode(errors="replace")
                except OSError:  # the terminal's other end is closed
                    break
            shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
            if not asked and "static" in shown and "media" in shown:
                os.write(ours, b"\x11")  # Ctrl-Q
                asked = True
        assert asked, seen[-3000:]
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
