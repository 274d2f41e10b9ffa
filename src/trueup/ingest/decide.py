"""What becomes of a file that is on the server, by what is known of it. Nothing here does I/O."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from trueup.ingest.config import ERROR, IGNORE

if TYPE_CHECKING:
    from trueup.catalog.sql.processed import Row
    from trueup.stores.base import Entry

_RACY_NS: Final = 2_000_000_000
"""The coarsest time stamps in use are two seconds apart."""


class Step(StrEnum):
    """What to do with one file."""

    KNOWN = "known"
    """Nothing: it had its effect."""
    NOTE = "note"
    """Remember how it looks now: it had its effect, and somebody only touched or moved it."""
    LOOK = "look"
    """Read it: it may have been written anew."""
    TAKE = "take"
    """Fetch it, and let it have its effect."""
    UNSTABLE = "unstable"
    """Wait: it may not be whole yet."""
    WAIT = "wait"
    """Leave it to whoever is at it, or until it is tried again."""
    QUARANTINED = "quarantined"
    """Leave it until somebody says otherwise."""
    REWRITTEN = "rewritten"
    """Complain: it was written anew, and must not be."""


class Decision(NamedTuple):
    """What to do, and why."""

    step: Step
    rewritten: bool = False
    """It was written anew since it was taken."""
    anew: bool = False
    """Earlier tries were of other bytes, and count no more."""
    reason: str = ""


def looks(entry: Entry) -> str:
    """What tells whether anybody may have written a file since: the same means nobody has."""
    return entry.fingerprint or str(entry.mtime_ns)


def lasting_looks(entry: Entry, seen_ns: int) -> str:
    """The same, but empty for a file that was modified when it was seen (`time.time_ns()`): within one tick of its
    server's clock it could be written again and look the same."""
    return "" if abs(seen_ns - entry.mtime_ns) <= _RACY_NS else looks(entry)


def decide(
    entry: Entry, row: Row | None, *, on_rewrite: str, stable_before_ns: int, now: datetime, held: bool
) -> Decision:
    """What to do with a file on the server. `held`: somebody alive has the claim of its row."""
    if row is not None and row.success:
        decision = _taken(entry, row, on_rewrite)
    elif row is not None and row.state == "claimed" and held:
        return Decision(Step.WAIT, reason="another worker is at it")
    elif row is not None and row.state in {"failed", "quarantined"}:
        decision = _troubled(entry, row, now)
    else:
        decision = Decision(Step.TAKE)
    if decision.step in {Step.TAKE, Step.LOOK, Step.REWRITTEN} and entry.mtime_ns > stable_before_ns:
        return Decision(Step.UNSTABLE, rewritten=decision.rewritten)
    return decision


def _taken(entry: Entry, row: Row, on_rewrite: str) -> Decision:
    if row.size == entry.size and row.seen and row.seen == looks(entry):
        return Decision(Step.KNOWN)
    same_size = row.size in {None, entry.size}
    if same_size and (not row.md5 or row.md5 == entry.md5):
        return Decision(Step.NOTE)
    if on_rewrite == IGNORE:
        return Decision(Step.NOTE, rewritten=True)
    if same_size and not entry.md5:
        return Decision(Step.LOOK)
    return rewritten(on_rewrite)


def rewritten(on_rewrite: str) -> Decision:
    """What to do with a file that has other bytes now than those that had their effect."""
    if on_rewrite == ERROR:
        return Decision(Step.REWRITTEN, rewritten=True, reason="it was written anew after it was taken")
    return Decision(Step.TAKE, rewritten=True, anew=True)


def _troubled(entry: Entry, row: Row, now: datetime) -> Decision:
    if row.seen and row.seen != looks(entry):
        return Decision(Step.TAKE, anew=True)
    if row.state == "quarantined":
        return Decision(Step.QUARANTINED, reason=row.error)
    if row.retry_at is not None and row.retry_at > now:
        return Decision(Step.WAIT, reason=row.error)
    return Decision(Step.TAKE)
