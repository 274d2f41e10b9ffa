"""Messages that wait to be sent, in a SQL database: written in the transaction of what they tell, sent later."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from trueup.catalog.base import Message
from trueup.catalog.sql.engine import reading
from trueup.catalog.sql.tables import outbox

_DUE: Final = (
    sa.select(*(outbox.c[name] for name in Message._fields))
    .where(outbox.c.sent_at.is_(None), outbox.c.due_at <= sa.bindparam("the_now"))
    .order_by(outbox.c.created_at, outbox.c.id)
)


def put(db: sa.Connection, kind: str, payload: Mapping[str, object]) -> None:
    """Write a message in the transaction at hand."""
    now = datetime.now(UTC)
    db.execute(
        outbox.insert(),
        {
            "id": f"msg_{uuid.uuid4().hex}",
            "kind": kind,
            "payload": json.dumps(payload),
            "created_at": now,
            "due_at": now,
            "attempts": 0,
            "error": "",
        },
    )


class SqlOutbox:
    """See `Outbox`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def due(self, now: datetime) -> list[Message]:
        with reading(self._engine) as db:
            rows = db.execute(_DUE, {"the_now": now})
            return [
                Message(*row)._replace(payload=json.loads(row.payload), delivered=tuple(json.loads(row.delivered)))
                for row in rows
            ]

    def sent(self, message: str) -> None:
        with self._engine.begin() as db:
            db.execute(outbox.update().where(outbox.c.id == message).values(sent_at=datetime.now(UTC), error=""))

    def failed(self, message: str, error: str, again: datetime, delivered: Sequence[str]) -> None:
        with self._engine.begin() as db:
            db.execute(
                outbox.update()
                .where(outbox.c.id == message)
                .values(
                    attempts=outbox.c.attempts + 1, error=error, due_at=again, delivered=json.dumps(list(delivered))
                )
            )
