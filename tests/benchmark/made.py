"""Results as a run makes them, with figures that are easy to follow."""

from __future__ import annotations

from typing import Any

from bench.bookkeeping import Books
from bench.comparison import Case, Target
from bench.ingesting import Known, Million, Passes
from bench.limits import Large, Planning, StartUp
from bench.reconciling import Reconciled
from bench.records import Grown, Merged, Read
from bench.results import Result
from bench.serving import Idle, Served
from bench.timing import Timing


def timing(seconds: float, *, peak_mb: float = 100.0) -> Timing:
    return Timing(seconds=seconds, cpu=seconds / 2, peak_mb=peak_mb, code=0, output="what it printed")


def facts(**changes: Any) -> dict[str, Any]:
    usual = {
        "date": "2026-01-02",
        "at": "10:00",
        "cpus": 2,
        "cpu": "Abacus",
        "memory_gb": 8,
        "system": "Linux 1 x86_64",
        "storage": "tmpfs",
        "load": 0.1,
        "versions": {"trueup": "0.1.0", "rclone": "1.75"},
        "minutes": 1.0,
        "full": False,
        "only": [],
    }
    return {**usual, **changes}


def case(name: str = "upload 10 small files", **tools: list[float]) -> Case:
    tools = tools or {"trueup": [2.0, 3.0], "rclone": [4.0, 6.0], "s5cmd": [9.0], "bare": [1.0, 1.0]}
    timings = {tool: [timing(seconds) for seconds in runs] for tool, runs in tools.items()}
    targets = (Target(reference="rclone", share=0.6), Target(reference="bare", share=1.25))
    return Case(name=name, targets=targets, memory_mb=120, files=10, bytes=1000, timings=timings, notes=["a note"])


def planning(keys: int, seconds: float = 1.0, rclone: float | None = None) -> Planning:
    return Planning(
        keys=keys,
        server_seconds=0.1,
        first=timing(3 * seconds),
        next=timing(seconds),
        kept_mb=keys * 300 / 1e6,
        rclone=None if rclone is None else timing(rclone),
    )


def everything() -> dict[str, list[Any]]:
    """One row at least of each section."""
    merged = Merged(first=timing(1), unchanged=timing(2), changed=timing(2.5), loop=timing(0.2), loop_again=timing(0.3))
    return {
        "cases": [case(), case("nothing to do, 10")],
        "planning": [planning(10_000, 0.5), planning(100_000, 4.0), planning(1_000_000, 40.0, 90.0)],
        "large": [Large(files=4, size=1 << 30, taken=timing(9))],
        "started": [StartUp(runs=[timing(0.1), timing(0.15)])],
        "books": [Books(database="SQLite", bare=0.1, pool=1.1, stats_few=0.001, stats_many=0.0015)],
        "reconciled": [Reconciled(keys=1000, listing=timing(4), rows=timing(2), both=timing(6))],
        "ingested": [Known(files=10, listing=0.2, known=0.25)],
        "ingested_commands": [
            Passes(tool=tool, files=10, first=timing(3), next=timing(1)) for tool in ("trueup", "rclone")
        ],
        "ingested_many": [Million(keys=1000, taken=timing(8))],
        "merged": [merged],
        "read": [Read(stored=0.005, fetched=0.2)],
        "grown": [Grown(accounts=100, snapshots=1000, taken_ms=12.0)],
        "served": [
            Served(route="/api/x", answers=1000, seconds=2.0, p50_ms=5.0, p99_ms=20.0),
            Served(route="/api/x", answers=9000, seconds=2.0, p50_ms=1.0, p99_ms=2.0, bare=True),
        ],
        "idle": [Idle(resident_mb=123.0)],
    }


def result(found: dict[str, list[Any]] | None = None, **changes: Any) -> Result:
    return Result(facts=facts(**changes), found=everything() if found is None else found)
