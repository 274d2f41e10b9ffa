"""The conformance suite of histories of runs: every sentence of `trueup.catalog.base.RunLog` that a test can hold.

class TestMyRunLog(RunLogContract):
    @pytest.fixture
    def runs(self):
        yield MyRunLog(...)                  # empty
"""

from __future__ import annotations

import pytest

from trueup.catalog.base import RunLog
from trueup.runs import RunRecord


class RunLogContract:
    """Subclass it, name the class `Test…`, and give it a `runs` fixture that yields an empty history."""

    @pytest.fixture
    def runs(self) -> RunLog:
        """No runs yet."""
        raise NotImplementedError("give the subclass a `runs` fixture")

    def test_it_begins_with_nothing(self, runs: RunLog) -> None:
        assert runs.latest() == []
        assert runs.get("20261121T103400Z-3f9c1a") is None
        assert runs.get("") is None

    def test_a_run_comes_back_as_it_was(self, runs: RunLog) -> None:
        run = _run("20261121T103400Z-3f9c1a", summary={"counts": {"a.b": 1, "$c": None}, "bytes": 1 << 70, "é": [0.1]})
        runs.add(run)
        assert runs.latest() == [run]
        assert runs.get(run.run) == run

    def test_a_run_of_the_same_id_is_replaced(self, runs: RunLog) -> None:
        for status in ("failed", "clean"):
            runs.add(_run("20261121T103400Z-3f9c1a", status=status))
        assert [run.status for run in runs.latest()] == ["clean"]

    def test_the_newest_come_first(self, runs: RunLog) -> None:
        made = [_run(f"20261121T10340{number}Z-3f9c1a") for number in range(5)]
        for number in (3, 0, 4, 1, 2):
            runs.add(made[number])
        assert runs.latest() == made[::-1]
        assert runs.latest(2) == made[:2:-1]

    def test_the_beginning_of_an_id_is_enough_if_only_one_has_it(self, runs: RunLog) -> None:
        made = [_run(name) for name in ("20261121T10", "20261121T10-a", "20261122T11-b_", "20261122T11-bc")]
        for run in made:
            runs.add(run)
        assert runs.get("20261122") is None
        assert runs.get("20261122T11-b_") == made[2]
        assert runs.get("20261122T11-bc") == made[3]
        assert runs.get("20261121T10-") == made[1]
        assert runs.get("20261121T10") == made[0]  # all of it, and the beginning of another one
        assert runs.get("20261121t10-") is None
        assert runs.get("2026%") is None
        assert runs.get("") is None


def _run(name: str, *, status: str = "clean", summary: dict[str, object] | None = None) -> RunRecord:
    return RunRecord(
        run=name, job="reconcile", name="pool", status=status, started=name, seconds=1.5, summary=summary or {}
    )
