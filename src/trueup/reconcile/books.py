"""What somebody believes: the protocol, and the pool's own books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from trueup.catalog.base import MISSING, Catalog, Stored, Usage
from trueup.reconcile.compare import Believed, Range
from trueup.reconcile.observe import Reference
from trueup.reconcile.report import Totals


class Books(Protocol):
    """What somebody believes."""

    def providers(self) -> list[str]:
        """Where they say objects are."""
        ...

    def totals(self, provider: str) -> Totals:
        """How much they say is there."""
        ...

    def reference(self, provider: str) -> Reference:
        """Their rows."""
        ...

    def clock(self) -> datetime | None:
        """What time it is by the clock of their database, UTC; None where it has none, or does not tell."""
        ...


class PoolBooks:
    """The pool's own."""

    def __init__(self, catalog: Catalog) -> None:
        self._corrections = catalog.corrections
        self.clock = catalog.clock
        self.usages: Mapping[str, Usage] = {usage.provider: usage for usage in catalog.ledger.usage()}

    def providers(self) -> list[str]:
        """See `Books`."""
        return sorted(self.usages)

    def totals(self, provider: str) -> Totals:
        """See `Books`."""
        usage = self.usages[provider]
        return Totals(usage.file_count, usage.total_size_bytes)

    def reference(self, provider: str) -> Reference:
        """See `Books`."""

        def rows(part: Range) -> Iterable[Believed]:
            return map(_believed, self._corrections.rows(provider, part.start, part.end))

        def again(keys: Sequence[str]) -> dict[str, Believed]:
            return {key: _believed(row) for key, row in self._corrections.again(provider, keys).items()}

        return Reference(rows, again, lambda keys: self._corrections.covered(provider, keys))


def _believed(row: Stored) -> Believed:
    return Believed(row.key, row.size, row.md5, row.created_at, row.state == MISSING)
