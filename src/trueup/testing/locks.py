"""The conformance suite of locks: every sentence of `trueup.catalog.base.Locks` that a test can hold, and what `held`
makes of them.

    class TestMyLocks(LocksContract):
        @pytest.fixture
        def catalog(self):
            yield my_catalog(...)                # no lock in it
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

import pytest

from trueup.catalog.base import Catalog, Claim, now
from trueup.catalog.held import held
from trueup.errors import Busy

_LONG: Final = timedelta(minutes=1)
_SHORT: Final = timedelta(seconds=1)
_STEP: Final = timedelta(milliseconds=2)
"""A database may keep its times only to the millisecond."""


class LocksContract:
    """Subclass it, name the class `Test…`, and give it a `catalog` fixture that yields one without locks."""

    @pytest.fixture
    def catalog(self) -> Catalog:
        """A catalog with no lock in it."""
        raise NotImplementedError("give the subclass a `catalog` fixture")

    def test_a_lock_that_is_free_is_taken_until_it_ends(self, catalog: Catalog) -> None:
        before = _clock(catalog)
        holder, until = catalog.locks.take(_claim("1"), _LONG)
        after = _clock(catalog)
        assert holder == _claim("1")
        assert before + _LONG - _STEP <= until <= after + _LONG + _STEP

    def test_a_lock_that_is_taken_tells_who_has_it(self, catalog: Catalog) -> None:
        _, until = catalog.locks.take(_claim("1"), _LONG)
        for length in (_LONG * 2, _SHORT):
            assert catalog.locks.take(_claim("2"), length) == (_claim("1"), until)
        assert not catalog.locks.renew(_claim("2"), _LONG)
        catalog.locks.release(_claim("2"))
        assert catalog.locks.take(_claim("2"), _LONG) == (_claim("1"), until)

    def test_who_holds_a_lock_is_told_while_it_lasts(self, catalog: Catalog) -> None:
        assert catalog.locks.holder("job") is None
        assert _took(catalog, _claim("1", name="job"))
        assert catalog.locks.holder("job") == _claim("1", name="job")
        assert catalog.locks.holder("other") is None
        assert catalog.locks.renew(_claim("1", name="job"), _SHORT)
        while catalog.locks.holder("job") is not None:
            time.sleep(0.02)
        assert _took(catalog, _claim("2", name="job"))
        catalog.locks.release(_claim("2", name="job"))
        assert catalog.locks.holder("job") is None

    def test_locks_of_other_names_are_others(self, catalog: Catalog) -> None:
        for name in ("$one", "two", "a.b", "é", ""):
            assert _took(catalog, _claim(name, name=name))
        catalog.locks.release(_claim("two", name="two"))
        assert not _took(catalog, _claim("new", name="$one"))
        assert _took(catalog, _claim("new", name="two"))

    def test_what_was_let_go_is_free_and_lost_to_who_had_it(self, catalog: Catalog) -> None:
        catalog.locks.take(_claim("1"), _LONG)
        catalog.locks.release(_claim("1"))
        assert not catalog.locks.renew(_claim("1"), _LONG)
        catalog.locks.release(_claim("1"))
        assert catalog.locks.take(_claim("2"), _LONG)[0] == _claim("2")

    def test_it_is_known_who_holds_a_lock_or_held_it_last(self, catalog: Catalog) -> None:
        assert catalog.locks.who("job") is None
        taken = catalog.locks.take(_claim("1"), _SHORT)
        assert catalog.locks.who("job") == taken
        assert catalog.locks.who("another job") is None
        _wait_for(catalog, taken[1])
        assert catalog.locks.who("job") == taken
        catalog.locks.release(_claim("1"))
        assert catalog.locks.who("job") is None

    def test_a_lock_ends_by_itself_and_who_had_it_learns_that(self, catalog: Catalog) -> None:
        _, until = catalog.locks.take(_claim("1"), _SHORT)
        assert catalog.locks.take(_claim("2"), _LONG)[0] == _claim("1")
        _wait_for(catalog, until)
        assert catalog.locks.take(_claim("2"), _LONG)[0] == _claim("2")
        assert not catalog.locks.renew(_claim("1"), _LONG)
        catalog.locks.release(_claim("1"))
        assert catalog.locks.take(_claim("3"), _LONG)[0] == _claim("2")

    def test_one_that_ended_and_that_nobody_took_is_held_again(self, catalog: Catalog) -> None:
        _, until = catalog.locks.take(_claim("1"), _SHORT)
        _wait_for(catalog, until)
        assert catalog.locks.renew(_claim("1"), _LONG)
        assert catalog.locks.take(_claim("2"), _LONG)[0] == _claim("1")

    def test_a_renewed_lock_outlives_its_length(self, catalog: Catalog) -> None:
        _, until = catalog.locks.take(_claim("1"), _SHORT)
        assert catalog.locks.renew(_claim("1"), _LONG)
        _wait_for(catalog, until)
        holder, later = catalog.locks.take(_claim("2"), _LONG)
        assert (holder, later > until) == (_claim("1"), True)

    def test_a_run_that_is_known_to_be_dead_is_not_waited_for(self, catalog: Catalog) -> None:
        catalog.locks.take(_claim("1", run="$dead"), _LONG)
        for other in ("other", "dead", ""):
            assert not _took(catalog, _claim("2"), instead_of=other)
        assert _took(catalog, _claim("2"), instead_of="$dead")
        assert not catalog.locks.renew(_claim("1"), _LONG)

    def test_of_many_at_once_one_gets_it(self, catalog: Catalog) -> None:
        for name in ("first", "second"):
            gate = threading.Barrier(8)

            def take(token: str, name: str = name, gate: threading.Barrier = gate) -> str:
                gate.wait()
                return catalog.locks.take(_claim(token, name=name), _LONG)[0].token

            with ThreadPoolExecutor(8) as crew:
                assert len(set(crew.map(take, "12345678"))) == 1

    def test_it_is_held_while_a_job_runs_however_long_that_takes(self, catalog: Catalog) -> None:
        with held(catalog.locks, "job", "run-1", "this is being done", length=_SHORT * 2) as hold:
            began = time.monotonic()
            while time.monotonic() - began < _SHORT.total_seconds() * 4:
                with (
                    pytest.raises(
                        Busy, match=r"this is being done by run run-1 \(.*process \d+\).* ends at "
                    ) as caught,
                    held(catalog.locks, "job", "run-2", "this is being done"),
                ):
                    pass
                assert caught.value.run == "run-1"
                time.sleep(0.1)
            hold.check()
        with held(catalog.locks, "job", "run-2", "this is being done"):
            pass

    def test_who_lost_it_learns_that_before_it_changes_something(self, catalog: Catalog) -> None:
        with held(catalog.locks, "job", "run-1", "this is being done") as hold:
            with held(catalog.locks, "job", "run-2", "this is being done", instead_of="run-1") as other:
                with pytest.raises(Busy, match="by somebody else by now"):
                    hold.check()
                other.check()
            with pytest.raises(Busy):
                hold.check()

    def test_the_clock_is_told_in_utc_and_goes_on(self, catalog: Catalog) -> None:
        first = _clock(catalog)
        assert first.utcoffset() == timedelta()
        time.sleep(0.02)
        assert first < _clock(catalog) < first + timedelta(minutes=1)


def _claim(token: str, *, name: str = "job", run: str = "") -> Claim:
    return Claim(name, run or f"run-{token}", f"$host, process {token}", token)


def _clock(catalog: Catalog) -> datetime:
    """The clock that decides."""
    return catalog.clock() or now()


def _took(catalog: Catalog, claim: Claim, *, instead_of: str = "") -> bool:
    return catalog.locks.take(claim, _LONG, instead_of=instead_of)[0] == claim


def _wait_for(catalog: Catalog, until: datetime) -> None:
    while _clock(catalog) <= until:
        time.sleep(0.05)
