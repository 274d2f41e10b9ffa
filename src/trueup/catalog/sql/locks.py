"""Locks over several machines, in a SQL database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from trueup.catalog.base import Claim
from trueup.catalog.sql.engine import clock, reading
from trueup.catalog.sql.tables import locks

_c = locks.c
_ROW = sa.select(locks)


class SqlLocks:
    """See `Locks`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._insert: Any = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    def take(self, claim: Claim, length: timedelta, *, instead_of: str = "") -> tuple[Claim, datetime]:
        with self._engine.begin() as db:
            values = claim._asdict() | {"until": clock(self._engine, length)}
            free = _c.until <= clock(self._engine)
            if instead_of:
                free |= _c.run == instead_of
            # Whether the lock is free is looked at once nobody else can change its row any more, and that lasts until
            # the end of the transaction: who holds it cannot have changed when it is read.
            new = self._insert(locks).values(values)
            db.execute(new.on_conflict_do_update(index_elements=[_c.name], set_=values, where=free))
            return _read(db.execute(_ROW.where(_c.name == claim.name)).one())

    def renew(self, claim: Claim, length: timedelta) -> bool:
        with self._engine.begin() as db:
            longer = locks.update().where(*_of(claim)).values(until=clock(self._engine, length))
            return bool(db.execute(longer).rowcount)

    def holder(self, name: str) -> Claim | None:
        held = sa.select(*(_c[field] for field in Claim._fields)).where(_c.name == name, _c.until > clock(self._engine))
        with reading(self._engine) as db:
            found = db.execute(held).one_or_none()
        return Claim(*found) if found is not None else None

    def release(self, claim: Claim) -> None:
        with self._engine.begin() as db:
            db.execute(locks.delete().where(*_of(claim)))

    def who(self, name: str) -> tuple[Claim, datetime] | None:
        with reading(self._engine) as db:
            found = db.execute(_ROW.where(_c.name == name)).one_or_none()
        return _read(found) if found is not None else None


def _read(row: sa.Row[Any]) -> tuple[Claim, datetime]:
    return Claim(row.name, row.run, row.holder, row.token), row.until


def _of(claim: Claim) -> tuple[sa.ColumnElement[bool], ...]:
    return _c.name == claim.name, _c.token == claim.token
