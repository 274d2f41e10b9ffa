"""Carrying corrections through, like `settling` does with uploads and removals: in steps that anybody can take.

A correction is written into the provider's document first, where it and an upload of its key shut each other out. Then:

- It claims its row, by putting its own id there: in the state in which it was read, which `seq` tells, as every change
  of a row gives it a new one. From here on nobody else removes the row. One that adds a row looks for others of the
  key; as long as the correction is under way, there may only become fewer.
- One update of the provider's document decides: what has its claim is to be done, what has not is taken out.
- What is to be done is: the row changes, the backup says so, and one last update changes the counters with all of it
  and takes the corrections out. Their ids never come back, and the claims are gone with the change: whoever slept finds
  nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from pymongo import ReturnDocument, UpdateMany, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from trueup.catalog.base import now
from trueup.catalog.mongo.books import Books, decided, of
from trueup.catalog.mongo.settling import ARRIVED, BREATH, EXPECTED, LIVE, PATIENCE, gone, unclaimed

WANTED: Final = "wanted"
"""A row of a backup whose correction may come to nothing."""
KEPT: Final = "kept"
BACK: Final = "back"
"""A row of a backup that was put back."""

_BEFORE: Final = {KEPT: WANTED, BACK: KEPT}

DUPLICATE_KEY: Final = 11000
"""The server's code of an error."""

Intent = dict[str, Any]


