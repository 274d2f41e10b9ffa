"""What becomes of one field: the candidates, the rule, the pin (no I/O).

Its values are named tuples: a run makes some of each for every field of every account.

A candidate that is absent takes no part; it is never 0. What the merge gives is remembered without the pin, so that
taking the pin away brings back what would stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

MAX: Final = "max"
MIN: Final = "min"
SHEET: Final = "sheet"
PARSED: Final = "parsed"
LATEST: Final = "latest"
SUM: Final = "sum"
RULES: Final = (MAX, MIN, SHEET, PARSED, LATEST, SUM)
STORED: Final = "stored"
"""What the read model holds, where it takes part."""
PIN: Final = "pin"

Value = int | str
_SPIKE_FROM: Final = 100
"""Smaller values grow a hundredfold in good health."""
_SPIKE: Final = 100
# Who is asked first, where not the numbers decide. A sheet that cannot be read is stood in for by what is stored.
_PLAIN_ORDER: Final = (SHEET, PARSED, STORED)
_ORDER: Final = {SHEET: (SHEET, STORED, PARSED), PARSED: (PARSED, STORED, SHEET)}


class Heard(NamedTuple):
    """The last value that somebody gave."""

    value: Value
    since: str
    """When it was first seen: UTC, RFC 3339, so that text sorts by time."""


class Kept(NamedTuple):
    """What the read model remembers of a field."""

    value: Value | None = None
    """What the rule gave, whatever was pinned."""
    winner: str | None = None
    candidates: Mapping[str, Value] = MappingProxyType({})
    """By who said it: `sheet`, `parsed`, `stored`."""
    heard: Mapping[str, Heard] = MappingProxyType({})
    """The same over all runs: who says nothing for a while, as in an outage, has not said anything new after it."""


NOTHING: Final = Kept()


class Said(NamedTuple):
    """What the sources say of a field now."""

    sheet: Value | None = None
    parsed: Value | None = None
    stands_in: bool = False
    """The stored value takes part: it is the parsed one, or the sheet cannot be read."""


class Merged(NamedTuple):
    """A field after a merge."""

    kept: Kept
    suppressed_decrease: bool = False
    """The sheet was lowered, and `max` keeps the higher value."""
    spike: Value | None = None
    """A parsed value that is out of all proportion and was set aside."""


def merge(rule: str, said: Said, before: Kept = NOTHING, *, now: str = "", force: bool = False) -> Merged:
    """Merge one field. `now` is the time of the run: UTC, RFC 3339. With `force` a spike is believed.

    The stored value takes part when it has to stand in for somebody, and when nobody else says anything. A spike is set
    aside for the stored value, so that it changes nothing in either direction.
    """
    spike = None if force or not is_spike(said.parsed, before.value) else said.parsed
    values: dict[str, Value] = {}
    if said.sheet is not None:
        values[SHEET] = said.sheet
    if said.parsed is not None and spike is None:
        values[PARSED] = said.parsed
    if before.value is not None and (said.stands_in or spike is not None or not values):
        values[STORED] = before.value
    if values == before.candidates:  # nobody says anything new
        value, winner = decide(rule, values, before.heard)
        if value == before.value and winner == before.winner:
            return Merged(before, spike=spike)
    heard = {who: _heard(who, value, before, now) for who, value in values.items()}
    value, winner = decide(rule, values, heard)
    last = before.heard.get(SHEET)
    fell = last is not None and _lower(said.sheet, last.value) and _lower(said.sheet, value)
    if winner == STORED:  # where somebody says the same, it is his: so the second of two equal runs looks equal
        winner = next(who for who in (SHEET, PARSED, STORED) if values.get(who) == value)
    if winner != STORED:
        values.pop(STORED, None)
        heard.pop(STORED, None)
    kept = Kept(value=value, winner=winner, candidates=values, heard={**before.heard, **heard})
    return Merged(kept=kept, suppressed_decrease=rule == MAX and fell, spike=spike)


def decide(rule: str, values: Mapping[str, Value], heard: Mapping[str, Heard]) -> tuple[Value | None, str | None]:
    """The value, and whose it is; `sum` where it is everybody's. Of equal ones the sheet's comes before what was
    parsed, and both before what is stored. `heard` says since when each says so."""
    if not values:
        return None, None
    order = [who for who in _ORDER.get(rule, _PLAIN_ORDER) if who in values]
    if len(order) == 1:
        return values[order[0]], order[0]
    match rule:
        case "max":  # the first of those that are equal
            winner = max(order, key=values.__getitem__)
        case "min":
            winner = min(order, key=values.__getitem__)
        case "latest":
            winner = max(order, key=lambda who: heard[who].since)
        case "sum" if STORED in values:  # it is a sum already
            winner = STORED
        case "sum":
            return sum(value for value in values.values() if isinstance(value, int)), SUM
        case _:
            winner = order[0]
    return values[winner], winner


def echoed(kept: Kept, now: str) -> dict[str, Heard]:
    """What is heard once the sheet was made to say what is kept: that is nothing new."""
    winner = kept.heard.get(kept.winner or STORED)
    echo = {} if kept.value is None else {SHEET: Heard(kept.value, winner.since if winner else now)}
    return {**kept.heard, **echo}


def is_spike(parsed: Value | None, stored: Value | None) -> bool:
    """Whether a parsed value is out of all proportion to what is stored."""
    if not isinstance(parsed, int) or not isinstance(stored, int):
        return False
    return stored >= _SPIKE_FROM and parsed > _SPIKE * stored


def _lower(value: Value | None, than: Value | None) -> bool:
    return isinstance(value, int) and isinstance(than, int) and value < than


def _heard(who: str, value: Value, before: Kept, now: str) -> Heard:
    """What is stored was first said by whoever won with it. Who says what is stored already, as a sheet does into which
    it was written, says nothing new."""
    last = before.heard.get(who)
    if who != STORED and last and last.value == value:
        return last
    if value == before.value and (winner := before.heard.get(before.winner or STORED)):
        return Heard(value, winner.since)
    return Heard(value, now)
