"""A reconcile whose listings workers compare range by range: the same result as on one machine, whoever is killed in
between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

import trueup
from tests.jobs.celery_process import celery, children
from tests.jobs.world import wait_for
from tests.servers.faulty_s3 import FaultyS3, Request
from trueup import events
from trueup.catalog.tasks import REVOKED
from trueup.cli import main
from trueup.config import StoreConfig, load
from trueup.errors import TrueupError, UsageError
from trueup.jobs import lookouts
from trueup.jobs.broker import make_app, registered
from trueup.jobs.lookouts import Lookouts
from trueup.jobs.queue import open_queue
from trueup.reconcile import ReconcileRun, Source

STORE = """
[stores.{name}]
url = "{server.url}"
endpoint = "{server.endpoint}"
region = "us-east-1"
byte_ordered = true
access_key_id = "AKTEST"
secret_access_key = "not-a-secret"
retries = "0"
"""
REST = """
[pool]
placement = "round-robin"
[pool.providers.a]
url = "a"
[pool.providers.b]
url = "b"
[pool.providers.folder]
url = "folder"
[reconcile]
grace = "0s"
[reconcile.references.shop]
database = "sqlite:///shop.db"
query = "select provider, key, size from uploads"
"""


class World:
    """A pool over two buckets, of which each is cut at `k`, and a folder; and a shop with a table of its own."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack = stack
        self.servers = {name: stack.enter_context(FaultyS3()) for name in "ab"}
        stores = "".join(STORE.format(name=name, server=server) for name, server in self.servers.items())
        (folder / "trueup.toml").write_text(stores + REST)
        (folder / "folder").mkdir()
        with trueup.Pool.from_config() as pool:
            for number in range(36):
                pool.put([b"x" * (number + 1)], f"{'ckp'[number % 3]}/{number:02}")
            self.where = {stored.key: stored.provider for stored in pool.ls()}
        self.workers: list[subprocess.Popen[bytes]] = []

    def of(self, provider: str, number: int) -> str:
        """A key that is on the books of a provider."""
        return sorted(key for key, where in self.where.items() if where == provider)[number]

    def start(self, number: int) -> None:
        """More workers."""
        self.workers += [self.stack.enter_context(celery("worker")) for _ in range(number)]
        alive = sum(worker.poll() is None for worker in self.workers)
        with closing(make_app(load())) as app:
            wait_for(lambda: len(registered(app)) == alive, 60)

    def together(self, books: str = "", *, listener: events.Listener = events.ignore, **options: bool) -> ReconcileRun:
        settings = load()
        with Lookouts(settings, listener) as eyes:
            return trueup.reconcile(books, settings=settings, eyes=eyes, **options)


