"""Charts made of characters."""

from __future__ import annotations

import io
from datetime import date, timedelta

import pytest

from trueup.cli.chart import WIDE, bar, has_blocks, line

FIRST = date(2026, 10, 20)


def days(*values: int | None) -> dict[date, int]:
    return {FIRST + timedelta(days=day): value for day, value in enumerate(values) if value is not None}


@pytest.mark.parametrize(
    ("values", "drawn", "plain"),
    [
        ((), "", ""),
        ((5,), "▁", "_"),
        ((5, 5, 5), "▁▁▁", "___"),
        ((10, 11, 12, 13, 14, 15, 16, 17), "▁▂▃▄▅▆▇█", "_.-~=+*#"),
        ((0, None, None, 100), "▁  █", "_  #"),
        ((9, 0), "█▁", "#_"),
    ],
)
def test_a_line_goes_from_the_least_to_the_greatest_value(values: tuple[int | None, ...], drawn: str, plain: str):
    assert line(days(*values)) == drawn
    assert line(days(*values), blocks=False) == plain


def test_many_days_share_their_places_and_the_last_of_them_counts():
    drawn = line(days(*range(WIDE), *range(WIDE), 1000))
    assert len(drawn) == WIDE // 3 * 2 + 1
    assert drawn[-1] == "█"
    assert set(drawn[:-1]) == {"▁"}


@pytest.mark.parametrize(
    ("value", "drawn", "plain"),
    [(100, "█" * 20, "#" * 20), (-50, "█" * 10, "#" * 10), (1, "▏", "|"), (0, "", "")],
)
def test_a_bar_is_as_long_as_its_part_of_the_greatest_and_is_seen_unless_it_is_nothing(
    value: int, drawn: str, plain: str
):
    assert bar(value, 100) == drawn
    assert bar(value, 100, blocks=False) == plain
    assert bar(0, 0) == ""


def test_blocks_are_drawn_only_where_they_can_be_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    assert has_blocks(io.TextIOWrapper(io.BytesIO(), "utf-8"))
    assert not has_blocks(io.TextIOWrapper(io.BytesIO(), "latin-1"))
    assert not has_blocks(io.StringIO())
    monkeypatch.setenv("TERM", "linux")
    assert not has_blocks(io.TextIOWrapper(io.BytesIO(), "utf-8"))
