"""Jobs that are handed in, run in processes of their own and can be cancelled: inside a server, and by a worker
elsewhere by way of Redis."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

import trueup
from tests.jobs.celery_process import celery
from tests.jobs.world import begun, ended, make, wait_for
from trueup.api.service import Queue
from trueup.catalog.base import Catalog
from trueup.catalog.tasks import FAILURE, PENDING, REVOKED, STARTED, SUCCESS, UNDER_WAY, Task
from trueup.config import load
from trueup.errors import Busy, UsageError
from trueup.jobs.broker import Remote
from trueup.jobs.embedded import Embedded
from trueup.jobs.queue import open_queue, put
from trueup.jobs.work import AT_ONCE
from trueup.runs import new_run_id


@pytest.fixture(scope="module", params=["embedded", "celery"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: dict[str, str]
) -> Iterator[tuple[Queue, Catalog, Path]]:
    """One queue for all, its database and its folder: a worker takes seconds to start."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        work = make(tmp_path_factory.mktemp("work"))
        patch.chdir(work)
        patch.setenv("TRUEUP_HOME", str(work / "state"))
        if request.param == "celery":
            patch.setenv("TRUEUP_SERVER__BROKER", f"redis://127.0.0.1:{redis_server['port']}/{secrets.randbelow(1000)}")
        catalog = stack.enter_context(closing(open_queue(load())))
        if request.param == "embedded":
            queue: Queue = Embedded(load(), catalog)
        else:
            stack.enter_context(celery("worker"))
            queue = Remote(load(), catalog)
        yield stack.enter_context(closing(queue)), catalog, work


