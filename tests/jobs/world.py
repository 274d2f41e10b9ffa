"""A folder with jobs to run, and looking at what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from trueup.catalog.base import Catalog
from trueup.catalog.tasks import Task
from trueup.jobs.work import AT_ONCE

SETTINGS = """
[pool.providers.a]
url = "a"
[sync.site]
left = "left"
right = "right"
"""
SLOW = """
import os, time
def slow(file, db):
    print("printed by a handler")
    with open("begun", "a") as begun:
        begun.write(f"{os.getpid()}\\n")
    while not os.path.exists("go on"):
        time.sleep(0.01)
def dies(file, db):
    os._exit(9)
"""
INGEST = '[ingest.{0}]\nsource = "drop"\ninto = "taken-{0}"\nstable_for = "0s"\nhandler = "handlers:{1}"\ndatabase = "sqlite:///{0}.db"\n'


def make(folder: Path) -> Path:
    for name in ("a", "left", "right", "drop"):
        (folder / name).mkdir()
    (folder / "drop" / "one.txt").write_text("one")
    (folder / "handlers.py").write_text(SLOW)
    jobs = "".join(INGEST.format(f"slow{number}", "slow") for number in range(AT_ONCE + 1))
    (folder / "trueup.toml").write_text(SETTINGS + jobs + INGEST.format("dies", "dies"))
    return folder


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(catalog: Catalog, task: str) -> Task:
    wait_for(lambda: (found := catalog.tasks.get(task)) and found.finished_at)
    found = catalog.tasks.get(task)
    assert found
    return found


def begun() -> list[int]:
    return [int(line) for line in Path("begun").read_text().split()] if Path("begun").exists() else []
