"""What a sync of records did, and what a person should look at, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from trueup.records import issues as kinds
from trueup.web.words import value

_ISSUES: Final = 100
"""Of a sync on one page."""
_SAID: Final = {
    kinds.SUPPRESSED_DECREASE: "the sheet lowers it to {value}; the greater number is kept",
    kinds.SPIKE: "{value} is out of all proportion and was set aside",
    kinds.FORMULA_KEPT: "not written: the cell holds a formula",
    kinds.CELL_EDITED: "not written: somebody edited the cell meanwhile",
    kinds.DUPLICATE_KEY: "rows {rows} are of one account; the first counts",
    kinds.MISSING_COLUMN: "the sheet has no such column",
    kinds.BAD_CELL: "cannot be read",
    kinds.FAILED_ROW: "its parser failed, and it stays as it was",
    kinds.ROW_MOVED: "its row moved meanwhile (rows {rows})",
}


class Told(NamedTuple):
    """One issue."""

    where: str
    """Project, cell, account, field: what is known of them."""
    what: str


class Merged(NamedTuple):
    """A sync of one project or several."""

    projects: list[Mapping[str, Any]]
    issues: list[Told]
    """The first."""
    left_out: int
    more: bool
    """Even the result does not hold them all."""


def merged(result: Mapping[str, Any]) -> Merged | None:
    """Of the result of a run; None where that was no sync of records."""
    if "total_projects" not in result:
        return None
    projects: list[Mapping[str, Any]] = result["results"]
    found: list[Told] = []
    for project in projects:
        name = project["project_name"] if len(projects) > 1 else ""
        found += told(project.get("issues", ()), name)
    # The log of what somebody ran by hand has their number only.
    count = sum(project.get("issue_count", len(project.get("issues", ()))) for project in projects)
    more = any(project.get("issues_truncated") for project in projects)
    return Merged(projects, found[:_ISSUES], count - len(found[:_ISSUES]), more)


def told(issues: Sequence[Mapping[str, Any]], project: str = "") -> list[Told]:
    """The first of them, in words."""
    return [_told(issue, project) for issue in issues[:_ISSUES]]


def _told(issue: Mapping[str, Any], project: str) -> Told:
    where = [part for part in (project, issue.get("cell"), issue.get("key"), issue.get("field")) if part]
    said = _SAID.get(issue["kind"], issue["kind"].replace("_", " "))
    said = said.format(value=value(issue.get("value")), rows=", ".join(f"{row:,}" for row in issue.get("rows", ())))
    reason = issue.get("reason")
    return Told(", ".join(where), f"{said}: {reason}" if reason else said)
