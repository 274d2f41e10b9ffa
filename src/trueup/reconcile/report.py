"""What a reconcile reports, in the form outsiders script against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from trueup.stores.inventory import Inventory

SHOWN: Final = 10_000
"""Items in the result; the counts hold all."""


class Totals(NamedTuple):
    """Files and bytes."""

    file_count: int = 0
    total_size_bytes: int | None = 0
    """None where the books do not say."""

    def __sub__(self, other: Totals) -> Totals:
        return Totals(self.file_count - other.file_count, difference(self.total_size_bytes, other.total_size_bytes))

    def agrees(self, other: Totals) -> bool:
        """Whether nothing tells the two apart."""
        return self.file_count == other.file_count and not difference(self.total_size_bytes, other.total_size_bytes)


def difference(size: int | None, other: int | None) -> int | None:
    """Bytes; None where one of the two is unknown."""
    return None if size is None or other is None else size - other


@dataclass(slots=True, kw_only=True)
class ProviderReport:
    """One provider."""

    provider: str
    state: str = "known"
    """`known`, or `unknown` where nothing can be said."""
    reason: str | None = None
    """Why it is unknown, or why its fix was refused."""
    ledger: Totals
    """What the books say."""
    actual: Totals | None = None
    """What lies there; None where that is unknown."""
    mismatch: bool = False
    """The totals differ by more than what is in flight."""
    wanting: bool = False
    """Something on the books was not true."""
    refused: bool = False
    fixed: bool = False
    moved: bool = False
    """Orphans were put in quarantine."""
    left: bool = False
    """Some of them could not be."""
    backup: str | None = None
    verdicts: dict[str, int] = field(default_factory=dict)
    inventory: Inventory | None = None
    """The report it was listed by; None where the cloud itself was."""

    def to_json(self) -> dict[str, object]:
        """As documented."""
        return {
            "provider": self.provider,
            "state": self.state,
            "reason": self.reason,
            "ledger": self.ledger._asdict(),
            "actual": self.actual._asdict() if self.actual is not None else None,
            "mismatch": self.mismatch,
            "fixed": self.fixed,
            "backup": self.backup,
            "verdicts": self.verdicts,
            "inventory": self.inventory.to_json() if self.inventory is not None else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileRun:
    """A finished reconcile."""

    run: str
    name: str
    """The reference: empty for the pool's own books."""
    status: str
    """`ok`, `partial`, `refused`, `failed`, `interrupted` or `dry-run`."""
    reason: str | None
    providers: tuple[ProviderReport, ...]
    items: tuple[Mapping[str, object], ...]
    items_truncated: bool
    warnings: tuple[str, ...]
    """What a person should know: clocks that are off."""
    findings: bool
    """Whether anything is not as it should be, in flight aside."""
    seconds: float
    parts: tuple[Mapping[str, object], ...] = ()
    """How the parts went of a run whose listings many workers compared."""

    @property
    def exit_code(self) -> int:
        """0, 1 or 3; a check asks for `findings` besides. A dry run that could not look at all says so as well."""
        if self.status == "dry-run" and any(provider.state == "unknown" for provider in self.providers):
            return 1
        return {"ok": 0, "dry-run": 0, "refused": 3, "interrupted": 130}.get(self.status, 1)

    @property
    def check_code(self) -> int:
        """What a check ends with: 1 where nothing can be said of a provider, 5 where something is not as it should
        be."""
        if any(provider.state == "unknown" for provider in self.providers):
            return 1
        return 5 if self.findings else 0

    def summary(self) -> dict[str, object]:
        """Without the items."""
        return {
            "run": self.run,
            "job": "reconcile",
            "name": self.name,
            "status": self.status,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "providers": [provider.to_json() for provider in self.providers],
            "warnings": list(self.warnings),
            **({"parts": list(self.parts)} if self.parts else {}),
        }

    def to_json(self) -> dict[str, object]:
        """All of it."""
        truncated = {"items_truncated": True} if self.items_truncated else {}
        return self.summary() | {"items": list(self.items)} | truncated
