"""From timings to tables: medians, ratios, and whether each target is met."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.bookkeeping import GROWTH, MANY, PUT_MS, PUTS, WRITERS, Books
from bench.comparison import Case, Target
from bench.ingesting import EXTRA_MS, Known, Million
from bench.ingesting import MEMORY_MB as INGEST_MB
from bench.limits import LARGE_MB, LINEAR, PLANNING_MB, Large, Planning
from bench.reconciling import MEMORY_MB, SHARE, Reconciled
from bench.records import ACCOUNTS, CHANGED, CPU, FASTER, GROWTH_MS, Grown, Merged, Read
from bench.serving import CONNECTIONS, FILES, Idle, Served
from bench.timing import Timing
from bench.tools import PEERS, TOOLS

COLUMNS = ("trueup", *PEERS, "bare")
RATIOS = ("rclone", "s5cmd", "best peer", "bare")
TITLES = {"trueup": "trueup", "rclone": "rclone", "s5cmd": "s5cmd", "aws": "aws-cli", "bare": "bare loop"}


def seconds(timings: Sequence[Timing]) -> float | None:
    return median(taken.seconds for taken in timings) if timings else None


def best_peer(case: Case) -> str | None:
    """The peer with the smallest median time."""
    medians = {tool: found for tool in PEERS if (found := seconds(case.timings.get(tool, []))) is not None}
    return min(medians, key=medians.__getitem__, default=None)


def ratio(case: Case, reference: str) -> float | None:
    """trueup's time over a reference's: the median of the ratios of each round, as a machine's speed drifts; where the
    reference ran in fewer rounds, the ratio of the medians."""
    name = best_peer(case) if reference == "best peer" else reference
    ours, theirs = case.timings.get("trueup", []), case.timings.get(name or "", [])
    if not ours or not theirs:
        return None
    if len(ours) == len(theirs):
        return median(a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True))
    return median(a.seconds for a in ours) / median(b.seconds for b in theirs)


def verdicts(case: Case) -> list[tuple[str, bool]]:
    """Each target in words, and whether it is met."""
    found = []
    for target in case.targets:
        reached = ratio(case, target.reference)
        if reached is not None:
            found.append((_wanted(target), reached <= target.share))
    if case.memory_mb is not None and (ours := case.timings.get("trueup")):
        found.append((f"memory < {case.memory_mb:g} MB", max(taken.peak_mb for taken in ours) < case.memory_mb))
    return found


def _wanted(target: Target) -> str:
    name = "bare loop" if target.reference == "bare" else target.reference
    return f"≤ {target.share:.2f} × {name}"


def planning_verdicts(rows: Sequence[Planning]) -> list[tuple[str, bool]]:
    if not rows:
        return []
    peak = max(max(row.first.peak_mb, row.next.peak_mb) for row in rows)
    found = [(f"planning < {PLANNING_MB:g} MB", peak < PLANNING_MB)]
    if len(rows) > 1:
        middle, last = rows[-2], rows[-1]
        growth = max(
            (last.first.seconds / last.keys) / (middle.first.seconds / middle.keys),
            (last.next.seconds / last.keys) / (middle.next.seconds / middle.keys),
        )
        found.append(
            (f"time per key grows ≤ {LINEAR:g} × from {middle.keys:,} to {last.keys:,} keys", growth <= LINEAR)
        )
    return found


def markdown(
    facts: Mapping[str, object],
    cases: Sequence[Case],
    rows: Sequence[Planning],
    large: Sequence[Large],
    books: Sequence[Books],
    reconciled: Sequence[Reconciled],
    known: Sequence[Known],
    millions: Sequence[Million],
    merged: Sequence[Merged | Read | Grown],
    served: Sequence[Served | Idle],
) -> str:
    """The result as a page of tables."""
    lines = [*_header(facts)]
    if cases:
        lines += ["", "### Time", "", *_times(cases), "", "### Ratios", "", *_ratios(cases)]
        lines += ["", "### Peak memory", "", *_memory(cases)]
    if rows:
        lines += ["", "### Planning two buckets", "", *_planning(rows)]
    if large:
        lines += ["", "### Very large files at once", "", *_large(large)]
    if books:
        lines += ["", "### The books of the pool", "", *_books(books)]
    if reconciled:
        lines += ["", "### Reconciling", "", *_reconciled(reconciled)]
    if known or millions:
        lines += ["", "### Ingesting", "", *_ingested(known, millions)]
    if merged:
        lines += ["", "### Records", "", *_records(merged)]
    if served:
        lines += ["", "### Serving", "", *_served(served)]
    return "\n".join(lines) + "\n"


def _header(facts: Mapping[str, object]) -> Iterable[str]:
    versions = facts["versions"]
    assert isinstance(versions, dict)
    yield f"Measured on {facts['date']}: {facts['cpus']} × {facts['cpu']}, {facts['memory_gb']} GB, {facts['system']}."
    yield f"Files and the server's data lie on {facts['storage'] or 'the disk'}."
    yield ""
    yield ", ".join(f"{name} {version}" for name, version in versions.items()) + "."


def _times(cases: Sequence[Case]) -> Iterable[str]:
    yield "Median seconds (runs)."
    yield ""
    yield _row("case", *(TITLES[tool] for tool in COLUMNS))
    yield _row("---", *["---:"] * len(COLUMNS))
    for case in cases:
        yield _row(case.name, *(_median(case.timings.get(tool, [])) for tool in COLUMNS))
    notes = [f"{case.name}: {note}" for case in cases for note in case.notes]
    if notes:
        yield ""
        yield "; ".join(notes) + "."


def _median(timings: Sequence[Timing]) -> str:
    return f"{seconds(timings):.2f} ({len(timings)})" if timings else "–"


def _ratios(cases: Sequence[Case]) -> Iterable[str]:
    yield "trueup's time as a share of the other's; below 1 trueup is faster."
    yield ""
    yield _row("case", *(f"/ {'bare loop' if name == 'bare' else name}" for name in RATIOS), "target", "")
    yield _row("---", *["---:"] * len(RATIOS), "---", "---")
    for case in cases:
        found = verdicts(case) or [("", True)]
        cells = [f"{value:.2f}" if (value := ratio(case, name)) is not None else "–" for name in RATIOS]
        if best := best_peer(case):
            cells[RATIOS.index("best peer")] += f" ({TITLES[best]})"
        yield _row(case.name, *cells, *_verdict(*found[0]))
        for further in found[1:]:
            yield _row("", *[""] * len(RATIOS), *_verdict(*further))


def _verdict(wanted: str, met: bool) -> tuple[str, str]:  # noqa: FBT001 - a pair as `verdicts` gives it
    return (wanted, "" if not wanted else "met" if met else "**missed**")


def _memory(cases: Sequence[Case]) -> Iterable[str]:
    yield "The most resident memory of a tool and all it started, in MB, over all runs."
    yield ""
    yield _row("case", *(TITLES[tool] for tool in COLUMNS))
    yield _row("---", *["---:"] * len(COLUMNS))
    for case in cases:
        peaks = [max((taken.peak_mb for taken in case.timings.get(tool, [])), default=None) for tool in COLUMNS]
        yield _row(case.name, *("–" if peak is None else f"{peak:.0f}" for peak in peaks))


def _planning(rows: Sequence[Planning]) -> Iterable[str]:
    yield "Equal listings on both sides, from a server that makes them up. *First*: nothing is remembered, every pair"
    yield "is adopted and recorded. *Next*: every pair is remembered. *Server*: fetching one side's listing."
    yield ""
    yield _row("keys a side", "server, s", "first, s", "µs a key", "MB", "next, s", "µs a key", "MB")
    yield _row(*["---:"] * 8)
    for row in rows:
        cells = [f"{row.keys:,}", f"{row.server_seconds:.2f}"]
        for taken in (row.first, row.next):
            cells += [f"{taken.seconds:.2f}", f"{taken.seconds / row.keys * 1e6:.0f}", f"{taken.peak_mb:.0f}"]
        yield _row(*cells)
    yield ""
    yield from (f"- {wanted}: {'met' if met else '**missed**'}" for wanted, met in planning_verdicts(rows))


def _large(rows: Sequence[Large]) -> Iterable[str]:
    yield _row("files", "seconds", "MB", "target", "")
    yield _row("---", "---:", "---:", "---", "---")
    for row in rows:
        peak = row.taken.peak_mb
        cells = _verdict(f"< {LARGE_MB:g} MB", peak < LARGE_MB)
        yield _row(f"{row.files} × {row.size / (1 << 30):g} GiB", f"{row.taken.seconds:.1f}", f"{peak:.0f}", *cells)


def books_by_database(books: Sequence[Books]) -> dict[str, Books]:
    """The median of each figure over the rounds, by database."""
    found = {}
    for name in dict.fromkeys(taken.database for taken in books):
        rounds = [taken for taken in books if taken.database == name]
        figures = ("bare", "pool", "stats_few", "stats_many")
        found[name] = Books(database=name, **{of: median(getattr(taken, of) for taken in rounds) for of in figures})
    return found


def books_verdicts(taken: Books) -> list[tuple[str, bool]]:
    return [
        (f"≤ {PUT_MS:g} ms a put", taken.put_ms <= PUT_MS),
        (f"stats takes ≤ {GROWTH:g} × as long", taken.stats_many <= GROWTH * taken.stats_few),
    ]


def _books(books: Sequence[Books]) -> Iterable[str]:
    yield f"{PUTS:,} small puts by {WRITERS} threads into memory, with the books of the pool and without them."
    yield f"`stats` with few objects on the books, and with {MANY:,}."
    yield ""
    yield _row("database", "bare, s", "pool, s", "ms a put", "stats, ms", "with many, ms", "target", "")
    yield _row("---", *["---:"] * 5, "---", "---")
    for name, taken in books_by_database(books).items():
        looks = [f"{1000 * seconds:.2f}" for seconds in (taken.stats_few, taken.stats_many)]
        first, *others = books_verdicts(taken)
        yield _row(name, f"{taken.bare:.2f}", f"{taken.pool:.2f}", f"{taken.put_ms:.2f}", *looks, *_verdict(*first))
        for further in others:
            yield _row("", *[""] * 5, *_verdict(*further))


def reconciled_verdicts(row: Reconciled) -> list[tuple[str, bool]]:
    """Each target, and whether it is met."""
    return [
        (f"at most {SHARE} of listing and reading one after the other", row.share <= SHARE),
        (f"under {MEMORY_MB:.0f} MB", row.both.peak_mb < MEMORY_MB),
    ]


def _reconciled(rows: Sequence[Reconciled]) -> Iterable[str]:
    yield "`trueup reconcile` over books and a bucket that agree, beside merely listing and merely reading the rows."
    yield ""
    yield _row("objects", "listing, s", "rows, s", "reconcile, s", "share", "MB", "target", "")
    yield _row("---:", *["---:"] * 5, "---", "---")
    for row in rows:
        seconds = [f"{taken.seconds:.1f}" for taken in (row.listing, row.rows, row.both)]
        first, *others = reconciled_verdicts(row)
        yield _row(f"{row.keys:,}", *seconds, f"{row.share:.2f}", f"{row.both.peak_mb:.0f}", *_verdict(*first))
        for further in others:
            yield _row("", *[""] * 5, *_verdict(*further))


def known_verdict(row: Known) -> tuple[str, bool]:
    """The target, and whether it is met."""
    return f"at most {EXTRA_MS:.0f} ms more than listing", row.extra_ms <= EXTRA_MS


def million_verdict(row: Million) -> tuple[str, bool]:
    """The target, and whether it is met."""
    return f"under {INGEST_MB:.0f} MB", row.taken.peak_mb < INGEST_MB


def _ingested(known: Sequence[Known], millions: Sequence[Million]) -> Iterable[str]:
    yield "`trueup ingest` over SFTP: the first pass takes every file, the others know them all."
    yield ""
    yield _row("files", "first, s", "listing, s", "known, s", "more, ms", "target", "")
    yield _row("---:", *["---:"] * 4, "---", "---")
    for row in known:
        seconds = [f"{taken:.3f}" for taken in (row.first, row.listing, row.known)]
        yield _row(f"{row.files:,}", *seconds, f"{row.extra_ms:.0f}", *_verdict(*known_verdict(row)))
    yield ""
    yield "And over a bucket, in a new process that has to look every name up."
    yield ""
    yield _row("names", "s", "MB", "target", "")
    yield _row("---:", "---:", "---:", "---", "---")
    for many in millions:
        figures = f"{many.taken.seconds:.1f}", f"{many.taken.peak_mb:.0f}"
        yield _row(f"{many.keys:,}", *figures, *_verdict(*million_verdict(many)))


def records_verdict(row: Merged | Read | Grown) -> tuple[str, bool]:
    """The target, and whether it is met."""
    match row:
        case Merged():
            runs = (row.first, row.unchanged, row.changed)
            return f"at most {CPU:g} s of our own CPU time", max(taken.cpu for taken in runs) <= CPU
        case Read():
            return f"at least {FASTER} × faster", row.faster >= FASTER
        case Grown():
            return f"under {GROWTH_MS:g} ms", row.taken_ms < GROWTH_MS


def _records(rows: Sequence[Merged | Read | Grown]) -> Iterable[str]:
    yield f"`trueup records sync` of {ACCOUNTS:,} accounts with five numbers, from a spreadsheet and a CSV"
    yield f"file: into an empty read model, with nothing new, and with {CHANGED:,} accounts changed. Beside a loop"
    yield "that reads two files and upserts row by row. Seconds of the whole command, and of CPU time."
    yield ""
    yield _row("case", "s", "CPU, s", "target", "")
    yield _row("---", "---:", "---:", "---", "")
    for row in rows:
        match row:
            case Merged():
                target = _verdict(*records_verdict(row))
                for name in ("first", "unchanged", "changed", "loop", "loop_again"):
                    taken: Timing = getattr(row, name)
                    cells = target if name == "first" else ("", "")
                    yield _row(name.replace("_", ", "), f"{taken.seconds:.2f}", f"{taken.cpu:.2f}", *cells)
            case Read():
                yield _row("the list, stored", f"{row.stored:.4f}", "", *_verdict(*records_verdict(row)))
                yield _row("the list, fetched", f"{row.fetched:.4f}", "", "", "")
            case Grown():
                name = f"growth of {row.accounts} accounts among {row.snapshots:,} snapshots"
                yield _row(name, f"{row.taken_ms / 1000:.4f}", "", *_verdict(*records_verdict(row)))


def _served(rows: Sequence[Served | Idle]) -> Iterable[str]:
    yield f"`trueup serve`, asked by {CONNECTIONS} clients without a pause while one of its jobs uploads {FILES:,}"
    yield "small files; and its memory when it has nothing to do."
    yield ""
    yield _row("what", "answers a second", "p50, ms", "p99, ms", "target", "")
    yield _row("---", *["---:"] * 3, "---", "---")
    for row in rows:
        yield _row(*row.cells(), *_verdict(*row.verdict()))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> dict[str, object]:
    """What the figures depend on, and nothing that names the machine or its user."""
    model = ""
    if (info := Path("/proc/cpuinfo")).exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cpus": os.cpu_count() or 1,
        "cpu": model or platform.machine(),
        "memory_gb": round(memory / 1e9),
        "system": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        "storage": storage(tempfile.gettempdir()),
    }


def storage(folder: str) -> str:
    """The kind of file system a folder lies on: `ext4`, `tmpfs`; empty where the system does not say."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    lines = [line.split() for line in mounts.read_text().splitlines()]
    holding = [(mount, kind) for _, mount, kind, *_ in lines if Path(folder).is_relative_to(mount)]
    return max(holding, key=lambda pair: len(pair[0]))[1]