@pytest.fixture
def world(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", redis_url)
    monkeypatch.setattr(lookouts, "cut", lambda _store, _parts: ["k"])
    with ExitStack() as stack:
        yield World(stack, tmp_path)


def told(run: ReconcileRun) -> dict[str, object]:
    """What a run says that does not depend on when and by whom it was done."""
    said = {name: value for name, value in run.to_json().items() if name not in {"run", "seconds", "parts"}}
    return json.loads(json.dumps(said).replace(run.run, "RUN"))


def books(run: ReconcileRun) -> list[str]:
    """All that is in the database of the pool, but what says when it was done."""
    with closing(sqlite3.connect("trueup.db")) as db:
        dump = db.execute("select key, provider, size, md5, state from objects order by 1, 2").fetchall()
        dump += db.execute(
            "select provider, file_count, total_size_bytes, unowned_count, unowned_bytes from storage_stats"
        ).fetchall()
        dump += db.execute("select id, provider, unowned_count, unowned_bytes from backups order by 1").fetchall()
        dump += db.execute("select backup, key, before, after from backup_rows order by 1, 2").fetchall()
    return [str(row).replace(run.run, "RUN") for row in dump]


class Held:
    """One request that is not answered until the test says so."""

    def __init__(self, server: FaultyS3, fits: Callable[[Request], bool]) -> None:
        self.came, self.go = threading.Event(), threading.Event()
        self._fits = fits
        server.faults.before = self

    def __call__(self, request: Request) -> None:
        if not self.came.is_set() and self._fits(request):
            self.came.set()
            self.go.wait(60)


def second_range(request: Request) -> bool:
    return request.page == 1 and "j" < request.query.get("start-after", "") < "k"


def at_work() -> list[str]:
    """Who has a part that is neither over nor waits for somebody."""
    with closing(sqlite3.connect("trueup.jobs.db")) as db:
        found = db.execute("select state, holder from job_runs where job = 'compare_range' and finished_at is null")
        return [holder if state == "STARTED" else state for state, holder in found]


def kill_whoever_waits(world: World, held: Held) -> None:
    """Kill the worker whose request is held, with its process, as when its machine dies; and start another one."""
    assert held.came.wait(60)
    wait_for(lambda: len(at_work()) == 1, 60)
    [worker] = [worker for worker in world.workers if f"process {worker.pid}," in at_work()[0]]
    [child] = children(worker)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    world.workers.remove(worker)
    os.kill(child, signal.SIGKILL)
    held.go.set()
    with closing(sqlite3.connect("trueup.jobs.db")) as db, db:  # as it would be a minute later
        db.execute("update job_runs set lease_until = '2026-01-01 00:00:00.000000' where state = 'STARTED'")
    world.start(1)


@pytest.mark.timeout(280)
def test_workers_find_and_fix_what_one_machine_does_though_one_is_killed(world: World, tmp_path: Path):
    a, b = world.servers["a"].objects, world.servers["b"].objects
    # Missing, shorter, at the other provider, at both, and on no row; in either range.
    for number in (0, -1):
        del a[world.of("a", number)]
        b[world.of("b", number)] = b"short"
    b[world.of("a", 1)] = a.pop(world.of("a", 1))
    b[world.of("a", -2)] = a[world.of("a", -2)]
    a["a/orphan"] = b["z/orphan"] = b"foreign"
    (tmp_path / "folder" / "foreign").write_bytes(b"!")
    (tmp_path / "folder" / world.of("folder", 0)).unlink()

    shutil.copy("trueup.db", "before.db")
    alone = trueup.reconcile()
    verdicts = {verdict for report in alone.providers for verdict in report.verdicts}
    assert verdicts == {"ok", "orphan", "missing", "size_mismatch", "misplaced", "duplicate"}
    assert all(report.fixed for report in alone.providers)
    fixed = books(alone)
    shutil.copy("before.db", "trueup.db")

    world.start(2)
    heard: list[events.Event] = []
    held = Held(world.servers["b"], second_range)
    with ThreadPoolExecutor(1) as leader:
        running = leader.submit(world.together, listener=heard.append)
        try:
            kill_whoever_waits(world, held)
        finally:
            held.go.set()
        together = running.result(120)
    assert told(together) == told(alone)
    assert books(together) == fixed
    assert [(part["provider"], part["number"], part["state"], part["attempts"]) for part in together.parts] == [
        ("a", 0, "SUCCESS", 1), ("a", 1, "SUCCESS", 1), ("b", 0, "SUCCESS", 1), ("b", 1, "SUCCESS", 2),
    ]  # fmt: skip
    with trueup.Pool.from_config() as pool:
        rows = sum(row.provider in {"a", "b"} for row in pool.ls())
    last = [event for event in heard if isinstance(event, events.Listing)][-1]
    assert (last.right_entries, last.left_entries) == (len(a) + len(b), 24)
    assert rows == 24

    # A listing that breaks off in one range says nothing of its provider; in the other one a key is spelled so that it
    # lies in one range and belongs to the next.
    world.servers["b"].faults.before = None
    b["j\u030cx"] = b"listed before k, and above it"
    alone = trueup.reconcile(dry_run=True)

    def cut_off(request: Request) -> None:
        if second_range(request):
            raise ConnectionAbortedError

    world.servers["a"].faults.before = cut_off
    together = world.together(dry_run=True)
    world.servers["a"].faults.before = None
    assert together.exit_code == 1
    [of_a, *others] = together.providers
    assert (of_a.state, of_a.actual, of_a.verdicts) == ("unknown", None, {})
    assert others == list(alone.providers[1:])
    assert [(part["provider"], part["number"], part["state"]) for part in together.parts] == [
        ("a", 0, "SUCCESS"), ("a", 1, "FAILURE"), ("b", 0, "SUCCESS"), ("b", 1, "SUCCESS"), ("b", 0, "SUCCESS"),
    ]  # fmt: skip
    items = [item for item in alone.items if item["provider"] != "a"]
    assert list(together.items) == items
    assert any(item["key"] == "j\u030cx" for item in items)


@pytest.mark.timeout(120)
def test_an_application_s_table_is_compared_too_and_ctrl_c_ends_what_has_begun(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    server = world.servers["a"]
    with closing(sqlite3.connect("shop.db")) as db, db:
        db.execute("create table uploads (provider text, key text, size integer)")
        rows = [("a", key, len(data)) for key, data in server.objects.items()]
        db.executemany("insert into uploads values (?, ?, ?)", [*rows, ("a", "c/lost", 1), ("a", "p/lost", 2)])
    server.objects["m/orphan"] = b"?"
    world.start(1)
    alone, together = trueup.reconcile("shop", dry_run=True), world.together("shop", dry_run=True)
    assert told(together) == told(alone)
    assert [item["key"] for item in together.items] == ["c/lost", "m/orphan", "p/lost"]
    assert len(together.parts) == 2

    # What the command means by a name, and the worker, which has read the settings before, does not.
    settings, there = Path("trueup.toml").read_text(), world.servers["a"].url
    Path("trueup.toml").write_text(settings.replace(f'"{there}"', f'"{there}/elsewhere"', 1))
    monkeypatch.setattr(lookouts, "cut", lambda _store, _parts: [])
    run = world.together("shop", dry_run=True)
    assert (run.exit_code, run.items) == (1, ())
    assert "a means another place to a worker" in str(run.providers[0].reason)
    Path("trueup.toml").write_text(settings)

    def listed_by_a_worker(request: Request) -> bool:
        return request.page == 1 and any("process" in holder for holder in at_work())

    held = Held(server, listed_by_a_worker)
    with (
        closing(open_queue(load())) as queue,
        subprocess.Popen([sys.executable, "-m", "trueup", "reconcile", "shop", "--on", "celery"]) as command,
    ):
        try:
            assert held.came.wait(60)
            command.send_signal(signal.SIGINT)
            assert command.wait(60) == 130
        finally:
            held.go.set()
            command.kill()
        assert queue.tasks.latest(1)[0].state == REVOKED
    with closing(sqlite3.connect("trueup.db")) as db:
        assert set(db.execute("select heap from job_heaps")) == {("tasks",)}


def test_what_cannot_be_led_is_said_before_anything_is_begun(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert main(["reconcile", "--on", "ssh"]) == 2
    assert "--on ssh is nothing that could compare. Known: celery" in capsys.readouterr().err
    with pytest.raises(TrueupError, match="no worker answers that could take a part"):
        Lookouts(load())
    monkeypatch.setenv("TRUEUP_DATABASE__URL", "mongodb://127.0.0.1:9/books")
    assert main(["reconcile", "--on", "celery"]) == 2
    assert "what many machines hand to each other is kept in a SQL database" in capsys.readouterr().err
    mine = Source(
        name="mine", where="my list", identity="mine", read=list, again=lambda _provider, _keys: [],
        place=lambda _: StoreConfig(url="folder"),
    )  # fmt: skip
    with pytest.raises(UsageError, match="workers cannot read my list"):
        trueup.reconcile(mine, eyes=Lookouts.__new__(Lookouts))
