"""The same two trees twice, in four buckets: one pair is synced on one machine, the other on many."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from tests.jobs.celery_process import celery
from tests.jobs.world import wait_for
from tests.servers.faulty_s3 import FaultyS3, Request
from trueup.config import SyncConfig, load
from trueup.jobs.broker import make_app, registered
from trueup.jobs.spread import Spread
from trueup.sync import sync
from trueup.sync.outputs import Outputs
from trueup.sync.report import SyncRun
from trueup.sync.session import session

STORE = """
[stores.{name}]
url = "{server.url}/tree"
endpoint = "{server.endpoint}"
region = "us-east-1"
byte_ordered = true
retries = 0
access_key_id = "AKTEST"
secret_access_key = "not-a-secret"
"""
SIDES = ("left", "right")


class Pairs:
    """The same two trees twice: the first is synced on one machine, the second on many."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.servers = {f"{side}{pair}": stack.enter_context(FaultyS3()) for side in SIDES for pair in "14"}
        self.workers: list[subprocess.Popen[bytes]] = []

    def write(self, file: Path) -> None:
        stores = (STORE.format(name=name, server=server) for name, server in self.servers.items())
        file.write_text("".join(stores) + '[sync.many]\nleft = "left4"\nright = "right4"\n')

    def put(self, sides: str, key: str, body: str) -> None:
        for side in sides.split():
            for pair in "14":
                self.servers[side + pair].objects[f"tree/{key}"] = body.encode()

    def remove(self, side: str, *keys: str) -> None:
        for key in keys:
            for pair in "14":
                del self.servers[side + pair].objects[f"tree/{key}"]

    def start(self, number: int) -> None:
        """Start workers, and wait until they take parts."""
        self.workers += [self.stack.enter_context(celery("worker")) for _ in range(number)]
        alive = sum(worker.poll() is None for worker in self.workers)
        with closing(make_app(load())) as app:
            wait_for(lambda: len(registered(app)) == alive, 90)

    def alone(self, **options: object) -> SyncRun:
        return sync("left1", "right1", config=SyncConfig(**options), settings=load())

    def together(self, *, dry_run: bool = False, outputs: Outputs | None = None, **options: object) -> SyncRun:
        settings, config = load(), SyncConfig(**options)
        with Spread(settings) as hands:
            return sync(
                "left4", "right4", config=config, settings=settings, workers=hands, dry_run=dry_run, outputs=outputs
            )

    def tree(self, name: str) -> dict[str, bytes]:
        return {key: body for key, body in self.servers[name].objects.items() if "/.trueup/" not in key}

    def baseline(self, pair: str) -> list[tuple[object, ...]]:
        with session(f"left{pair}", f"right{pair}", load(), run="looks", lock=False) as opened:
            return [tuple(row) for row in opened.state.baseline()]

    def require_same(self) -> None:
        for side in SIDES:
            assert self.tree(f"{side}4") == self.tree(f"{side}1")
        assert self.baseline("4") == self.baseline("1")


def told(run: SyncRun) -> dict[str, object]:
    """What a run says that does not depend on when and by whom it was done."""
    own = {"run", "left", "right", "seconds", "parts"}
    return {name: value for name, value in run.to_json().items() if name not in own}


def agreed(pairs: Pairs) -> None:
    for folder in "aekstz":
        for number in range(8):
            pairs.put("left", f"{folder}/{number}", f"{folder} {number} as it was")
    pairs.put("right", "m/theirs", "from the right")
    pairs.put("left right", "k/equal", "on both sides")


def edited(pairs: Pairs, again: str) -> None:
    """What people did to both since."""
    pairs.put("left", f"a/new {again}", f"left {again}")
    pairs.put("right", f"t/new {again}", f"right {again}")
    pairs.put("left right", f"k/same {again}", f"same {again}")
    pairs.put("left", f"k/both {again}", f"left {again}")
    pairs.put("right", f"k/both {again}", f"right! {again}")
    for side in SIDES:
        pairs.put(side, f"e/{'12'[side == 'left']}", f"{side} changed {again}")
        pairs.put(side, "z/1", f"both changed: {side} {again}")
    pairs.put("left right", "z/2", f"both changed alike {again}")


def removed(pairs: Pairs) -> None:
    pairs.remove("left", "a/1", "s/1")
    pairs.remove("right", "t/1", "z/3")
    pairs.remove("left", "e/3")
    pairs.put("right", "e/3", "an edit beats a delete")
    for side in SIDES:
        pairs.remove(side, "k/3")
    # Renamed from one range into another, and within one.
    pairs.put("left", "t/moved", "a 2 as it was")
    pairs.remove("left", "a/2")
    pairs.put("right", "s/moved", "s 5 as it was")
    pairs.remove("right", "s/5")


class Held:
    """One request that is not answered until the test says so."""

    def __init__(self, server: FaultyS3, fits: Callable[[Request], bool]) -> None:
        self.came, self.go = threading.Event(), threading.Event()
        self.waits = self.lost = False
        self._fits = fits
        server.faults.before = self

    def __call__(self, request: Request) -> None:
        if not self.came.is_set() and self._fits(request):
            self.waits = True
            self.came.set()
            self.go.wait(60)
            if self.lost:
                raise ConnectionAbortedError
