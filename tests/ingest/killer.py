"""Kill a pass with SIGKILL before its n-th effect, for each n, and look at what the next pass makes of it.

    python -m tests.ingest.killer FOLDER FIRST STEP

An effect is a system call that changes a file, or a transaction that is committed: so each file dies before and after
it is claimed, before and while it is written here, before and after it gets its name, before and after its effect is
committed. Prints one JSON line a kill. This process itself stays single-threaded: whatever runs, runs in a forked
child.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import FrameType

from tests.ingest.world import World, done
from tests.sync.killer import EFFECTS, forked

for name in ("trueup.catalog.sql.processed", "trueup.ingest", "alembic.command"):
    import_module(name)

FILES = {"a.txt": "round one", "deep/b.txt": "round two", "c.txt": "round three"}


class Kill:
    """Counts effects; the one after `survive` of them never happens."""

    def __init__(self, survive: int) -> None:
        self.left = survive

    def __call__(self, _: FrameType, event: str, function: object) -> None:
        if event != "c_call":
            return
        committed = isinstance(getattr(function, "__self__", None), sqlite3.Connection)
        if function in EFFECTS or (committed and getattr(function, "__name__", "") == "commit"):
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def before(base: Path, survive: int) -> None:
    """A file that was taken and written anew, two that are new; then a pass that dies."""
    world = World(base)
    world.empty_table()
    world.put("a.txt", "old one")
    world.ingest()
    world.restart()
    for key, content in FILES.items():
        world.put(key, content)
    kill = Kill(survive)
    threading.setprofile(kill)
    sys.setprofile(kill)
    world.ingest()
    sys.setprofile(None)
    threading.setprofile(None)


def after(base: Path) -> dict[str, object]:
    world = World(base)
    run = world.ingest()
    result = {"status": run.status, "effects": world.effects(), "files": world.files(), "first": done(run)}
    world.restart()
    return result | {"then": done(world.ingest())}


def main(folder: Path, number: int, step: int) -> None:
    killed = True
    while killed:
        base = folder / str(number)
        killed, _ = forked(lambda base=base, number=number: before(base, number))
        _, found = forked(lambda base=base: after(base))
        print(json.dumps({"survived": number, "killed": killed, **found}), flush=True)
        number += step


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
