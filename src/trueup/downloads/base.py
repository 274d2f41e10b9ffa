"""What every way of fetching shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

LATER: Final = "What came is kept; fetch it again to go on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A complete file."""

    path: Path
    name: str
    """What to call it: one clean path segment of at most 150 bytes."""
    size: int
    """Bytes."""
