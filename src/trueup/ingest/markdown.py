"""A diagnosis as a report for people: the verdict first, then the detail. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterator

from trueup.ingest.diagnose import Diagnosis

_LISTED = 200
"""Files that are named; the counts hold all."""


def report(done: Diagnosis) -> str:
    """The report, in Markdown."""
    return "\n".join(_lines(done)) + "\n"


def _lines(done: Diagnosis) -> Iterator[str]:
    yield f"# {_text(done.name)}: {done.status}"
    yield ""
    yield from (f"- {_text(why)}" for why in done.why)
    if done.advice:
        yield ""
        yield "## What to do"
        yield ""
        yield from (f"- {_text(advice)}" for advice in done.advice)
    yield ""
    yield "## Where the files are"
    yield ""
    yield "| layer | files | missing |"
    yield "|---|---:|---:|"
    for layer, count in done.counts.items():
        if count is not None:
            yield f"| {layer} | {count:,} | {done.missing_by_layer[layer]:,} |"
    if done.missing_count:
        yield ""
        yield (
            f"Missing somewhere: {done.missing_count:,}, of {done.oldest:%Y-%m-%d} to {done.newest:%Y-%m-%d}."
            if (done.oldest and done.newest)
            else f"Missing somewhere: {done.missing_count:,}."
        )
    if done.growth is not None:
        yield f"Since the last diagnosis: {done.growth:+,}."
    if done.by_cause:
        yield ""
        yield "## Why"
        yield ""
        yield "| cause | files |"
        yield "|---|---:|"
        yield from (f"| {cause} | {count:,} |" for cause, count in done.by_cause.most_common())
        yield ""
        yield "| file | cause | matters | |"
        yield "|---|---|---|---|"
        shown = sorted(done.files, key=lambda found: not found.matters)[:_LISTED]
        for found in shown:
            matters = "yes" if found.matters else "no"
            yield f"| {_text(found.path)} | {found.cause} | {matters} | {_text(found.detail)} |"
        if len(done.files) > _LISTED:
            yield ""
            yield f"And {len(done.files) - _LISTED:,} more."


def _text(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char for char in text)
