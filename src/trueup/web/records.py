"""Records: merged values, who gave them, how they grew."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from trueup import records
from trueup.api.problems import Missing
from trueup.api.routes import records as api
from trueup.api.routes.storage import Here
from trueup.errors import ConfigError, UsageError
from trueup.web.chart import Chart, chart
from trueup.web.merged import told
from trueup.web.page import Page, page

router = APIRouter(route_class=Page)
_DAYS: Final = 90
_SHOWN: Final = 200
"""Accounts on one page."""
_OURS: Final = {"id", "project_id", "key", "profile_url", "deleted_at"}
"""What an account has beside its fields."""


@router.get("/records/")
@router.get("/records")
def projects(request: Request, service: Here) -> Response:
    """Every project with its last sync."""
    try:
        known: Any = records.status(service.settings)["projects"]
    except ConfigError:
        known = []
    return page(request, "projects.html", projects=known)


@router.get("/records/{project_id:path}")
def accounts(
    request: Request,
    project_id: str,
    service: Here,
    find: str = "",
    number: Annotated[int, Query(alias="page", ge=1)] = 1,
) -> Response:
    """The merged values of a project, a page of them; with `find` only of accounts whose key or URL holds it. Above
    them what a person should look at since the last sync."""
    found: list[dict[str, Any]] = json.loads(api.listed(service, project_id))["accounts"]
    known: Any = records.status(service.settings)["projects"]
    [project] = [one for one in known if one["id"] == project_id]
    fields = [name for name in found[0] if name not in _OURS] if found else []
    word, last = find.strip().casefold(), project["last"]
    wanted = [one for one in found if word in f"{one['key']}\n{one['profile_url']}".casefold()]
    first = (number - 1) * _SHOWN
    if first and first >= len(wanted):
        raise Missing(f"there is no page {number:,} of these accounts")
    return page(
        request,
        "accounts.html",
        project=project,
        last=last,
        synced=datetime.fromisoformat(last["timestamp"]) if last else None,
        issues=told(last["issues"]) if last else [],
        fields=fields,
        anything=bool(found),
        find=find.strip(),
        accounts=wanted[first : first + _SHOWN],
        first=first + 1,
        count=len(wanted),
        number=number,
        more=first + _SHOWN < len(wanted),
        filter=urlencode({"find": find.strip()}) + "&" if word else "",
    )


@router.get("/accounts/{account_id}")
def account(request: Request, account_id: int, service: Here) -> Response:
    """One account: each field, why it has its value, and how it grew. Not below its project, whose id may look like
    that of another one and an account."""
    try:
        shown: dict[str, Any] = records.show(str(account_id), service.settings)
        past: dict[str, Any] = records.history(str(account_id), service.settings, days=_DAYS)
    except UsageError as error:
        raise Missing(error.message) from error
    fields = [name for name in shown["account"] if name not in _OURS]
    return page(
        request,
        "account.html",
        account=shown["account"],
        provenance=shown["provenance"],
        fields=fields,
        charts=_charts(fields, past["snapshots"]),
        days=_DAYS,
    )


def _charts(fields: list[str], snapshots: list[dict[str, Any]]) -> dict[str, Chart]:
    """By field that holds numbers on two days or more."""
    found = {}
    for name in fields:
        line = chart([(date.fromisoformat(one["date"]), one[name]) for one in snapshots if isinstance(one[name], int)])
        if line is not None:
            found[name] = line
    return found
