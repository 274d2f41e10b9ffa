"""Threads that work through a queue: nothing lost, nothing done twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from trueup.sync.crew import Crew


@contextmanager
def stuck(size: int) -> Iterator[tuple[Crew[int, int], threading.Event, list[int]]]:
    """A crew whose first task waits for the event; and the tasks it began."""
    go = threading.Event()
    begun: list[int] = []

    def do(task: int) -> int:
        begun.append(task)
        go.wait(20)
        return -task

    with closing(Crew(size, do, name="test")) as crew:
        yield crew, go, begun
        go.set()


@pytest.mark.parametrize("size", [1, 2, 32])
@pytest.mark.parametrize("tasks", [0, 1, 31, 5000])
def test_every_task_is_done_once(size: int, tasks: int) -> None:
    found: list[int] = []
    with closing(Crew[int, int](size, lambda task: -task, name="test")) as crew:
        for begin in range(0, tasks, 256):
            crew.give(range(begin, min(begin + 256, tasks)))
            while not crew.wants:
                found += crew.collect()
        while crew.open:
            found += crew.collect()
        assert crew.collect() == []
    assert sorted(found, reverse=True) == [-task for task in range(tasks)]


def test_what_was_not_begun_can_be_taken_back_and_what_was_is_finished() -> None:
    with stuck(2) as (crew, go, begun):
        crew.give(range(10))
        while len(begun) < 2:
            threading.Event().wait(0.01)
        assert crew.take_back() == list(range(2, 10))
        assert crew.open == 2
        go.set()
        found: list[int] = []
        while crew.open:
            found += crew.collect()
        assert sorted(found) == [-1, 0]


def test_closing_ends_the_threads_and_begins_nothing_more() -> None:
    before = threading.active_count()
    with stuck(2) as (crew, go, begun):
        crew.give(range(10))
        while len(begun) < 2:
            threading.Event().wait(0.01)
        go.set()
        crew.close()
        assert len(begun) <= 10
    assert threading.active_count() == before


def test_a_crew_works_on_after_it_ran_dry() -> None:
    with closing(Crew[int, int](3, lambda task: task + 1, name="test")) as crew:
        for number in range(50):
            crew.give([number])
            found: list[int] = []
            while crew.open:
                found += crew.collect()
            assert found == [number + 1]


def test_a_system_without_room_for_more_threads_has_the_work_done_by_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    found: list[int] = []
    with closing(Crew[int, int](8, lambda task: -task, name="test")) as crew:
        crew.give(range(100))
        while crew.open:
            found += crew.collect()
    assert len(found) == 100
    assert not any(thread.is_alive() for thread in started)
