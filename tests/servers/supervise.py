"""Runs servers for as long as one other process lives: `supervise.py '{"watch": PID, "folder": …, "commands": …}'`.

A test process may be killed in any way; what it started must end all the same. So the servers are children of this
small process, which waits for the watched one (pytest itself) to be gone, then ends their process groups and removes
their folder. Should this process be killed, the kernel ends its children.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2)
GRACE = 3.0
"""Seconds between asking a server to end and ending it."""


def main(text: str) -> None:
    job = json.loads(text)
    folder = Path(job["folder"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log = (folder / "log").open("wb")
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    environ |= {"HOME": str(folder), "TMPDIR": str(folder)} | job.get("environ", {})
    children: list[subprocess.Popen[bytes]] = []
    try:
        for command in job["commands"]:
            children.append(  # noqa: PERF401 - each one is on the list before the next can fail
                subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=(lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)) if libc else None,  # noqa: PLW1509
                )
            )
        while alive(job["watch"]) and all(child.poll() is None for child in children):
            pass
    finally:
        end(children)
        for leftover in job.get("leftovers", []):
            Path(leftover).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        house = Path(job["house"]) if "house" in job else None
        if (
            house
            and house.exists()
            and not alive(job["watch"], wait=0)
            and not any(p.is_dir() for p in house.iterdir())
        ):
            shutil.rmtree(house, ignore_errors=True)  # the owner was killed and this was the last server


def alive(pid: int, *, wait: float = 0.25) -> bool:
    """Whether a process still runs after `wait` seconds. A zombie does not run: only a pidfd tells."""
    try:
        if not hasattr(os, "pidfd_open"):
            os.kill(pid, 0)
            time.sleep(wait)
            return True
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([handle], [], [], wait)[0]
    finally:
        os.close(handle)


def end(children: list[subprocess.Popen[bytes]]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, sign)
        deadline = time.monotonic() + GRACE
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1])
