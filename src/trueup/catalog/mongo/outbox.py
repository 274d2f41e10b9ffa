"""Messages that wait to be sent, in MongoDB: each in the document of the provider it tells of, so that one update
writes both. What was sent is taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo.database import Database

from trueup.catalog.base import Message
from trueup.catalog.mongo import books
from trueup.catalog.mongo.trouble import plainly


class MongoOutbox:
    """See `Outbox`."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._stats = database["storage_stats"]

    @plainly()
    def due(self, now: datetime) -> list[Message]:
        found = [
            _message(message)
            for document in self._stats.find({"outbox.due_at": {"$lte": now}}, {"outbox": 1})
            for message in document["outbox"]
            if message["due_at"] <= now
        ]
        return sorted(found, key=lambda message: (message.created_at, message.id))

    @plainly()
    def sent(self, message: str) -> None:
        self._stats.update_one({"outbox.id": {"$eq": message}}, {"$pull": {"outbox": {"id": {"$eq": message}}}})

    @plainly()
    def failed(self, message: str, error: str, again: datetime, delivered: Sequence[str]) -> None:
        self._stats.update_one({"outbox.id": {"$eq": message}}, books.put_off(message, error, again, delivered))


def _message(element: Mapping[str, Any]) -> Message:
    facts = {name: element[name] for name in Message._fields if name != "delivered"}
    return Message(**facts, delivered=tuple(element.get("delivered", ())))  # written with the first failure
