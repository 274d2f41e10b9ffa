"""The sync of one project, from beginning to end."""

from __future__ import annotations

import json
import logging
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain

from trueup.errors import TrueupError, UsageError
from trueup.records.config import Project, RecordsConfig
from trueup.records.decide import Decision, Sources, decide, wanted
from trueup.records.issues import PROJECT_FAILED, ROWS_VANISHED, EmptyTab, Trouble
from trueup.records.merge import echoed
from trueup.records.parsed import Parsed
from trueup.records.readmodel import ReadModel
from trueup.records.report import ProjectResult
from trueup.records.sheet import Sheet
from trueup.records.table import Table
from trueup.records.tell import SYNCED, data, turn

log = logging.getLogger("trueup.records")

_REMEMBERED = 100
"""Issues of a run in the history: the same ones come again in every run until somebody mends them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """What the syncs of all projects of one run have in common."""

    run: str
    config: RecordsConfig
    sheet: Sheet
    parsed: Parsed | None
    now: datetime
    """As of when it merges; UTC."""
    tells: bool = False
    """Somebody wants to be told how it went."""
    dry_run: bool = False
    force: bool = False

    @property
    def timestamp(self) -> str:
        """`now` as RFC 3339."""
        return timestamp(self.now)


def timestamp(when: datetime) -> str:
    """RFC 3339, UTC, whole seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sync_project(sync: Sync, project: Project) -> ProjectResult:
    """Merge one project and say how it went. It fails alone: nothing that is wrong with its sources passes, only
    `UsageError` does."""
    began = time.monotonic()
    log.info("[SmartSync] Starting sync for project %s", project.id)
    log.info("[SmartSync] Project: %s", project.name)
    result = ProjectResult(project=project, timestamp=sync.timestamp)
    try:
        with closing(ReadModel(sync.config.database, sync.config.fields, read_only=sync.dry_run)) as model:
            try:
                result = _sync(sync, model, result)
            except Trouble as trouble:
                _failed(result, trouble)
            if not sync.dry_run:
                with model.begin():
                    model.put_project(project)
                    _remember(sync, model, result, time.monotonic() - began)
    except UsageError:
        raise
    except TrueupError as error:
        _failed(result, Trouble(PROJECT_FAILED, str(error)))
    return result


def _sync(sync: Sync, model: ReadModel, result: ProjectResult) -> ProjectResult:
    """The result once it is written; what is given is as it was until then."""
    project, config = result.project, sync.config
    living = model.living(project.id)
    # Where nothing is deleted, many are living of which the sheet says no more.
    seen = living if config.delete_missing else model.seen(project.id)
    sheet = _sheet(sync, result, len(seen))
    keys = wanted(sheet, living, seen, delete_missing=config.delete_missing, force=sync.force)
    log.info("[SmartSync] Found %d accounts to sync", len(keys))
    log.info("[SmartSync] Read %d accounts from Sheets", len(sheet.rows) if sheet else 0)
    fresh = sync.parsed(project, keys) if sync.parsed else None
    log.info("[SmartSync] Loaded %d accounts", len(fresh.values) if fresh else len(living))
    sources = Sources(project=project, config=config, sheet=sheet, fresh=fresh, now=sync.timestamp, force=sync.force)
    if sync.dry_run:
        decision = decide(sources, model.accounts(project.id), keys)
        _told(sources, decision, result)
        differing = {account.key for account in decision.write}
        result.updated_count = sum(account.key not in differing for account in decision.merged)
        result.status = "dry-run"
        return result
    # Read again, merged and written in one transaction, with what is told of it: what is pinned meanwhile counts.
    result = replace(result)
    with model.begin():
        model.put_project(project)
        decision = decide(sources, model.accounts(project.id), keys)
        strategy = ", ".join(sorted({f"{column.rule.upper()}()" for column in config.fields.values()}))
        log.info("[SmartSync] Merged %d accounts using %s strategy", len(decision.merged), strategy)
        model.put(*decision.write)
        taken = model.take_snapshots(decision.merged, sync.now.astimezone(config.zone))
        _told(sources, decision, result)
        result.updated_count, result.changed_count = len(decision.merged), len(decision.write)
        result.snapshot_count = taken
        if result.status == "ok" and decision.failed:
            result.status = "partial"
        if sync.tells and result.changes:
            model.outbox.put(SYNCED, data(sync.run, result))
    log.info("[SmartSync] Updated %d accounts in SQLite", result.updated_count)
    log.info("[SmartSync] Created %d snapshots", taken)
    if sheet is not None:
        _write_back(sync, model, sheet, decision, result)
    log.info("[SmartSync] Completed for %s: %d accounts updated", project.name, result.updated_count)
    return result


