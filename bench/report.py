"""From results to tables: medians, ratios, whether each target is met, and the command that measures a line again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from bench.bookkeeping import GROWTH, MANY, PUT_MS, PUTS, WRITERS, Books
from bench.comparison import Case, Target
from bench.ingesting import EXTRA_MS, Known, Million, Passes
from bench.ingesting import MEMORY_MB as INGEST_MB
from bench.limits import (
    LARGE_MB,
    LINEAR,
    PLANNING_FAR_MB,
    PLANNING_KEYS,
    PLANNING_MB,
    PLANNING_SHARE,
    START_UP,
    Large,
    StartUp,
)
from bench.pictures import CURVES, INGESTED, MEMORY, RECONCILED, RECORDS, SERVED, TIME
from bench.reconciling import MEMORY_MB, SHARE, Reconciled
from bench.records import ACCOUNTS, CHANGED, CPU, FASTER, GROWTH_MS, Grown, Merged, Read
from bench.results import Facts, Growth, Result
from bench.serving import CONNECTIONS, FILES, Idle, Served
from bench.timing import Timing
from bench.tools import PEERS

COLUMNS = ("trueup", *PEERS, "bare")
RATIOS = ("rclone", "s5cmd", "best peer", "bare")
IDLE = 0.25
"""Up to this share of the processors other things do not matter."""
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


def planning_verdicts(growth: Sequence[Growth]) -> list[tuple[str, bool]]:
    """Memory at every size; time from the last size but one to the last, as one run measured them."""
    found = []
    for limit, rows in (
        (PLANNING_MB, [one.row for one in growth if one.row.keys <= PLANNING_KEYS]),
        (PLANNING_FAR_MB, [one.row for one in growth if one.row.keys > PLANNING_KEYS]),
    ):
        if rows:
            peak = max(max(row.first.peak_mb, row.next.peak_mb) for row in rows)
            found.append((f"planning < {limit:g} MB up to {rows[-1].keys:,} keys", peak < limit))
    for row in (one.row for one in growth):
        if row.rclone is not None and row.keys == PLANNING_KEYS:
            share = row.next.seconds / row.rclone.seconds
            found.append((f"next ≤ {PLANNING_SHARE:g} × rclone at {row.keys:,} keys", share <= PLANNING_SHARE))
    one_run = [one.row for one in growth if one.facts is growth[-1].facts]
    if len(one_run) > 1:
        middle, last = one_run[-2:]
        grown = max(
            (last.first.seconds / last.keys) / (middle.first.seconds / middle.keys),
            (last.next.seconds / last.keys) / (middle.next.seconds / middle.keys),
        )
        between = f"from {middle.keys:,} to {last.keys:,} keys"
        found.append((f"time per key grows ≤ {LINEAR:g} × {between}", grown <= LINEAR))
    return found


def markdown(sections: Mapping[str, Result], growth: Sequence[Growth], *, pictures: str = "") -> str:
    """The results as a page of tables, each section from the run that is given for it. `pictures`: where the page's
    pictures lie, if it shall show them."""
    head = sections["cases"].facts if "cases" in sections else next(iter(sections.values())).facts
    lines = [*_header(head)]

    def rows(name: str) -> Sequence[Any]:
        return sections[name].found[name] if name in sections else ()

    def add(title: str, only: str, table: Iterable[str], *names: str, picture: tuple[str, str] | None = None) -> None:
        if not any(map(rows, names)):
            return
        lines.extend(["", f"### {title}", ""])
        if only:
            full = any(sections[name].facts["full"] for name in names if name in sections)
            lines.extend([f"`{command(only, full=full)}`", ""])
        for facts in {id(sections[name].facts): sections[name].facts for name in names if name in sections}.values():
            if facts is not head:
                lines.extend([*_header(facts), ""])
        if pictures and picture:
            lines.extend([f"![{picture[1]}]({pictures}/{picture[0]}.svg)", ""])
        lines.extend(table)

    cases = rows("cases")
    full = "cases" in sections and bool(sections["cases"].facts["full"])
    add("Time", "", _times(cases, full=full), "cases", picture=TIME)
    add("Ratios", "", _ratios(cases), "cases")
    add("Peak memory", "", _memory(cases), "cases", picture=MEMORY)
    add("Planning two buckets", "planning", _planning(growth), "planning", picture=CURVES)
    add("Very large files at once", "very-large", _large(rows("large")), "large")
    add("Start-up", "start-up", _started(rows("started")), "started")
    add("The books of the pool", "bookkeeping", _books(rows("books")), "books")
    add("Reconciling", "reconciling", _reconciled(rows("reconciled")), "reconciled", picture=RECONCILED)
    taken = rows("ingested"), rows("ingested_commands"), rows("ingested_many")
    add("Ingesting", "ingesting", _ingested(*taken), "ingested", "ingested_commands", "ingested_many", picture=INGESTED)
    merged = [*rows("merged"), *rows("read"), *rows("grown")]
    add("Records", "records", _records(merged), "merged", "read", "grown", picture=RECORDS)
    add("Serving", "serving", _served([*rows("served"), *rows("idle")]), "served", "idle", picture=SERVED)
    return "\n".join(lines) + "\n"


def command(only: str, *, full: bool) -> str:
    """What measures something again: a case by its name, with dashes so that nothing needs quoting."""
    return f'make bench ARGS="--only {slug(only)}{" --full" if full else ""}"'


def slug(name: str) -> str:
    """A case's name as one word."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def busy(facts: Facts) -> bool:
    """Whether other things kept the machine's processors from the benchmark."""
    return bool(facts["load"] and facts["load"] > IDLE * facts["cpus"])


