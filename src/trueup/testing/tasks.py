"""The conformance suite of queues of jobs: every sentence of `trueup.catalog.tasks.Tasks` that a test can hold.

class TestMyTasks(TasksContract):
    @pytest.fixture
    def catalog(self):
        yield my_catalog(...)                # no task in it
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

import pytest

from trueup.catalog.base import Catalog, now
from trueup.catalog.tasks import FAILURE, PENDING, RETRY, REVOKED, STARTED, SUCCESS
from trueup.errors import Busy

_LONG: Final = timedelta(minutes=1)
_SHORT: Final = timedelta(milliseconds=300)


class TasksContract:
    """Subclass it, name the class `Test…`, and give it a `catalog` fixture that yields one without tasks."""

    @pytest.fixture
    def catalog(self) -> Catalog:
        """A catalog with no task in it."""
        raise NotImplementedError("give the subclass a `catalog` fixture")

    def test_a_task_comes_back_as_it_was_put(self, catalog: Catalog) -> None:
        put = catalog.tasks.put("t1", "job", {"a.b": "$c", "é": None}, "alone")
        assert catalog.tasks.get("t1") == put
        assert (put.state, put.attempts, put.result, put.started_at) == (PENDING, 0, None, None)
        assert catalog.tasks.latest() == [put]
        assert catalog.tasks.get("t2") is None

    def test_what_is_to_be_alone_is_until_it_is_over(self, catalog: Catalog) -> None:
        catalog.tasks.put("t1", "job", {}, "alone")
        catalog.tasks.put("t2", "job", {}, "other")
        for _ in range(2):  # once while it waits, and once while somebody works at it
            with pytest.raises(Busy, match="job is under way already") as caught:
                catalog.tasks.put("t3", "job", {}, "alone")
            assert caught.value.run == "t1"
            catalog.tasks.start("me", _LONG, task="t1")
        assert catalog.tasks.finish("t1", "me", SUCCESS, result={})
        assert catalog.tasks.put("t3", "job", {}, "alone").state == PENDING
        with pytest.raises(Busy) as caught:
            catalog.tasks.put("t2", "job", {}, "third")
        assert caught.value.run == "t2"

    def test_who_waits_longest_is_started_first(self, catalog: Catalog) -> None:
        for name in ("b", "a", "c"):
            catalog.tasks.put(name, "job", {}, name)
            time.sleep(0.002)  # times are kept to the millisecond
        begun = [catalog.tasks.start("me", _LONG) for _ in range(4)]
        assert [task.id for task in begun if task] == ["b", "a", "c"]
        assert begun[3] is None
        first = begun[0]
        assert first
        assert (first.state, first.holder, first.attempts) == (STARTED, "me", 1)
        assert [task.id for task in catalog.tasks.latest(2)] == ["c", "a"]
        catalog.tasks.put("d", "part", {}, "d")
        assert [task.id for task in catalog.tasks.latest(2, but=("part",))] == ["c", "a"]

    def test_of_many_at_once_each_gets_another_one(self, catalog: Catalog) -> None:
        for number in range(6):
            catalog.tasks.put(f"t{number}", "job", {}, f"t{number}")
        gate = threading.Barrier(6)

        def start(number: int) -> str:
            gate.wait()
            while (task := catalog.tasks.start(f"holder-{number}", _LONG)) is None:
                assert any(found.state == PENDING for found in catalog.tasks.latest())
            return task.id

        with ThreadPoolExecutor(6) as crew:
            assert len(set(crew.map(start, range(6)))) == 6

    def test_how_it_ended_is_kept(self, catalog: Catalog) -> None:
        catalog.tasks.put("t1", "job", {}, "alone")
        catalog.tasks.start("me", _LONG)
        assert not catalog.tasks.finish("t1", "you", SUCCESS, result=None)
        assert catalog.tasks.finish("t1", "me", FAILURE, status="partial", result={"a.b": [1, None]}, error="$it broke")
        task = catalog.tasks.get("t1")
        assert task
        assert (task.state, task.status, task.result, task.error) == (
            FAILURE,
            "partial",
            {"a.b": [1, None]},
            "$it broke",
        )
        assert task.created_at
        assert task.started_at
        assert task.finished_at
        assert task.created_at <= task.started_at <= task.finished_at
        assert not catalog.tasks.finish("t1", "me", SUCCESS, result={})
        assert catalog.tasks.start("me", _LONG) is catalog.tasks.start("me", _LONG, task="t1") is None
        catalog.tasks.put("t2", "other", {}, "other")
        assert catalog.tasks.latest(job="job") == [catalog.tasks.get("t1")]
        assert catalog.tasks.latest(brief=True) == [catalog.tasks.get("t2"), task._replace(result=None)]

    def test_one_that_is_to_be_tried_again_waits_its_time(self, catalog: Catalog) -> None:
        catalog.tasks.put("t1", "job", {}, "alone")
        catalog.tasks.start("me", _LONG)
        assert not catalog.tasks.again("t1", "you", "no", _SHORT)
        assert catalog.tasks.again("t1", "me", "$no answer", _SHORT)
        task = catalog.tasks.get("t1")
        assert task
        assert (task.state, task.error) == (RETRY, "$no answer")
        assert catalog.tasks.start("me", _LONG) is None
        with pytest.raises(Busy):
            catalog.tasks.put("t2", "job", {}, "alone")
        while (begun := catalog.tasks.start("you", _LONG)) is None:
            time.sleep(0.02)
        assert (begun.id, begun.attempts, begun.holder) == ("t1", 2, "you")

    def test_one_that_is_handed_back_may_be_started_at_once_and_that_is_no_failed_try(self, catalog: Catalog) -> None:
        catalog.tasks.put("t1", "job", {}, "alone")
        for number in range(1, 5):
            catalog.tasks.start("me", _LONG, task="t1")
            assert not catalog.tasks.hand_back("t1", "you", "no")
            assert catalog.tasks.hand_back("t1", "me", "$stopped")
            task = catalog.tasks.get("t1")
            assert task
            assert (task.state, task.error) == (RETRY, "$stopped")
            assert (task.attempts, task.handed_back, task.tries) == (number, number, 0)
        begun = catalog.tasks.start("you", _LONG)
        assert begun
        assert (begun.id, begun.attempts, begun.tries) == ("t1", 5, 1)

    def test_what_waits_is_revoked_at_once(self, catalog: Catalog) -> None:
        catalog.tasks.put("t1", "job", {}, "alone")
        task = catalog.tasks.cancel("t1")
        assert task
        assert task.state == REVOKED
        assert catalog.tasks.start("me", _LONG) is None
        assert catalog.tasks.put("t2", "job", {}, "alone").state == PENDING
        assert catalog.tasks.cancel("t3") is None

    def test_who_works_at_it_learns_that_it_was_cancelled(self, catalog: Catalog) -> None:
        for name in ("t1", "t2"):
            catalog.tasks.put(name, "job", {}, name)
            catalog.tasks.start("me", _LONG, task=name)
        assert catalog.tasks.renew("me", ["t1", "t2"], _LONG) == set()
        task = catalog.tasks.cancel("t1")
        assert task
        assert (task.state, task.cancelled) == (STARTED, True)
        assert catalog.tasks.renew("me", ["t1", "t2"], _LONG) == {"t1"}
        assert catalog.tasks.finish("t1", "me", REVOKED, result=None)
        assert catalog.tasks.cancel("t1") == catalog.tasks.get("t1")

    def test_what_nobody_works_at_is_interrupted(self, catalog: Catalog) -> None:
        for name, holder, lease in (("t1", "dead", _LONG), ("t2", "slow", _SHORT), ("t3", "alive", _LONG)):
            catalog.tasks.put(name, "job", {}, name)
            catalog.tasks.start(holder, lease, task=name)
        catalog.tasks.put("t4", "job", {}, "t4")
        assert catalog.tasks.interrupt("dead") in (["t1"], ["t1", "t2"])
        gone: list[str] = []
        while not (gone := gone + catalog.tasks.interrupt("nobody")) and _state(catalog, "t2") == STARTED:
            time.sleep(0.02)
        assert [_state(catalog, name) for name in ("t1", "t2", "t3", "t4")] == [FAILURE, FAILURE, STARTED, PENDING]
        task = catalog.tasks.get("t1")
        assert task
        assert (task.status, task.error) == ("interrupted", "interrupted")
        assert not catalog.tasks.finish("t1", "dead", SUCCESS, result={})
        assert catalog.tasks.put("t5", "job", {}, "t1").state == PENDING

    def test_one_whose_holder_is_dead_is_taken_again_by_its_id(self, catalog: Catalog) -> None:
        catalog.tasks.put("t1", "job", {}, "alone")
        catalog.tasks.start("first", _SHORT, task="t1")
        assert catalog.tasks.start("second", _LONG) is None
        while not (lost := catalog.tasks.lost(_LONG)):
            time.sleep(0.02)
        assert [(task.id, task.state, task.holder) for task in lost] == [("t1", STARTED, "first")]
        assert catalog.tasks.lost(_LONG) == []
        begun = catalog.tasks.start("second", _LONG, task="t1")
        assert begun
        assert catalog.tasks.lost(timedelta()) == []
        assert (begun.holder, begun.attempts) == ("second", 2)
        assert catalog.tasks.renew("first", ["t1"], _LONG) == {"t1"}
        assert not catalog.tasks.finish("t1", "first", SUCCESS, result={})
        assert catalog.tasks.finish("t1", "second", SUCCESS, result={})

    def test_one_that_nobody_begins_for_long_is_told_of_again(self, catalog: Catalog) -> None:
        for name in ("t1", "t2"):
            catalog.tasks.put(name, "job", {}, name)
        catalog.tasks.start("me", _LONG, task="t2")
        catalog.tasks.again("t2", "me", "no answer", _LONG)
        assert catalog.tasks.lost(_LONG) == []
        time.sleep(_SHORT.total_seconds())
        assert [task.id for task in catalog.tasks.lost(_SHORT)] == ["t1"]
        assert catalog.tasks.lost(_SHORT) == []
        begun = catalog.tasks.start("me", _LONG)
        assert begun
        assert begun.id == "t1"

    def test_what_it_said_is_told_in_order_and_forgotten_later(self, catalog: Catalog) -> None:
        for name in ("t1", "t2"):
            catalog.tasks.put(name, "job", {}, name)
            catalog.tasks.start("me", _LONG, task=name)
            catalog.tasks.say(name, 2, [{"event": "b.c"}, {"$x": 1}])
            catalog.tasks.say(name, 1, [{"event": "a"}])
        assert catalog.tasks.said("t1") == [(1, [{"event": "a"}]), (2, [{"event": "b.c"}, {"$x": 1}])]
        assert [number for number, _ in catalog.tasks.said("t1", 1)] == [2]
        assert catalog.tasks.said("t1", 2) == catalog.tasks.said("t3") == []
        catalog.tasks.finish("t1", "me", SUCCESS, result={})
        catalog.tasks.forget(said_before=now() + _LONG, over_before=now() - _LONG)
        assert catalog.tasks.said("t1") == []
        assert len(catalog.tasks.said("t2")) == 2

    def test_what_was_over_long_ago_is_forgotten(self, catalog: Catalog) -> None:
        for name in ("t1", "t2"):
            catalog.tasks.put(name, "job", {}, name)
            catalog.tasks.start("me", _LONG, task=name)
            catalog.tasks.say(name, 1, [{"event": "a"}])
        catalog.tasks.finish("t1", "me", SUCCESS, result={})
        catalog.tasks.forget(said_before=now() - _LONG, over_before=now() - _LONG)
        assert [len(catalog.tasks.said(name)) for name in ("t1", "t2")] == [1, 1]
        catalog.tasks.forget(said_before=now() - _LONG, over_before=now() + _LONG)
        assert [task.id for task in catalog.tasks.latest()] == ["t2"]
        assert [len(catalog.tasks.said(name)) for name in ("t1", "t2")] == [0, 1]


def _state(catalog: Catalog, task: str) -> str:
    found = catalog.tasks.get(task)
    return found.state if found else ""
