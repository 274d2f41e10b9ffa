"""Threads that work through a queue: nothing lost, nothing done twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.sync.crew import Crew

TOO_MANY = 10**6
"""A result that says so."""


def crew_of(size: int, do: Callable[[int], int], *, few: int = 1) -> Crew[int, int]:
    """A crew to whom 1,000 and more is large."""
    return Crew(
        size,
        do,
        few=few,
        large=lambda task: task >= 1000,
        crowded=lambda result: result == TOO_MANY,
        name="test",
    )


@contextmanager
def stuck(size: int) -> Iterator[tuple[Crew[int, int], threading.Event, list[int]]]:
    """A crew whose first task waits for the event; and the tasks it began."""
    go = threading.Event()
    begun: list[int] = []

    def do(task: int) -> int:
        begun.append(task)
        go.wait(20)
        return -task

    with closing(crew_of(size, do)) as crew:
        yield crew, go, begun
        go.set()


@pytest.mark.parametrize("size", [1, 2, 32])
@pytest.mark.parametrize("tasks", [0, 1, 31, 5000])
def test_every_task_is_done_once(size: int, tasks: int) -> None:
    found: list[int] = []
    with closing(crew_of(size, lambda task: -task)) as crew:
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
    with closing(crew_of(3, lambda task: task + 1)) as crew:
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
    with closing(crew_of(8, lambda task: -task)) as crew:
        crew.give(range(100))
        while crew.open:
            found += crew.collect()
    assert len(found) == 100
    assert not any(thread.is_alive() for thread in started)


@given(tasks=st.lists(st.sampled_from([1, 1000]), max_size=60), size=st.integers(1, 8), few=st.integers(1, 8))
def test_few_large_ones_are_done_at_once_and_nobody_waits_for_ever(tasks: list[int], size: int, few: int):
    lock = threading.Lock()
    now = {1: 0, 1000: 0}
    most = 0

    def do(task: int) -> int:
        nonlocal most
        with lock:
            now[task] += 1
            most = max(most, now[1000])
        time.sleep(0)
        with lock:
            now[task] -= 1
        return task

    found: list[int] = []
    began = time.monotonic()
    with closing(crew_of(size, do, few=few)) as crew:
        for begin in range(0, len(tasks), 7):
            crew.give(tasks[begin : begin + 7])
        while crew.open:
            found += crew.collect()
            assert time.monotonic() - began < 20
    assert sorted(found) == sorted(tasks)
    assert most <= few


def test_small_ones_go_on_beside_large_ones_that_take_long() -> None:
    go = threading.Event()
    together = threading.Barrier(3)

    def do(task: int) -> int:
        if task >= 1000:
            go.wait(20)
        else:
            together.wait(20)  # all three at once, or never
        return task

    with closing(crew_of(8, do, few=2)) as crew:
        crew.give([1000, 1001, 1, 2, 3, 1002])
        found: list[int] = []
        while len(found) < 3:
            found += crew.collect()
        assert sorted(found) == [1, 2, 3]
        crew.give([4])
        assert crew.take_back() == [1002, 4]  # the third large one waits, and what is behind it
        go.set()
        while crew.open:
            found += crew.collect()
    assert sorted(found) == [1, 2, 3, 1000, 1001]


@given(count=st.integers(0, 80), size=st.integers(1, 12), few=st.integers(1, 12), room=st.integers(1, 12))
def test_what_was_one_too_many_is_done_again_among_few(count: int, size: int, few: int, room: int):
    lock = threading.Lock()
    now = 0
    refused = 0

    def do(task: int) -> int:
        nonlocal now, refused
        with lock:
            now += 1
            crowded = now > room
            refused += crowded
        time.sleep(0)
        with lock:
            now -= 1
        return TOO_MANY if crowded else task

    found: list[int] = []
    began = time.monotonic()
    with closing(crew_of(size, do, few=few)) as crew:
        crew.give(range(count))
        while crew.open:
            found += crew.collect()
            assert time.monotonic() - began < 20
    assert len(found) == count
    if room >= min(few, size):  # so few are no crowd, or all that there are
        assert sorted(found) == list(range(count))
    if size <= few:  # and nobody tries twice what was no attempt
        assert found.count(TOO_MANY) == refused


def test_what_is_to_be_done_again_can_be_taken_back_and_a_closed_crew_does_it_not() -> None:
    go = threading.Event()
    begun: list[int] = []

    def do(task: int) -> int:
        begun.append(task)
        go.wait(20)
        return TOO_MANY

    with closing(crew_of(4, do, few=1)) as crew:
        crew.give(range(4))
        while len(begun) < 4:
            time.sleep(0.01)
        assert crew.take_back() == []
        go.set()
        crew.close()
        assert sorted(begun) == [0, 1, 2, 3]
