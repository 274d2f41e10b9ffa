"""The result of a run in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from trueup import keys
from trueup.sync.report import SyncRun

_CHANGES: Final = {
    "copy_right": ("upload", "uploaded", ""),
    "copy_left": ("download", "downloaded", ""),
    "delete_right": ("delete", "deleted", " in the bucket"),
    "delete_left": ("delete", "deleted", " here"),
    "move_right": ("move", "moved", " in the bucket"),
    "move_left": ("move", "moved", " here"),
}
_LEFT: Final = {
    "failed": "failed",
    "drifted": "changed meanwhile",
    "conflict": "in conflict",
    "unknown": "that cannot be seen",
    "unaddressable": "with a name one side cannot hold",
    "link": "that are links or special files",
    "held": "held by an undo",
}


def summary(run: SyncRun) -> str:
    """`uploaded 3 files (12,345 bytes), deleted 1 file here`, and what was left alone."""
    planned = run.status in {"dry-run", "refused"}
    moved = {"copy_right": run.bytes_right, "copy_left": run.bytes_left}
    parts = []
    for action, (verb, past, where) in _CHANGES.items():
        if amount := run.counts[action]:
            said = f"would {verb}" if planned else past
            volume = f" ({moved[action]:,} bytes)" if action in moved else ""
            parts.append(f"{said} {_files(amount)}{where}{volume}")
    same = run.counts["unchanged"] + run.counts["adopt"]
    if not parts:
        parts.append(f"nothing to do ({_files(same)} in step)")
    left = [f"{_files(run.counts[name])} {words}" for name, words in _LEFT.items() if run.counts[name]]
    return ", ".join(parts) + (f"; left alone: {', '.join(left)}" if left else "")


def changes(run: SyncRun) -> Iterator[str]:
    """A line for each change that a dry run plans."""
    for row in run.items:
        if (action := str(row["action"])) in _CHANGES:
            verb, _, where = _CHANGES[action]
            source = f"{keys.display(str(row['from']))} -> " if "from" in row else ""
            yield f"would {verb}{where}: {source}{name(row)} ({row['reason']})"
    if run.items_truncated:
        yield "… and more"


def name(row: Mapping[str, object]) -> str:
    """An item's key as it may be printed."""
    return keys.display(str(row["key"]))


def _files(amount: int) -> str:
    return f"{amount:,} file{'' if amount == 1 else 's'}"
