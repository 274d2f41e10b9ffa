"""Looking at the books row by row, and making them true, in MongoDB. How it holds without transactions, `amending`
says."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from trueup.catalog.base import STORED, Backup, Correction, Stored, now
from trueup.catalog.mongo.amending import BACK, DUPLICATE_KEY, KEPT, WANTED, Amending, Intent
from trueup.catalog.mongo.books import SUMS, Books, asked, of
from trueup.catalog.mongo.ledger import stored_of
from trueup.catalog.mongo.settling import EXPECTED, LIVE
from trueup.catalog.mongo.trouble import plainly
from trueup.errors import UsageError

_PAGE: Final = 500
_SOME: Final = 200
"""Corrections under way in one provider's document; it is written again with every upload meanwhile."""
_MANY: Final = 1000
_RESTORE: Final = "restore "
_UNOWNED: Final = ("unowned_count", "unowned_bytes")
_TOTALS: Final = ("file_count", "total_size_bytes")


class MongoCorrections:
    """See `Corrections`."""

    def __init__(self, database: Database[dict[str, Any]], books: Books) -> None:
        self._stats = database["storage_stats"]
        self._objects = database["objects"]
        self._backups = database["backups"]
        self._backup_rows = database["backup_rows"]
        self._amending = Amending(database, books)

    def rows(self, provider: str, start: str = "", end: str = "") -> Iterator[Stored]:
        until = {"$lt": end} if end else {}
        after: dict[str, Any] = {"key": {"$gte": start, **until}}
        while True:  # pages, so that no cursor stays open while the caller works
            page = self._page({**of(provider), "state": {"$in": LIVE}, **after})
            last: str | None = None
            for row in page:
                if row.key != last:  # else the older one of an overwrite under way
                    yield row
                last = row.key
            if last is None:
                return
            after = {"key": {"$gt": last, **until}}

    @plainly()
    def _page(self, wanted: Mapping[str, Any]) -> list[Stored]:
        order = [("key", ASCENDING), ("provider", ASCENDING), ("seq", DESCENDING)]
        return [stored_of(document) for document in self._objects.find(wanted).sort(order).limit(_PAGE)]

    @plainly()
    def again(self, provider: str, keys: Sequence[str]) -> dict[str, Stored]:
        return {key: stored_of(document) for key, document in self._newest(provider, keys).items()}

    def _newest(self, provider: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The documents of these keys."""
        newest: dict[str, dict[str, Any]] = {}
        for some in _by(_MANY, keys):
            these = {"key": {"$in": some}, **of(provider), "state": {"$in": LIVE}}
            for document in self._objects.find(these):
                if document["key"] not in newest or document["seq"] > newest[document["key"]]["seq"]:
                    newest[document["key"]] = document
        return newest

    @plainly()
    def covered(self, provider: str, keys: Sequence[str]) -> set[str]:
        found = self._stats.find_one(of(provider), {"reservations.key": 1}) or {}
        return {reservation["key"] for reservation in found.get("reservations", [])} & set(keys)

    @plainly()
    def correct(self, backup: str, run: str, provider: str, corrections: Sequence[Correction]) -> list[bool]:
        self._amending.carry(provider, self._amending.pending(provider))
        done: set[int] = set()
        seen: set[str] = set()
        for some in _by(_SOME, enumerate(corrections)):
            rows = self._newest(provider, [one.key for _, one in some])
            wanted: dict[int, Intent] = {}
            for number, one in some:
                here = rows.get(one.key)
                if one.key not in seen and (stored_of(here) if here is not None else None) == one.before:
                    wanted[number] = _intent(one, here)
                seen.add(one.key)
            made = self._make(backup, run, provider, list(wanted.values()))
            done |= {number for number, intent in wanted.items() if intent["id"] in made}
        return [number in done for number in range(len(corrections))]

    @plainly()
    def set_unowned(self, backup: str, run: str, provider: str, was: tuple[int, int], now: tuple[int, int]) -> bool:
        self._amending.carry(provider, self._amending.pending(provider))
        unowned = dict(zip(_UNOWNED, was, strict=True))
        books, (count, size) = self._lacking(provider)
        if not books or any((books.get(name) or 0) != number for name, number in unowned.items()):
            return False
        intent = _unowned(now[0] - was[0], now[1] - was[1])
        change = intent["change"]
        change |= {"count": change["count"] + count, "size": change["size"] + size}
        if not any(change.values()):
            return False
        totals = {name: books.get(name) or 0 for name in _TOTALS} if count or size else {}
        return bool(self._make(backup, run, provider, [intent], sums={**unowned, **totals}))

    def _lacking(self, provider: str) -> tuple[dict[str, Any], tuple[int, int]]:
        """The provider's document, and the objects and bytes that its sums lack: others have written them, or lost
        some. None where anything was under way while the rows were added up: nobody knows then."""
        books = self._stats.find_one(of(provider)) or {}
        each = {"_id": None, "count": {"$sum": 1}, "size": {"$sum": "$size"}}
        rows = self._objects.aggregate([{"$match": {**of(provider), "state": STORED}}, {"$group": each}])
        count, size = next(((row["count"], row["size"]) for row in rows), (0, 0))
        settling = [each for each in books.get("reservations", []) if each.get("booked")]
        if settling or books.get("removals") or books.get("corrections"):
            return books, (0, 0)
        if (self._stats.find_one(of(provider)) or {}) != books:
            return books, (0, 0)
        right = count + (books.get("unowned_count") or 0), size + (books.get("unowned_bytes") or 0)
        told = books.get("file_count") or 0, books.get("total_size_bytes") or 0
        return books, (right[0] - told[0], right[1] - told[1])

    def _make(
        self,
        backup: str,
        run: str,
        provider: str,
        intents: Sequence[Intent],
        *,
        sums: Mapping[str, int] | None = None,
    ) -> set[str]:
        """Correct rows, each kept in the backup before. The ids of those that were done."""
        if not intents:
            return set()
        begun = {"run": run, "provider": provider, "created_at": now(), "restored_at": None}
        self._backups.update_one({"_id": backup}, {"$setOnInsert": begun}, upsert=True)
        kept = [_kept(backup, intent) for intent in intents]
        new = _inserted(self._backup_rows, kept)
        ready = self._ready(provider, [intent for intent in intents if intent["id"] in new])
        for intent in ready:
            intent |= {"backup": backup, "row": intent["id"], "becomes": KEPT}
        self._under_way(provider, ready, sums)
        mine = {"$in": [intent["id"] for intent in intents]}
        made = {row["_id"] for row in self._backup_rows.find({"_id": mine, "state": {"$ne": WANTED}}, {"_id": 1})}
        self._backup_rows.delete_many({"_id": mine, "state": WANTED})
        return made

    def _ready(self, provider: str, intents: Sequence[Intent]) -> list[Intent]:
        """Those whose new row has its document, which says that its name is taken."""
        at = now()
        new = [
            {
                **{name: value for name, value in intent["after"].items() if value or name != "idempotency"},
                "_id": intent["id"],
                "provider": provider,
                "key": intent["key"],
                "state": EXPECTED,
                "pending_since": at,
            }
            for intent in intents
            if intent["adds"]
        ]
        there = _inserted(self._objects, new)
        return [intent for intent in intents if not intent["adds"] or intent["id"] in there]

    def _under_way(self, provider: str, intents: Sequence[Intent], sums: Mapping[str, int] | None = None) -> None:
        """Write corrections into the provider's document, those that no upload and no other one shuts out, and carry
        them through."""
        if not intents:
            return
        after = self._stats.find_one_and_update(
            of(provider),
            asked(intents, sums or {}),
            projection={"corrections": 1},
            return_document=ReturnDocument.AFTER,
        )
        mine = {intent["id"] for intent in intents}
        there = [each for each in (after or {}).get("corrections", []) if each["id"] in mine]
        self._amending.carry(provider, there)
        left = sorted(mine - {each["id"] for each in there})
        self._objects.delete_many({"_id": {"$in": left}, "state": EXPECTED})

    @plainly()
    def backups(self) -> list[Backup]:
        each = {"_id": "$backup", "rows": {"$sum": {"$cond": [{"$eq": ["$unowned", None]}, 1, 0]}}}
        counted = self._backup_rows.aggregate([{"$match": {"state": {"$ne": WANTED}}}, {"$group": each}])
        rows = {found["_id"]: found["rows"] for found in counted}
        found = self._backups.find({"_id": {"$in": list(rows)}}).sort([("created_at", DESCENDING), ("_id", ASCENDING)])
        names = ("run", "provider", "created_at", "restored_at")
        return [
            Backup(id=each["_id"], rows=rows[each["_id"]], **{name: each[name] for name in names}) for each in found
        ]

    @plainly()
    def restore(self, backup: str) -> tuple[int, list[str]]:
        found = self._backups.find_one({"_id": {"$eq": backup}})
        if found is None or self._backup_rows.find_one({"backup": backup, "state": {"$ne": WANTED}}) is None:
            raise UsageError(f"there is no backup {backup}", cure="See them: trueup backups ls")
        if found["restored_at"] is not None:
            raise _restored(backup)
        provider = found["provider"]
        self._amending.carry(provider, self._amending.pending(provider))
        self._keep_sums(backup, provider)
        stay = self._put_back(backup, provider)
        self._put_unowned_back(backup, provider)
        if not stay:
            self._as_before(backup, provider)
        over = {"_id": backup, "restored_at": None}
        if not self._backups.update_one(over, {"$set": {"restored_at": now()}}).matched_count:
            raise _restored(backup)
        # Also what a restore had put back that died before it was over.
        back = self._backup_rows.count_documents({"backup": backup, "state": BACK, "unowned": None})
        return back, stay

    def _put_back(self, backup: str, provider: str) -> list[str]:
        """Put the rows back. The keys of those that stay."""
        kept = {"backup": backup, "state": KEPT, "unowned": None}
        stay: list[str] = []
        after: dict[str, Any] = {}
        while rows := list(self._backup_rows.find({**kept, **after}).sort("key", ASCENDING).limit(_SOME)):
            here = self._newest(provider, [row["key"] for row in rows])
            intents = []
            for row in rows:
                undone = Correction(*(_row_of(provider, row["key"], row[name]) for name in ("after", "before")))
                document = here.get(row["key"])
                if (stored_of(document) if document is not None else None) == undone.before:
                    intents.append(_undoing(_intent(undone, document), backup, row["_id"]))
            self._under_way(provider, self._ready(provider, intents))
            these = {"_id": {"$in": [row["_id"] for row in rows]}, "state": KEPT}
            stay += [row["key"] for row in self._backup_rows.find(these, {"key": 1}).sort("key", ASCENDING)]
            after = {"key": {"$gt": rows[-1]["key"]}}
        return stay

    def _put_unowned_back(self, backup: str, provider: str) -> None:
        kept = {"backup": backup, "state": KEPT, "unowned": {"$ne": None}}
        while (row := self._backup_rows.find_one(kept)) is not None:
            count, size = row["unowned"]
            self._amending.carry(provider, self._amending.pending(provider))  # which may be what shut it out
            self._under_way(provider, [_undoing(_unowned(-count, -size), backup, row["_id"])])

    def _keep_sums(self, backup: str, provider: str) -> None:
        """Note what the sums were before the backup and after it, if whoever made it died before he could."""
        books = self._stats.find_one({**of(provider), "undo.id": {"$eq": backup}}, {"undo": 1})
        if books is not None:
            self._backups.update_one({"_id": {"$eq": backup}}, {"$set": {"undo": books["undo"]}})

    def _as_before(self, backup: str, provider: str) -> None:
        """Give the provider's sums their flags and their time again, where nothing but the backup and its restore has
        changed them."""
        books = self._stats.find_one(of(provider), {"undo": 1}) or {}
        done = (self._backups.find_one({"_id": backup}) or {}).get("undo")
        undone = books.get("undo")
        if done is None or undone is None or undone["id"] != _RESTORE + backup:
            return
        if done["before"] is not None and undone["before"] == done["after"]:
            same = {name: {"$eq": undone["after"][name]} for name in SUMS}
            self._stats.update_one({**of(provider), **same}, {"$set": done["before"]})


def _intent(correction: Correction, here: Mapping[str, Any] | None) -> Intent:
    """A correction of the row of a document, or of none."""
    before, after = correction
    named = before is not None and after is not None and after.idempotency not in {"", before.idempotency}
    size = count = 0
    for row, sign in ((before, -1), (after, 1)):
        if row is not None and row.state == STORED:
            size, count = size + sign * row.size, count + sign
    return {
        "id": uuid.uuid4().hex,
        "key": correction.key,
        "object": here["_id"] if here is not None else None,
        "since": here["seq"] if here is not None else None,
        "adds": here is None,
        "named": named,
        "before": _facts(before),
        "after": _facts(after),
        "change": {"size": size, "count": count, "unowned_count": 0, "unowned_bytes": 0},
        "at": now(),
        "decided": False,
    }


def _unowned(count: int, size: int) -> Intent:
    """A correction of what lies there unowned."""
    return {
        "id": uuid.uuid4().hex,
        "key": None,
        "object": None,
        "since": None,
        "adds": False,
        "named": False,
        "before": None,
        "after": None,
        "change": {"size": size, "count": count, "unowned_count": count, "unowned_bytes": size},
        "at": now(),
        "decided": False,
    }


def _undoing(intent: Intent, backup: str, row: str) -> Intent:
    """A correction that puts a row of a backup back."""
    return intent | {"backup": _RESTORE + backup, "row": row, "becomes": BACK}


def _kept(backup: str, intent: Intent) -> dict[str, Any]:
    """A correction's row of the backup."""
    change = intent["change"]
    unowned = [change["unowned_count"], change["unowned_bytes"]] if intent["key"] is None else None
    facts = {name: intent[name] for name in ("key", "before", "after")}
    if unowned is not None:  # there may be several of these, and one of every key
        facts["key"] = {"unowned": intent["id"]}
    row = {"_id": intent["id"], "backup": backup, **facts, "unowned": unowned}
    return row | {"state": WANTED, "pending_since": intent["at"]}


def _facts(row: Stored | None) -> dict[str, Any] | None:
    if row is None:
        return None
    facts = row._asdict()
    del facts["provider"], facts["key"]
    return facts


def _row_of(provider: str, key: str, facts: Mapping[str, Any] | None) -> Stored | None:
    return Stored(provider=provider, key=key, **facts) if facts is not None else None


def _inserted(collection: Collection[dict[str, Any]], documents: Sequence[dict[str, Any]]) -> set[str]:
    """Insert documents, but those that somebody else has already. The ids of those that are there."""
    ids = {document["_id"] for document in documents}
    if not documents:
        return ids
    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        failed = error.details["writeErrors"]
        if any(each["code"] != DUPLICATE_KEY for each in failed):
            raise
        ids -= {documents[each["index"]]["_id"] for each in failed}
    return ids


def _by(number: int, things: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(things)
    while some := list(islice(rest, number)):
        yield some


def _restored(backup: str) -> UsageError:
    return UsageError(f"the backup {backup} was restored already")
