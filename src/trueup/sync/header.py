"""What a plan is about."""

from __future__ import annotations

from dataclasses import dataclass

from trueup.config import SyncConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a plan is about, and the totals its guards were checked with."""

    run: str
    left: str
    right: str
    """The places as the user named them."""
    left_url: str
    right_url: str
    config: SyncConfig
    left_entries: int = 0
    right_entries: int = 0
    baseline_rows: int = 0
    unchanged: int = 0
    """Keys in scope, and pairs that needed nothing."""
    started_ns: int = 0
    """When the listings began: a file modified within two seconds of it is asked again next time."""
