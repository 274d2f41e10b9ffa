"""What earlier reconciles found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from trueup.reconcile.report import Totals
from trueup.runs import RunRecord

_PATTERN: Final = 3
"""So many runs in a row are no accident."""


class Drift(NamedTuple):
    """One provider in one run."""

    run: str
    started: str
    provider: str
    status: str
    """`ok`, `mismatch` or `unknown`."""
    files: int | None
    """By how many files the cloud held more than the books said; None where that is unknown."""
    size: int | None
    """The same in bytes."""


def drift(records: Iterable[RunRecord], name: str) -> list[Drift]:
    """Every provider in every reconcile of this name in a history, in its order; the pool's is `pool`."""
    mine = (record for record in records if (record.job, record.name) == ("reconcile", name))
    return [_drift(record, provider) for record in mine for provider in _providers(record)]


def pattern(rows: Iterable[Drift]) -> list[str]:
    """The providers that differed in each of their last three runs; the rows with the newest first."""
    seen: dict[str, list[str]] = {}
    for row in rows:
        if row.status != "unknown":
            seen.setdefault(row.provider, []).append(row.status)
    return sorted(name for name, states in seen.items() if states[:_PATTERN] == ["mismatch"] * _PATTERN)


def _providers(record: RunRecord) -> list[dict[str, Any]]:
    found: Any = record.summary.get("providers")
    return found if isinstance(found, list) else []


def _drift(record: RunRecord, provider: dict[str, Any]) -> Drift:
    actual, ledger = provider["actual"], provider["ledger"]
    status = "unknown" if actual is None else "mismatch" if provider["mismatch"] else "ok"
    more = Totals(**actual) - Totals(**ledger) if actual is not None else (None, None)
    return Drift(record.run, record.started, provider["provider"], status, *more)
