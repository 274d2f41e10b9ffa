"""Which Python runs our helper processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def interpreter() -> str:
    """Its path. Inside uWSGI and the like `sys.executable` is the server."""
    if "python" in Path(sys.executable).name.lower() or "pypy" in Path(sys.executable).name.lower():
        return sys.executable
    return str(Path(sys.exec_prefix) / ("python.exe" if os.name == "nt" else "bin/python3"))
