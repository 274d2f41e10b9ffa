"""Carrying through what one update has decided: an object booked, an object struck off.

There are no transactions here: a server that stands alone has none. Instead an operation is written into the
provider's document first, as a reservation that is `booked` or as a removal, and the update that changes the counters
takes it out again. Whatever happens between can be done by anybody, any number of times, in any order, also by someone
who was asleep for a day:

- The counters change once: only with the operation still in the document, and its id never comes back.
- An object's document goes `expected`, `arrived`, `stored`, `gone` and never back, and is only inserted before its
  reservation. So nobody late can bring a removed object to life. What makes it `missing`, or `stored` again, gives it
  another `seq`: see `amending`.
- An operation marks with its own id what it makes `gone`, and then subtracts what carries its mark. Of two operations
  that want one object, one gets to mark it; and once an operation has looked for what it is to mark, there is nothing
  left that it could mark later: a key has one reservation at a time, so all that is older (`seq`) was stored before.
- What nobody needs any more is deleted in the state in which it was seen, after its operation was not found.

Until it is carried through, the counters say what they said before; no quota can be exceeded by that, because the
reservation counts as well.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.database import Database

from trueup.catalog.base import MISSING, STORED, now
from trueup.catalog.mongo.books import Books, of

EXPECTED: Final = "expected"
"""Its room is being asked for, or it is being uploaded."""
ARRIVED: Final = "arrived"
"""It is about to be booked: its document is needed."""
GONE: Final = "gone"
LIVE: Final = [STORED, MISSING]
"""The rows of the books."""

PATIENCE: Final = timedelta(hours=1)
"""How long a document may belong to nothing yet. A shorter one would cost a slow upload a second try, never the books
their truth."""
BREATH: Final = timedelta(minutes=1)
"""After which a removal, or a correction, is one that died."""


class Settling:
    """Carries operations through. Safe to use from many threads and processes at once."""

    def __init__(self, database: Database[dict[str, Any]], books: Books) -> None:
        self._stats = database["storage_stats"]
        self._objects = database["objects"]
        self._books = books

    def finish(self, provider: str, reservation: dict[str, Any]) -> None:
        """Make a booked reservation the object of its key."""
        upload, seq, done = reservation["id"], reservation["seq"], reservation["booked"]
        facts = {"size": done["size"], "md5": done["md5"], "created_at": done["at"], "seq": seq}
        self._objects.update_one(
            {"_id": upload, "state": ARRIVED},
            {"$set": {"state": STORED, **facts}, "$unset": {"pending_since": ""}},
        )
        older = {"key": {"$eq": reservation["key"]}, **of(provider), "state": STORED, "seq": {"$lt": seq}}
        self._objects.update_many(older, gone(upload))
        # It counts nothing.
        self._objects.delete_many({**older, "state": MISSING})
        self._settle(provider, "reservations", upload, size=done["size"], count=1)

    def strike(self, provider: str, removal: dict[str, Any]) -> bool:
        """Strike off the object of a removal. Whether this removal got it."""
        self._objects.update_one(unclaimed(removal["object"], removal["seq"], STORED), gone(removal["id"]))
        return self._settle(provider, "removals", removal["id"], size=0, count=0)

    def _settle(self, provider: str, kind: str, one: str, *, size: int, count: int) -> bool:
        """Change the counters by an operation and by what it made `gone`, if nobody has. Whether it made any."""
        dropped = [found["size"] for found in self._objects.find({"by": one}, {"size": 1})]
        change = self._books.settled(provider, one, size=size - sum(dropped), count=count - len(dropped))
        self._stats.update_one({**of(provider), f"{kind}.id": one}, change)
        if dropped:
            self._objects.delete_many({"by": one})
        return bool(dropped)

    def release(self, upload: str) -> None:
        """Forget the document of an upload that came to nothing; its reservation is gone, or never was."""
        self._objects.delete_one({"_id": upload, "state": {"$in": [EXPECTED, ARRIVED]}})

    def tidy(self, at: datetime) -> list[tuple[str, dict[str, Any]]]:
        """Carry through what died on its way, and delete what nothing refers to. The reservations that are promises
        still and whose lease has ended, with their providers."""
        # In this order: what is decided after the documents were read is found in the reservations.
        old = {"pending_since": {"$lt": at - PATIENCE}, "state": {"$nin": LIVE}}
        left = list(self._objects.find(old, {"state": 1, "by": 1}))
        under_way: set[str] = set()
        late: list[tuple[str, dict[str, Any]]] = []
        wanted = ("provider", "reservations", "removals", "corrections.id")
        for books in self._stats.find({}, dict.fromkeys(wanted, 1)):
            provider = books.get("provider", "")
            under_way |= {correction["id"] for correction in books.get("corrections", [])}
            for reservation in books.get("reservations", []):
                under_way.add(reservation["id"])
                if reservation["lease_until"] > at:
                    continue
                if reservation.get("booked"):
                    self.finish(provider, reservation)
                else:
                    late.append((provider, reservation))
            for removal in books.get("removals", []):
                under_way.add(removal["id"])
                if removal["at"] < at - BREATH:
                    self.strike(provider, removal)
        for found in left:
            if found.get("by", found["_id"]) not in under_way:
                self._objects.delete_one({"_id": found["_id"], "state": found["state"]})
        return late


def unclaimed(document: str, seq: int, *states: str) -> dict[str, Any]:
    """A document as it was read, if no correction has claimed it."""
    return {"_id": document, "seq": seq, "state": {"$in": list(states)}, "by": {"$exists": False}}


def gone(by: str) -> dict[str, Any]:
    """An object that is no more; what its upload was called is free again."""
    return {"$set": {"state": GONE, "by": by, "pending_since": now()}, "$unset": {"idempotency": ""}}
