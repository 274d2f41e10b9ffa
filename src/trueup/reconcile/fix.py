"""Making the books of one provider true: rows first, then what lies there unowned. Each row that is replaced is backed
up in the transaction that replaces it, and only if it still is as it was read.

Before each page the lock is asked for. It may still be lost in between, and another run begin: then both make the same
rows true, and whoever comes second finds each row changed, and leaves it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from trueup.catalog.base import MISSING as LOST
from trueup.catalog.base import STORED, Correction, Corrections, Stored, Usage, now
from trueup.catalog.held import Hold
from trueup.reconcile.compare import (
    DUPLICATE,
    HASH_MISMATCH,
    MISPLACED,
    MISSING,
    ORPHAN,
    SIZE_MISMATCH,
    UNADDRESSABLE,
)
from trueup.reconcile.content import told
from trueup.reconcile.findings import Finding, Findings
from trueup.reconcile.report import Totals

_ALWAYS: Final = 100
"""Changes of so many rows are never refused."""
_ROWS: Final = (MISSING, SIZE_MISMATCH, HASH_MISMATCH, MISPLACED)
UNOWNED: Final = (ORPHAN, DUPLICATE, UNADDRESSABLE)
"""What lies there and takes room, and is on no row of ours."""


def miscounted(usage: Usage, rows: Totals) -> bool:
    """Whether a provider's sums are not those of its rows and of what is unowned: others have written them."""
    unowned = Totals(usage.unowned_count, usage.unowned_bytes)
    return Totals(usage.file_count, usage.total_size_bytes) - unowned != rows


def too_much(findings: Findings, usage: Usage, max_change: str) -> str | None:
    """Why a fix would change suspiciously much of a provider, or None."""
    counts = findings.counts(usage.provider)
    unowned, _ = findings.lying(usage.provider, UNOWNED)
    touched = sum(counts[verdict] for verdict in _ROWS) + max(0, usage.unowned_count - unowned)
    if touched <= _ALWAYS or touched * 100 <= _share(max_change) * usage.file_count:
        return None
    return (
        f"{touched:,} of {usage.file_count:,} objects would be changed in the books, more than {max_change}: "
        "this may be the wrong bucket or prefix, credentials that show an empty one, or a database that is older than "
        "the bucket"
    )


def too_many(orphans: int, actual: Totals | None, max_change: str) -> str | None:
    """Why so many orphans should not be moved, or None."""
    lying = actual.file_count if actual is not None else 0
    if orphans <= _ALWAYS or orphans * 100 <= _share(max_change) * lying:
        return None
    return (
        f"{orphans:,} of {lying:,} objects would be moved, more than {max_change}: this may be the wrong bucket or "
        "prefix, or a database that is older than the bucket"
    )


def _share(text: str) -> int:
    return int(text.rstrip("%"))


