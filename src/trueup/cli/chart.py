"""Small charts made of characters, in a terminal as in a log."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from typing import Final, TextIO

WIDE: Final = 60
"""Characters of a line of days, at most."""
_BAR: Final = 20
_STEPS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_STEPS: Final = "_.-~=+*#"


def has_blocks(stream: TextIO) -> bool:
    """Whether blocks can be seen there. The font of Linux' own console has too few of them."""
    if os.environ.get("TERM") == "linux":
        return False
    try:
        _STEPS.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def line(values: Mapping[date, int], *, blocks: bool = True) -> str:
    """How a number went from its first day to its last, between its least and its greatest value. A day without a value
    is a space; of many days, several share a place and the last of them counts."""
    if not values:
        return ""
    steps = _STEPS if blocks else _PLAIN_STEPS
    first, least, most = min(values), min(values.values()), max(values.values())
    days = (max(values) - first).days + 1
    share = -(-days // WIDE)
    places = [" "] * -(-days // share)
    for day in sorted(values):
        height = (values[day] - least) * (len(steps) - 1) // (most - least) if most > least else 0
        places[(day - first).days // share] = steps[height]
    return "".join(places)


def bar(value: int, most: int, *, blocks: bool = True) -> str:
    """As long as a value is beside the greatest one; one that is not 0 can be seen."""
    length = round(_BAR * abs(value) / most) if most else 0
    return ("█" if blocks else "#") * length or ("▏" if blocks else "|") * (value != 0)
