"""The example: its two commands work in a fresh clone, as printed; so do the ones after them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contrib.conftest import EXAMPLE, Manage
from tests.docs.pages import ROOT, blocks

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="make")

ONLINE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "")
"""Installing is the one thing that may leave the machine."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The example in a copy of what is needed to install the package, with nothing made yet."""
    for name in ("src", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / "clone" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / "clone" / name)
    folder = tmp_path / "clone" / "examples" / "django_site"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".venv", "var"))
    return folder


def printed() -> list[list[str]]:
    """The commands of each shell block of the README."""
    text = (EXAMPLE / "README.md").read_text("utf-8")
    return [block.text.splitlines() for block in blocks(text) if block.language == "sh"]


@contextmanager
def running(command: str, folder: Path, environ: dict[str, str]) -> Iterator[None]:
    """A server, ended with all that it started."""
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=environ, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def fetched(url: str, within: float = 30) -> str:
    end = time.monotonic() + within
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


@pytest.mark.timeout(300)
def test_the_two_commands_work_in_a_fresh_clone(clone: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = os.environ | ONLINE | {"PYTHON": sys.executable, "PORT": str(port)}
    environ.pop("TRUEUP_HOME")  # the example has its own
    (make, run), afterwards = printed()
    done = subprocess.run(
        ["bash", "-c", make], cwd=clone, env=environ, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    with running(run, clone, environ):
        assert "Log in" in fetched(f"http://127.0.0.1:{port}/admin/")
    for command in afterwards:
        done = subprocess.run(
            ["bash", "-c", command], cwd=clone, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert re.search(r"STATIC_ROOT: (would upload|uploaded) \d+ files", done.stdout), done.stdout
    assert (clone / "var" / "bucket" / "static" / "admin").is_dir()


def test_an_upload_of_the_app_goes_straight_into_the_place(manage: Manage, tmp_path: Path):
    assert manage("migrate", "--verbosity", "0").returncode == 0
    done = manage(
        "shell", "--verbosity", "0", "--command",
        "from django.core.files.base import ContentFile as C; from library.models import Document as D\n"
        "d = D.objects.create(title='A', file=C(b'hello', 'a.txt')); print(d.file.url, D.objects.get().file.read())",
    )  # fmt: skip
    assert done.stdout.strip() == "/library-files/documents/a.txt b'hello'", done.stderr
    assert (tmp_path / "var" / "library" / "documents" / "a.txt").read_bytes() == b"hello"
    checked = manage("makemigrations", "--check", "--dry-run")
    assert checked.returncode == 0, checked.stdout + checked.stderr
