"""What becomes of the accounts of one project: merged, new, back, gone, or as they were (no I/O)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from trueup.records.config import Project, RecordsConfig
from trueup.records.fresh import Fresh
from trueup.records.issues import FAILED_ROW, ROWS_VANISHED, SPIKE, SUPPRESSED_DECREASE, Issue, Trouble
from trueup.records.merge import NOTHING, Said, is_spike, merge
from trueup.records.readmodel import Account
from trueup.records.table import Table


@dataclass(slots=True, kw_only=True)
class Decision:
    """What a sync of a project will do."""

    merged: list[Account] = field(default_factory=list)
    """As they will be; of these a snapshot is due."""
    write: list[Account] = field(default_factory=list)
    """Those that differ from what is stored, and those that are gone."""
    changes: list[dict[str, object]] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    failed: int = 0
    """Accounts whose numbers nobody could tell; they stay as they are."""


def wanted(
    sheet: Table | None, living: Collection[str], seen: Collection[str], *, delete_missing: bool, force: bool
) -> list[str]:
    """The keys of the accounts that are to be merged. The sheet says which there are; those that are known stand in for
    one that cannot be read, and those that are not to be deleted stay. Raises `Trouble` when more than half of those
    that the sheet had (`seen`) are gone from it, unless `force`."""
    if sheet is None:
        return list(living)
    gone = sum(key not in sheet.rows for key in seen)
    if 2 * gone > len(seen) and not force:
        raise Trouble(
            ROWS_VANISHED,
            f"{gone:,} of {len(seen):,} accounts are gone from the sheet, which is more than half; nothing was"
            " changed. If that is right, sync with --force",
        )
    stay = () if _deletes(sheet, delete_missing=delete_missing) else [key for key in living if key not in sheet.rows]
    return [*sheet.rows, *stay]


def _deletes(sheet: Table, *, delete_missing: bool) -> bool:
    """A row of which nobody can tell whose it is may be that of an account which seems to be gone."""
    return delete_missing and not sheet.nameless


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is known of the accounts of one project, and as of when."""

    project: Project
    config: RecordsConfig
    sheet: Table | None
    """None for one that cannot be read."""
    fresh: Fresh | None
    """None where the read model itself is what parsers write."""
    now: str
    force: bool = False


def decide(sources: Sources, stored: Mapping[str, Account], keys: Collection[str]) -> Decision:
    """Merge the accounts of `keys`, and delete those that the sheet no longer has."""
    decision, sheet, fresh = Decision(), sources.sheet, sources.fresh
    for key in keys:
        if fresh and key in fresh.failed:
            decision.issues.append(Issue(kind=FAILED_ROW, key=key, reason=fresh.failed[key]))
            decision.failed += 1
            continue
        before = stored.get(key)
        account = _merged(sources, key, before, decision.issues)
        decision.merged.append(account)
        if account != before:
            decision.write.append(account)
            _tell(before, account, decision)
    if sheet is not None and _deletes(sheet, delete_missing=sources.config.delete_missing):
        for key, account in stored.items():
            if key not in sheet.rows and account.deleted_at is None:
                account.deleted_at = sources.now
                decision.write.append(account)
                decision.changes.append(_change(key, "deleted_at", None, sources.now))
    return decision


def _merged(sources: Sources, key: str, before: Account | None, issues: list[Issue]) -> Account:
    row = sources.sheet.rows.get(key) if sources.sheet else None
    start = before or Account(id=0, project_id=sources.project.id, key=key, profile_url=key, values={})
    account = replace(
        start,
        profile_url=row.profile_url if row else start.profile_url,
        deleted_at=None,
        values=dict(start.values),
        kept=dict(start.kept),
    )
    by_sheet = row.values if row else {}
    by_parser = sources.fresh.values.get(key, {}) if sources.fresh else {}
    stands_in = sources.fresh is None or row is None
    for name, column in sources.config.fields.items():
        said = Said(sheet=by_sheet.get(name), parsed=by_parser.get(name), stands_in=stands_in)
        known = start.before(name)
        if sources.fresh is None and not sources.force and is_spike(known.value, start.kept.get(name, NOTHING).value):
            issues.append(Issue(kind=SPIKE, key=key, field=name, value=known.value))
            known = start.kept[name]
        result = merge(column.rule, said, known, now=sources.now, force=sources.force)
        if result.kept.winner is not None:
            account.kept[name] = result.kept
        account.values[name] = start.pins.get(name, result.kept.value)
        if result.spike is not None:
            issues.append(Issue(kind=SPIKE, key=key, field=name, value=result.spike))
        if result.suppressed_decrease and name not in start.pins:
            issues.append(Issue(kind=SUPPRESSED_DECREASE, key=key, field=name, value=said.sheet))
    return account


def _tell(before: Account | None, after: Account, decision: Decision) -> None:
    if before is not None and before.deleted_at is not None:
        decision.changes.append(_change(after.key, "deleted_at", before.deleted_at, None))
    old = before.values if before else {}
    for name, value in after.values.items():
        if old.get(name) != value:
            decision.changes.append(_change(after.key, name, old.get(name), value))


def _change(key: str, name: str, old: object, new: object) -> dict[str, object]:
    return {"key": key, "field": name, "old": old, "new": new}
