"""What a run tells people, line by line. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterator

from trueup import keys
from trueup.reconcile.compare import IN_FLIGHT, OK, ORPHAN
from trueup.reconcile.report import ProviderReport, ReconcileRun, Totals

Line = tuple[tuple[str, str], ...]
"""Pieces of text, each with its style: a colour, `bold`, `dim`, or nothing."""

_MB = 1 << 20
_FINE = frozenset({OK, ORPHAN, IN_FLIGHT})


def lines(done: ReconcileRun) -> Iterator[Line]:
    """A block for each provider, then each item."""
    for provider in done.providers:
        yield from _block(provider, done)
    for item in done.items:
        where = f"  {keys.display(str(item['provider']))}  {keys.display(str(item['key']))}"
        detail = f"  {item['detail']}" if item["detail"] else ""
        yield (f"{item['verdict']:>14}", "yellow"), (where, ""), (detail, "dim")
    if done.items_truncated:
        yield (("and more; the counts hold all", ""),)


def trouble(done: ReconcileRun) -> Iterator[str]:
    """A line for each provider that is not as its books say."""
    for provider in done.providers:
        found = [f"{count:,} {verdict}" for verdict, count in provider.verdicts.items() if verdict not in _FINE]
        if provider.state == "unknown":
            yield f"{provider.provider}: {provider.reason}"
        elif found:
            yield f"{provider.provider}: {', '.join(found)}"


def amount(totals: Totals | None) -> str:
    """`3 files  0.14 MB`, in columns."""
    if totals is None:
        return "unknown"
    files = f"{totals.file_count:,} file{'' if totals.file_count == 1 else 's'}"
    size = f"{megabytes(totals.total_size_bytes):12,.2f} MB" if totals.total_size_bytes is not None else ""
    return f"{files:>14}  {size}".rstrip()


def megabytes(size: int) -> float:
    """Bytes, as the blocks count them."""
    return size / _MB


def _block(provider: ProviderReport, done: ReconcileRun) -> Iterator[Line]:
    yield ((keys.display(provider.provider), "bold"),)
    yield ((f"  ledger  {amount(provider.ledger)}", ""),)
    yield ((f"  actual  {amount(provider.actual)}", ""),)
    if provider.inventory is not None:
        yield ((f"  as an inventory report of {provider.inventory.created_at:%Y-%m-%d %H:%M} UTC has it", "dim"),)
    if provider.actual is None:
        yield ("  [?] Nothing can be said", "yellow"), (f": {provider.reason}", "")
        return
    if provider.mismatch:
        yield (("  [!] MISMATCH DETECTED!", "red"),)
    if provider.refused:
        yield ("  [!] Not updated", "red"), (f": {provider.reason}", "")
    elif provider.fixed:
        yield ("  [OK] Updated successfully!", "green"), (f"  backup {provider.backup}", "dim")
    if provider.moved:
        yield ("  [OK] Orphans moved aside", "green"), (f"  take it back with: trueup undo {done.run}", "dim")
    if provider.refused or provider.fixed or provider.moved:
        return
    if not provider.mismatch:
        yield (("  [OK] Stats match - no sync needed", "green"),)
    elif done.status == "dry-run" and not done.name:
        yield (("  a run without --dry-run would update the books", ""),)
