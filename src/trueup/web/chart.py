"""A line over days, as numbers for an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

WIDTH: Final = 320
HEIGHT: Final = 96
_EDGE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One day."""

    x: float
    y: float
    day: date
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A line in a box of `WIDTH` by `HEIGHT`, oldest day at the left."""

    points: tuple[Point, ...]
    low: int
    high: int

    @property
    def box(self) -> str:
        """The `viewBox`."""
        return f"0 0 {WIDTH} {HEIGHT}"

    @property
    def line(self) -> str:
        """The `points` of a polyline."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)

    @property
    def area(self) -> str:
        """The `points` of the polygon below the line."""
        return f"{self.points[0].x:.1f},{HEIGHT} {self.line} {self.points[-1].x:.1f},{HEIGHT}"

    @property
    def gain(self) -> int:
        """From the first day to the last."""
        return self.points[-1].value - self.points[0].value


def chart(values: Sequence[tuple[date, int]]) -> Chart | None:
    """Of one value a day, in any order; days without one are left out, and the line goes straight over them. None for
    less than two days: that is no line."""
    days = sorted(values)
    if len(days) < 2:
        return None
    low, high = min(value for _, value in days), max(value for _, value in days)
    first, span = days[0][0], (days[-1][0] - days[0][0]).days
    # A flat line runs through the middle.
    scaled = [(value - low) / (high - low) if high > low else 0.5 for _, value in days]
    points = tuple(
        Point(
            x=_EDGE + (WIDTH - 2 * _EDGE) * (day - first).days / span,
            y=HEIGHT - _EDGE - (HEIGHT - 2 * _EDGE) * share,
            day=day,
            value=value,
        )
        for (day, value), share in zip(days, scaled, strict=True)
    )
    return Chart(points=points, low=low, high=high)
