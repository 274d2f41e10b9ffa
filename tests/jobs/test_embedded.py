"""Jobs inside one server: stopping it, its crash, its clock."""

from __future__ import annotations

import base64
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import trueup
from tests.jobs.world import begun, ended, wait_for
from tests.servers.supervise import alive
from trueup.catalog.base import Catalog
from trueup.catalog.tasks import FAILURE, PENDING, RETRY, REVOKED, SUCCESS
from trueup.config import load
from trueup.errors import Busy
from trueup.jobs.embedded import Embedded
from trueup.jobs.queue import put
from trueup.jobs.work import AT_ONCE


@pytest.fixture
def server(catalog: Catalog) -> Iterator[Embedded]:
    with closing(Embedded(load(), catalog)) as opened:
        yield opened


def test_stopping_lets_what_runs_finish_what_it_is_at(catalog: Catalog):
    server = Embedded(load(), catalog)
    task = server.submit("ingest_files", {"name": "slow0"})
    wait_for(begun)
    Path("go on").touch()
    server.close()
    done = catalog.tasks.get(task.id)
    assert done
    assert done.finished_at
    assert done.error in {"", "the server was stopped"}


CRASH = """
import sys, time
from trueup.config import load
from trueup.jobs.embedded import Embedded
from trueup.jobs.queue import open_queue
server = Embedded(load(), open_queue(load()))
for number in range(5):
    print(server.submit("ingest_files", {"name": f"slow{number}"}).id, flush=True)
time.sleep(60)
"""