@pytest.fixture
def work(opened: tuple[Queue, Catalog, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder, with one file that no test has seen."""
    folder = opened[2]
    monkeypatch.chdir(folder)
    for path in (*(folder / "drop").iterdir(), folder / "begun", folder / "go on"):
        path.unlink(missing_ok=True)
    name = new_run_id()
    (folder / "drop" / f"{name}.txt").write_text(name)
    yield folder
    (folder / "go on").touch()
    wait_for(lambda: not any(task.state in UNDER_WAY for task in opened[1].tasks.latest()))


@pytest.fixture
def catalog(opened: tuple[Queue, Catalog, Path], work: Path) -> Catalog:
    return opened[1]


@pytest.fixture
def server(opened: tuple[Queue, Catalog, Path], work: Path) -> Queue:
    return opened[0]


def states(catalog: Catalog, tasks: list[Task]) -> dict[str, str]:
    asked = {task.id for task in tasks}
    return {task.id: task.state for task in catalog.tasks.latest() if task.id in asked}


def test_a_job_runs_in_a_process_of_its_own_and_its_result_is_kept(server: Queue, catalog: Catalog, work: Path):
    (work / "left" / "page").write_text("hello")
    task = server.submit("sync_files", {"name": "site"})
    assert (task.state, task.job) == (PENDING, "sync_files")
    done = ended(catalog, task.id)
    assert (done.state, done.status, done.attempts) == (SUCCESS, "ok", 1)
    assert done.result
    assert done.result["counts"]["copy_right"] == 1
    assert done.result["run"] == task.id
    assert (work / "right" / "page").read_text() == "hello"
    said = [event["event"] for _, events in catalog.tasks.said(task.id) for event in events]
    assert (said[0], said[-1]) == ("run_started", "run_finished")
    assert "item_finished" in said


def test_a_dry_run_is_the_same_job(server: Queue, catalog: Catalog, work: Path):
    (work / "left" / "draft").write_text("hello")
    done = ended(catalog, server.submit("sync_files", {"name": "site", "dry_run": True}).id)
    assert (done.state, done.status) == (SUCCESS, "dry-run")
    assert not (work / "right" / "draft").exists()
    (work / "left" / "draft").unlink()


def test_one_that_is_under_way_is_not_queued_again(server: Queue, catalog: Catalog):
    task = server.submit("ingest_files", {"name": "slow0"})
    wait_for(begun)
    with pytest.raises(Busy) as caught:
        server.submit("ingest_files", {"name": "slow0"})
    assert caught.value.run == task.id
    Path("go on").touch()
    done = ended(catalog, task.id)
    assert (done.status, done.result and done.result["counts"]["processed"]) == ("ok", 1)
    assert server.submit("ingest_files", {"name": "slow0"}).id != task.id


def test_one_that_somebody_runs_by_hand_is_not_queued(
    server: Queue, catalog: Catalog, work: Path, monkeypatch: pytest.MonkeyPatch
):
    # As on another machine, which has the shared database alone in common with the one of the queue.
    monkeypatch.setenv("TRUEUP_HOME", str(work / "elsewhere"))
    begun, go_on = threading.Event(), threading.Event()

    def pause(_: str) -> None:
        begun.set()
        assert go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        by_hand = pool.submit(trueup.reconcile, heard=pause)
        assert begun.wait(60)
        with pytest.raises(Busy) as caught:
            server.submit("sync_storage_stats", {})
        go_on.set()
        assert caught.value.run == by_hand.result().run
    assert "sync_storage_stats" not in {task.job for task in catalog.tasks.latest()}
    assert ended(catalog, server.submit("sync_storage_stats", {}).id).status == "ok"


def test_only_so_many_run_at_once_and_the_others_wait(server: Queue, catalog: Catalog):
    tasks = [server.submit("ingest_files", {"name": f"slow{number}"}) for number in range(AT_ONCE + 1)]
    wait_for(lambda: len(begun()) == AT_ONCE)
    assert sorted(states(catalog, tasks).values()) == [PENDING] + [STARTED] * AT_ONCE
    Path("go on").touch()
    assert {ended(catalog, task.id).state for task in tasks} == {SUCCESS}


def test_what_waits_and_what_runs_can_be_cancelled(server: Queue, catalog: Catalog):
    tasks = [server.submit("ingest_files", {"name": f"slow{number}"}) for number in range(AT_ONCE + 1)]
    wait_for(lambda: len(begun()) == AT_ONCE)
    [waiting] = [task for task, state in states(catalog, tasks).items() if state == PENDING]
    running = next(task.id for task in tasks if task.id != waiting)
    assert (found := server.cancel(waiting))
    assert found.state == REVOKED
    assert (found := server.cancel(running))
    assert found.cancelled
    wait_for(lambda: any(event["event"] == "warned" for _, said in catalog.tasks.said(running) for event in said))
    Path("go on").touch()  # a handler that has a file finishes it
    done = ended(catalog, running)
    assert (done.state, done.status, done.error) == (REVOKED, "interrupted", "cancelled")
    assert server.cancel("nonsense") is None


def test_what_goes_wrong_is_told(server: Queue, catalog: Catalog):
    died = ended(catalog, server.submit("ingest_files", {"name": "dies"}).id)
    assert (died.state, died.error) == (FAILURE, "its process ended with 9")
    unknown = ended(catalog, server.submit("sync_files", {"name": "nowhere"}).id)
    assert (unknown.state, unknown.status) == (FAILURE, "failed")
    assert "there is no [sync.nowhere]. Known: site" in unknown.error
    with pytest.raises(UsageError, match="there is no job 'nonsense'"):
        server.submit("nonsense", {})
    with pytest.raises(UsageError, match="It takes name, dry_run"):
        server.submit("sync_files", {})


def test_only_its_user_can_read_what_is_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    try:
        with closing(open_queue(load())) as catalog, closing(open_queue(load())):
            put(catalog.tasks, load(), "fetch_url", {"url": "https://host.example/file?signature=secret"})
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("trueup.jobs.db*")}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("trueup.jobs.db", "trueup.jobs.db-wal", "trueup.jobs.db-shm"), 0o600)
