"""What a sync of records reports, in the form outsiders script against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from trueup.records.config import Project
from trueup.records.issues import CREDENTIALS

SHOWN: Final = 10_000
"""Changes, and issues, in the result of a project; the counts hold all."""
_SUCCESS: Final = frozenset({"ok", "partial", "degraded", "dry-run"})
_LONG: Final = frozenset({"issues", "changes", "issues_truncated", "changes_truncated"})
_CODES: Final = {"ok": 0, "dry-run": 0, "refused": 3, "busy": 4}


@dataclass(slots=True, kw_only=True)
class ProjectResult:
    """How the sync of one project went."""

    project: Project
    timestamp: str
    """As of when it was merged: UTC, RFC 3339."""
    status: str = "ok"
    """`ok`, `partial`, `degraded`, `failed`, `refused`, `busy` or `dry-run`."""
    degraded: bool = False
    """Its sheet could not be read."""
    error: dict[str, str] | None = None
    """`code` and `message`."""
    attempts: int = 1
    """How often the sheet was asked."""
    total_accounts: int = 0
    updated_count: int = 0
    """Accounts whose merged values are in the read model now."""
    changed_count: int = 0
    """Rows that were written for it."""
    snapshot_count: int = 0
    issues: list[dict[str, object]] = field(default_factory=list)
    changes: list[dict[str, object]] = field(default_factory=list)

    @property
    def success(self) -> bool:
        """Whether its accounts were merged."""
        return self.status in _SUCCESS

    def summary(self) -> dict[str, object]:
        """Without changes and issues, which may be many."""
        return {name: value for name, value in self.to_json().items() if name not in _LONG} | {
            "issue_count": len(self.issues)
        }

    def to_json(self) -> dict[str, object]:
        """As documented."""
        shown: dict[str, object] = {"issues": self.issues[:SHOWN], "changes": self.changes[:SHOWN]}
        for name, rows in (("issues", self.issues), ("changes", self.changes)):
            if len(rows) > SHOWN:
                shown[f"{name}_truncated"] = True
        return {
            "success": self.success,
            "project_id": self.project.id,
            "project_name": self.project.name,
            "status": self.status,
            "degraded": self.degraded,
            "error": self.error,
            "attempts": self.attempts,
            "total_accounts": self.total_accounts,
            "updated_count": self.updated_count,
            "changed_count": self.changed_count,
            "snapshot_count": self.snapshot_count,
            "timestamp": self.timestamp,
            **shown,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsRun:
    """A finished sync of records."""

    run: str
    timestamp: str
    total_projects: int
    """Inactive ones included."""
    results: tuple[ProjectResult, ...]
    warnings: tuple[str, ...] = ()
    """Who could not be told of it and is told later, and that it is not in the history; in sentences."""
    seconds: float

    @property
    def error_count(self) -> int:
        """Projects that were not merged."""
        return sum(not result.success for result in self.results)

    @property
    def status(self) -> str:
        """That of all projects where they agree, else `partial`."""
        found = {result.status for result in self.results}
        return found.pop() if len(found) == 1 else "partial" if found else "ok"

    @property
    def exit_code(self) -> int:
        """0 when all went well, 2 when the sheet's credentials are unusable, 3 when all were refused, 4 when one is
        being synced already, else 1."""
        found = {result.status for result in self.results}
        if any(result.error and result.error["code"] == CREDENTIALS for result in self.results):
            return 2
        if "busy" in found:
            return 4
        return _CODES.get(self.status, 1) if len(found) < 2 else 1

    def counts(self) -> dict[str, int]:
        """Over all projects."""
        return {
            "accounts": sum(result.total_accounts for result in self.results),
            "changed": sum(result.changed_count for result in self.results),
            "snapshots": sum(result.snapshot_count for result in self.results),
            "issues": sum(len(result.issues) for result in self.results),
            "failed": self.error_count,
        }

    def summary(self) -> dict[str, object]:
        """Without changes and issues."""
        results = [result.summary() for result in self.results]
        return {**self.to_json(), "job": "records", "seconds": round(self.seconds, 3), "results": results}

    def to_json(self) -> dict[str, object]:
        """As documented."""
        return {
            "success": not self.error_count,
            "run": self.run,
            "status": self.status,
            "total_projects": self.total_projects,
            "success_count": len(self.results) - self.error_count,
            "error_count": self.error_count,
            "results": [result.to_json() for result in self.results],
            "timestamp": self.timestamp,
            "warnings": list(self.warnings),
        }
