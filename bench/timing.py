"""Running one command: how long it took, and how much memory it held at most."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
EVERY = 0.04
"""Seconds between two looks at a command's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One run. `seconds` is wall-clock time, start-up included; `cpu` is user + system time of all its processes."""

    seconds: float
    cpu: float
    peak_mb: float
    """The most resident memory of the command and everything it started, summed, in 10^6 bytes; sampled, and never less
    than what its own process held at most. Pages that processes share count once for each."""
    code: int
    output: str


class Failed(Exception):
    """A command that should have succeeded did not."""


def run(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    folder: Path,
    limit: float = 600.0,
    accept: Sequence[int] = (0,),
) -> Timing:
    """Run a command to its end. What it prints goes to a file, so that no pipe slows it. Raises `Failed`."""
    os.sync()  # what the run before left to be written is not this one's burden
    log = folder / "output"
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            list(command), env=dict(environ), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        watch = _Watch(process.pid)
        watch.start()
        killer = threading.Timer(limit, process.kill)
        killer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
        finally:
            killer.cancel()
            watch.done.set()
            watch.join()
        process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped; Popen must not wait again
    text = log.read_text(errors="replace")
    if process.returncode not in accept:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}:\n{text[-3000:]}")
    return Timing(
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        peak_mb=watch.peak / 1e6,  # ru_maxrss would count this process before it became the command
        code=process.returncode,
        output=text,
    )


class _Watch(threading.Thread):
    """Samples the memory of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.done = threading.Event()
        self._pid = pid

    def run(self) -> None:
        while not self.done.wait(EVERY):
            now = sum(map(resident, [self._pid, *descendants(self._pid)]))
            self.peak = max(self.peak, now, most_resident(self._pid))


def resident(pid: int) -> int:
    """A process's resident memory in bytes; 0 once it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - many times a second
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def most_resident(pid: int) -> int:
    """The most resident memory a process ever held, in bytes; 0 once it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - many times a second
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"VmHWM:")), 0)
    except OSError:
        return 0


def descendants(pid: int) -> list[int]:
    """All processes a process started, and those they started."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - the same
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:  # noqa: PTH123 - the same
                found += map(int, file.read().split())
    except OSError:
        return found
    return found + [further for child in found for further in descendants(child)]
