"""What is known of earlier runs."""

from __future__ import annotations

from trueup.config import Settings
from trueup.runs import RunLog, RunRecord
from trueup.tui import words

_LOOKED_AT = 1_000
"""Runs of all pairs that are looked through; an older one has no trash any more in all likelihood."""


def last_run(settings: Settings, left: str, right: str) -> RunRecord | None:
    """The newest run of a pair that changed something and was not undone, as these words name the places. Raises
    `TrueupError` for a history that cannot be read."""
    known = RunLog(settings.home).latest(_LOOKED_AT)
    undone = {record.summary.get("undoes") for record in known if record.job == "undo" and record.status == "ok"}
    for record in known:
        ours = record.job == "sync" and record.name == f"{left} {right}"
        if ours and record.run not in undone and any(effects(record).values()):
            return record
    return None


def effects(record: RunRecord) -> dict[str, int]:
    """How often a run did each action that changes a side."""
    counts = record.summary.get("counts")
    return {action: int(counts.get(action, 0)) for action in words.EFFECTS} if isinstance(counts, dict) else {}
