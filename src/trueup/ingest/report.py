"""What an ingest reports, in the form outsiders script against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LAYERS: Final = ("memory", "local", "processed", "domain")
"""Where a file can be known to be done, fastest first."""
SHOWN: Final = 10_000
"""Items in the result; the counts hold all."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """Files, by what became of them."""

    listed: int = 0
    filtered: int = 0
    """Out of scope."""
    unstable: int = 0
    already: int = 0
    already_by_layer: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LAYERS, 0))
    downloaded: int = 0
    processed: int = 0
    """Had their effect in this run."""
    failed: int = 0
    quarantined: int = 0
    """In quarantine, whether since this run or an earlier one."""
    rewritten: int = 0
    refused: int = 0
    waiting: int = 0

    def known(self, layer: str) -> None:
        """One more file that is done."""
        self.already += 1
        self.already_by_layer[layer] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRun:
    """A finished ingest."""

    run: str
    name: str
    status: str
    """`ok`, `partial`, `failed`, `interrupted` or `dry-run`."""
    reason: str | None
    counts: Mapping[str, object]
    items: tuple[Mapping[str, object], ...]
    items_truncated: bool
    seconds: float

    @property
    def exit_code(self) -> int:
        """0, 1 or 130."""
        return {"ok": 0, "dry-run": 0, "interrupted": 130}.get(self.status, 1)

    @property
    def eventful(self) -> bool:
        """Whether anything came of it."""
        return self.status not in {"ok", "dry-run"} or bool(self.counts["downloaded"] or self.counts["processed"])

    def summary(self) -> dict[str, object]:
        """Without the items."""
        return {
            "run": self.run,
            "job": "ingest",
            "name": self.name,
            "status": self.status,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "counts": dict(self.counts),
        }

    def to_json(self) -> dict[str, object]:
        """All of it."""
        truncated = {"items_truncated": True} if self.items_truncated else {}
        return self.summary() | {"items": list(self.items)} | truncated


@dataclass(slots=True)
class Tally:
    """Counts and items while a run goes on."""

    counts: Counts = field(default_factory=Counts)
    items: list[dict[str, object]] = field(default_factory=list)
    truncated: bool = False
    troubled: bool = False
    """A file failed, or was put in quarantine, in this run."""

    def item(self, path: str, outcome: str, error: str = "", attempts: int = 0) -> None:
        """Tell what became of one file."""
        if len(self.items) >= SHOWN:
            self.truncated = True
            return
        self.items.append({"path": path, "outcome": outcome, "error": error or None, "attempts": attempts})
