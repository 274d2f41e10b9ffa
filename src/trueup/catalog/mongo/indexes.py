"""The indexes. The unique ones are what makes one of two that do the same at once wait, or fail."""

from __future__ import annotations

from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

REVISION: Final = "1 (every index is there)"

_INDEXES: Final = {
    "storage_stats": [IndexModel("provider", unique=True)],
    "objects": [
        IndexModel([("key", ASCENDING), ("provider", ASCENDING), ("seq", DESCENDING)]),
        IndexModel("idempotency", unique=True, sparse=True),
        IndexModel("by", sparse=True),
        IndexModel("pending_since", sparse=True),
    ],
    "backups": [IndexModel([("created_at", DESCENDING), ("_id", ASCENDING)])],
    "backup_rows": [
        IndexModel([("backup", ASCENDING), ("key", ASCENDING)], unique=True),
        IndexModel("pending_since", sparse=True),
    ],
    "downloads": [
        IndexModel([("url", ASCENDING), ("createdAt", DESCENDING)]),
        IndexModel([("status", ASCENDING), ("updatedAt", ASCENDING)]),
        # Not `sparse`: an application may have a field of this name, of another kind.
        IndexModel("running", unique=True, partialFilterExpression={"running": {"$type": "string"}}),
    ],
    "job_runs": [
        IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)]),
        IndexModel("state"),
        IndexModel("alone", unique=True, sparse=True),
    ],
    "job_events": [IndexModel([("task", ASCENDING), ("number", ASCENDING)], unique=True)],
    "runs": [IndexModel([("started", DESCENDING), ("_id", DESCENDING)])],
}


def make_indexes(database: Database[dict[str, Any]]) -> None:
    """Make those that are missing."""
    for collection, indexes in _INDEXES.items():
        database[collection].create_indexes(indexes)
