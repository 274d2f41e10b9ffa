"""Jobs by way of a broker: Celery's own command, crashes, clocks."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.api.server import serving
from tests.jobs.celery_process import celery, log
from tests.jobs.world import begun, ended, wait_for
from tests.servers.supervise import alive
from trueup.catalog.base import Catalog
from trueup.catalog.tasks import FAILURE, RETRY, REVOKED, STARTED, SUCCESS
from trueup.config import load
from trueup.errors import TrueupError
from trueup.jobs.beat import CronSchedule, Scheduler
from trueup.jobs.broker import Remote, make_app
from trueup.jobs.celery_app import Crew
from trueup.jobs.cron import parse_cron

CELERY = ("-A", "trueup.jobs.celery_app")


@pytest.fixture(autouse=True)
def broker(work: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", redis_url)
    return redis_url


def test_without_a_broker_it_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRUEUP_SERVER__BROKER")
    with celery(*CELERY, "call", "sync_storage_stats", module="celery") as theirs:
        assert theirs.wait(60) == 2
    with celery("worker") as ours:
        assert ours.wait(60) == 2
    assert log() == 'error: no broker is named. Set [server] broker = "redis://localhost:6379/0"\n' * 2


def test_what_a_killed_worker_had_or_a_broker_forgot_is_taken_again_unless_it_kills_each(catalog: Catalog):
    with closing(Remote(load(), catalog)) as queue:
        with celery("worker") as worker:
            task = queue.submit("ingest_files", {"name": "slow0"})
            wait_for(begun)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        Path("go on").touch()
        wait_for(lambda: not any(alive(pid, wait=0) for pid in begun()))
        found = catalog.tasks.get(task.id)
        assert found
        assert (found.state, found.attempts) == (STARTED, 1)
        _let_leases_end()
        catalog.tasks.put("t1", "ingest_files", {"name": "slow1"}, "alone")
        for _ in range(3):
            assert catalog.tasks.start("a worker that crashes", timedelta(), task="t1")
        catalog.tasks.put("t2", "sync_files", {"name": "site"}, "nobody is told")
        for _ in range(3):
            assert catalog.tasks.start("a worker that is stopped", timedelta(minutes=1), task="t2")
            assert catalog.tasks.hand_back("t2", "a worker that is stopped", "the worker was stopped")
        assert catalog.tasks.start("a worker that crashes", timedelta(), task="t2")
        catalog.tasks.put("t3", "cleanup_old_downloads", {}, "nobody is told either")
        _long_ago("t3")
        with celery("worker"):
            done, given_up = ended(catalog, task.id), ended(catalog, "t1")
            stopped_often, found = ended(catalog, "t2"), ended(catalog, "t3")
    assert (found.state, found.status) == (SUCCESS, "ok")
    assert (stopped_often.state, stopped_often.status, stopped_often.attempts) == (SUCCESS, "ok", 5)
    assert (done.state, done.status, done.attempts) == (SUCCESS, "ok", 2)
    with closing(sqlite3.connect("slow0.db")) as db:
        assert db.execute("select filename, success from processed_files").fetchall() == [("one.txt", 1)]
    assert (given_up.state, given_up.error) == (FAILURE, "it was started 3 times, and never ended")
    assert not Path("slow1.db").exists()


def test_a_worker_that_is_stopped_leaves_its_job_to_the_next(catalog: Catalog):
    with closing(Remote(load(), catalog)) as queue:
        with celery("worker") as worker:
            (Path("drop") / "two.txt").write_text("two")
            task = queue.submit("ingest_files", {"name": "slow0"})
            wait_for(begun)
            worker.send_signal(signal.SIGTERM)
            wait_for(lambda: "to be stopped: the worker was stopped" in json.dumps(catalog.tasks.said(task.id)))
            Path("go on").touch()
            worker.wait(60)
        found = catalog.tasks.get(task.id)
        assert found
        assert (found.state, found.error) == (RETRY, "the worker was stopped")
        assert (found.attempts, found.tries) == (1, 0)
        with celery("worker"):
            done = ended(catalog, task.id)
    assert (done.state, done.status) == (SUCCESS, "ok")
    with closing(sqlite3.connect("slow0.db")) as db:
        assert db.execute("select count(*) from processed_files where success").fetchone() == (2,)


def test_two_clocks_that_tick_for_the_same_time_start_a_job_once(catalog: Catalog):
    app = make_app(load())
    for _ in range(2):
        clock = Scheduler(app=app, lazy=True)
        clock.merge_inplace(app.conf.beat_schedule)
        assert "smart-sync-all-projects" not in clock.schedule
        for entry in clock.schedule.values():
            clock.apply_async(entry, advance=False)
            # Until the next time: a day without a worker is not made up for.
            assert 60 <= entry.options["expires"] <= 24 * 3600
    with celery("worker"):
        wait_for(lambda: sum(task.finished_at is not None for task in catalog.tasks.latest()) == 3)
        wait_for(lambda: len(re.findall("is over, or another worker has it|is under way already", log())) == 3)
    assert sorted(task.job for task in catalog.tasks.latest()) == [
        "cleanup_failed_downloads",
        "cleanup_old_downloads",
        "sync_storage_stats",
    ]
    assert {task.state for task in catalog.tasks.latest()} == {SUCCESS}


def test_celery_s_clock_reads_a_line_as_every_other():
    now = datetime.now(UTC)
    schedule = CronSchedule(parse_cron("* * * * *", where="line"))
    due, seconds = schedule.is_due(now - timedelta(minutes=2))
    assert due
    assert 0 <= seconds <= 60
    due, seconds = schedule.is_due(now + timedelta(minutes=1))
    assert not due
    assert 60 <= seconds + 1 <= 122
    sunday = CronSchedule(parse_cron("0 0 * * 0", where="line"))
    assert f"{sunday.next_after(now):%a}" == "Sun"
    assert sunday.remaining_estimate(now) >= timedelta()


def test_our_clock_starts_and_stops():
    with celery("beat") as clock:
        wait_for(lambda: "handing in jobs" in log())
        clock.send_signal(signal.SIGTERM)
        assert clock.wait(60) == 0


def test_a_broker_that_is_not_there_is_said_so_and_nothing_is_queued(catalog: Catalog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", "redis://:secret@127.0.0.1:9/0")
    with closing(Remote(load(), catalog)) as queue:
        with pytest.raises(TrueupError, match="the broker cannot be reached") as caught:
            queue.submit("sync_storage_stats", {})
        assert "secret" not in str(caught.value)
        with pytest.raises(TrueupError, match="the broker cannot be reached"):
            queue.check()
    [task] = catalog.tasks.latest()
    assert task.state == REVOKED


def test_the_server_and_celery_s_own_command_hand_in_the_same_jobs(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRUEUP_HOME", str(work / "state"))
    with (work / "trueup.toml").open("a") as settings:
        settings.write('[records.sheets]\nkind = "csv"\npath = "{name}.csv"\n')
    with serving(work) as server, celery(*CELERY, "worker", "--loglevel", "INFO", module="celery"):
        assert server.get("/readyz").json["checks"]["jobs"] == "ok"
        assert server.get("/api/admin/sync_status").json["cache_enabled"] is True
        task = server.post("/api/admin/sync-storage-stats").json["task_id"]
        assert server.over(task)["state"] == "SUCCESS"
        assert task in log()
        with celery(*CELERY, "call", "sync_storage_stats", module="celery") as call:
            assert call.wait(60) == 0
        wait_for(lambda: len(server.get("/api/runs").json["runs"]) == 2)
        called = server.over(server.get("/api/runs").json["runs"][0]["id"])
        assert (called["job"], called["state"], called["status"]) == ("sync_storage_stats", "SUCCESS", "ok")
        for arguments in (("--kwargs", '{"name": "site"}'), ()):
            with celery(*CELERY, "call", "sync_files", *arguments, module="celery") as call:
                assert call.wait(60) == 0
        wait_for(lambda: "is refused: the job sync_files cannot be called so" in log())
        synced = server.over(server.get("/api/runs").json["runs"][0]["id"])
        assert (synced["job"], synced["arguments"], synced["status"]) == ("sync_files", {"name": "site"}, "ok")


def test_every_task_of_the_contract_is_known_to_celery():
    assert Crew(load()).app.tasks.keys() >= {
        *("sync_storage_stats", "smart_sync_all_projects", "smart_sync_single_project"),
        *("cleanup_old_downloads", "cleanup_failed_downloads", "sync_files", "ingest_files"),
    }


def _long_ago(task: str) -> None:
    """As it would be if the broker had forgotten its message."""
    with closing(sqlite3.connect("trueup.jobs.db")) as db, db:
        changed = db.execute("update job_runs set created_at = '2026-01-01 00:00:00.000000' where id = ?", (task,))
        assert changed.rowcount == 1


def _let_leases_end() -> None:
    """As they would, a minute after the crash."""
    with closing(sqlite3.connect("trueup.jobs.db")) as db, db:
        assert db.execute("update job_runs set lease_until = '2026-01-01 00:00:00.000000'").rowcount == 1
