"""How many transfers are under way at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trueup.config import SyncConfig
    from trueup.sync.sides import Sides

LARGE: Final = 256 << 10
"""Bytes of a file above which it keeps the wire busy, and takes memory; smaller ones mostly wait for answers."""
_FEW: Final = 32
_OTHER_FILES: Final = 64
"""Open files that a process needs besides those of its transfers: databases, the listings' helpers."""


def few(config: SyncConfig) -> int:
    """What the user says, or as many as never did harm: of larger files, and of all once a place had too many."""
    return config.workers or _FEW


def many(config: SyncConfig, sides: Sides) -> int:
    """What the user says, or what suits the place that takes longer to answer, as far as this process may have a
    connection to either side for each."""
    if config.workers:
        return config.workers
    suits = max(sides[side].features.transfers for side in ("left", "right"))
    return max(_FEW, min(suits, (_open_files() - _OTHER_FILES) // 2))


def _open_files() -> int:
    """How many files the system lets this process have open."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
