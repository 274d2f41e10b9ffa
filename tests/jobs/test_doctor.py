"""What doctor says of a service whose parts are elsewhere."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiosmtpd.controller import Controller

from tests.cli.conftest import Cli
from tests.docs.pages import ROOT
from tests.jobs.celery_process import celery, log
from tests.jobs.world import wait_for
from tests.notify.test_alerts import smtp  # noqa: F401 - a fixture is found by name
from tests.servers.shared import free_port
from trueup.cli import looking
from trueup.config import load
from trueup.jobs.pulse import last_tick
from trueup.jobs.queue import open_queue
from trueup.jobs.registry import JOBS

OLD_WORKER = """
import sys
from celery import Celery
app = Celery("old", broker=sys.argv[1], set_as_current=False)
app.conf.update(control_exchange="trueup", task_default_queue="elsewhere", worker_pool="solo")
@app.task(name="sync_storage_stats")
def known():
    pass
app.Worker(hostname="old@here", quiet=True, loglevel="WARNING").start()
"""


def looked(cli: Cli, *, code: int) -> dict[str, dict[str, str]]:
    result = cli("doctor", "--json")
    assert result.code == code, result.out
    assert set(result.document["checks"][0]) == {"name", "status", "detail", "cure"}
    return {check["name"]: check for check in result.document["checks"]}


def answered(cli: Cli) -> dict[str, Any]:
    return cli("doctor", "--json").document


def healthy(hostname: str) -> int:
    """What the check of the worker's container says on a machine of that name."""
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))
    check = compose["services"]["worker"]["healthcheck"]["test"].replace("$$", "$")
    assert check.startswith("celery ")
    done = subprocess.run(
        ["/bin/sh", "-c", f"'{sys.executable}' -m {check}"],
        env=os.environ | {"HOSTNAME": hostname},
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode


@pytest.fixture
def broker(work: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", redis_url)
    return redis_url


def test_nobody_is_asked_who_is_not_named(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch):
    assert not {"server", "queue", "broker", "worker", "beat", "alerts email"} & looked(cli, code=0).keys()
    monkeypatch.setenv("TRUEUP_SERVER__RATE_LIMIT", "off")
    found = looked(cli, code=0)
    assert found["server"]["detail"] == (
        "127.0.0.1:8000 for this machine alone, without a key; jobs are done inside the server; 4 lines of [schedule]"
    )
    assert found["queue"]["detail"].endswith("jobs.db is made when it is first used")
    assert not {"broker", "worker", "beat"} & found.keys()


def test_settings_of_the_service_that_are_wrong_are_told_once(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRUEUP_SCHEDULE__SYNC_STORAGE_STATS", "at night")
    found = looked(cli, code=1)
    assert "is no cron line" in found["server"]["detail"]
    assert not {"broker", "worker", "beat"} & found.keys()


def test_a_broker_that_is_down_is_found_at_once_and_nobody_is_asked_over_it(
    cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", f"redis://:hunter2hunter2@127.0.0.1:{free_port()}/0")
    began = time.monotonic()
    found = looked(cli, code=1)
    assert time.monotonic() - began < looking.PATIENCE
    assert found["broker"]["status"] == "fail"
    assert "the broker cannot be reached" in found["broker"]["detail"]
    assert found["broker"]["cure"] == "Check [server] broker, and that it runs"
    assert "hunter2" not in str(found)
    assert not any(name.startswith("worker") for name in found)


def test_workers_and_the_clock_that_do_not_run_are_told_with_their_cures(cli: Cli, broker: str):
    found = looked(cli, code=1)
    assert found["broker"] == {"name": "broker", "status": "ok", "detail": f"{broker} answers", "cure": ""}
    assert found["worker"]["detail"] == "no worker answers: what is handed in waits"
    assert "trueup worker" in found["worker"]["cure"]
    assert found["beat"]["detail"] == "it never ticked: no job of the schedule is handed in"
    assert "trueup beat" in found["beat"]["cure"]
    assert last_tick(load()) is None


def test_a_schedule_that_something_else_keeps_needs_no_clock(cli: Cli, broker: str, monkeypatch: pytest.MonkeyPatch):
    for line in ("SYNC_STORAGE_STATS", "CLEANUP_OLD_DOWNLOADS", "CLEANUP_FAILED_DOWNLOADS"):
        monkeypatch.setenv(f"TRUEUP_SCHEDULE__{line}", "off")
    assert "beat" not in looked(cli, code=1)  # there are no records to be synced


def test_a_worker_that_answers_and_a_clock_that_ticks_are_well(cli: Cli, broker: str):
    with celery("worker"), celery("beat") as clock, celery("beat"):
        wait_for(lambda: answered(cli)["status"] == "ok")
        found = looked(cli, code=0)
        [worker] = [check for name, check in found.items() if name.startswith("worker ")]
        assert worker["detail"] == f"it knows all {len(JOBS)} jobs"
        assert found["beat"]["detail"].startswith("the last tick was ")
        assert ", process " in found["beat"]["detail"]
        assert found["queue"]["detail"].endswith("is up to date, at revision 0008")
        assert healthy(worker["name"].partition("@")[2]) == 0
        assert healthy("elsewhere") != 0
        clock.send_signal(signal.SIGTERM)
        assert clock.wait(60) == 0
    with closing(sqlite3.connect("trueup.jobs.db")) as db, db:
        db.execute("update locks set until = datetime(until, '-3 hours') || '.000000'")
    stopped = looked(cli, code=1)["beat"]
    assert stopped["detail"].startswith("the last tick was 3 h 0 min ago (")
    assert stopped["detail"].endswith("): no job of the schedule is handed in")


def test_celery_s_own_clock_leaves_a_sign_of_life_as_well(broker: str):
    with celery("-A", "trueup.jobs.celery_app", "beat", module="celery"):
        wait_for(lambda: (tick := last_tick(load())) and tick.alive)


def test_a_clock_goes_on_while_the_database_is_down(broker: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRUEUP_DATABASE__URL", f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    with celery("beat") as clock:
        wait_for(lambda: "that the clock goes is not noted" in log())
        clock.send_signal(signal.SIGTERM)
        assert clock.wait(60) == 0


def test_a_worker_of_another_version_is_found_out(cli: Cli, broker: str):
    with Path("log").open("ab") as out:
        worker = subprocess.Popen([sys.executable, "-c", OLD_WORKER, broker], stdout=out, stderr=out, env=os.environ)
    try:
        wait_for(lambda: any(check["name"] == "worker old@here" for check in answered(cli)["checks"]))
        found = looked(cli, code=1)["worker old@here"]
    finally:
        worker.terminate()
        worker.wait(60)
    assert found["status"] == "fail"
    assert found["detail"].startswith("it does not know smart_sync_all_projects, ")
    assert "sync_storage_stats" not in found["detail"]
    assert found["cure"] == "Another version of trueup runs there: update it, and restart the worker"


def test_what_does_not_answer_in_time_is_waited_for_no_longer(
    cli: Cli,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    smtp: Controller,  # noqa: F811 - the fixture
):
    monkeypatch.setattr(looking, "PATIENCE", 0.0)
    with closing(open_queue(load())):
        pass
    monkeypatch.setenv("MAILGUN_SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("MAILGUN_SMTP_PORT", str(smtp.port))
    monkeypatch.setenv("ALERT_EMAIL_FROM", "a@example.com")
    monkeypatch.setenv("ALERT_EMAIL_TO", "b@example.com")
    found = looked(cli, code=1)["alerts email"]
    assert (found["status"], found["detail"]) == ("fail", "no answer within 0 seconds")
    assert found["cure"]
