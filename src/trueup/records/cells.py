"""What one cell says: a whole number, a text, or nothing, with the reason (no I/O).

Nothing is guessed. A cell that could be read in two ways says nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from trueup.records.locales import NumberForm

LARGEST: Final = 2**62 - 1
"""SQLite holds the sum of two of them."""
EXACT: Final = 2**53
"""Above this a float no longer knows each whole number."""
_ERROR: Final = re.compile(r"#(?:REF!|N/A|DIV/0!|VALUE!|NAME\?|NUM!|NULL!|ERROR!|SPILL!|CALC!)", re.IGNORECASE)
_AROUND: Final = "\ufeff\u200b\u200c\u200d\u2060\u200e\u200f"
"""Marks without width, which come along when something is pasted."""
_LONGEST_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Absent:
    """A cell that says nothing."""

    reason: str = ""
    """Why it cannot be read; empty for a blank."""


BLANK: Final = Absent()


def whole_number(cell: object, form: NumberForm) -> int | Absent:
    """A count: 0 or more, and no more than SQLite holds. Text is read as people of that locale write it."""
    if type(cell) is int and 0 <= cell <= LARGEST:  # most of them
        return cell
    if isinstance(cell, str):
        if cell.isascii() and cell.isdigit() and len(cell) < 19:  # most of the others
            return int(cell)
    elif isinstance(cell, float | Decimal):
        return _from_fraction(cell)
    elif isinstance(cell, int) and not isinstance(cell, bool):
        return _in_range(cell)
    said = text(cell)
    if isinstance(said, Absent):
        return said
    if isinstance(cell, bool):
        return Absent(f"{said} is no number")
    digits = _digits(said, form)
    if digits is None:
        return Absent(f"{_shown(said)} is no whole number")
    # Before it is read: thousands of digits would take long.
    return _in_range(int(digits)) if len(digits.lstrip("-0")) < 20 else Absent(f"{_shown(said)} is too large")


def text(cell: object) -> str | Absent:
    """What a cell shows, without the space around it."""
    if cell is None:
        return BLANK
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, dict | list):
        return Absent("it holds several values")
    said = str(cell).strip().strip(_AROUND).strip()
    if _ERROR.match(said):
        return Absent(f"{_shown(said)} is an error of the sheet")
    try:
        said.encode()
    except UnicodeEncodeError:
        return Absent(f"{_shown(said)} is no text")
    return said or BLANK


def folded(cell: str) -> str:
    """The name of a column, as it is compared: without regard to case, and a space is as good as a `_`."""
    return re.sub(r"[\s_-]+", "_", cell.strip(f"{_AROUND} \t\r\n\u00a0").casefold())


def a1(row: int, column: int) -> str:
    """The name of a cell, both counted from 1: `a1(2, 28)` is `AB2`."""
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row}"


def _from_fraction(cell: float | Decimal) -> int | Absent:
    if not math.isfinite(cell) or cell != int(cell):
        return Absent(f"{cell} is no whole number")
    if isinstance(cell, float) and abs(cell) > EXACT:
        return Absent(f"{cell} is too large to be exact")
    return _in_range(int(cell))


def _in_range(value: int) -> int | Absent:
    if abs(value) > LARGEST:  # not shown: writing thousands of digits is refused by Python
        return Absent("the number is too large")
    return int(value) if value >= 0 else Absent(f"{value} is negative")


def _digits(said: str, form: NumberForm) -> str | None:
    """The digits of a whole number, with its sign; None where it is none."""
    found = re.fullmatch(r"([-\u2212]?)(.*)", said, re.DOTALL)
    assert found is not None
    sign, number = "-" if found[1] else "", found[2]
    if form.decimal:
        # Three zeros could be meant as thousands by somebody of another locale.
        whole, _, fraction = number.rpartition(form.decimal)
        if whole and fraction in {"0", "00"}:
            number = whole
    if not re.fullmatch(r"[0-9]+", number):
        groups = "|".join(map(re.escape, form.groups))
        inner = "{2,3}" if form.indian else "{3}"
        # One and the same mark between all groups.
        if not groups or not re.fullmatch(rf"[0-9]{{1,3}}(?:({groups})[0-9]{inner})?(?:\1[0-9]{inner})*", number):
            return None
        if not re.search(r"[0-9]{3}\Z", number):
            return None
        number = re.sub("[^0-9]", "", number)
    return sign + number


def _shown(said: str) -> str:
    return repr(said if len(said) <= _LONGEST_SHOWN else said[:_LONGEST_SHOWN] + "…")
