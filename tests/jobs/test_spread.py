"""A sync that workers do range by range: the same result as on one machine, whoever is killed in between."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.jobs.celery_process import celery, children
from tests.jobs.world import wait_for
from tests.servers.faulty_s3 import FaultyS3, Request
from trueup.catalog.database import database_of, upgrade
from trueup.config import SyncConfig, load
from trueup.errors import ConfigError, Refused, TrueupError, UsageError
from trueup.jobs import parts, spread
from trueup.jobs.broker import make_app, registered
from trueup.jobs.spread import Spread
from trueup.sync import sync, undo
from trueup.sync.outputs import Outputs
from trueup.sync.report import SyncRun
from trueup.sync.session import session
from trueup.sync.shared import SharedState
from trueup.sync.trash_can import list_trash

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


@pytest.fixture
def pairs(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pairs]:
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", redis_url)
    monkeypatch.setattr(spread, "cut", lambda _store, _parts: ["k/5", "s"])
    monkeypatch.setattr(spread, "_ITEMS", 20)
    with ExitStack() as stack:
        made = Pairs(stack)
        made.write(tmp_path / "trueup.toml")
        yield made


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


def alive(pairs: Pairs) -> list[subprocess.Popen[bytes]]:
    return [worker for worker in pairs.workers if worker.poll() is None]


def begun() -> int:
    """How many parts are not known to be over."""
    with closing(sqlite3.connect("trueup.jobs.db")) as db:
        found: int = db.execute("select count(*) from job_runs where state = 'STARTED'").fetchone()[0]
    return found


def kill_whoever_waits(pairs: Pairs, held: Held, *, lost: bool) -> None:
    """Kill the worker whose request is held, with its processes, as when its machine dies."""
    assert held.came.wait(60)
    wait_for(lambda: (not held.waits or sum(len(children(worker)) for worker in alive(pairs)) == 1) and begun() < 2, 60)
    assert held.waits, "the run ended before"
    [(worker, child)] = [(each, child) for each in alive(pairs) for child in children(each)]
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    os.kill(child, signal.SIGKILL)
    held.lost = lost
    held.go.set()
    with closing(sqlite3.connect("trueup.jobs.db")) as db, db:  # as it would be a minute later
        db.execute("update job_runs set lease_until = '2026-01-01 00:00:00.000000' where state = 'STARTED'")
    pairs.start(1)


@pytest.mark.timeout(280)
def test_four_workers_do_what_one_machine_does_though_one_is_killed_in_each_phase(pairs: Pairs):
    pairs.start(4)
    agreed(pairs)
    options = {"delete": True, "keep_loser": True}
    assert told(pairs.together(**options)) == told(pairs.alone(**options))
    pairs.require_same()

    edited(pairs, "once")
    removed(pairs)
    looked = pairs.together(dry_run=True, **options)
    one = pairs.alone(**options)
    assert looked.counts == one.counts
    many = pairs.together(**options)
    assert told(many) == told(one)
    assert all(many.counts[name] for name in ("move_right", "move_left", "delete_right", "delete_left"))
    assert {part["stage"] for part in many.parts} == {"plan", "copy", "delete"}
    pairs.require_same()
    phases = {
        "plan": ("left4", lambda request: request.page == 1 and request.query.get("start-after", "") > "tree/k"),
        "copy": ("left4", lambda request: request.method == "PUT" and request.key == "tree/z/1"),
        "delete": ("right4", lambda request: request.method == "DELETE" and request.key == "tree/s/4"),
    }
    for number, (phase, (server, fits)) in enumerate(phases.items()):
        edited(pairs, phase)
        pairs.remove("left", f"s/{number + 2}")
        held = Held(pairs.servers[server], fits)
        with ThreadPoolExecutor(1) as leader:
            running: Future[SyncRun] = leader.submit(pairs.together, **options)
            running.add_done_callback(lambda _, held=held: held.came.set())
            try:
                kill_whoever_waits(pairs, held, lost=phase == "delete")
            finally:
                held.go.set()
            many = running.result(120)
        one = pairs.alone(**options)
        assert many.status == one.status == "ok", many.items
        assert [part["stage"] for part in many.parts if part["attempts"] == 2] == [phase]
        assert many.counts == one.counts
        pairs.require_same()


@pytest.mark.timeout(200)
def test_a_leader_may_be_killed_or_stopped_and_what_was_remembered_on_one_machine_goes_along(
    pairs: Pairs, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TRUEUP_DATABASE__URL", postgres_url)
    upgrade(postgres_url)
    agreed(pairs)
    pairs.alone()
    assert sync("left4", "right4", settings=load()).status == "ok"
    removed(pairs)
    edited(pairs, "since")
    pairs.start(1)

    held = Held(pairs.servers["left4"], lambda request: request.method == "PUT" and request.key == "tree/z/1")
    with celery("sync", "many", "--delete", "--on", "celery") as leader:
        assert held.came.wait(90)
        leader.kill()
        leader.wait()
        held.go.set()
    held = Held(pairs.servers["right4"], lambda request: request.method == "DELETE" and request.key == "tree/s/1")
    stopped = pairs.together(delete=True, outputs=Outputs(stopped=held.came.is_set))
    assert stopped.status == "interrupted"
    held.go.set()
    again = pairs.together(delete=True)
    assert (again.status, {part["state"] for part in again.parts}) == ("ok", {"SUCCESS"})
    pairs.alone(delete=True)
    pairs.require_same()

    pairs.put("left", "q/late", "to be undone")
    made = pairs.together(delete=True)
    assert made.counts["copy_right"] == 1
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TRUEUP_HOME", str(tmp_path / "another machine"))
        back = undo(made.run, settings=load())
        assert (back.status, back.counts["delete_right"]) == ("ok", 1)
        assert [kept.run for kept in list_trash(load())][-1] == back.run
    assert sync("left4", "right4", settings=load()).counts["held"] == 1


def test_a_range_whose_listing_breaks_off_refuses_the_whole(pairs: Pairs):
    agreed(pairs)
    before = {name: dict(server.objects) for name, server in pairs.servers.items()}
    faults = pairs.servers["left4"].faults
    faults.page_size, faults.pages[2] = 5, "500"
    pairs.start(1)
    with pytest.raises(Refused, match=r"range \d: .*the listing of .* broke off"):
        pairs.together()
    faults.clear()
    # Spelled so, it is listed below "s"; its normal form lies above.
    before["left4"]["tree/r\u030c"] = pairs.servers["left4"].objects["tree/r\u030c"] = b"a caron"
    with pytest.raises(Refused, match="does not list in the order of keys"):
        pairs.together()
    with pytest.raises(UsageError, match="cannot be divided among workers"):
        pairs.together()
    assert {name: server.objects for name, server in pairs.servers.items()} == before


def test_what_cannot_be_spread_is_said_in_a_line(pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(TrueupError, match="no worker answers that could take a part"):
        pairs.together()
    monkeypatch.setattr(parts.Parts, "_workers", lambda _self: 1)
    config, settings = SyncConfig(), load()
    for left, right in ((str(tmp_path / "folder"), "right4"), ("left4", str(tmp_path))):
        (tmp_path / "folder").mkdir(exist_ok=True)
        with Spread(settings) as hands, pytest.raises(UsageError, match="cannot be divided among workers"):
            sync(left, right, config=config, settings=settings, workers=hands)
    monkeypatch.setenv("TRUEUP_DATABASE__URL", "mongodb://127.0.0.1:1/x")
    with pytest.raises(ConfigError, match="is kept in a SQL database"):
        SharedState(database_of(load()), "pair")
    monkeypatch.delenv("TRUEUP_DATABASE__URL")
    monkeypatch.delenv("TRUEUP_SERVER__BROKER")
    with pytest.raises(ConfigError, match="no broker is named"):
        Spread(load())