def _header(facts: Facts) -> Iterable[str]:
    yield f"Measured on {facts['date']}: {facts['cpus']} × {facts['cpu']}, {facts['memory_gb']} GB, {facts['system']}."
    yield f"Files and the server's data lie on {facts['storage'] or 'the disk'}."
    if busy(facts):
        yield f"**The machine was busy with other things**: {facts['load']:g} processes wanted its {facts['cpus']}"
        yield "processors before the benchmark began. Times are too long; CPU seconds and memory hardly suffer."
    yield ""
    yield ", ".join(f"{name} {version}" for name, version in facts["versions"].items()) + "."


def _times(cases: Sequence[Case], *, full: bool) -> Iterable[str]:
    yield "Median seconds (runs). In pictures, each panel has a scale of its own that begins at zero."
    yield ""
    yield _row("case", *(TITLES[tool] for tool in COLUMNS))
    yield _row("---", *["---:"] * len(COLUMNS))
    for case in cases:
        yield _row(case.name, *(_median(case.timings.get(tool, [])) for tool in COLUMNS))
    notes = [f"{case.name}: {note}" for case in cases for note in case.notes]
    if notes:
        yield ""
        yield "; ".join(notes) + "."
    yield ""
    yield "Each line's time, ratios and memory are measured again by"
    yield ""
    yield "```sh"
    yield from (command(case.name, full=full) for case in cases)
    yield "```"


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


def _planning(growth: Sequence[Growth]) -> Iterable[str]:
    yield "Equal listings on both sides, from a server that makes them up. *First*: nothing is remembered, every pair"
    yield "is adopted and recorded. *Next*: every pair is remembered. *Server*: fetching one side's listing. *CPU*: of"
    yield "each tool with its helpers, without the server. *Kept*: the pair's memory on the disk. *rclone*: its dry run"
    yield "over the same buckets, with `--checksum --fast-list`; it holds both listings in memory. *Next* and"
    yield "*rclone*: the median of three in turns, up to 1,000,000 keys."
    yield ""
    first, following = ("first, s", "CPU, s", "µs a key", "MB"), ("next, s", "CPU, s", "µs a key", "MB")
    peer = ("rclone, s", "CPU, s", "MB")
    yield _row("keys a side", "server, s", *first, *following, "kept, MB", *peer, "measured")
    yield _row(*["---:"] * 14, "---")
    for one in growth:
        row, cells = one.row, [f"{one.row.keys:,}", f"{one.row.server_seconds:.2f}"]
        for taken in (row.first, row.next):
            cells += [f"{taken.seconds:.2f}", f"{taken.cpu:.2f}"]
            cells += [f"{taken.seconds / row.keys * 1e6:.0f}", f"{taken.peak_mb:.0f}"]
        kept = "–" if row.kept_mb is None else f"{row.kept_mb:,.1f}"
        beside = ["–"] * 3
        if row.rclone is not None:
            beside = [f"{row.rclone.seconds:.2f}", f"{row.rclone.cpu:.2f}", f"{row.rclone.peak_mb:.0f}"]
        yield _row(*cells, kept, *beside, "" if one.facts is growth[0].facts else _when(one.facts))
    yield ""
    yield from (f"- {wanted}: {'met' if met else '**missed**'}" for wanted, met in planning_verdicts(growth))


def _when(facts: Facts) -> str:
    load = f", on a busy machine (load {facts['load']:g})" if busy(facts) else ""
    return f"{facts['date']}, {facts['cpus']} × {facts['cpu']}{load}"


def _large(rows: Sequence[Large]) -> Iterable[str]:
    yield _row("files", "seconds", "MB", "target", "")
    yield _row("---", "---:", "---:", "---", "---")
    for row in rows:
        peak = row.taken.peak_mb
        cells = _verdict(f"< {LARGE_MB:g} MB", peak < LARGE_MB)
        yield _row(f"{row.files} × {row.size / (1 << 30):g} GiB", f"{row.taken.seconds:.1f}", f"{peak:.0f}", *cells)


def _started(rows: Sequence[StartUp]) -> Iterable[str]:
    yield "A whole `trueup sync` of two empty folders: medians."
    yield ""
    yield _row("runs", "s", "CPU, s", "target", "")
    yield _row("---:", "---:", "---:", "---", "---")
    for row in rows:
        cpu = median(taken.cpu for taken in row.runs)
        cells = _verdict(f"under {START_UP:g} s", row.seconds < START_UP)
        yield _row(str(len(row.runs)), f"{row.seconds:.2f}", f"{cpu:.2f}", *cells)


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


def _ingested(known: Sequence[Known], commands: Sequence[Passes], millions: Sequence[Million]) -> Iterable[str]:
    if commands:
        yield f"Whole commands over SFTP, {commands[0].files:,} files. *First*: every file is taken. *Next*: nothing is"
        yield "new. `rclone copy` compares with what lies in its folder; it remembers nothing and hands nothing on."
        yield ""
        yield _row("tool", "first, s", "next, s", "MB")
        yield _row("---", *["---:"] * 3)
        for row in commands:
            cells = (
                f"{row.first.seconds:.2f}",
                f"{row.next.seconds:.2f}",
                f"{max(row.first.peak_mb, row.next.peak_mb):.0f}",
            )
            yield _row(row.tool, *cells)
        yield ""
    if known:
        yield "What a pass over known files costs beside merely listing them, in a process that goes on."
        yield ""
        yield _row("files", "listing, s", "known, s", "more, ms", "target", "")
        yield _row("---:", *["---:"] * 3, "---", "---")
        for one in known:
            seconds = f"{one.listing:.3f}", f"{one.known:.3f}"
            yield _row(f"{one.files:,}", *seconds, f"{one.extra_ms:.0f}", *_verdict(*known_verdict(one)))
        yield ""
    if millions:
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
