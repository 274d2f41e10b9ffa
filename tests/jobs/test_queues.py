"""Jobs that are handed in, run in processes of their own and can be cancelled: inside a server, and by a worker
elsewhere by way of Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.jobs.celery_process import celery
from tests.jobs.world import begun, ended, wait_for
from trueup.api.service import Queue
from trueup.catalog.base import Catalog
from trueup.catalog.tasks import FAILURE, PENDING, REVOKED, STARTED, SUCCESS
from trueup.config import load
from trueup.errors import Busy, UsageError
from trueup.jobs.broker import Remote
from trueup.jobs.embedded import Embedded
from trueup.jobs.work import AT_ONCE


@contextmanager
def by_redis(catalog: Catalog) -> Iterator[Queue]:
    with celery("worker"), closing(Remote(load(), catalog)) as opened:
        yield opened


@pytest.fixture(params=["embedded", "celery"])
def server(request: pytest.FixtureRequest, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    if request.param == "celery":
        monkeypatch.setenv("TRUEUP_SERVER__BROKER", request.getfixturevalue("redis_url"))
    with closing(Embedded(load(), catalog)) if request.param == "embedded" else by_redis(catalog) as opened:
        yield opened


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
    (work / "left" / "page").write_text("hello")
    done = ended(catalog, server.submit("sync_files", {"name": "site", "dry_run": True}).id)
    assert (done.state, done.status) == (SUCCESS, "dry-run")
    assert not (work / "right" / "page").exists()


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


def test_only_so_many_run_at_once_and_the_others_wait(server: Queue, catalog: Catalog):
    tasks = [server.submit("ingest_files", {"name": f"slow{number}"}) for number in range(AT_ONCE + 1)]
    wait_for(lambda: len(begun()) == AT_ONCE)
    states = sorted(task.state for task in catalog.tasks.latest())
    assert states == [PENDING] + [STARTED] * AT_ONCE
    Path("go on").touch()
    assert {ended(catalog, task.id).state for task in tasks} == {SUCCESS}


def test_what_waits_and_what_runs_can_be_cancelled(server: Queue, catalog: Catalog):
    tasks = [server.submit("ingest_files", {"name": f"slow{number}"}) for number in range(AT_ONCE + 1)]
    wait_for(lambda: len(begun()) == AT_ONCE)
    [waiting] = [task.id for task in catalog.tasks.latest() if task.state == PENDING]
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
