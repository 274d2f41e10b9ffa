from __future__ import annotations

import os
import sys

import pytest


@pytest.fixture
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which `trueup` and `python` are those under test."""
    programs = tmp_path_factory.mktemp("bin")
    program = programs / "trueup"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m trueup "$@"\n')
    program.chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    return os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