def raw(
    cases: Sequence[Case],
    rows: Sequence[Planning],
    large: Sequence[Large],
    books: Sequence[Books],
    reconciled: Sequence[Reconciled],
    known: Sequence[Known],
    millions: Sequence[Million],
    merged: Sequence[Merged | Read | Grown],
    served: Sequence[Served | Idle],
) -> dict[str, object]:
    """Everything measured, without what the commands printed."""
    tools = {
        case.name: {tool: [_figures(taken) for taken in case.timings.get(tool, [])] for tool in TOOLS} for case in cases
    }
    return {
        "cases": [
            {
                "name": case.name,
                "files": case.files,
                "bytes": case.bytes,
                "notes": case.notes,
                "timings": tools[case.name],
                "ratios": {name: ratio(case, name) for name in RATIOS},
                "targets": [{"target": wanted, "met": met} for wanted, met in verdicts(case)],
            }
            for case in cases
        ],
        "planning": [asdict(row) | {"first": _figures(row.first), "next": _figures(row.next)} for row in rows],
        "planning_targets": [{"target": wanted, "met": met} for wanted, met in planning_verdicts(rows)],
        "large": [{"files": row.files, "size": row.size, "taken": _figures(row.taken)} for row in large],
        "books": [asdict(taken) | {"put_ms": round(taken.put_ms, 2)} for taken in books],
        "books_targets": {
            name: [{"target": wanted, "met": met} for wanted, met in books_verdicts(taken)]
            for name, taken in books_by_database(books).items()
        },
        "reconciled": [
            {"keys": row.keys, "share": row.share}
            | {name: _figures(getattr(row, name)) for name in ("listing", "rows", "both")}
            | {"targets": [{"target": wanted, "met": met} for wanted, met in reconciled_verdicts(row)]}
            for row in reconciled
        ],
        "ingested": [asdict(row) | {"extra_ms": round(row.extra_ms, 1)} for row in known],
        "ingested_many": [{"keys": row.keys, "taken": _figures(row.taken)} for row in millions],
        "ingested_targets": [
            {"target": wanted, "met": met}
            for wanted, met in (*map(known_verdict, known), *map(million_verdict, millions))
        ],
        "records": [
            {name: _figures(value) if isinstance(value, Timing) else value for name, value in _shallow(row)}
            for row in merged
        ],
        "records_targets": [{"target": wanted, "met": met} for wanted, met in map(records_verdict, merged)],
        "served": [asdict(row) for row in served],
        "served_targets": [{"target": wanted, "met": met} for wanted, met in (row.verdict() for row in served)],
    }


def _shallow(row: Merged | Read | Grown) -> Iterable[tuple[str, object]]:
    """Its fields, as they are."""
    return ((field.name, getattr(row, field.name)) for field in fields(row))


def _figures(taken: Timing) -> dict[str, float]:
    return {"seconds": round(taken.seconds, 4), "cpu": round(taken.cpu, 4), "peak_mb": round(taken.peak_mb, 1)}
