"""Numbers as people read them."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(amount: float) -> str:
    """Bytes: `0 B`, `1.2 KiB`, `19.8 MiB`."""
    unit = 0
    while round(amount) >= 1024 and unit < len(_UNITS) - 1:  # what would be shown as 1024 is one of the next unit
        amount /= 1024
        unit += 1
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 or amount >= 999.95 else f"{amount:.1f} {_UNITS[unit]}"


def number(amount: int, one: str, many: str = "") -> str:
    """`1 file`, `1,234 files`; `many` where the plural is not made with an s."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """`0.02 s`, `4.1 s`, `42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))
