"""What runs of the benchmark found, kept as JSON: written, read back, and put together for the documentation."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from bench.bookkeeping import Books
from bench.comparison import Case
from bench.ingesting import Known, Million, Passes
from bench.limits import Large, Planning, StartUp
from bench.reconciling import Reconciled
from bench.records import Grown, Merged, Read
from bench.serving import Idle, Served
from bench.timing import Timing

FOLDER = Path(__file__).with_name("results")
SECTIONS: Mapping[str, type] = {
    "cases": Case,
    "planning": Planning,
    "large": Large,
    "started": StartUp,
    "books": Books,
    "reconciled": Reconciled,
    "ingested": Known,
    "ingested_commands": Passes,
    "ingested_many": Million,
    "merged": Merged,
    "read": Read,
    "grown": Grown,
    "served": Served,
    "idle": Idle,
}
"""Each part of a result, and what one of its rows is."""
Facts = Mapping[str, Any]
Found = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run: what it ran on and with, and rows by section."""

    facts: Facts
    found: Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Planning at one size, and the run that measured it: the largest sizes are not measured each time."""

    facts: Facts
    row: Planning


def write(result: Result) -> Path:
    """Keep a result. Its name says when and where; one of the same day and kind is replaced."""
    facts = result.facts
    parts = [facts["date"], sys.platform, f"{facts['cpus']}cpu", *(["full"] if facts["full"] else []), *facts["only"]]
    path = FOLDER / f"{'-'.join(parts).replace(' ', '_')}.json"
    path.parent.mkdir(exist_ok=True)
    rows = {name: [plain(row) for row in result.found.get(name, ())] for name in SECTIONS}
    path.write_text(json.dumps({**facts, **{name: found for name, found in rows.items() if found}}, indent=1) + "\n")
    return path


def read(path: Path) -> Result:
    """A result that was kept. What its run did not measure yet is missing or has its default."""
    raw = json.loads(path.read_text())
    found = {name: [_typed(kind, row) for row in raw[name]] for name, kind in SECTIONS.items() if name in raw}
    facts = {"at": "", "only": [], "load": None, **{name: value for name, value in raw.items() if name not in SECTIONS}}
    return Result(facts=facts, found=found)


def kept(folder: Path = FOLDER) -> list[Result]:
    """Every result, newest first."""
    found = map(read, sorted(folder.glob("*.json")))
    return sorted(found, key=lambda result: (result.facts["date"], result.facts["at"]), reverse=True)


def together(results: Iterable[Result], *, parts: bool = False) -> dict[str, Result]:
    """For each section the newest result that has it. A run of some cases only says nothing of the others, so without
    `parts` the comparison is always taken from a run of all."""
    chosen: dict[str, Result] = {}
    for result in results:
        for name, rows in result.found.items():
            if rows and (parts or name != "cases" or not result.facts["only"]):
                chosen.setdefault(name, result)
    return chosen


def growth(results: Iterable[Result]) -> list[Growth]:
    """Planning at every size, smallest first, each from the newest result that has this size."""
    chosen: dict[int, Growth] = {}
    for result in results:
        for row in result.found.get("planning", ()):
            chosen.setdefault(row.keys, Growth(facts=result.facts, row=row))
    return [chosen[keys] for keys in sorted(chosen)]


def plain(value: object) -> Any:
    """A row as JSON has it: without what the commands printed."""
    match value:
        case Timing():
            return {"seconds": round(value.seconds, 4), "cpu": round(value.cpu, 4), "peak_mb": round(value.peak_mb, 1)}
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case float():
            return round(value, 6)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _typed(hint: Any, value: Any) -> Any:
    """The reverse of `plain`."""
    if hint is Timing:
        return Timing(**value, code=0, output="")
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{name: _typed(hints[name], value[name]) for name in hints if name in value})
    kind, inner = get_origin(hint), get_args(hint)
    if kind is UnionType and value is not None:
        return _typed(inner[0], value)
    if kind in {list, tuple}:
        return kind(_typed(inner[0], one) for one in value)
    if kind is dict:
        return {name: _typed(inner[1], one) for name, one in value.items()}
    return value


def machine() -> dict[str, Any]:
    """What the figures depend on, and nothing that names the machine or its user. `load`: how many processes were busy
    before ours began."""
    model = ""
    if (info := Path("/proc/cpuinfo")).exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    now = datetime.now(UTC)
    return {
        "date": f"{now:%Y-%m-%d}",
        "at": f"{now:%H:%M}",
        "cpus": os.cpu_count() or 1,
        "cpu": model or platform.machine(),
        "memory_gb": round(memory / 1e9),
        "system": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        "storage": storage(tempfile.gettempdir()),
        "load": round(os.getloadavg()[0], 1),
    }


def storage(folder: str) -> str:
    """The kind of file system a folder lies on: `ext4`, `tmpfs`; empty where the system does not say."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    lines = [line.split() for line in mounts.read_text().splitlines()]
    holding = [(mount, kind) for _, mount, kind, *_ in lines if Path(folder).is_relative_to(mount)]
    return max(holding, key=lambda pair: len(pair[0]))[1]
