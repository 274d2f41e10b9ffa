"""Many who ask the same at the same time, and what each of them may be told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from trueup.api.together import Together


def run(work: Coroutine[Any, Any, None]) -> None:
    """In another thread: a browser's tests leave a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def test_nobody_is_told_what_was_looked_up_before_he_asked():
    begun, looks = 0, 0

    def look() -> bytes:
        nonlocal looks
        looks += 1
        at = begun
        time.sleep(0.02)
        return str(at).encode()

    async def ask(together: Together, number: int) -> None:
        nonlocal begun
        await asyncio.sleep(number * 0.003)
        begun = number
        assert int(await together.answer("x", look)) >= number

    async def main() -> None:
        together = Together()
        await asyncio.gather(*(ask(together, number) for number in range(50)))
        assert not together._begun
        assert not together._next

    run(main())
    assert looks < 20


def test_who_goes_takes_the_answer_from_nobody_and_errors_are_everybody_s():
    go_on = threading.Event()

    def fails() -> bytes:
        assert go_on.wait(30)
        raise ValueError("no")

    async def main() -> None:
        together = Together()
        first, second = (asyncio.create_task(together.answer("x", fails)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        assert await together.answer("y", lambda: b"another") == b"another"
        go_on.set()
        with pytest.raises(ValueError, match="no"):
            await second
        assert await together.answer("x", lambda: b"fine") == b"fine"

    run(main())


def test_what_was_looked_up_is_the_answer_until_something_changes():
    state, looks = {"version": 1, "rows": "a"}, 0

    def look() -> bytes:
        nonlocal looks
        looks += 1
        rows = state["rows"]
        if rows == "b":  # somebody writes while it is looked up
            state.update(version=3, rows="c")
        return str(rows).encode()

    async def main() -> None:
        together = Together()

        async def answers() -> set[bytes]:
            return {await together.answer("x", look, lambda: state["version"]) for _ in range(3)}

        assert await answers() == {b"a"}
        assert looks == 1
        state.update(version=2, rows="b")
        assert await answers() == {b"b", b"c"}
        assert looks == 3
        state.update(version=None)
        assert await answers() == {b"c"}
        assert looks == 6
        assert await together.answer("y", lambda: b"another", lambda: 3) == b"another"

    run(main())


def test_where_it_cannot_be_said_whether_something_changed_nobody_is_told_the_old():
    def gone() -> int:
        raise ValueError("gone")

    async def main() -> None:
        together = Together()
        assert await together.answer("x", lambda: b"old", lambda: 1) == b"old"
        with pytest.raises(ValueError, match="gone"):
            await together.answer("x", lambda: b"old", gone)
        assert not together._begun
        assert not together._next

    run(main())
