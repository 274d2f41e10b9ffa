"""Messages that wait to be sent, in the file of what they tell of."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trueup.catalog.base import Message

_WIDTH = "microseconds"  # all times of one width, so that text sorts as they do


class FileOutbox:
    """See `trueup.catalog.base.Outbox`. A message that has arrived is dropped: the history tells of its run as well.

    `told` is how the owner of the file says that it cannot be used.
    """

    def __init__(self, db: sqlite3.Connection, told: Callable[[], AbstractContextManager[None]]) -> None:
        self._db = db
        self._told = told

    def put(self, kind: str, payload: Mapping[str, object]) -> None:
        """Write a message, within the transaction at hand."""
        now = datetime.now(UTC).isoformat(timespec=_WIDTH)
        self._db.execute(
            "insert into outbox values (?, ?, ?, ?, ?, 0, '[]', '')",
            (f"msg_{uuid.uuid4().hex}", kind, json.dumps(payload), now, now),
        )

    def due(self, now: datetime) -> list[Message]:
        """What is to be sent now, oldest first."""
        from trueup.catalog.base import Message  # only who sends needs what comes with it

        with self._told():
            rows = self._db.execute(
                "select id, kind, payload, created_at, attempts, delivered from outbox where due_at <= ?"
                " order by created_at, id",
                (now.isoformat(timespec=_WIDTH),),
            ).fetchall()
        return [
            Message(
                id=row["id"],
                kind=row["kind"],
                payload=json.loads(row["payload"]),
                created_at=datetime.fromisoformat(row["created_at"]),
                attempts=row["attempts"],
                delivered=tuple(json.loads(row["delivered"])),
            )
            for row in rows
        ]

    def sent(self, message: str) -> None:
        """A message has arrived."""
        with self._told():
            self._db.execute("delete from outbox where id = ?", (message,))

    def failed(self, message: str, error: str, again: datetime, delivered: Sequence[str]) -> None:
        """A message could not be sent to everybody."""
        with self._told():
            self._db.execute(
                "update outbox set attempts = attempts + 1, error = ?, due_at = ?, delivered = ? where id = ?",
                (error, again.isoformat(timespec=_WIDTH), json.dumps(list(delivered)), message),
            )