def test_after_a_crash_what_ran_is_interrupted_and_what_waited_goes_on(catalog: Catalog):
    crashed = subprocess.Popen([sys.executable, "-c", CRASH], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    assert crashed.stdout
    tasks = [crashed.stdout.readline().strip() for _ in range(AT_ONCE + 1)]
    wait_for(lambda: len(begun()) == AT_ONCE)
    with pytest.raises(Busy, match="jobs of this database are being run by"):
        Embedded(load(), catalog)
    [waiting] = [task.id for task in catalog.tasks.latest() if task.state == PENDING]
    crashed.kill()
    crashed.wait()
    crashed.stdout.close()
    Path("go on").touch()
    wait_for(lambda: not any(alive(pid, wait=0) for pid in begun()))  # a job does not outlive its server
    with closing(Embedded(load(), catalog)):
        assert ended(catalog, waiting).state == SUCCESS
        found = [ended(catalog, task) for task in tasks if task != waiting]
    assert {(task.state, task.error) for task in found} == {(FAILURE, "interrupted")}


def test_the_clock_starts_what_the_settings_have_something_for(server: Embedded, catalog: Catalog):
    now = datetime.now(UTC)
    soon = server.next_run("cleanup_old_downloads")
    assert soon
    assert now < soon <= now + timedelta(minutes=30)
    assert soon.minute in {0, 30}
    assert server.next_run("smart_sync_all_projects") is None
    server._due("cleanup_old_downloads", {})
    [task] = catalog.tasks.latest()
    assert ended(catalog, task.id).status == "ok"
    server.check()


def test_an_unreachable_place_is_tried_again_later(catalog: Catalog, work: Path):
    Path("trueup.toml").write_text(
        '[stores.far]\nurl = "s3://bucket"\nendpoint = "http://127.0.0.1:9"\naccess_key_id = "a"\n'
        'secret_access_key = "b"\nregion = "x"\nretries = 0\ntimeout = "1s"\n[sync.far]\nleft = "left"\nright = "far"\n'
    )
    with closing(Embedded(load(), catalog)) as server:
        task = server.submit("sync_files", {"name": "far"})
        wait_for(lambda: (found := catalog.tasks.get(task.id)) and found.state == RETRY)
        found = server.cancel(task.id)
    assert found
    assert (found.state, found.attempts) == (REVOKED, 1)
    assert found.error.startswith("cannot reach s3://bucket")


def test_the_child_ends_when_nobody_listens_any_more(work: Path):
    child = subprocess.Popen(
        [sys.executable, "-m", "trueup.jobs.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin
    assert child.stdout
    settings = base64.b64encode(pickle.dumps(load())).decode()
    request = {"job": "ingest_files", "arguments": {"name": "slow0"}, "run": "r1", "level": 40, "again": False}
    child.stdin.write(json.dumps(request | {"settings": settings}) + "\n")
    child.stdin.flush()
    wait_for(begun)
    child.stdin.close()
    Path("go on").touch()
    *_, last = child.stdout.read().splitlines()
    assert json.loads(last)["done"]["status"] == "interrupted"
    assert child.wait(10) == 0
    child.stdout.close()


def test_put_gives_each_task_an_id(catalog: Catalog):
    assert (
        put(catalog.tasks, load(), "sync_storage_stats", {}).id
        != put(catalog.tasks, load(), "sync_files", {"name": "a"}).id
    )
    assert put(catalog.tasks, load(), "sync_files", {"name": "b"}, "known").id == "known"
    with pytest.raises(Busy):
        put(catalog.tasks, load(), "sync_files", {"name": "b", "dry_run": True})


def test_a_job_has_the_settings_that_the_server_began_with(catalog: Catalog, server: Embedded):
    (Path("left") / "page").write_text("hello")
    text = Path("trueup.toml").read_text()
    Path("trueup.toml").write_text(text.replace('right = "right"', 'right = "elsewhere"'))
    first = ended(catalog, server.submit("sync_files", {"name": "site"}).id)
    Path("trueup.toml").write_text("this is no TOML")
    second = ended(catalog, server.submit("sync_files", {"name": "site"}).id)
    assert (first.status, second.status) == ("ok", "ok")
    assert (Path("right") / "page").read_text() == "hello"
    assert not Path("elsewhere").exists()


STUCK = """
import base64, json, pickle, subprocess, sys
from trueup.config import load
settings = base64.b64encode(pickle.dumps(load())).decode()
request = {"job": "ingest_files", "arguments": {"name": "slow0"}, "run": "", "level": 20, "again": False}
child = "import trueup.jobs.child as child; child._LATEST = 1.0; child.main()"
process = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
process.stdin.write(json.dumps(request | {"settings": settings}) + "\\n")
process.stdin.flush()
print(process.pid, flush=True)
process.stdout.read()
"""


def test_a_job_whose_server_was_killed_ends_soon_whatever_it_is_at(work: Path):
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        [pid] = [int(server.stdout.readline())]
        wait_for(begun)
        server.kill()
    wait_for(lambda: not alive(pid, wait=0))


def test_one_that_is_taken_again_waits_for_what_the_crash_left(catalog: Catalog, server: Embedded):
    catalog.tasks.put("t1", "sync_storage_stats", {}, "alone")
    catalog.tasks.start("a worker that crashes", timedelta(minutes=1), task="t1")
    at_it, go_on = threading.Event(), threading.Event()

    def pause(_: str) -> None:
        at_it.set()
        assert go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        left = pool.submit(trueup.reconcile, heard=pause)
        assert at_it.wait(60)
        catalog.tasks.again("t1", "a worker that crashes", "", timedelta())
        server.submit("sync_files", {"name": "site"})  # which wakes it
        wait_for(lambda: (found := catalog.tasks.get("t1")) and (found.state, found.attempts) == (RETRY, 2))
        go_on.set()
        left.result()
    found = catalog.tasks.get("t1")
    assert found
    assert "are being reconciled" in found.error


def test_one_whose_queue_is_broken_for_a_while_goes_on(
    catalog: Catalog, server: Embedded, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_args: object, **_options: object) -> None:
        raise ValueError("nobody foresaw this")

    with monkeypatch.context() as patched:
        patched.setattr(server._tasks, "start", broken)
        server._awake.set()
        wait_for(lambda: not server._awake.is_set())
    assert ended(catalog, server.submit("sync_files", {"name": "site"}).id).status == "ok"
