"""The results as pictures: SVG files for the documentation. Nothing is measured here.

Bars begin at zero, each panel has a scale of its own and says its unit; only curves over powers of ten have logarithmic
scales. Each file holds the figures it shows (`Source` in its metadata), so that a test can tell when it is out of date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.results import Growth, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TIME = ("bench-time", "Bars: the seconds of each tool, one panel for each case; the table below has the figures")
MEMORY = ("bench-memory", "Bars: the memory of each tool, one panel for each case; the table below has the figures")
CURVES = (
    "bench-growth",
    "Two curves each: time and memory of planning over the number of keys; the table has the figures",
)
RECONCILED = ("bench-reconciling", "Bars: seconds of listing, of reading rows, and of a reconcile")
INGESTED = ("bench-ingesting", "Bars: seconds of a first and a next pass of trueup and rclone; what known files cost")
RECORDS = ("bench-records", "Bars: CPU seconds of three runs beside a plain loop, and of reading the list")
SERVED = ("bench-serving", "Bars: answers a second, and milliseconds of the middle and the slowest answers")

OURS, THEIRS, BARE = "#0072b2", "#e69f00", "#999999"
"""Okabe and Ito's blue, orange and grey, which colour-blind people can tell apart; each bar has its name, too."""
NAMES = {"trueup": "trueup", "rclone": "rclone", "s5cmd": "s5cmd", "aws": "aws-cli", "bare": "bare loop"}
STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be read out, found and copied
    "svg.hashsalt": "trueup",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # A white card: legible on light and dark pages alike.
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One scale of bars: what was measured, in which unit, and (name, value, colour) from the top down."""

    title: str
    unit: str
    bars: Sequence[tuple[str, float, str]]


def draw(sections: Mapping[str, Result], growth: Sequence[Growth], folder: Path) -> list[Path]:
    """Every picture that there are results for; one that has none any more is removed."""
    import matplotlib as mpl

    mpl.use("svg")
    drawn = []
    with mpl.rc_context(dict(STYLE)):
        for (name, alt), panels in charts(sections).items():
            path = folder / f"{name}.svg"
            path.unlink(missing_ok=True)
            if panels:
                drawn.append(_save(_bars(panels), path, alt, panels))
        path = folder / f"{CURVES[0]}.svg"
        path.unlink(missing_ok=True)
        if growth:
            drawn.append(_save(plot(growth), path, CURVES[1], curves(growth)))
    return drawn


def charts(sections: Mapping[str, Result]) -> dict[tuple[str, str], list[Panel]]:
    """What the bars of each picture show."""

    def rows(name: str) -> Sequence[Any]:
        return sections[name].found[name] if name in sections else ()

    cases = rows("cases")
    return {
        TIME: [_tools(case.name, "seconds", case, lambda runs: median(run.seconds for run in runs)) for case in cases],
        MEMORY: [_tools(case.name, "MB", case, lambda runs: max(run.peak_mb for run in runs)) for case in cases],
        RECONCILED: [
            Panel(
                f"{row.keys:,} objects",
                "seconds",
                [
                    ("listing alone", row.listing.seconds, BARE),
                    ("rows alone", row.rows.seconds, BARE),
                    ("trueup reconcile", row.both.seconds, OURS),
                ],
            )
            for row in rows("reconciled")
        ],
        INGESTED: [*_passes(rows("ingested_commands")), *map(_known, rows("ingested"))],
        RECORDS: [*map(_merged, rows("merged")), *map(_stored, rows("read"))],
        SERVED: _served(rows("served")),
    }


def curves(growth: Sequence[Growth]) -> dict[str, list[tuple[int, float]]]:
    """What the curves show, by name: for each number of keys the seconds, or the MB."""
    return {
        "first: time": [(one.row.keys, one.row.first.seconds) for one in growth],
        "next: time": [(one.row.keys, one.row.next.seconds) for one in growth],
        "next: CPU time": [(one.row.keys, one.row.next.cpu) for one in growth],
        "first: memory": [(one.row.keys, one.row.first.peak_mb) for one in growth],
        "next: memory": [(one.row.keys, one.row.next.peak_mb) for one in growth],
    }


def _tools(title: str, unit: str, case: Any, figure: Any) -> Panel:
    colours = {"trueup": OURS, "bare": BARE}
    bars = [
        (NAMES[tool], figure(case.timings[tool]), colours.get(tool, THEIRS)) for tool in NAMES if case.timings.get(tool)
    ]
    return Panel(title, unit, bars)


def _passes(commands: Sequence[Any]) -> list[Panel]:
    colours = {"trueup": OURS}
    return [
        Panel(
            title,
            "seconds",
            [(row.tool, getattr(row, which).seconds, colours.get(row.tool, THEIRS)) for row in commands],
        )
        for which, title in (("first", "sftp: a first pass"), ("next", "sftp: nothing new"))
        if commands
    ]


def _known(row: Any) -> Panel:
    bars = [("listing alone", 1000 * row.listing, BARE), ("trueup, a pass", 1000 * row.known, OURS)]
    return Panel(f"{row.files:,} known files", "milliseconds", bars)


def _merged(row: Any) -> Panel:
    ours = [(f"trueup, {name}", getattr(row, name).cpu, OURS) for name in ("first", "unchanged", "changed")]
    loops = [("loop", row.loop.cpu, BARE), ("loop, again", row.loop_again.cpu, BARE)]
    return Panel("a records sync", "CPU seconds", [*ours, *loops])


def _stored(row: Any) -> Panel:
    bars = [("stored", 1000 * row.stored, OURS), ("fetched from a sheet", 1000 * row.fetched, BARE)]
    return Panel("reading the list", "milliseconds", bars)


def _served(rows: Sequence[Any]) -> list[Panel]:
    def bars(figure: Any) -> list[tuple[str, float, str]]:
        return [("bare server" if row.bare else row.route, figure(row), BARE if row.bare else OURS) for row in rows]

    return (
        [
            Panel("beside an upload", "answers a second", bars(lambda row: row.a_second)),
            Panel("the middle answer", "milliseconds", bars(lambda row: row.p50_ms)),
            Panel("99 of 100 are faster", "milliseconds", bars(lambda row: row.p99_ms)),
        ]
        if rows
        else []
    )


def _bars(panels: Sequence[Panel]) -> Figure:
    from matplotlib.figure import Figure

    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    most = max(len(panel.bars) for panel in panels)
    figure = Figure(figsize=(8.6, lines * (0.75 + 0.27 * most)), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for ax, one in zip(axes, panels, strict=False):
        panel(ax, one)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    return figure


def panel(ax: Axes, shown: Panel) -> None:
    """One panel of bars."""
    names, values, colours = zip(*shown.bars, strict=True)
    found = ax.barh(range(len(names)), values, color=colours, height=0.72)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlim(0, max(values) * 1.18)  # from zero, and room for the figure behind the longest bar
    ax.bar_label(found, labels=[f"{value:.3g}" if value < 1000 else f"{value:,.0f}" for value in values], padding=3)
    ax.set_title(shown.title, loc="left")
    ax.set_xlabel(shown.unit)
    ax.tick_params(axis="y", length=0)


def plot(growth: Sequence[Growth]) -> Figure:
    """Time and memory over the number of keys."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.5), layout="constrained")
    time, memory = figure.subplots(1, 2)
    looks = {
        "first: time": (THEIRS, "s-", "first run, all is recorded"),
        "next: time": (OURS, "o-", "next run, nothing to do"),
        "next: CPU time": (OURS, "o:", "its CPU time"),
        "first: memory": (THEIRS, "s-", "first run"),
        "next: memory": (OURS, "o-", "next run"),
    }
    other = {one.row.keys for one in growth if one.facts is not growth[0].facts}
    for name, points in curves(growth).items():
        colour, marks, label = looks[name]
        ax = memory if "memory" in name else time
        ax.plot(*zip(*points, strict=True), marks, color=colour, label=label)
        if elsewhere := [point for point in points if point[0] in other]:
            ax.plot(*zip(*elsewhere, strict=True), marks[0], color=colour, markerfacecolor="white")
    if other:
        time.plot([], [], "o", color=OURS, markerfacecolor="white", label="hollow: from another run")
    time.set_yscale("log")
    time.set(title="Time", ylabel="seconds (logarithmic)")
    memory.set_ylim(0, 1.25 * max(one.row.first.peak_mb for one in growth))
    memory.set(title="Memory, all processes", ylabel="MB")
    for ax in (time, memory):
        ax.set_xscale("log")
        ax.set_xlabel("keys on each side (logarithmic)")
        ax.grid(visible=True, color="#dddddd", linewidth=0.6)
        ax.legend(frameon=False, loc="lower right" if ax is memory else "upper left")
    return figure


def _save(figure: Figure, path: Path, alt: str, shown: object) -> Path:
    figure.savefig(path, format="svg", metadata={"Title": alt, "Source": source(shown), "Date": None, "Creator": None})
    lines = (line.rstrip() for line in path.read_text().splitlines())  # matplotlib leaves blanks at their ends
    path.write_text("\n".join(lines) + "\n")
    return path


def source(shown: object) -> str:
    """The figures of a picture as text, to four digits."""
    return json.dumps(shown, default=_parts)


def _parts(value: object) -> object:
    assert isinstance(value, Panel)
    return [value.title, value.unit, [(name, f"{figure:.4g}") for name, figure, _ in value.bars]]
