"""The queue of jobs, in MongoDB: a document each, changed in single updates that look at the server's clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from trueup.catalog.base import now
from trueup.catalog.mongo.trouble import plainly
from trueup.catalog.tasks import FAILURE, PENDING, RETRY, REVOKED, STARTED, Task
from trueup.errors import Busy

_NEW: Final = ReturnDocument.AFTER
_OVER: Final = ["alone", "lease_until"]


class MongoTasks:
    """See `Tasks`."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._tasks = database["job_runs"]
        self._events = database["job_events"]

    @plainly()
    def put(self, task: str, job: str, arguments: Mapping[str, Any], alone: str) -> Task:
        new = Task(task, job, arguments, PENDING, created_at=now())
        # As text: what it takes and gives may have keys that a field's name may not be.
        document = {name: value for name, value in new._asdict().items() if name != "id"}
        document |= {"_id": task, "arguments": json.dumps(arguments), "alone": alone}
        while True:
            try:
                self._tasks.insert_one(dict(document))
                return new
            except DuplicateKeyError:
                other = self._tasks.find_one({"$or": [{"alone": {"$eq": alone}}, {"_id": {"$eq": task}}]})
            if other is not None:  # else it ended in between
                raise Busy(f"{job} is under way already", cure="Wait for it, or cancel it", run=str(other["_id"]))

    @plainly()
    def start(self, holder: str, lease: timedelta, *, task: str = "") -> Task | None:
        waits = {"state": {"$in": [PENDING, RETRY]}}
        if task:
            dead = {"state": STARTED, "$expr": _past("$lease_until")}
            wanted: dict[str, Any] = {"_id": {"$eq": task}, "$or": [waits, dead]}
        else:
            wanted = {**waits, "$expr": _past("$due_at")}
        begun = {
            "state": STARTED, "holder": {"$literal": holder}, "started_at": now(), "lease_until": _later(lease),
            "attempts": {"$add": ["$attempts", 1]},
        }  # fmt: skip
        order = [("created_at", ASCENDING), ("_id", ASCENDING)]
        update: list[dict[str, Any]] = [{"$set": begun}, {"$unset": ["due_at"]}]
        found = self._tasks.find_one_and_update(wanted, update, sort=order, return_document=_NEW)
        return _task(found) if found else None

    @plainly()
    def renew(self, holder: str, tasks: Sequence[str], lease: timedelta) -> set[str]:
        ours = {"_id": {"$in": list(tasks)}, "holder": {"$eq": holder}, "state": STARTED}
        self._tasks.update_many(ours, [{"$set": {"lease_until": _later(lease)}}])
        return set(tasks) - {str(found["_id"]) for found in self._tasks.find({**ours, "cancelled": False}, {"_id": 1})}

    @plainly()
    def finish(
        self, task: str, holder: str, state: str, *, status: str = "", result: Mapping[str, Any] | None, error: str = ""
    ) -> bool:
        told = json.dumps(result) if result is not None else None
        values = {"state": state, "status": status, "result": told, "error": error, "finished_at": now()}
        changed = {"$set": values, "$unset": dict.fromkeys(_OVER, "")}
        return bool(self._tasks.update_one(_held(task, holder), changed).matched_count)

    @plainly()
    def again(self, task: str, holder: str, error: str, wait: timedelta) -> bool:
        return self._retried(task, holder, error, wait, {})

    @plainly()
    def hand_back(self, task: str, holder: str, why: str) -> bool:
        once_more = {"handed_back": {"$add": [{"$ifNull": ["$handed_back", 0]}, 1]}}
        return self._retried(task, holder, why, timedelta(), once_more)

    def _retried(self, task: str, holder: str, error: str, wait: timedelta, also: dict[str, Any]) -> bool:
        values = {"state": RETRY, "error": {"$literal": error}, "due_at": _later(wait), **also}
        changed: list[dict[str, Any]] = [{"$set": values}, {"$unset": ["lease_until"]}]
        return bool(self._tasks.update_one(_held(task, holder), changed).matched_count)

    @plainly()
    def cancel(self, task: str) -> Task | None:
        named = {"_id": {"$eq": task}}
        over = {"$set": {"state": REVOKED, "cancelled": True, "finished_at": now()}, "$unset": dict.fromkeys(_OVER, "")}
        self._tasks.update_one({**named, "state": {"$in": [PENDING, RETRY]}}, over)
        self._tasks.update_one({**named, "state": STARTED}, {"$set": {"cancelled": True}})
        return self.get(task)

    @plainly()
    def interrupt(self, holder: str) -> list[str]:
        dead = {"$or": [{"holder": {"$eq": holder}}, {"$expr": _past("$lease_until")}]}
        over = {"$set": {"state": FAILURE, "status": "interrupted", "error": "interrupted", "finished_at": now()}}
        update = over | {"$unset": dict.fromkeys(_OVER, "")}
        gone: list[str] = []
        while found := self._tasks.find_one_and_update({"state": STARTED, **dead}, update):
            gone.append(str(found["_id"]))
        return sorted(gone)

    @plainly()
    def lost(self, patience: timedelta) -> list[Task]:
        dead = {"state": STARTED, "$expr": {"$and": [_past("$lease_until"), _past("$due_at", patience)]}}
        since = {"$ifNull": ["$due_at", "$created_at"]}
        forgotten = {"state": {"$in": [PENDING, RETRY]}, "$expr": _past(since, patience)}
        told = [{"$set": {"due_at": _later(timedelta())}}]
        gone: list[Task] = []
        while found := self._tasks.find_one_and_update({"$or": [dead, forgotten]}, told):
            gone.append(_task(found))
        return sorted(gone)

    @plainly()
    def get(self, task: str) -> Task | None:
        found = self._tasks.find_one({"_id": {"$eq": task}})
        return _task(found) if found else None

    @plainly()
    def latest(self, limit: int = 50, *, job: str = "", but: Sequence[str] = (), brief: bool = False) -> list[Task]:
        order = [("created_at", DESCENDING), ("_id", DESCENDING)]
        wanted: dict[str, object] = {"job": {"$nin": list(but)} | ({"$eq": job} if job else {})}
        shown = {"result": False} if brief else None
        return [_task(found) for found in self._tasks.find(wanted, shown).sort(order).limit(limit)]

    @plainly()
    def say(self, task: str, number: int, events: Sequence[Mapping[str, Any]]) -> None:
        self._events.insert_one({"task": task, "number": number, "events": json.dumps(events)})

    @plainly()
    def said(self, task: str, after: int = 0) -> list[tuple[int, list[dict[str, Any]]]]:
        found = self._events.find({"task": {"$eq": task}, "number": {"$gt": after}}).sort("number", ASCENDING)
        return [(row["number"], json.loads(row["events"])) for row in found]

    @plainly()
    def forget(self, *, said_before: datetime, over_before: datetime) -> None:
        over = {"finished_at": {"$lt": max(said_before, over_before)}}
        self._events.delete_many({"task": {"$in": [found["_id"] for found in self._tasks.find(over, {"_id": 1})]}})
        self._tasks.delete_many({"finished_at": {"$lt": over_before}})


def _held(task: str, holder: str) -> dict[str, Any]:
    return {"_id": {"$eq": task}, "holder": {"$eq": holder}, "state": STARTED}


def _past(moment: object, by: timedelta = timedelta()) -> dict[str, Any]:
    """Null is less than any number; numbers, because not every server orders its clock and a date it keeps."""
    long_ago = {"$subtract": [{"$toLong": "$$NOW"}, by // timedelta(milliseconds=1)]}
    return {"$lte": [{"$toLong": moment}, long_ago]}


def _later(wait: timedelta) -> dict[str, Any]:
    return {"$add": ["$$NOW", wait // timedelta(milliseconds=1)]}


def _task(document: dict[str, Any]) -> Task:
    known: dict[str, Any] = {name: document.get(name) for name in Task._fields} | {"id": str(document["_id"])}
    known |= {name: _utc(known[name]) for name in ("created_at", "started_at", "finished_at")}
    known["handed_back"] = known["handed_back"] or 0  # older ones have no such field
    known["arguments"] = json.loads(document["arguments"])
    known["result"] = json.loads(document["result"]) if document.get("result") is not None else None
    return Task(**known)


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment is not None else None
