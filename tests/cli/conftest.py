from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trueup.cli import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err.splitlines()]


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command in this process."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err or "-v" in arguments or "-vv" in arguments
        return Result(code=code, out=out, err=err)

    return run


@pytest.fixture
def spawn() -> Cli:
    """The command as people start it."""

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "trueup", *arguments],
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        return Result(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """`a` with two files, `b` empty; both in the working folder."""
    left, right = tmp_path / "a", tmp_path / "b"
    left.mkdir()
    right.mkdir()
    (left / "one.txt").write_text("one")
    (left / "two.txt").write_text("two, too")
    return left, right
