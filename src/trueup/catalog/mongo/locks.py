"""Locks over several machines, in MongoDB: one document each, taken in one update that looks at its server's clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from trueup.catalog.base import Claim
from trueup.catalog.mongo.trouble import plainly


class MongoLocks:
    """See `Locks`."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._locks = database["locks"]

    @plainly()
    def take(self, claim: Claim, length: timedelta, *, instead_of: str = "") -> tuple[Claim, datetime]:
        # A document that has just been made has no time: null, less than any number. Numbers, because not every server
        # that speaks this protocol orders a date it keeps and the one of its clock.
        free: list[dict[str, Any]] = [{"$lte": [{"$toLong": "$until"}, {"$toLong": "$$NOW"}]}]
        if instead_of:
            free.append({"$eq": ["$run", {"$literal": instead_of}]})
        ours = {name: {"$literal": value} for name, value in claim._asdict().items() if name != "name"}
        taken = {"$mergeObjects": ["$$ROOT", ours, {"until": _end(length)}]}
        update = [{"$replaceWith": {"$cond": [{"$or": free}, taken, "$$ROOT"]}}]
        found: dict[str, Any] | None = None
        while found is None:
            try:
                found = self._locks.find_one_and_update(
                    {"_id": {"$eq": claim.name}}, update, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:  # somebody else made the document at the same moment
                continue
        return _read(found)

    @plainly()
    def renew(self, claim: Claim, length: timedelta) -> bool:
        update = [{"$set": {"until": _end(length)}}]
        return bool(self._locks.update_one(_of(claim), update).matched_count)

    @plainly()
    def holder(self, name: str) -> Claim | None:
        lasts = {"$gt": [{"$toLong": "$until"}, {"$toLong": "$$NOW"}]}
        found = self._locks.find_one({"_id": {"$eq": name}, "$expr": lasts})
        return Claim(found["_id"], found["run"], found["holder"], found["token"]) if found else None

    @plainly()
    def release(self, claim: Claim) -> None:
        self._locks.delete_one(_of(claim))

    @plainly()
    def who(self, name: str) -> tuple[Claim, datetime] | None:
        found = self._locks.find_one({"_id": {"$eq": name}})
        return _read(found) if found is not None else None


def _read(document: dict[str, Any]) -> tuple[Claim, datetime]:
    return Claim(document["_id"], document["run"], document["holder"], document["token"]), document["until"]


def _of(claim: Claim) -> dict[str, Any]:
    return {"_id": {"$eq": claim.name}, "token": {"$eq": claim.token}}


def _end(length: timedelta) -> dict[str, Any]:
    return {"$add": ["$$NOW", length // timedelta(milliseconds=1)]}