class Amending:
    """Carries corrections through. Safe to use from many threads and processes at once."""

    def __init__(self, database: Database[dict[str, Any]], books: Books) -> None:
        self._stats = database["storage_stats"]
        self._objects = database["objects"]
        self._backups = database["backups"]
        self._backup_rows = database["backup_rows"]
        self._books = books

    def pending(self, provider: str) -> list[Intent]:
        """The corrections of a provider that are under way."""
        found = self._stats.find_one({**of(provider), "corrections.id": {"$exists": True}}, {"corrections": 1})
        return found["corrections"] if found is not None else []

    def tidy(self, at: datetime) -> None:
        """Carry through what died on its way, and delete what nothing refers to."""
        # In this order: whatever is under way was written into its provider's document before.
        old = {"pending_since": {"$lt": at - PATIENCE}}
        claims = {row["by"] for row in self._objects.find({**old, "state": {"$in": LIVE}}, {"by": 1})}
        rows = {row["_id"] for row in self._backup_rows.find(old, {"_id": 1})}
        under_way: set[str] = set()
        for books in self._stats.find({"corrections.id": {"$exists": True}}, {"provider": 1, "corrections": 1}):
            under_way |= {each["id"] for each in books["corrections"]}
            self.carry(books["provider"], [each for each in books["corrections"] if each["at"] < at - BREATH])
        self._unclaim(claims - under_way)
        # Unless it is needed by now.
        self._backup_rows.delete_many({**old, "_id": {"$in": sorted(rows - under_way)}, "state": WANTED})

    def carry(self, provider: str, intents: Sequence[Intent]) -> None:
        """Decide corrections that are under way, and do what is to be done."""
        for backup, some in groupby(intents, lambda intent: intent["backup"]):
            self._carry(provider, backup, list(some))

    def _carry(self, provider: str, backup: str, intents: list[Intent]) -> None:
        ids = {intent["id"] for intent in intents}
        open_ones = [intent for intent in intents if not intent["decided"]]
        good = self._good(provider, open_ones)
        after = self._stats.find_one_and_update(
            of(provider),
            decided([intent["id"] for intent in open_ones], good),
            projection={"corrections": 1},
            return_document=ReturnDocument.AFTER,
        )
        there = after.get("corrections", []) if after is not None else []
        done = [intent for intent in there if intent["id"] in ids and intent["decided"]]
        self._forget(ids - {intent["id"] for intent in done})
        if done:
            self._do(provider, backup, done)

    def _good(self, provider: str, intents: Sequence[Intent]) -> list[str]:
        """Those that can be done; the rows they change are claimed then."""
        if not intents:
            return []
        # From here on its row in the backup is needed: nobody may take it for one that a crash has left.
        rows = {"_id": {"$in": [intent["row"] for intent in intents]}}
        self._backup_rows.update_many({**rows, "state": WANTED}, {"$unset": {"pending_since": ""}})
        states = {row["_id"]: row["state"] for row in self._backup_rows.find(rows, {"state": 1})}
        ready = [intent for intent in intents if states.get(intent["row"]) == _BEFORE[intent["becomes"]]]
        claimed = self._claimed([intent for intent in ready if intent["object"]])
        vacant = self._vacant(provider, [intent for intent in ready if intent["adds"]])
        return [*claimed, *vacant, *(intent["id"] for intent in ready if intent["key"] is None)]

    def _claimed(self, intents: Sequence[Intent]) -> list[str]:
        """Those that have claimed the rows they change."""
        if not intents:
            return []
        at = now()
        claims: list[UpdateOne] = []
        for intent in intents:
            claim = {"by": intent["id"], "pending_since": at}
            # The name is taken with the claim, because somebody else may have it; and lent until it is decided.
            name = {"idempotency": intent["after"]["idempotency"], "lent": True} if intent["named"] else {}
            claims.append(UpdateOne(unclaimed(intent["object"], intent["since"], *LIVE), {"$set": claim | name}))
        try:
            self._objects.bulk_write(claims, ordered=False)
        except BulkWriteError as error:
            if any(each["code"] != DUPLICATE_KEY for each in error.details["writeErrors"]):
                raise
        return [row["by"] for row in self._objects.find({"by": {"$in": [intent["id"] for intent in intents]}})]

    def _vacant(self, provider: str, intents: Sequence[Intent]) -> list[str]:
        """Those that add a row where there is none."""
        if not intents:
            return []
        # From here on its document is needed: nobody may take it for one that a crash has left.
        ids = [intent["id"] for intent in intents]
        self._objects.update_many({"_id": {"$in": ids}, "state": EXPECTED}, {"$set": {"state": ARRIVED}})
        ready = {row["_id"] for row in self._objects.find({"_id": {"$in": ids}, "state": ARRIVED}, {"_id": 1})}
        keys = {"key": {"$in": [intent["key"] for intent in intents]}, **of(provider), "state": {"$in": LIVE}}
        occupied = {row["key"] for row in self._objects.find(keys, {"key": 1})}
        return [intent["id"] for intent in intents if intent["id"] in ready and intent["key"] not in occupied]

    def _forget(self, ids: set[str]) -> None:
        """Leave nothing of corrections that came to nothing; of those that were carried through, this finds nothing."""
        if not ids:
            return
        self._unclaim(ids)
        these = {"$in": sorted(ids)}
        self._objects.delete_many({"_id": these, "state": {"$in": [EXPECTED, ARRIVED]}})
        self._backup_rows.delete_many({"_id": these, "state": WANTED})

    def _unclaim(self, ids: set[str]) -> None:
        """Let the rows go that such corrections have claimed."""
        claimed = {"by": {"$in": sorted(ids)}, "state": {"$in": LIVE}}
        self._objects.update_many({**claimed, "lent": True}, {"$unset": {**_CLAIM, "idempotency": ""}})
        self._objects.update_many(claimed, {"$unset": _CLAIM})

    def _do(self, provider: str, backup: str, done: Sequence[Intent]) -> None:
        """Change rows, the backup and the counters."""
        changes = [change for intent in done if (change := _change(intent)) is not None]
        if changes:
            self._objects.bulk_write(changes, ordered=False)
        self._backup_rows.bulk_write(list(_marks(done)), ordered=False)
        ids = [intent["id"] for intent in done]
        after = self._stats.find_one_and_update(
            {**of(provider), "corrections.id": {"$in": ids}},
            self._books.amended(provider, backup, ids),
            projection={"undo": 1},
            return_document=ReturnDocument.AFTER,
        )
        if after is not None:
            # Until another backup takes its place in the provider's document.
            self._backups.update_one({"_id": backup}, {"$set": {"undo": after["undo"]}})
        self._objects.delete_many({"by": {"$in": ids}, "state": {"$nin": LIVE}})


_CLAIM: Final = {"by": "", "lent": "", "pending_since": ""}


def _change(intent: Intent) -> UpdateOne | None:
    """What a correction makes of its row."""
    after, mine = intent["after"], intent["id"]
    if intent["adds"]:
        facts = {"state": after["state"], "seq": intent["seq"]}
        return UpdateOne({"_id": mine, "state": ARRIVED}, {"$set": facts, "$unset": {"pending_since": ""}})
    if not intent["object"]:
        return None
    this = {"_id": intent["object"], "by": mine, "state": {"$in": LIVE}}
    if after is None:
        return UpdateOne(this, gone(mine))
    facts = {**after, "seq": intent["seq"]}
    if after["idempotency"]:
        return UpdateOne(this, {"$set": facts, "$unset": _CLAIM})
    del facts["idempotency"]
    return UpdateOne(this, {"$set": facts, "$unset": {**_CLAIM, "idempotency": ""}})


def _marks(done: Sequence[Intent]) -> Iterator[UpdateMany]:
    """Which rows of the backup a correction has made what they are."""
    for state, was in _BEFORE.items():
        rows = [intent["row"] for intent in done if intent["becomes"] == state]
        if rows:
            marked = {"$set": {"state": state}, "$unset": {"pending_since": ""}}
            yield UpdateMany({"_id": {"$in": rows}, "state": was}, marked)
