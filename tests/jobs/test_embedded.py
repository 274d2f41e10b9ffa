"""Jobs inside a server: queued, run in processes of their own, cancelled, taken up again after a crash."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers.supervise import alive
from trueup.catalog.base import Catalog
from trueup.catalog.tasks import FAILURE, PENDING, RETRY, REVOKED, STARTED, SUCCESS, Task
from trueup.config import load
from trueup.errors import Busy, UsageError
from trueup.jobs.embedded import AT_ONCE, Embedded
from trueup.jobs.queue import open_queue, put

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


@pytest.fixture(autouse=True)
def world(tmp_path: Path) -> Path:
    for name in ("a", "left", "right", "drop"):
        (tmp_path / name).mkdir()
    (tmp_path / "drop" / "one.txt").write_text("one")
    (tmp_path / "handlers.py").write_text(SLOW)
    jobs = "".join(INGEST.format(f"slow{number}", "slow") for number in range(AT_ONCE + 1))
    (tmp_path / "trueup.toml").write_text(SETTINGS + jobs + INGEST.format("dies", "dies"))
    return tmp_path


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with closing(open_queue(load())) as opened:
        yield opened


@pytest.fixture
def server(catalog: Catalog) -> Iterator[Embedded]:
    with closing(Embedded(load(), catalog)) as opened:
        yield opened


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


def test_a_job_runs_in_a_process_of_its_own_and_its_result_is_kept(server: Embedded, catalog: Catalog, world: Path):
    (world / "left" / "page").write_text("hello")
    task = server.submit("sync_files", {"name": "site"})
    assert (task.state, task.job) == (PENDING, "sync_files")
    done = ended(catalog, task.id)
    assert (done.state, done.status, done.attempts) == (SUCCESS, "ok", 1)
    assert done.result
    assert done.result["counts"]["copy_right"] == 1
    assert done.result["run"] == task.id
    assert (world / "right" / "page").read_text() == "hello"
    said = [event["event"] for _, events in catalog.tasks.said(task.id) for event in events]
    assert (said[0], said[-1]) == ("run_started", "run_finished")
    assert "item_finished" in said


def test_a_dry_run_is_the_same_job(server: Embedded, catalog: Catalog, world: Path):
    (world / "left" / "page").write_text("hello")
    done = ended(catalog, server.submit("sync_files", {"name": "site", "dry_run": True}).id)
    assert (done.state, done.status) == (SUCCESS, "dry-run")
    assert not (world / "right" / "page").exists()


def test_one_that_is_under_way_is_not_queued_again(server: Embedded, catalog: Catalog):
    task = server.submit("ingest_files", {"name": "slow0"})
    wait_for(begun)
    with pytest.raises(Busy) as caught:
        server.submit("ingest_files", {"name": "slow0"})
    assert caught.value.run == task.id
    Path("go on").touch()
    done = ended(catalog, task.id)
    assert (done.status, done.result and done.result["counts"]["processed"]) == ("ok", 1)
    assert server.submit("ingest_files", {"name": "slow0"}).id != task.id


def test_only_so_many_run_at_once_and_the_others_wait(server: Embedded, catalog: Catalog):
    tasks = [server.submit("ingest_files", {"name": f"slow{number}"}) for number in range(AT_ONCE + 1)]
    wait_for(lambda: len(begun()) == AT_ONCE)
    states = sorted(task.state for task in catalog.tasks.latest())
    assert states == [PENDING] + [STARTED] * AT_ONCE
    Path("go on").touch()
    assert {ended(catalog, task.id).state for task in tasks} == {SUCCESS}


def test_what_waits_and_what_runs_can_be_cancelled(server: Embedded, catalog: Catalog):
    tasks = [server.submit("ingest_files", {"name": f"slow{number}"}) for number in range(AT_ONCE + 1)]
    wait_for(lambda: len(begun()) == AT_ONCE)
    [waiting] = [task.id for task in catalog.tasks.latest() if task.state == PENDING]
    running = next(task.id for task in tasks if task.id != waiting)
    assert (found := server.cancel(waiting))
    assert found.state == REVOKED
    assert (found := server.cancel(running))
    assert found.cancelled
    Path("go on").touch()  # a handler that has a file finishes it
    done = ended(catalog, running)
    assert (done.state, done.status, done.error) == (REVOKED, "interrupted", "cancelled")
    assert server.cancel("nonsense") is None


def test_what_goes_wrong_is_told(server: Embedded, catalog: Catalog):
    died = ended(catalog, server.submit("ingest_files", {"name": "dies"}).id)
    assert (died.state, died.error) == (FAILURE, "its process ended with 9")
    unknown = ended(catalog, server.submit("sync_files", {"name": "nowhere"}).id)
    assert (unknown.state, unknown.status) == (FAILURE, "failed")
    assert "there is no [sync.nowhere]. Known: site" in unknown.error
    with pytest.raises(UsageError, match="there is no job 'nonsense'"):
        server.submit("nonsense", {})
    with pytest.raises(UsageError, match="It takes name, dry_run"):
        server.submit("sync_files", {})


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
    with pytest.raises(Busy, match="jobs of this state folder are being run by"):
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
    server._due("cleanup_old_downloads")
    [task] = catalog.tasks.latest()
    assert ended(catalog, task.id).status == "ok"
    server.check()


def test_an_unreachable_place_is_tried_again_later(catalog: Catalog, world: Path):
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


def test_the_child_ends_when_nobody_listens_any_more(world: Path):
    child = subprocess.Popen(
        [sys.executable, "-m", "trueup.jobs.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin
    assert child.stdout
    child.stdin.write(
        json.dumps({"job": "ingest_files", "arguments": {"name": "slow0"}, "run": "r1", "level": 40}) + "\n"
    )
    child.stdin.flush()
    wait_for(begun)
    child.stdin.close()
    Path("go on").touch()
    *_, last = child.stdout.read().splitlines()
    assert json.loads(last)["done"]["status"] == "interrupted"
    assert child.wait(10) == 0
    child.stdout.close()


def test_put_gives_each_task_an_id(catalog: Catalog):
    assert put(catalog.tasks, "sync_storage_stats", {}).id != put(catalog.tasks, "sync_files", {"name": "a"}).id
    assert put(catalog.tasks, "sync_files", {"name": "b"}, "known").id == "known"
    with pytest.raises(Busy):
        put(catalog.tasks, "sync_files", {"name": "b", "dry_run": True})
