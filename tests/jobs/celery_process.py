"""`trueup worker` and `trueup beat`, or Celery's own command, as processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def celery(*arguments: str, module: str = "trueup", results: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """Runs until the block ends, which may have ended it. What it says is in the file `log`, without `results` only
    what it writes to stderr."""
    with Path("log").open("ab") as log:
        stdout = log if results else subprocess.DEVNULL
        process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=stdout, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            Path("go on").touch()
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def log() -> str:
    return Path("log").read_text()


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes that one has started."""
    found = []
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        with suppress(OSError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found