class Fixing:
    """The fixes of one run."""

    def __init__(
        self,
        corrections: Corrections,
        run: str,
        findings: Findings,
        providers: Collection[str],
        hold: Hold,
        *,
        adopt: bool,
    ) -> None:
        self._corrections = corrections
        self._run = run
        self._findings = findings
        self._providers = providers
        self._hold = hold
        self._adopt = adopt
        self.changed: set[str] = set()
        """The providers whose books were changed: a row that moves changes those of two."""

    def backup_of(self, provider: str) -> str:
        """The id of what is replaced at a provider."""
        return f"{self._run}-{provider}"

    def plan(self, provider: str, usage: Usage) -> bool:
        """Mark what would be fixed. Whether anything would be."""
        counted = self._unowned(provider) == (usage.unowned_count, usage.unowned_bytes)
        planned = not counted
        for page in self._findings.pages(provider):
            for found in page:
                counting = found.verdict == ORPHAN and found.fix is None and not counted
                if self._on_a_row(found) or counting:
                    self._findings.put(found._replace(fix="planned"))
                    planned = True
        return planned

    def _on_a_row(self, found: Finding) -> bool:
        """Whether its fix is one of a row; other orphans are only counted."""
        return found.verdict in _ROWS or (found.verdict == ORPHAN and (self._adopt or found.row is not None))

    def _unowned(self, provider: str) -> tuple[int, int]:
        """What lies there unowned when all is fixed."""
        count, size = self._findings.lying(provider, UNOWNED)
        for page in self._findings.pages(provider):
            for found in page:
                if found.verdict == ORPHAN and self._on_a_row(found) and found.entry is not None:
                    count, size = count - 1, size - found.entry.size
        return count, size

    def fix(self, provider: str, usage: Usage, *, recount: bool) -> None:
        """Make the books of a provider true, and with `recount` its sums where they are not those of its rows."""
        for page in self._findings.pages(provider):
            self._hold.check()
            self._rows(provider, [found for found in page if self._on_a_row(found)])
        was, lying = (usage.unowned_count, usage.unowned_bytes), self._unowned(provider)
        if lying != was or recount:
            self._hold.check()
            counted = self._corrections.set_unowned(self.backup_of(provider), self._run, provider, was, lying)
            for page in self._findings.pages(provider):
                for found in page:
                    if found.fix == "planned" and not self._on_a_row(found):
                        self._findings.put(found._replace(fix="done" if counted else "skipped"))
            if counted:
                self.changed.add(provider)

    def _rows(self, provider: str, page: list[Finding]) -> None:
        rows = self._corrections.again(provider, [found.key for found in page])
        taken = self._taken(provider, page)
        wanted = []
        for found in page:
            row = rows.get(found.key)
            possible = _as_judged(found, row) and found.key not in taken
            if possible and found.verdict == MISPLACED and row is not None:
                possible = self._move(found, row)
            if not possible:
                self._findings.put(found._replace(fix="skipped"))
            elif correction := self._correction(found, row):
                wanted.append((found, correction))
        done = self._corrections.correct(self.backup_of(provider), self._run, provider, [one for _, one in wanted])
        for (found, _), good in zip(wanted, done, strict=True):
            self._findings.put(found._replace(fix="done" if good else "skipped"))
        if any(done):
            self.changed.add(provider)

    def _taken(self, provider: str, page: list[Finding]) -> set[str]:
        """Orphans whose key was put elsewhere since: with rows at both, a sweep took one for what an overwrite left."""
        keys = [found.key for found in page if found.verdict == ORPHAN]
        others = [other for other in self._providers if other != provider] if keys else []
        rows = (row for other in others for row in self._corrections.again(other, keys).values())
        return {row.key for row in rows if row.state == STORED}

    def _move(self, found: Finding, row: Stored) -> bool:
        """Book an object where it lies. Only where that is done is the other row struck off: killed between, it has two
        rows and not none."""
        there, entry = found.detail, found.entry
        assert entry is not None
        new = row._replace(provider=there, size=entry.size, md5=told(entry) or row.md5, idempotency="")
        [done] = self._corrections.correct(self.backup_of(there), self._run, there, [Correction(None, new)])
        if done:
            self.changed.add(there)
        return done

    def _correction(self, found: Finding, row: Stored | None) -> Correction | None:
        """What makes a row true; None where its row stays as it is."""
        entry = found.entry
        match found.verdict:
            case "missing" if row is not None:
                return Correction(row, row._replace(state=LOST, idempotency=""))
            case "misplaced" if row is not None:
                return Correction(row, None)
            case "size_mismatch" | "hash_mismatch" if row is not None and entry is not None:
                return Correction(row, row._replace(size=entry.size, md5=entry.md5))
            case "orphan" if entry is not None and row is not None:
                md5 = row.md5 if entry.md5 == row.md5 else told(entry)
                return Correction(row, row._replace(size=entry.size, md5=md5, state=STORED))
            case "orphan" if entry is not None and self._adopt:
                return Correction(None, Stored(found.provider, found.key, entry.size, told(entry), now()))
        return None


def _as_judged(found: Finding, row: Stored | None) -> bool:
    """Whether a row still says what it said when it was judged: an upload may have ended since."""
    if row is None or found.row is None:
        return row is None and found.row is None
    return (row.size, row.md5, row.created_at, row.state == LOST) == found.row[1:]


def items(findings: Findings) -> Iterator[dict[str, object]]:
    """Every finding as the JSON has it."""
    for found in findings.all():
        yield {
            "provider": found.provider,
            "key": found.key,
            "verdict": found.verdict,
            "ledger_size": found.row.size if found.row is not None and not found.row.lost else None,
            "actual_size": found.entry.size if found.entry is not None else None,
            "fix": found.fix,
            "detail": found.detail or None,
        }
