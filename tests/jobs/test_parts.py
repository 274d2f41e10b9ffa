"""What becomes of a sync when its parts, or the leader's look at them, go wrong. The parts are done in threads of this
process, which is all that the leader can tell them by."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import psycopg
import pytest

from tests.jobs.pairs import Held, Pairs, agreed, edited
from tests.jobs.world import wait_for
from tests.servers.faulty_s3 import Request
from trueup.catalog.base import Catalog
from trueup.catalog.database import database_of, upgrade
from trueup.catalog.sql.heaps import Heaps
from trueup.catalog.sql.tasks import SqlTasks
from trueup.catalog.tasks import FAILURE, REVOKED, SUCCESS, Task
from trueup.config import Settings, SyncConfig, load
from trueup.errors import Busy, DatabaseUnavailable, Interrupted, TrueupError
from trueup.jobs import parts, spread
from trueup.jobs.queue import open_queue, put
from trueup.jobs.registry import JOBS, PARTS, During, run_job
from trueup.jobs.spread import Spread
from trueup.jobs.work import LEASE
from trueup.runs import RunLog
from trueup.stores.ranges import cut
from trueup.sync import plan, ranged, sync, upkeep
from trueup.sync.apply import Applied
from trueup.sync.crew import Crew
from trueup.sync.outputs import Outputs
from trueup.sync.plan import Plan
from trueup.sync.report import SyncRun
from trueup.sync.session import Session
from trueup.sync.shared import SharedState
from trueup.sync.state import RunRow

Answer = TypeVar("Answer")
Moment: TypeAlias = Callable[[Request], bool]
REST = 1.1
"""Seconds after which a connection that was not used is looked at before it is."""


class Here:
    """Takes parts as the broker does, and does them as a worker does."""

    def __init__(self, settings: Settings, _: Catalog) -> None:
        self._settings = settings
        self._catalog = open_queue(settings)
        self._crew = ThreadPoolExecutor(4)

    def check(self) -> None:
        pass

    def workers(self) -> dict[str, list[str]]:
        return {"here": list(PARTS)}

    def submit(self, job: str, arguments: Mapping[str, Any], name: str) -> None:
        put(self._catalog.tasks, self._settings, job, arguments, name)
        self._crew.submit(self._do, name)

    def cancel(self, task: str) -> Task | None:
        return self._catalog.tasks.cancel(task)

    def close(self) -> None:
        self._crew.shutdown()
        self._catalog.close()

    def _do(self, name: str) -> None:
        tasks = self._catalog.tasks

        def cancelled() -> bool:
            found = insisted(lambda: tasks.get(name))
            return found is None or found.cancelled

        while task := insisted(lambda: tasks.start("here", LEASE, task=name)):
            try:
                done = run_job(task.job, settings=self._settings, during=During(stopped=cancelled), **task.arguments)
            except TrueupError as error:
                said = str(error)
                if error.retryable and task.tries < JOBS[task.job].tries:
                    time.sleep(REST)
                    insisted(lambda said=said: tasks.again(name, "here", said, LEASE))
                else:
                    state = REVOKED if isinstance(error, Interrupted) else FAILURE
                    insisted(lambda state=state, said=said: tasks.finish(name, "here", state, result=None, error=said))
            else:
                state = REVOKED if done.status == "interrupted" else SUCCESS
                insisted(lambda state=state, done=done: tasks.finish(name, "here", state, result=done.result))


def insisted(ask: Callable[[], Answer]) -> Answer:
    """What a database answers, which may have been restarted."""
    while True:
        try:
            return ask()
        except TrueupError:
            time.sleep(0.1)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "Remote", Here)


def attempts(run: SyncRun) -> dict[str, set[int]]:
    """How often the parts of each stage were tried."""
    found: dict[str, set[int]] = {}
    for part in run.parts:
        found.setdefault(str(part["stage"]), set()).add(int(str(part["attempts"])))
    return found


def test_a_part_whose_database_was_restarted_is_tried_again(
    pairs: Pairs, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TRUEUP_DATABASE__URL", postgres_url)
    upgrade(postgres_url)
    options = {"delete": True, "keep_loser": True}
    agreed(pairs)
    assert pairs.alone(**options).status == pairs.together(**options).status == "ok"
    stages = {
        "plan": ("right4", lambda request: request.page == 1),
        "copy": ("left4", lambda request: request.method == "PUT" and request.key == "tree/z/1"),
        "delete": ("right4", lambda request: request.method == "DELETE" and request.key == "tree/s/4"),
    }
    for number, (stage, (server, moment)) in enumerate(stages.items()):
        edited(pairs, stage)
        pairs.remove("left", f"s/{number + 2}")
        restarted = threading.Lock()

        def restart(request: Request, moment: Moment = moment, restarted: threading.Lock = restarted) -> None:
            if moment(request) and restarted.acquire(blocking=False):
                with closing(psycopg.connect(postgres_url)) as db:
                    others = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                    assert db.execute(f"select count(pg_terminate_backend(pid)) {others}").fetchone() != (0,)

        pairs.servers[server].faults.before = restart
        many, one = pairs.together(**options), pairs.alone(**options)
        assert restarted.locked()
        assert many.status == one.status == "ok", (many.reason, many.items)
        assert {part["state"] for part in many.parts} == {"SUCCESS"}
        assert max(attempts(many)[stage]) == 2
        assert many.counts == one.counts
        pairs.require_same()


def stopped_when(monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> Outputs:
    """A stop that comes when something begins."""
    began = threading.Event()
    real = getattr(where, name)

    def begins(*arguments: object, **options: object) -> object:
        began.set()
        return real(*arguments, **options)

    monkeypatch.setattr(where, name, begins)
    return Outputs(stopped=began.is_set)


def renamed(pairs: Pairs) -> None:
    """More than a loop goes on for before it asks whether to."""
    for number in range(100):
        pairs.put("left right", f"a/{number}", f"a file that is renamed: {number}")
    assert pairs.together().status == "ok"
    pairs.remove("left", *(f"a/{number}" for number in range(100)))
    for number in range(100):
        pairs.put("left", f"t/{number}", f"a file that is renamed: {number}")


def test_a_stop_is_heeded_while_the_leader_works_by_itself(pairs: Pairs, monkeypatch: pytest.MonkeyPatch):
    renamed(pairs)
    before = {name: dict(server.objects) for name, server in pairs.servers.items()}
    held = Held(pairs.servers["left4"], lambda request: request.page == 1)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(spread, "cut", cut)
            with pytest.raises(Interrupted, match="nothing was done"):
                pairs.together(delete=True, outputs=Outputs(stopped=held.came.is_set))
    finally:
        held.go.set()
    for where, step in ((Spread, "_put_together"), (spread, "find_moves")):
        with monkeypatch.context() as patch, pytest.raises(Interrupted, match="nothing was done"):
            pairs.together(delete=True, outputs=stopped_when(patch, where, step))
    with monkeypatch.context() as patch:
        done = pairs.together(delete=True, outputs=stopped_when(patch, Spread, "_share_out"))
    assert (done.status, {part["stage"] for part in done.parts}) == ("interrupted", {"plan"})
    assert done.reason == "100 of 100 changes were left undone: the run was interrupted"
    assert {name: server.objects for name, server in pairs.servers.items()} == before
    assert pairs.together(delete=True).counts["move_right"] == 100


def test_a_folder_with_a_decomposed_name_is_shared_out_among_its_files(pairs: Pairs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spread, "cut", lambda _store, _parts: ["Caf\u00e9/3", "Caf\u00e9/6"])
    for number in range(9):
        pairs.put("left right", f"Cafe\u0301/{number}", "the same")
    for _ in range(2):
        many, one = pairs.together(), pairs.alone()
        assert (many.status, many.counts) == (one.status, one.counts)
    assert len([part for part in many.parts if part["stage"] == "plan"]) == 3
    pairs.remove("left", "Cafe\u0301/2", "Cafe\u0301/6")
    pairs.put("right", "Cafe\u0301/5", "edited")
    many, one = pairs.together(delete=True), pairs.alone(delete=True)
    assert many.counts == one.counts
    assert many.counts["delete_right"] == 2
    pairs.require_same()


def test_no_range_begins_below_a_name_that_veils_what_lies_there(pairs: Pairs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spread, "cut", lambda _store, _parts: ["c/\u00e9/3", "c/\u00e9/5", "d/3", "t /5"])
    for folder in ("c/\u00e9", "d", "t "):
        for number in range(9):
            pairs.put("left right", f"{folder}/{number}", "the same")
    many, one = pairs.together(), pairs.alone()
    assert (many.status, many.counts) == (one.status, one.counts)
    assert len([part for part in many.parts if part["stage"] == "plan"]) == 4
    pairs.put("left", "c/\u00e9", "a file of the folder's name")
    pairs.put("left", "c/e\u0301", "and another one")
    pairs.remove("left", "c/\u00e9/2", "c/\u00e9/7", "d/1")
    many, one = pairs.together(delete=True), pairs.alone(delete=True)
    assert (many.status, many.counts) == (one.status, one.counts)
    assert (many.counts["delete_right"], len([part for part in many.parts if part["stage"] == "plan"])) == (1, 2)
    pairs.require_same()


def test_deletes_are_left_where_a_part_gave_up_on_its_copies(pairs: Pairs):
    agreed(pairs)
    assert pairs.together().status == "ok"
    pairs.remove("left", "s/1")
    for number in range(25):
        pairs.put("left", f"t/more {number}", "to be copied")
    right = pairs.servers["right4"]
    right.faults.fail("SlowDown", 503, method="PUT")
    done = pairs.together(delete=True)
    assert (done.status, set(attempts(done))) == ("partial", {"plan", "copy"})
    assert re.search(
        r"^\d+ of 26 changes were left undone: not tried after \d+ failures of the store", done.reason or ""
    )
    assert (done.counts["delete_right"], right.objects["tree/s/1"]) == (0, b"s 1 as it was")
    right.faults.clear()
    done = pairs.together(delete=True)
    assert (done.status, done.counts["delete_right"], done.counts["copy_right"]) == ("ok", 1, 25)


def test_a_part_that_is_stopped_while_it_goes_on_with_what_was_begun_is_not_done(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
):
    """Its deletes would go ahead without its copies."""
    agreed(pairs)
    assert pairs.together().status == "ok"
    pairs.remove("left", "s/1")
    pairs.put("left", "t/1", "to be copied")
    begun, stop = threading.Lock(), threading.Event()
    give, apply = Crew.give, ranged.Workplace.apply

    def broken(self: Crew[Any, Any], items: Any) -> None:
        if begun.acquire(blocking=False):
            raise DatabaseUnavailable("the database was restarted")
        give(self, items)

    def applied(self: ranged.Workplace, planned: Plan, row: RunRow, outputs: Outputs) -> Applied:
        if row.run != self.order.header.run:  # what an earlier try had begun
            stop.set()
            outputs = Outputs(stopped=stop.is_set)
        return apply(self, planned, row, outputs)

    with monkeypatch.context() as patch:
        patch.setattr(Crew, "give", broken)
        patch.setattr(ranged.Workplace, "apply", applied)
        done = pairs.together(delete=True)
    assert stop.is_set()
    assert (done.status, done.counts["delete_right"]) == ("interrupted", 0), (done.reason, done.items)
    assert "tree/s/1" in pairs.servers["right4"].objects
    done = pairs.together(delete=True)
    assert (done.status, done.counts["delete_right"]) == ("ok", 1)
    assert pairs.servers["right4"].objects["tree/t/1"] == b"to be copied"


def test_what_ranges_found_is_dropped_when_the_leader_is_stopped(pairs: Pairs, monkeypatch: pytest.MonkeyPatch):
    for number in range(100):
        pairs.put("left", f"a/{number}", "to be copied")
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        pairs.together(outputs=stopped_when(patch, Spread, "_put_together"))
    with closing(sqlite3.connect(database_of(load()).removeprefix("sqlite:///"))) as db:
        assert {heap for (heap,) in db.execute("select distinct heap from job_heaps")} <= {"tasks"}


def test_a_leader_that_cannot_see_its_parts_for_a_moment_goes_on(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    misses = 2
    look = SqlTasks.latest

    def missed(self: SqlTasks, *arguments: Any, **options: Any) -> list[Task]:
        nonlocal misses
        if misses:
            misses -= 1
            raise DatabaseUnavailable("the database was restarted")
        return look(self, *arguments, **options)

    monkeypatch.setattr(SqlTasks, "latest", missed)
    pairs.put("left", "a/1", "to be copied")
    done = pairs.together()
    assert (done.status, done.counts["copy_right"]) == ("ok", 1)
    assert caplog.text.count("how far the parts are cannot be seen: the database was restarted") == 2

    misses = 1
    monkeypatch.setattr(parts, "_AWAY", 0.0)
    with pytest.raises(DatabaseUnavailable):
        pairs.together()
    with closing(open_queue(load())) as queue:
        assert all(task.finished_at for task in queue.tasks.latest())  # nobody goes on for a leader that is gone


def test_what_no_part_did_is_no_more_than_there_was_to_do(pairs: Pairs, monkeypatch: pytest.MonkeyPatch):
    for number in range(4):
        pairs.put("left right", f"a/{number}", "the same on both sides")
    pairs.put("left", "b/1", "new")
    pairs.put("left", "b/2", "new as well")
    with monkeypatch.context() as patch:
        done = pairs.together(outputs=stopped_when(patch, Spread, "_share_out"))
    assert (done.status, done.reason) == ("interrupted", "2 of 2 changes were left undone: the run was interrupted")

    def full(*_: object) -> object:
        raise TrueupError("the database cannot be used: database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ranged.Workplace, "apply", full)
        done = pairs.together()
    assert done.status == "failed"
    assert re.match(
        "the worker that had part 1 failed: the database .* is full; what was not written", done.reason or ""
    )
    assert {name: number for name, number in done.counts.items() if number} == {}
    assert {item["outcome"] for item in done.items} == {"skipped"}
    done = pairs.together()
    assert (done.status, done.counts["copy_right"], done.counts["adopt"]) == ("ok", 2, 4)


def test_another_machine_without_a_memory_of_its_own_uses_the_shared_one(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    agreed(pairs)
    held = Held(pairs.servers["right4"], lambda request: request.method == "PUT" and request.key == "tree/s/4")
    with ThreadPoolExecutor(1) as leader, monkeypatch.context() as elsewhere:
        running = leader.submit(pairs.together)
        try:
            assert held.came.wait(60)
            elsewhere.setenv("TRUEUP_HOME", str(tmp_path / "another machine"))
            elsewhere.setenv("TRUEUP_DATABASE__URL", "sqlite:///trueup.db")
            for left, right in (("left4", "right4"), ("right4", "left4")):
                with pytest.raises(Busy, match="these two places are being synced by run"):
                    sync(left, right, settings=load())
        finally:
            held.go.set()
        assert running.result(60).status == "ok"
        pairs.remove("left", "s/1")
        with plan("left4", "right4", settings=load(), delete=True) as looked:
            assert looked.counts() == {"delete_right": 1}
        done = sync("left4", "right4", config=SyncConfig(delete=True), settings=load())
        assert (done.status, done.counts["delete_right"], done.counts["copy_left"]) == ("ok", 1, 0)
    assert pairs.together(delete=True).counts["unchanged"] == done.counts["unchanged"]


def test_a_database_that_does_not_answer_is_asked_only_where_it_may_know_more(
    pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pairs.put("left", "a/1", "to be copied")
    with closing(sqlite3.connect("trueup.db")) as db:
        db.execute("create table somebody_elses (id integer)")
    assert sync("left4", "right4", settings=load()).status == "ok"
    with closing(sqlite3.connect("trueup.db")) as db:
        assert db.execute("select name from sqlite_master").fetchall() == [("somebody_elses",)]
    monkeypatch.setenv("TRUEUP_DATABASE__URL", "postgresql://127.0.0.1:1/gone")
    assert sync("left4", "right4", settings=load()).status == "ok"  # it has a memory of its own
    (tmp_path / "folder").mkdir()
    assert sync(str(tmp_path / "folder"), "right4", settings=load()).status == "ok"  # workers share no folder
    with pytest.raises(DatabaseUnavailable, match=r"whether workers sync them is not known: .* leave \[database\] out"):
        sync("left1", "right1", settings=load())
    assert pairs.tree("right1") == {}


def lose_the_broker(patch: pytest.MonkeyPatch) -> None:
    submit = Here.submit

    def refused(self: Here, job: str, arguments: Mapping[str, Any], name: str) -> None:
        if arguments.get("stage") == "delete" and arguments["number"] == 1:
            wait_for(lambda: all(task.finished_at for task in self._catalog.tasks.latest(100)), 60)
            raise TrueupError("the broker cannot be reached: refused", cure="Check [server] broker")
        submit(self, job, arguments, name)

    patch.setattr(Here, "submit", refused)


def lose_the_lock(patch: pytest.MonkeyPatch) -> None:
    share_out = Spread._share_out

    def taken(self: Spread, state: SharedState, planned: Plan, stage: str, phases: Any) -> Any:
        shares = share_out(self, state, planned, stage, phases)
        if stage == "delete":
            with closing(sqlite3.connect("trueup.db")) as db, db:
                db.execute("update locks set run = 'another', token = 'another'")
            state.require_lock()
        return shares

    patch.setattr(Spread, "_share_out", taken)


def lose_what_parts_say(patch: pytest.MonkeyPatch) -> None:
    kept = Heaps.kept

    def gone(self: Heaps, heap: str) -> Any:
        if heap.startswith("applied"):
            raise DatabaseUnavailable("the database was restarted", cure="Try again")
        return kept(self, heap)

    patch.setattr(Heaps, "kept", gone)


def lose_what_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    def gone(opened: Session, outputs: Outputs, run: str) -> None:
        raise sqlite3.OperationalError("the database was restarted")

    patch.setattr(upkeep, "expire", gone)


@pytest.mark.parametrize(
    ("lose", "said", "deleted"),
    [
        (lose_the_broker, "the broker cannot be reached: refused; .* Check", 1),
        (lose_the_lock, "these two places are being synced by somebody else by now: .* it again after", 0),
        (lose_what_parts_say, "the database was restarted; .* Try again", 0),
        (lose_what_is_forgotten, "the database was restarted; ", 2),
    ],
)
def test_what_parts_did_is_told_though_their_leader_fails_then(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch, lose: Callable[[pytest.MonkeyPatch], None], said: str, deleted: int
):
    monkeypatch.setattr(spread, "_ITEMS", 1)
    pairs.put("left", "s/1", "to be deleted")
    pairs.put("left", "s/2", "to be deleted as well")
    assert pairs.together().status == "ok"
    pairs.remove("left", "s/1", "s/2")
    for number in range(6):
        pairs.put("left", f"new/{number}", f"new {number}")
    items = StringIO()
    with monkeypatch.context() as patch:
        lose(patch)
        done = pairs.together(delete=True, outputs=Outputs(items_out=items))
    right = pairs.servers["right4"].objects
    assert (done.status, done.exit_code) == ("failed", 1)
    assert re.match(said, done.reason or ""), done.reason
    assert (done.counts["copy_right"], done.counts["delete_right"]) == (6, deleted)
    assert sum(key.startswith("tree/s/") for key in right) == 2 - deleted
    assert done.bytes_right == sum(len(right[f"tree/new/{number}"]) for number in range(6))
    outcomes = [item["outcome"] for item in done.items]
    assert sorted(map(str, outcomes)) == sorted(["done"] * (6 + deleted) + ["skipped"] * (2 - deleted))
    assert [json.loads(line)["outcome"] for line in items.getvalue().splitlines()] == outcomes
    assert {part["stage"] for part in done.parts} >= {"plan", "copy"}
    record = RunLog(load().home).get(done.run)
    assert record is not None
    assert (record.status, record.summary["counts"]) == ("failed", dict(done.counts))
    with closing(sqlite3.connect("trueup.db")) as db, db:
        db.execute("delete from locks")
    done = pairs.together(delete=True)
    assert (done.status, done.counts["delete_right"], done.counts["copy_right"]) == ("ok", 2 - deleted, 0)
