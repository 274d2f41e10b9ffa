"""Kill a run with SIGKILL before its n-th effect, for each n, and look at what the next run makes of it.

    python -m tests.sync.killer FOLDER JSON

An effect is a system call that changes a file, or a statement sent to SQLite. They are counted by a profile hook, so
nothing in the program knows of it. Prints one JSON line a kill. This process itself stays single-threaded: whatever
runs, runs in a forked child.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tests.sync.cases import prepared
from tests.sync.world import World
from trueup.errors import TrueupError, UsageError

EFFECTS = {
    os.write, os.link, os.unlink, os.remove, os.replace, os.rename, os.utime, os.mkdir, os.rmdir, os.fchmod,
    os.truncate, os.symlink,
}  # fmt: skip
STATEMENTS = {"execute", "executemany", "commit"}
READERS = {"_prepare", "baseline", "agreed", "cached_md5", "held", "run", "runs", "journal", "open_intents", "note"}
"""Functions of the state that only ask it."""


class Kill:
    """Counts effects; the one after `survive` of them never happens."""

    def __init__(self, survive: int) -> None:
        self.left = survive
        self.seen = 0

    def __call__(self, frame: FrameType, event: str, function: object) -> None:
        if event != "c_call":
            return
        if function not in EFFECTS:
            owner = getattr(function, "__self__", None)
            if not isinstance(owner, sqlite3.Connection) or getattr(function, "__name__", "") not in STATEMENTS:
                return
            code = frame.f_code
            if not code.co_filename.endswith(("state.py", "runs.py")) or code.co_name in READERS:
                return  # a plan is gone with its process
            if owner.in_transaction and code.co_name != "transaction":
                return  # what is not committed never was
        self.seen += 1
        if self.seen > self.left:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, act: Callable[[], object]) -> None:
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            act()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def forked(act: Callable[[], object]) -> tuple[bool, object]:
    """Run in a child; whether it was killed, and what it returned."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        code = 1
        try:
            answer = json.dumps(act())
            with os.fdopen(send, "w") as pipe:
                pipe.write(answer)
            code = 0
        except BaseException:  # noqa: BLE001 - a child may end only here
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(send)
    with os.fdopen(receive) as pipe:
        answer = pipe.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True, None
    if status != 0:
        raise SystemExit(f"the child ended with {status}")
    return False, json.loads(answer)


def main(folder: Path, job: dict[str, object]) -> None:
    """`job`: options of the sync; `kill` sync or undo; `then` sync or undo; `first` and `step` of the effects tried."""
    number = int(job["first"])
    while experiment(folder / str(number), job, number):
        number += int(job["step"])


def experiment(base: Path, job: dict[str, object], survive: int) -> bool:
    """Prepare, kill, go on; whether the kill came before the end."""
    options = dict(job["options"], include=(), exclude=())
    killed, seen = forked(lambda: before(base, options, job, survive))
    after = forked(lambda: followed(base, options, job, killed=killed))[1]
    print(json.dumps({"survived": survive, "killed": killed, "effects": seen, **after}), flush=True)
    shutil.rmtree(base)
    return killed


def before(base: Path, options: dict[str, object], job: dict[str, object], survive: int) -> int:
    world = prepared(World(base))
    start = world.trees()
    base.joinpath("start.json").write_text(json.dumps([text(tree) for tree in start]))
    kill = Kill(survive)
    if job["kill"] == "undo":
        run = world.sync(**options)
        kill.watch(lambda: world.undo(run))
    else:
        kill.watch(lambda: world.sync(**options))
    return kill.seen


def followed(base: Path, options: dict[str, object], job: dict[str, object], *, killed: bool) -> dict[str, object]:
    world = World(base)
    started = json.loads(base.joinpath("start.json").read_text())
    statuses: list[str] = []
    if job["then"] == "undo":
        with world.state() as state:
            runs = [row.run for row in state.runs()]
        try:
            # Run 0 made the baseline. What was killed is the last one, or (an undo) the one before it.
            statuses.append(world.undo(runs[1]).status if len(runs) > 1 else "none")
        except UsageError as error:
            statuses.append(f"usage: {error}")
    middle = [text(tree) for tree in world.trees()]
    held = sorted(world.held())
    baseline = world.baseline()
    if job["then"] == "sync" and killed:
        statuses.append(world.sync(**options).status)
    shown = [text(tree) for tree in world.trees()]
    kept = [text({str(n): data for n, data in enumerate(world.trash(side))}) for side in ("left", "right")]
    everything = {data for part in (*shown, *kept) for data in part.values()}
    lost = sorted({data for tree in started for data in tree.values()} - everything)
    further: object = None
    if job["then"] == "sync":
        try:
            last = world.sync(**options)
            further = [last.status, *({**item, "error": ""} for item in last.items)]
        except TrueupError as error:
            further = str(error)
    return {
        "statuses": statuses,
        "trees": shown,
        "middle": middle,
        "held": held,
        "baseline": baseline,
        "started": started,
        "lost": lost,
        "temporaries": world.temporaries(),
        "plans": sorted(path.name for path in (base / "state" / "plans").glob("*")),
        "further": further,
    }


def text(tree: dict[str, bytes]) -> dict[str, str]:
    return {key: data.decode() for key, data in tree.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
