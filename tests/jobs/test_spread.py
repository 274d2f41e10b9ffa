"""A sync that workers do range by range: the same result as on one machine, whoever is killed in between."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.jobs.celery_process import celery, children
from tests.jobs.pairs import Held, Pairs, agreed, edited, removed, told
from tests.jobs.world import wait_for
from trueup.catalog.database import database_of, upgrade
from trueup.config import SyncConfig, load
from trueup.errors import ConfigError, Refused, TrueupError, UsageError
from trueup.jobs import parts
from trueup.jobs.spread import Spread
from trueup.sync import sync, undo
from trueup.sync.outputs import Outputs
from trueup.sync.report import SyncRun
from trueup.sync.shared import SharedState
from trueup.sync.trash_can import list_trash


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
