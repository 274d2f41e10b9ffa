"""What the routes take and answer, as OpenAPI describes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from trueup.catalog.tasks import Task
from trueup.runs import stamped

State = Literal["PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"]
Moment = Annotated[datetime, PlainSerializer(lambda at: stamped(at.astimezone(UTC)), return_type=str, when_used="json")]
"""RFC 3339 in UTC, to the millisecond."""

_RUN = "20261121T103400Z-3f9c1a"
_WHEN = "2026-11-21T10:34:00.000Z"
_STAMP = "2026-11-21T10:34:00Z"
_PROJECT = "539eaae0-6c17-4b38-8fee-6cc565836863"
_DONE = {"run": _RUN, "status": "ok"}

RunId = Annotated[str, Path(description="Of a task that was queued, or a run by hand.", examples=[_RUN])]
DownloadId = Annotated[str, Path(description="Its own, or that of the task that fetched it.", examples=["dl_0f9d"])]
ProjectId = Annotated[str, Path(description="As the settings have it, with its slashes.", examples=[_PROJECT])]
AccountId = Annotated[int, Path(description="As the accounts of its project have it.", examples=[1])]
SyncName = Annotated[str, Path(description="That of a `[sync.NAME]`.", examples=["site"])]
IngestName = Annotated[str, Path(description="That of an `[ingest.NAME]`.", examples=["stats"])]


class Queued(BaseModel):
    """A job that was queued."""

    message: str = Field(examples=["Storage sync task queued successfully"])
    task_id: str = Field(examples=[_RUN])
    status: str = Field(examples=["Task will run in the background. Check logs for results."])


class TaskStatus(BaseModel):
    """How a task is getting on."""

    task_id: str = Field(examples=[_RUN])
    state: State = Field(examples=["SUCCESS"])
    result: dict[str, Any] | None = Field(
        description="The JSON of what it ran, when that is over.", examples=[_DONE | {"providers": [], "items": []}]
    )
    error: str | None = Field(examples=[None])


class Run(BaseModel):
    """One run: a job that was queued, or one that somebody started by hand."""

    id: str = Field(examples=[_RUN])
    job: str = Field(examples=["sync_files"])
    arguments: dict[str, Any] = Field(examples=[{"name": "site"}])
    state: State = Field(examples=["SUCCESS"])
    status: str = Field(description="How it says it ended; empty before that.", examples=["ok"])
    error: str | None = Field(examples=[None])
    attempts: int = Field(examples=[1])
    created_at: Moment | None = Field(examples=[_WHEN])
    started_at: Moment | None = Field(examples=[_WHEN])
    finished_at: Moment | None = Field(examples=[_WHEN])


class RunDetail(Run):
    """The same with its result."""

    result: dict[str, Any] | None = Field(
        description="The JSON of what it ran, when that is over.", examples=[_DONE | {"counts": {"copy_right": 1}}]
    )


class Runs(BaseModel):
    """The newest first."""

    runs: list[Run]


class ProviderStats(BaseModel):
    """One provider's numbers."""

    model_config = ConfigDict(from_attributes=True)

    provider: str = Field(examples=["gcs"])
    total_size_bytes: int = Field(examples=[1073741824])
    total_size_gb: float = Field(examples=[1.0], description="Of 2^30 bytes.")
    file_count: int = Field(examples=[42])
    available_bytes: int = Field(examples=[4294967296])
    available_gb: float = Field(examples=[4.0])
    used_percentage: float = Field(examples=[20.0])
    is_full: bool = Field(examples=[False])
    last_updated: str = Field(examples=[_STAMP])


class StorageStats(BaseModel):
    """The pool's numbers."""

    model_config = ConfigDict(from_attributes=True)

    providers: list[ProviderStats]
    total_size_bytes: int = Field(examples=[1073741824])
    total_size_gb: float = Field(examples=[1.0])
    total_file_count: int = Field(examples=[42])


class ProjectSync(BaseModel):
    """How the sync of one project went."""

    model_config = ConfigDict(extra="allow")

    success: bool = Field(examples=[True])
    project_id: str = Field(examples=[_PROJECT])
    project_name: str = Field(examples=["Project A"])
    total_accounts: int = Field(examples=[2])
    updated_count: int = Field(examples=[2], description="Accounts whose merged values are in the read model.")
    snapshot_count: int = Field(examples=[2])
    timestamp: str = Field(examples=[_STAMP])
    degraded: bool = Field(examples=[False], description="Whether the sheet could not be read.")


class SmartSync(BaseModel):
    """How a sync of records went."""

    model_config = ConfigDict(extra="allow")

    success: bool = Field(examples=[True])
    total_projects: int = Field(examples=[1])
    success_count: int = Field(examples=[1])
    error_count: int = Field(examples=[0])
    results: list[ProjectSync]
    timestamp: str = Field(examples=[_STAMP])


