from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.records.growth import Snapshot, growth

NOON = datetime.fromisoformat("2026-03-29T12:00:00")  # clocks were put forward that night


def taken(days_ago: int, value: int | None, *, minutes: float = 0) -> Snapshot:
    time = NOON - timedelta(days=days_ago) + timedelta(minutes=minutes)
    return Snapshot(time=time, date=time.date(), fields={"views": value})


def test_growth_is_the_last_snapshot_against_the_one_a_day_older():
    found = growth("k", [taken(2, 50), taken(1, 100), taken(0, 112)], ["views"])
    assert found is not None
    assert found.to_json() == {
        "key": "k",
        "days": 1,
        "gaps": [],
        "fields": {"views": {"from": 100, "to": 112, "delta": 12, "percent": 12.0}},
    }


@pytest.mark.parametrize(("minutes", "days"), [(-90, 1), (0, 1), (0.1, 1), (61, 1), (120, 1), (121, 2), (600, 2)])
def test_a_run_that_is_late_or_a_clock_that_was_put_forward_makes_no_other_day(minutes: float, days: int):
    found = growth("k", [taken(2, 50), taken(1, 100, minutes=minutes), taken(0, 112)], ["views"])
    assert found is not None
    assert (found.days, found.gaps) == (days, ())
    assert found.fields["views"].before == {1: 100, 2: 50}[days]


def test_days_without_a_snapshot_are_listed():
    found = growth("k", [taken(4, 50), taken(0, 60)], ["views"])
    assert found is not None
    assert found.gaps == (date(2026, 3, 26), date(2026, 3, 27), date(2026, 3, 28))
    assert found.days == 4


def test_nothing_is_said_of_growth_from_zero_or_from_the_unknown():
    for before, delta in ((0, 5), (None, None)):
        found = growth("k", [taken(1, before), taken(0, 5)], ["views"])
        assert found is not None
        assert (found.fields["views"].delta, found.fields["views"].percent) == (delta, None)


def test_an_account_with_one_snapshot_has_no_growth_yet_and_one_without_has_no_line():
    found = growth("k", [taken(0, 5)], ["views"])
    assert found is not None
    assert (found.days, found.fields["views"].before, found.fields["views"].after) == (0, None, 5)
    assert growth("k", [], ["views"]) is None


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_from_and_delta_make_to(before: int, after: int):
    found = growth("k", [taken(1, before), taken(0, after)], ["views"])
    assert found is not None
    assert found.fields["views"].delta == after - before
