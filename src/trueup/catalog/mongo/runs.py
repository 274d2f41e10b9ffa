"""The history of runs, in MongoDB.

The collection may be that of an application which keeps runs of its own: those are not told.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from pymongo import DESCENDING
from pymongo.database import Database

from trueup.catalog.mongo.trouble import plainly
from trueup.runs import RunRecord

_TEXTS: Final = ("run", "job", "name", "status", "started", "summary")
_OURS: Final[dict[str, Any]] = {
    **{name: {"$type": "string"} for name in _TEXTS},
    "seconds": {"$type": "number"},
    "$expr": {"$eq": ["$_id", "$run"]},
}


class MongoRunLog:
    """See `RunLog`."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._runs = database["runs"]

    @plainly()
    def add(self, record: RunRecord) -> None:
        # As text: its keys may hold what a field's name may not.
        document = {**asdict(record), "_id": record.run, "summary": json.dumps(record.summary)}
        self._runs.replace_one({"_id": {"$eq": record.run}}, document, upsert=True)

    @plainly()
    def latest(self, limit: int = 50) -> list[RunRecord]:
        found = self._runs.find(_OURS).sort([("started", DESCENDING), ("_id", DESCENDING)]).limit(limit)
        return [_record(document) for document in found]

    @plainly()
    def get(self, run: str) -> RunRecord | None:
        begins = {"_id": {"$gte": run, "$lte": f"{run}\U0010ffff"}}
        found = list(self._runs.find(_OURS | begins).sort("_id").limit(2))
        exact = [document for document in found if document["_id"] == run] or found
        return _record(exact[0]) if len(exact) == 1 and run else None


def _record(document: dict[str, Any]) -> RunRecord:
    facts = {name: document[name] for name in ("run", "job", "name", "status", "started", "seconds")}
    return RunRecord(**facts, summary=json.loads(document["summary"]))
