"""Why a file is not in every layer, and whether that matters. Nothing here does I/O."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

CLEANED: Final = "cleaned_locally"
FILTERED: Final = "filtered"
UNSTABLE: Final = "unstable"
QUARANTINED: Final = "quarantined"
LOST_ROW: Final = "lost_row"
LOST_EFFECT: Final = "lost_effect"
SIZE_DIFFERS: Final = "size_differs"
LEASE_HELD: Final = "lease_held"
PERMISSION: Final = "permission"
FAILED: Final = "failed"
NEVER_SEEN: Final = "never_seen"
REMOVED: Final = "removed_remotely"
REFUSED: Final = "refused"
AHEAD: Final = "ahead"


class Facts(NamedTuple):
    """One file, as every layer has it."""

    path: str
    server: int | None = None
    """Bytes on the server; None where it is not there."""
    local: int | None = None
    """Bytes in the local folder."""
    state: str = ""
    """Of its row; empty for none."""
    success: bool = False
    """It had its effect, as its row says."""
    size: int | None = None
    """Bytes at that effect, where that is known."""
    domain: bool | None = None
    """Whether the handler's tables know it; None where there is nothing to ask."""
    held: bool = False
    """Somebody alive is at it."""
    filtered: bool = False
    unstable: bool = False
    ahead: bool = False
    """Its time on the server is still to come."""
    refused: str = ""
    """Why it can never be taken: its name, or what it is."""
    ignores: bool = False
    """The job leaves alone what is written anew."""
    unreadable: str = ""
    """Why it, and what is below it, cannot be seen."""
    error: str = ""
    """Why the last try came to nothing."""
    cause: str = ""
    """The same in one word."""
    at: datetime | None = None
    """UTC. When it was modified, or had its effect."""


class Finding(NamedTuple):
    """One file that is not in every layer."""

    path: str
    cause: str
    matters: bool
    detail: str


def missing_in(file: Facts) -> list[str]:
    """The layers that should have a file and have not: some of `server`, `local`, `processed`, `domain`."""
    if file.filtered or file.unreadable or file.refused or (file.unstable and not file.success):
        return []
    found = (
        ("server", file.server is None),
        ("local", file.local is None),
        ("processed", not file.success),
        ("domain", file.domain is False),
    )
    return [layer for layer, missing in found if missing]


def judge(file: Facts) -> Finding | None:
    """The one cause why a file is not in every layer; None where it is, and all agree."""
    found = _judged(file)
    return Finding(file.path, *found) if found is not None else None


def _judged(file: Facts) -> tuple[str, bool, str] | None:
    if file.unreadable:
        return PERMISSION, True, file.unreadable
    if file.filtered:
        return FILTERED, False, "the patterns leave it out"
    if file.refused:
        return REFUSED, True, file.refused
    if file.success:
        return _of_a_processed(file)
    if file.state:
        return _of_an_open(file)
    if file.ahead:
        return AHEAD, True, f"its time is still to come: {file.at:%Y-%m-%dT%H:%M:%SZ}; it is not taken before"
    if file.unstable:
        return UNSTABLE, False, "it may still be written"
    if file.local is not None or file.domain:
        known = bool(file.domain)
        sure = "its effect is there" if known else "nothing says that it had its effect; the next run takes it for done"
        return LOST_ROW, not known, sure
    return NEVER_SEEN, True, "the next run takes it"


def _of_a_processed(file: Facts) -> tuple[str, bool, str] | None:
    if file.domain is False:
        return LOST_EFFECT, True, "its row says done, and already_done does not know it"
    if file.size is not None and file.server is not None and file.server != file.size:
        return (
            SIZE_DIFFERS,
            not file.ignores,
            f"{file.server:,} bytes on the server, and {file.size:,} when it was taken",
        )
    expected = file.size if file.size is not None else file.server
    if file.local is not None and expected is not None and file.local != expected:
        if file.ignores and file.server == expected:  # its row was noted to be as the server's
            return SIZE_DIFFERS, False, f"{file.local:,} bytes here, and {expected:,} on the server, which is ignored"
        return SIZE_DIFFERS, True, f"{file.local:,} bytes here, and {expected:,} when it was taken"
    if file.server is None:
        return REMOVED, False, "it was taken before it went"
    if file.local is None:
        return CLEANED, False, "it was taken before it went"
    return None


def _of_an_open(file: Facts) -> tuple[str, bool, str]:
    cause, matters, detail = _of_an_unfinished(file)
    return cause, matters, detail if file.server is not None else f"it is not on the server any more; {detail}"


def _of_an_unfinished(file: Facts) -> tuple[str, bool, str]:
    if file.state == "claimed" and file.held:
        return LEASE_HELD, False, "a worker is at it"
    if file.state == "quarantined":
        return (PERMISSION if file.cause == "permission" else QUARANTINED), True, file.error
    if file.state == "failed":
        return (PERMISSION if file.cause == "permission" else FAILED), True, file.error or "it never succeeded"
    if file.state == "requested":
        return FAILED, True, "it is to be taken again; the next run does"
    return FAILED, True, "the process that was at it died; the next run goes on"
