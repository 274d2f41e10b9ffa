"""Threads that work through a queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_LOOK: Final = 0.1
"""Seconds after which the giver looks at the results at the latest."""


class Crew(Generic[Task, Result]):
    """A fixed number of threads that do tasks in the order they were given.

    Neither side waits for the other once an item: a `ThreadPoolExecutor` wakes a thread for every item and its giver
    for every result, which costs more than a small file does. Here a thread that has finished takes the next task
    by itself, and the giver is woken when the tasks run out. `do` must not raise. One thread gives and collects.

    Of the tasks that are `large`, at most `few` are done at once; the next one waits in the queue, and what is behind
    it with it. That all threads work at once is an attempt: when a result says that it was `crowded`, no more than
    `few` do from then on, and every such task that was begun before is done again.
    """

    def __init__(
        self,
        size: int,
        do: Callable[[Task], Result],
        *,
        few: int,
        large: Callable[[Task], bool],
        crowded: Callable[[Result], bool],
        name: str,
    ) -> None:
        self._size = size
        self._do = do
        self._few = few
        self._large = large
        self._crowded = crowded
        self._width = size
        self._doing = 0
        self._doing_large = 0
        self._idle = 0
        self._tasks: deque[Task] = deque()
        self._results: deque[Result] = deque()
        self._more = threading.Condition()
        self._low = threading.Event()
        self._ended = False
        self._open = 0
        self._threads: list[threading.Thread] = []
        for number in range(size):
            thread = threading.Thread(target=self._work, name=f"{name}-{number}")
            try:
                thread.start()
            except RuntimeError:  # the system has no room for another one
                if not self._threads:
                    raise
                break
            self._threads.append(thread)

    def give(self, tasks: Iterable[Task]) -> None:
        """Add tasks at the end of the queue."""
        with self._more:
            before = len(self._tasks)
            self._tasks.extend(tasks)
            added = len(self._tasks) - before
            self._open += added
            self._more.notify(added)

    @property
    def open(self) -> int:
        """Tasks given whose results were not collected yet."""
        return self._open

    @property
    def wants(self) -> bool:
        """Whether a thread may soon have nothing to do."""
        return len(self._tasks) <= self._size

    def collect(self, *, wait: bool = True) -> list[Result]:
        """The results so far, after a wait of a moment at most, or at once."""
        if wait:
            self._low.wait(_LOOK)
            self._low.clear()
        found = []
        while self._results:
            found.append(self._results.popleft())
        self._open -= len(found)
        return found

    def take_back(self) -> list[Task]:
        """The tasks that no thread has begun."""
        with self._more:
            found = list(self._tasks)
            self._tasks.clear()
        self._open -= len(found)
        return found

    def close(self) -> None:
        """Wait for what was begun, and end the threads."""
        self.take_back()
        with self._more:
            self._ended = True
            self._more.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        doing = large = False
        again: list[Task] = []
        while True:
            with self._more:
                self._doing -= doing
                self._doing_large -= large
                if again:
                    self._width = min(self._width, self._few)
                    self._tasks.extend(again)
                while not self._may_begin() and not self._ended:
                    self._idle += 1
                    self._more.wait()
                    self._idle -= 1
                if self._ended:
                    return
                task = self._tasks.popleft()
                doing, large, wide = True, self._large(task), self._width > self._few
                self._doing += 1
                self._doing_large += large
                if self._idle and self._may_begin():  # it may have waited for this one's turn
                    self._more.notify()
            result = self._do(task)
            again = [task] if wide and self._crowded(result) else []
            if not again:
                self._results.append(result)
            if self.wants:
                self._low.set()

    def _may_begin(self) -> bool:
        """Whether there is a task, and room for it."""
        if not self._tasks or self._doing >= self._width:
            return False
        return self._doing_large < self._few or not self._large(self._tasks[0])
