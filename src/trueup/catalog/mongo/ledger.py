"""The books in MongoDB.

What decides about room is one update of the provider's document, so that of two uploads that want the last bytes one
gets them. How the rest follows it without transactions, `settling` says.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from trueup import keys
from trueup.catalog.base import MISSING, STORED, Limits, Reservation, Stored, Usage, now
from trueup.catalog.mongo import books
from trueup.catalog.mongo.amending import Amending
from trueup.catalog.mongo.settling import ARRIVED, EXPECTED, LIVE, Settling, unclaimed
from trueup.catalog.mongo.trouble import plainly
from trueup.errors import Busy

_PAGE: Final = 1000
_EVERY: Final = {"provider": {"$type": "string"}}
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)


class MongoLedger:
    """See `Ledger`. `limits` by provider; a provider without any may be read and cleared, and promises no room."""

    def __init__(self, database: Database[dict[str, Any]], limits: Mapping[str, Limits]) -> None:
        self._stats = database["storage_stats"]
        self._objects = database["objects"]
        self._books = books.Books(limits)
        self._settling = Settling(database, self._books)
        self._amending = Amending(database, self._books)
        self._make_documents(limits)

    def _make_documents(self, limits: Mapping[str, Limits]) -> None:
        self._stats.update_many({**_EVERY, "unowned_bytes": {"$exists": False}}, books.TAKEN_OVER)
        known = set(self._stats.distinct("provider"))
        for provider in sorted(limits.keys() - known):
            with suppress(DuplicateKeyError):  # another process made the same one
                self._stats.insert_one(books.empty(provider))

    @plainly()
    def usage(self) -> list[Usage]:
        found = self._stats.find(_EVERY, {"reservations": 0, "removals": 0, "corrections": 0, "outbox": 0})
        return sorted(_usage(document) for document in found)

    @plainly()
    def reserve(self, wanted: Reservation) -> bool:
        upload = uuid.uuid4().hex
        promised = {**wanted._asdict(), "id": upload}
        del promised["provider"]
        document = {
            "_id": upload,
            "provider": wanted.provider,
            "key": wanted.key,
            "state": EXPECTED,
            "pending_since": now(),
        }
        try:
            self._objects.insert_one(document | ({"idempotency": wanted.idempotency} if wanted.idempotency else {}))
        except DuplicateKeyError:
            raise _in_use(wanted.key) from None
        got = self._take(wanted.provider, promised)
        if not got:
            self._settling.release(upload)
        if got is None:
            raise _in_use(wanted.key)
        # From here on nobody removes what it replaces, so this is the time to look.
        credit = wanted.size - wanted.reserved
        if got and credit > 0 and self._size(wanted.provider, wanted.key) < credit:
            self.release(wanted.token)
            raise _in_use(wanted.key)
        return got

    def _size(self, provider: str, key: str) -> int:
        return next((stored.size for stored in self.find(key) if stored.provider == provider), 0)

    def _take(self, provider: str, promised: dict[str, Any]) -> bool | None:
        """Take room if it is there, else mark the provider as full. None when the key is in use."""
        key, token = promised["key"], promised["token"]
        free = {f"{name}.key": {"$ne": key} for name in ("reservations", "corrections", "removals")}
        free["reservations.token"] = {"$ne": token}
        while True:
            after = self._stats.find_one_and_update(
                {**books.of(provider), **free},
                self._books.promised(provider, promised),
                projection={"reservations.id": 1},
                return_document=ReturnDocument.AFTER,
            )
            if after is not None:
                return any(each["id"] == promised["id"] for each in after["reservations"])
            found = self._stats.find_one(books.of(provider), {"reservations": 1, "corrections": 1, "removals": 1})
            if found is None:
                return False
            # A correction is over soon, and if its process died, it is carried through here.
            self._amending.carry(provider, [each for each in found.get("corrections", []) if each["key"] == key])
            for removal in found.get("removals", []):
                if removal.get("key") == key:
                    self._settling.strike(provider, removal)
            for other in found.get("reservations", []):
                if key == other["key"] or token == other["token"]:
                    if not other.get("booked"):
                        return None
                    self._settling.finish(provider, other)  # it is over, and need only be carried through

    @plainly()
    def refuse(self, provider: str) -> None:
        self._stats.update_one(books.of(provider), self._books.refused(provider))

    @plainly()
    def grow(self, token: str, size: int) -> bool:
        while (found := self._promise(token)) is not None:
            provider, reservation = found
            if reservation.get("booked"):
                return False
            more = max(0, size - reservation["size"])
            after = self._stats.find_one_and_update(
                {**books.of(provider), **books.unbooked(reservation["id"], size=reservation["size"])},
                self._books.grown(provider, reservation["id"], reservation["size"] + more, more),
                projection={"reservations": 1},
                return_document=ReturnDocument.AFTER,
            )
            if after is not None:  # else it is no more what was read
                return any(each["id"] == reservation["id"] and each["size"] >= size for each in after["reservations"])
        return False

    def _promise(self, token: str) -> tuple[str, dict[str, Any]] | None:
        """A reservation and its provider."""
        this = {"$elemMatch": {"token": {"$eq": token}}}
        found = self._stats.find_one({"reservations": this}, {"provider": 1, "reservations": this})
        return (found["provider"], found["reservations"][0]) if found is not None else None

    @plainly()
    def renew(self, tokens: Iterable[str], until: datetime) -> None:
        rest = iter(tokens)
        while some := list(islice(rest, _PAGE)):
            self._stats.update_many({"reservations.token": {"$in": some}}, books.renewed(some, until))

    @plainly()
    def commit(self, token: str, size: int, md5: str, at: datetime) -> bool:
        found = self._promise(token)
        if found is None:
            return False
        provider, reservation = found
        upload = reservation["id"]
        # From here on its document is needed: nobody may take it for one that a crash has left.
        there = {"_id": upload, "state": {"$in": [EXPECTED, ARRIVED]}}
        ready = self._objects.update_one(there, {"$set": {"state": ARRIVED}}).matched_count
        this = {**books.of(provider), **books.unbooked(upload)}
        if ready and self._stats.update_one(this, books.booked(upload, size, md5, at)).matched_count:
            done = {"size": size, "md5": md5, "at": at}
            self._settling.finish(provider, reservation | {"booked": done})
            return True
        # Somebody was faster. When this returns, it is done.
        found = self._promise(token)
        if found is not None and found[1]["id"] == upload:
            if found[1].get("booked"):
                self._settling.finish(*found)
            else:
                self._release(*found)
        return False

    @plainly()
    def release(self, token: str) -> None:
        found = self._promise(token)
        if found is not None:
            self._release(*found)

    def _release(self, provider: str, reservation: dict[str, Any]) -> None:
        upload = reservation["id"]
        this = {**books.of(provider), **books.unbooked(upload)}
        if self._stats.update_one(this, self._books.settled(provider, upload)).matched_count:
            self._settling.release(upload)

    @plainly()
    def overdue(self, now: datetime) -> list[Reservation]:
        self._amending.tidy(now)
        late = [_reservation(provider, found) for provider, found in self._settling.tidy(now)]
        return sorted(late, key=lambda reservation: reservation.lease_until)

    @plainly()
    def find(self, key: str, *, missing: bool = False) -> list[Stored]:
        found = self._objects.find({"key": {"$eq": key}, "state": {"$in": LIVE}}).sort("seq", ASCENDING)
        # While an overwrite is carried through, both versions are there for a moment.
        newest = {document["provider"]: stored_of(document) for document in found}
        wanted = [stored for stored in newest.values() if missing or stored.state == STORED]
        return sorted(wanted, key=lambda stored: stored.created_at, reverse=True)

    @plainly()
    def known(self, idempotency: str) -> Stored | None:
        found = self._objects.find_one({"idempotency": {"$eq": idempotency}, "state": STORED})
        return stored_of(found) if found is not None else None

    @plainly()
    def suspect(self, token: str) -> None:
        found = self._promise(token)
        if found is not None:
            provider, reservation = found
            upload = reservation["id"]
            self._stats.update_one({**books.of(provider), **books.unbooked(upload)}, books.suspected(upload))
            self._objects.update_one({"_id": upload, "state": EXPECTED}, {"$unset": {"idempotency": ""}})

    @plainly()
    def superseded(self) -> list[Stored]:
        several: list[dict[str, Any]] = [
            {"$match": {"state": STORED}},
            {"$group": {"_id": "$key", "count": {"$sum": 1}}},
            {"$match": {"count": {"$gt": 1}}},
        ]
        with self._objects.aggregate(several, allowDiskUse=True) as found:
            return [older for document in found for older in self.find(document["_id"])[1:]]

    def remove(self, stored: Stored, token: str = "") -> bool:
        struck = self._remove(stored, token)
        self.release(token)
        return struck

    @plainly()
    def _remove(self, stored: Stored, token: str) -> bool:
        same = {name: {"$eq": getattr(stored, name)} for name in ("key", "provider", "created_at", "size", "md5")}
        # The removal names the document, so that somebody late cannot strike off another one that looks like it.
        these = {**same, "state": {"$in": LIVE}}
        found = self._objects.find_one(these, sort=[("seq", ASCENDING)])
        if found is not None and "by" in found:  # a correction is under way, or died
            self._amending.carry(stored.provider, self._amending.pending(stored.provider))
            found = self._objects.find_one(these, sort=[("seq", ASCENDING)])
        if found is None:
            return False
        if found["state"] == MISSING:  # it counts nothing, so there is nothing to carry through
            return bool(self._objects.delete_one(unclaimed(found["_id"], found["seq"], MISSING)).deleted_count)
        removal = {"id": uuid.uuid4().hex, "object": found["_id"], "seq": found["seq"], "at": now()}
        if not self._intend(stored, removal | {"key": stored.key}, token):
            return False
        return self._settling.strike(stored.provider, removal)

    def _intend(self, stored: Stored, removal: dict[str, Any], token: str) -> bool:
        """Decide about a removal, while nobody else has reserved the key."""
        others = {"$elemMatch": {"key": {"$eq": stored.key}, "token": {"$ne": token}}}
        free = {**books.of(stored.provider), "reservations": {"$not": others}}
        while not self._stats.update_one(free, {"$push": {"removals": removal}}).matched_count:
            found = self._stats.find_one({**books.of(stored.provider), "reservations": others}, {"reservations": 1})
            if found is None:
                if self._stats.find_one(books.of(stored.provider), {"_id": 1}) is None:
                    return False
                continue
            for other in found["reservations"]:
                if other["key"] == stored.key and other["token"] != token:
                    if not other.get("booked"):
                        raise _in_use(stored.key)
                    self._settling.finish(stored.provider, other)
        return True

    def objects(self, older_than: datetime | None = None) -> Iterator[Stored]:
        wanted: dict[str, Any] = {"state": {"$in": LIVE}}
        if older_than is not None:
            wanted["created_at"] = {"$lt": older_than}
        after: dict[str, Any] = {}
        while True:  # pages, so that no cursor stays open while the caller works
            rows = self._page({**wanted, **after})
            last: tuple[str, str] | None = None
            for stored in rows:
                if (stored.key, stored.provider) != last:  # else the older one of an overwrite under way
                    yield stored
                last = (stored.key, stored.provider)
            if last is None:
                return
            key, provider = last
            after = {"$or": [{"key": {"$gt": key}}, {"key": {"$eq": key}, "provider": {"$gt": provider}}]}

    @plainly()
    def _page(self, wanted: dict[str, Any]) -> list[Stored]:
        order = [("key", ASCENDING), ("provider", ASCENDING), ("seq", DESCENDING)]
        return [stored_of(document) for document in self._objects.find(wanted).sort(order).limit(_PAGE)]


def _usage(document: Mapping[str, Any]) -> Usage:
    updated = document.get("last_updated")
    return Usage(
        provider=document["provider"],
        **{name: int(document.get(name) or 0) for name in Usage._fields[1:6]},
        is_full=bool(document.get("is_full")),
        last_updated=updated if isinstance(updated, datetime) else _LONG_AGO,
    )


def stored_of(document: Mapping[str, Any]) -> Stored:
    """A document as a row."""
    facts: dict[str, Any] = {name: document[name] for name in Stored._fields if name != "idempotency"}
    return Stored(**{**facts, "idempotency": document.get("idempotency", "")})


def _reservation(provider: str, document: Mapping[str, Any]) -> Reservation:
    facts: dict[str, Any] = {name: document[name] for name in Reservation._fields if name in document}
    return Reservation(**{**facts, "provider": provider})


def _in_use(key: str) -> Busy:
    return Busy(f"'{keys.display(key)}' is being uploaded or removed already", cure="Wait for that to end")