class SyncStatus(BaseModel):
    """What is known of the sync of records."""

    success: bool = Field(examples=[True])
    total_projects: int = Field(examples=[2])
    active_projects: int = Field(examples=[1])
    cache_enabled: bool = Field(description="Whether a broker is configured.", examples=[False])
    timestamp: str = Field(examples=[_STAMP])
    last_run: str | None = Field(examples=[_STAMP])
    next_run: str | None = Field(examples=["2026-11-21T11:00:00.000Z"])


class Project(BaseModel):
    """One project."""

    id: str = Field(examples=[_PROJECT])
    name: str = Field(examples=["Project A"])
    active: bool = Field(examples=[True])
    last: dict[str, Any] | None = Field(
        description="How its last sync went.", examples=[{"success": True, "status": "ok", "updated_count": 2}]
    )


class Projects(BaseModel):
    """Every project of the settings."""

    projects: list[Project]


class Accounts(BaseModel):
    """The accounts of a project, with their merged values."""

    project_id: str = Field(examples=[_PROJECT])
    accounts: list[dict[str, Any]] = Field(
        examples=[[{"id": 1, "key": "x.com/nasa", "profile_url": "https://x.com/nasa", "followers": 5}]]
    )


class Snapshots(BaseModel):
    """The snapshots of an account, the newest first."""

    account: dict[str, Any] = Field(examples=[{"id": 1, "key": "x.com/nasa", "profile_url": "https://x.com/nasa"}])
    snapshots: list[dict[str, Any]] = Field(
        examples=[[{"date": "2026-11-21", "snapshot_time": "2026-11-21 10:34:00", "followers": 5}]]
    )


class Growths(BaseModel):
    """How much the accounts of a project grew."""

    project_id: str = Field(examples=[_PROJECT])
    accounts: list[dict[str, Any]] = Field(
        examples=[
            [
                {
                    "key": "x.com/nasa",
                    "days": 1,
                    "gaps": 0,
                    "fields": {"followers": {"from": 4, "to": 5, "delta": 1, "percent": 25.0}},
                }
            ]
        ]
    )


class Diagnosed(BaseModel):
    """Where the files of an ingest are, and why they are not in every layer."""

    model_config = ConfigDict(extra="allow")

    status: Literal["healthy", "attention", "unknown"] = Field(examples=["healthy"])
    counts: dict[str, int | None] = Field(examples=[{"server": 3, "local": 2, "processed": 3, "domain": None}])
    missing: dict[str, list[str]] = Field(
        examples=[{"server": [], "local": ["2026/old.txt"], "processed": [], "domain": []}]
    )
    files: list[dict[str, Any]] = Field(
        examples=[[{"path": "2026/old.txt", "cause": "cleaned_locally", "matters": False, "detail": ""}]]
    )
    advice: list[str] = Field(examples=[[]])


class Wanted(BaseModel):
    """What is to be fetched."""

    url: str = Field(
        max_length=4096,
        pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/\x00][^\x00]*$",
        examples=["https://example.com/video.mp4"],
    )


class Download(BaseModel):
    """One URL that was fetched, or is being fetched."""

    id: str = Field(examples=["dl_0f9d"])
    url: str = Field(examples=["https://example.com/video.mp4"])
    status: str = Field(examples=["completed"])
    provider: str = Field(examples=["gcs"])
    key: str = Field(examples=["video.mp4"])
    size: int = Field(examples=[1024])
    error: str = Field(examples=[""])
    created_at: Moment = Field(examples=[_WHEN])
    updated_at: Moment = Field(examples=[_WHEN])


class Downloads(BaseModel):
    """The newest first."""

    downloads: list[Download]


class Link(BaseModel):
    """A URL that reads an object for a while."""

    url: str = Field(examples=["https://storage.googleapis.com/ytdl-videos/video.mp4?X-Goog-Signature=…"])
    expires_at: Moment | None = Field(examples=["2026-11-22T10:34:00.000Z"])


class Health(BaseModel):
    """Whether the service is well."""

    status: str = Field(examples=["ok"])


class Readiness(BaseModel):
    """Whether it can do its work."""

    status: Literal["ready", "not ready"] = Field(examples=["ready"])
    checks: dict[str, str] = Field(
        description="What was looked at: `ok`, or why not.", examples=[{"queue": "ok", "database": "ok", "jobs": "ok"}]
    )


def run_of(task: Task) -> RunDetail:
    """A task as a run."""
    return RunDetail(
        id=task.id, job=task.job, arguments=dict(task.arguments), state=task.state, status=task.status,  # type: ignore[arg-type]
        error=task.error or None, attempts=task.attempts, created_at=task.created_at, started_at=task.started_at,
        finished_at=task.finished_at, result=dict(task.result) if task.result is not None else None,
    )  # fmt: skip
