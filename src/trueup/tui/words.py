"""Actions, outcomes and numbers as the screen shows them."""

from __future__ import annotations

from typing import Final

from rich.filesize import pick_unit_and_suffix

from trueup.config import SyncConfig

MODES: Final = {"two-way": "Two-Way", "push": "Upload Only", "pull": "Download Only"}
"""What the mode selector offers: left is here, right is there."""

PREFERENCES: Final = {
    "right": "Right",
    "left": "Left",
    "newer": "Newer",
    "older": "Older",
    "larger": "Larger",
    "smaller": "Smaller",
    "none": "None",
}

ARROWS: Final = {"two-way": "⇄", "push": "→", "pull": "←"}

EFFECTS: Final = {
    "copy_right": "copy to the right",
    "copy_left": "copy to the left",
    "move_right": "move on the right",
    "move_left": "move on the left",
    "delete_right": "delete on the right",
    "delete_left": "delete on the left",
}
"""Every action that changes a side, in the order people read them."""

NOTES: Final = {
    "conflict": "conflicts nobody decides",
    "unknown": "items that cannot be seen",
    "unaddressable": "names a side cannot hold",
    "link": "links and special files",
    "held": "files an undo holds",
}
"""What a plan leaves alone and says so. Folder markers are left out: there may be one in every folder."""

_UNITS: Final = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]


def size(amount: float) -> str:
    """Bytes: `0 B`, `1.2 KiB`, `19.8 MiB`."""
    if amount < 1024:
        return f"{amount:.0f} B"
    unit, suffix = pick_unit_and_suffix(int(amount), _UNITS, 1024)
    return f"{amount / unit:.1f} {suffix}"


def number(amount: int, one: str) -> str:
    """`1 file`, `1,234 files`."""
    return f"{amount:,} {one if amount == 1 else one + 's'}"


def clock(seconds: float) -> str:
    """Seconds as on a clock: `0:07`, `12:30`, `2:03:00`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def rules(config: SyncConfig) -> str:
    """How a pair is synced: `Two-Way, right wins`."""
    parts = [MODES[config.mode]]
    if config.mode == "two-way":
        parts.append("nobody wins" if config.prefer == "none" else f"{config.prefer} wins")
    if config.delete:
        parts.append("deletions travel")
    return ", ".join(parts)