def _sheet(sync: Sync, result: ProjectResult, known: int) -> Table | None:
    """What the sheet says; None for one that cannot be read for now."""
    try:
        return sync.sheet.read(result.project)
    except EmptyTab as empty:
        if known:
            said = f"the sheet is empty, and {known:,} accounts are known; nothing was changed"
            raise Trouble(ROWS_VANISHED, said) from empty
        raise
    except Trouble as trouble:
        if not trouble.passes:
            raise
        _failed(result, trouble)
        result.status, result.degraded = "degraded", True
        return None
    finally:
        result.attempts = sync.sheet.attempts


def _write_back(sync: Sync, model: ReadModel, sheet: Table, decision: Decision, result: ProjectResult) -> None:
    """What is merged stays merged where this fails; the next run tries it again."""
    try:
        written, issues = sync.sheet.write_back(result.project, sheet, decision.merged)
    except Trouble as trouble:
        _failed(result, Trouble(trouble.code, f"nothing was written into the sheet: {trouble.message}"))
        result.status = "partial"
        return
    if written:
        accounts = {account.key: account for account in decision.merged}
        with model.begin():
            for cell in written:
                account = accounts[cell.key]
                # Else what we wrote would be taken for news from a person, and a person's lower number for no change.
                model.put_heard(account, cell.field, echoed(account.kept[cell.field], sync.timestamp))
        log.info("[SmartSync] Wrote %d cells into Sheets", len(written))
    result.issues += [issue.to_json() for issue in issues]
    for issue in issues:
        log.warning("[SmartSync] %s: %s", result.project.name, issue.said())


def _told(sources: Sources, decision: Decision, result: ProjectResult) -> None:
    said = [source.issues for source in (sources.sheet, sources.fresh) if source is not None]
    issues = [*chain.from_iterable(said), *decision.issues]
    result.issues = [issue.to_json() for issue in issues]
    result.changes = decision.changes
    result.total_accounts = len(decision.merged) + decision.failed
    for issue in issues:
        log.warning("[SmartSync] %s: %s", result.project.name, issue.said())


def _failed(result: ProjectResult, trouble: Trouble) -> None:
    result.status = "refused" if trouble.code == ROWS_VANISHED else "failed"
    result.error = {"code": trouble.code, "message": trouble.message}
    log.error("[SmartSync] %s: %s", result.project.name, trouble.message)


def _remember(sync: Sync, model: ReadModel, result: ProjectResult, seconds: float) -> None:
    """Put down how it went, and what is to be told of that, within the transaction at hand."""
    kind = turn(result, model.last_state(result.project.id))
    model.put_history(_history(sync, result, seconds))
    if sync.tells and kind:
        model.outbox.put(kind, data(sync.run, result))


def _history(sync: Sync, result: ProjectResult, seconds: float) -> dict[str, object]:
    error = result.error or {}
    return {
        "run": sync.run,
        "project_id": result.project.id,
        "project_name": result.project.name,
        "timestamp": result.timestamp,
        "seconds": round(seconds, 3),
        "status": result.status,
        "total_accounts": result.total_accounts,
        "updated_count": result.updated_count,
        "changed_count": result.changed_count,
        "snapshot_count": result.snapshot_count,
        "error_code": error.get("code"),
        "error_message": error.get("message"),
        "issues": json.dumps(result.issues[:_REMEMBERED]),
    }
