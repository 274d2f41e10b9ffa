from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.records.merge import RULES, Heard, Kept, Said, decide, merge

counts = st.integers(0, 2**63 - 1)
maybe = st.none() | counts


def kept(value: int | str, winner: str = "parsed", **heard: int) -> Kept:
    return Kept(value=value, winner=winner, heard={who: Heard(said, "2026-01-01") for who, said in heard.items()})


def maximum(*values: int | None) -> int | str | None:
    """As the merge of two sources at a time sees them."""
    result = None
    for value in values:
        result = merge("max", Said(sheet=result, parsed=value)).kept.value
    return result


# ----- laws


@given(st.lists(maybe, min_size=3, max_size=3))
def test_the_greatest_is_the_same_in_whatever_order_they_come(values: list[int | None]):
    assert len({maximum(*order) for order in permutations(values)}) == 1


@given(maybe, maybe, maybe)
def test_the_greatest_is_the_same_however_they_are_grouped(a: int | None, b: int | None, c: int | None):
    assert maximum(maximum(a, b), c) == maximum(a, maximum(b, c))


@given(st.sampled_from(RULES), counts, counts)
def test_merging_again_changes_nothing(rule: str, sheet: int, parsed: int):
    said = Said(sheet=sheet, parsed=parsed)
    once = merge(rule, said, now="2026-01-01").kept
    assert merge(rule, said, once, now="2026-01-02", force=True).kept == once


@given(st.sampled_from([rule for rule in RULES if rule not in {"sum", "latest"}]), maybe, maybe)
def test_merging_with_the_read_model_again_changes_nothing(rule: str, sheet: int | None, stored: int | None):
    before = Kept() if stored is None else kept(stored, sheet=stored)
    said = Said(sheet=sheet, stands_in=True)
    once = merge(rule, said, before, now="2026-01-02").kept
    assert merge(rule, said, once, now="2026-01-03").kept == once


@given(st.sampled_from(RULES), maybe, maybe, maybe)
def test_the_value_is_one_of_the_candidates_or_their_sum(
    rule: str, sheet: int | None, parsed: int | None, stored: int | None
):
    before = Kept() if stored is None else kept(stored)
    result = merge(rule, Said(sheet=sheet, parsed=parsed), before, force=True).kept
    said = [value for value in (sheet, parsed) if value is not None] or [stored]
    assert result.value in said or (rule == "sum" and result.value == sum(filter(None, said)))
    if result.winner not in {None, "sum"}:
        assert result.candidates[str(result.winner)] == result.value


@given(st.sampled_from(RULES), counts)
def test_what_is_absent_is_never_zero(rule: str, value: int):
    assert merge(rule, Said(sheet=value)).kept.value == value
    assert merge(rule, Said(parsed=value)).kept.value == value
    assert merge(rule, Said()).kept.value is None


# ----- the rules


@pytest.mark.parametrize(
    ("rule", "sheet", "parsed", "value", "winner"),
    [
        ("max", 5, 7, 7, "parsed"),
        ("max", 7, 5, 7, "sheet"),
        ("max", 7, 7, 7, "sheet"),
        ("max", 0, None, 0, "sheet"),
        ("min", 5, 7, 5, "sheet"),
        ("min", None, 7, 7, "parsed"),
        ("sheet", 5, 7, 5, "sheet"),
        ("sheet", None, 7, 7, "parsed"),
        ("parsed", 5, 7, 7, "parsed"),
        ("parsed", 5, None, 5, "sheet"),
        ("parsed", "a", "b", "b", "parsed"),
        ("sum", 5, 7, 12, "sum"),
        ("sum", 5, None, 5, "sheet"),
        ("latest", 5, 7, 5, "sheet"),
    ],
)
def test_a_rule_says_who_wins(rule: str, sheet: int | None, parsed: int | None, value: int, winner: str):
    result = merge(rule, Said(sheet=sheet, parsed=parsed)).kept
    assert (result.value, result.winner) == (value, winner)


def test_the_latest_is_what_was_first_seen_last():
    first = merge("latest", Said(sheet=5, parsed=7), now="1").kept
    second = merge("latest", Said(sheet=5, parsed=6), first, now="2").kept
    third = merge("latest", Said(sheet=4, parsed=6), second, now="3").kept
    assert [one.value for one in (first, second, third)] == [5, 6, 4]


def test_an_outage_makes_nothing_newer():
    first = merge("latest", Said(sheet=5, parsed=7), now="1").kept
    second = merge("latest", Said(sheet=5, parsed=6), first, now="2").kept
    without = merge("latest", Said(parsed=6, stands_in=True), second, now="3").kept
    back = merge("latest", Said(sheet=5, parsed=6), without, now="4").kept
    assert [one.value for one in (second, without, back)] == [6, 6, 6]


# ----- what is stored


@pytest.mark.parametrize(("rule", "value"), [("max", 9), ("min", 4), ("sheet", 9), ("parsed", 4), ("sum", 9)])
def test_the_stored_value_stands_in_for_a_sheet_that_cannot_be_read(rule: str, value: int):
    assert merge(rule, Said(parsed=4, stands_in=True), kept(9)).kept.value == value


def test_the_stored_value_takes_part_when_nobody_says_anything():
    assert merge("max", Said(), kept(9)).kept.value == 9


def test_a_value_may_fall_when_both_sources_say_so():
    result = merge("max", Said(sheet=5, parsed=6), kept(9, sheet=5))
    assert (result.kept.value, result.suppressed_decrease) == (6, False)


# ----- what is told


def test_a_lowered_sheet_is_told_once_when_the_greater_value_stays():
    lowered = merge("max", Said(sheet=5, stands_in=True), kept(9, "sheet", sheet=9))
    assert lowered.kept.value == 9
    assert lowered.suppressed_decrease
    assert not merge("max", Said(sheet=5, stands_in=True), lowered.kept).suppressed_decrease


@pytest.mark.parametrize(("rule", "parsed"), [("max", 4), ("sheet", 8), ("min", 8)])
def test_a_lowered_sheet_that_wins_is_not_told(rule: str, parsed: int):
    result = merge(rule, Said(sheet=5, parsed=parsed), kept(9, "sheet", sheet=9))
    assert result.kept.value == 5
    assert not result.suppressed_decrease


def test_an_absurd_jump_is_set_aside_and_changes_nothing():
    result = merge("max", Said(sheet=90, parsed=10_001), kept(100, sheet=90))
    assert (result.kept.value, result.kept.winner, result.spike) == (100, "stored", 10_001)
    assert "parsed" not in result.kept.candidates


@pytest.mark.parametrize(("stored", "parsed"), [(100, 10_000), (99, 1_000_000), (100, 5)])
def test_growth_in_proportion_is_no_spike(stored: int, parsed: int):
    assert merge("max", Said(parsed=parsed), kept(stored)).spike is None


def test_a_person_may_believe_a_spike_and_may_enter_one():
    assert merge("max", Said(parsed=1_000_000), kept(100), force=True).kept.value == 1_000_000
    assert merge("max", Said(sheet=1_000_000), kept(100)).kept.value == 1_000_000


def test_nobody_wins_among_nobody():
    assert decide("max", {}, {}) == (None, None)
