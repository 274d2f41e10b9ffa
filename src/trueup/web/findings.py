"""Reconcile: what the last ones found, with filters. From the run log alone: no cloud is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from trueup import keys
from trueup.api.problems import Missing
from trueup.api.routes.storage import Here
from trueup.api.service import Service
from trueup.reconcile.history import Drift, drift, pattern
from trueup.reconcile.report import SHOWN
from trueup.web.page import Page, page

router = APIRouter(route_class=Page)
_LOOKED: Final = 200
"""Newest runs among which reconciles are looked for."""
_REPORTS: Final = 10
"""The newest of them are shown."""
_SHOWN: Final = 500
"""Findings on one page."""


class Report(NamedTuple):
    """One reconcile of the pool."""

    run: str
    at: datetime
    status: str
    reason: str
    providers: list[dict[str, Any]]
    items: list[dict[str, Any]] | None
    """None for one that was started by hand: the log keeps its counts only."""
    cut: bool
    """Whether it found more than the log keeps."""


class Found(NamedTuple):
    """One finding, as it is shown."""

    run: str
    at: datetime
    provider: str
    key: str
    verdict: str
    ledger_size: int | None
    actual_size: int | None
    fix: str
    detail: str


class Compared(NamedTuple):
    """What the last reconcile found of one provider."""

    drift: Drift
    at: datetime
    fixed: bool
    often: bool
    """It differed in each of the last three runs."""


@router.get("/reconcile")
def findings(
    request: Request,
    service: Here,
    provider: str = "",
    verdict: str = "",
    number: Annotated[int, Query(alias="page", ge=1)] = 1,
) -> Response:
    """Those of the last runs, the newest first, a page of them; with `provider` and `verdict` only theirs."""
    reports = _reports(service)
    everything = list(_findings(reports))
    wanted = [one for one in everything if provider in {"", one.provider} and verdict in {"", one.verdict}]
    first = (number - 1) * _SHOWN
    if first and first >= len(wanted):
        raise Missing(f"there is no page {number:,} of these findings")
    chosen = {name: value for name, value in {"provider": provider, "verdict": verdict}.items() if value}
    return page(
        request,
        "findings.html",
        reports=reports,
        providers=sorted({one.provider for one in everything} | ({provider} - {""})),
        verdicts=sorted({one.verdict for one in everything} | ({verdict} - {""})),
        provider=provider,
        verdict=verdict,
        findings=wanted[first : first + _SHOWN],
        first=first + 1,
        count=len(wanted),
        number=number,
        more=first + _SHOWN < len(wanted),
        filter=urlencode(chosen) + "&" if chosen else "",
        anything=bool(everything),
        cut=any(report.cut for report in reports),
        kept=SHOWN,
        by_hand=any(report.items is None for report in reports),
    )


def compared(service: Service) -> dict[str, Compared]:
    """What the last reconcile found of each provider that was ever compared."""
    records = {record.run: record for record in service.history(_LOOKED)}
    rows = drift(records.values(), "pool")
    often = pattern(rows)
    found: dict[str, Compared] = {}
    for row in rows:
        summary: Mapping[str, Any] = records[row.run].summary
        [fixed] = [one["fixed"] for one in summary["providers"] if one["provider"] == row.provider]
        found.setdefault(
            row.provider, Compared(row, datetime.fromisoformat(row.started), fixed, often=row.provider in often)
        )
    return found


def _reports(service: Service) -> list[Report]:
    # Twice as many: some may have come to nothing.
    tasks = service.tasks.latest(2 * _REPORTS, job="sync_storage_stats")
    results = {task.result["run"]: task.result for task in tasks if task.result is not None}
    found = []
    for record in service.history(_LOOKED):
        if (record.job, record.name) != ("reconcile", "pool"):
            continue
        summary: Mapping[str, Any] = record.summary
        at, reason = datetime.fromisoformat(record.started), summary["reason"] or ""
        result = results.get(record.run, {})
        items, cut = result.get("items"), result.get("items_truncated", False)
        found.append(Report(record.run, at, record.status, reason, summary["providers"], items, cut))
    return found[:_REPORTS]


def _findings(reports: list[Report]) -> Iterator[Found]:
    for report in reports:
        for item in report.items or ():
            yield Found(
                run=report.run, at=report.at, provider=item["provider"], key=keys.display(item["key"]),
                verdict=item["verdict"], ledger_size=item["ledger_size"], actual_size=item["actual_size"],
                fix=item["fix"] or "", detail=item["detail"] or "",
            )  # fmt: skip
