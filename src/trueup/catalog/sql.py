"""The books in a SQL database: SQLite and PostgreSQL.

What decides about room is one conditional update, so that of two uploads that want the last bytes one gets them,
whatever the database's isolation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from trueup.catalog.base import Limits, Reservation, Stored, Usage
from trueup.catalog.tables import objects, reservations, storage_stats
from trueup.errors import Busy

_PAGE: Final = 1000


class SqlLedger:
    """See `Ledger`. `limits` by provider; a provider without any may be read and cleared, and promises no room."""

    def __init__(self, engine: sa.Engine, limits: Mapping[str, Limits]) -> None:
        self._engine = engine
        self._limits = limits
        self._make_rows()

    def _make_rows(self) -> None:
        now = datetime.now(UTC)
        with self._engine.begin() as db:
            known = set(db.scalars(sa.select(storage_stats.c.provider)))
            for provider in sorted(self._limits.keys() - known):
                # Another process may be making the same row.
                missing = ~sa.exists().where(storage_stats.c.provider == provider)
                row = sa.select(sa.literal(provider), sa.literal(now, storage_stats.c.last_updated.type)).where(missing)
                db.execute(storage_stats.insert().from_select(["provider", "last_updated"], row))

    def _reading(self) -> sa.Connection:
        return self._engine.connect().execution_options(reading=True)

    def usage(self) -> list[Usage]:
        columns = [storage_stats.c[name] for name in Usage._fields]
        with self._reading() as db:
            rows = db.execute(sa.select(*columns).order_by(storage_stats.c.provider))
            return [Usage(*row) for row in rows]

    def reserve(self, wanted: Reservation) -> bool:
        try:
            with self._engine.begin() as db:
                if wanted.idempotency and self._in_use(db, wanted.idempotency):
                    raise _in_use(wanted.idempotency)
                if not self._take(db, wanted.provider, wanted.reserved):
                    return False
                row = wanted._asdict() | {"idempotency": wanted.idempotency or None}
                db.execute(reservations.insert().values(row))
        except IntegrityError:  # somebody else began with the same token at the same moment
            raise _in_use(wanted.idempotency) from None
        return True

    @staticmethod
    def _in_use(db: sa.Connection, idempotency: str) -> bool:
        found = sa.select(reservations.c.token).where(reservations.c.idempotency == idempotency)
        return db.scalar(found) is not None

    def _take(self, db: sa.Connection, provider: str, more: int) -> bool:
        """Take room if it is there, else mark the provider as full."""
        table, limits = storage_stats.c, self._limits[provider]
        used = table.total_size_bytes + table.reserved_bytes + more
        taken = db.execute(
            storage_stats.update()
            .where(table.provider == provider, used <= limits.quota)
            .values(
                reserved_bytes=table.reserved_bytes + more,
                is_full=limits.quota - used < limits.full_below,
                last_updated=datetime.now(UTC),
            )
        )
        if not taken.rowcount:
            db.execute(storage_stats.update().where(table.provider == provider).values(is_full=True))
        return bool(taken.rowcount)

    def _settle(self, db: sa.Connection, provider: str, *, reserved: int = 0, size: int = 0, count: int = 0) -> None:
        """Change a provider's books by so much."""
        table = storage_stats.c
        total, promised = table.total_size_bytes + size, table.reserved_bytes + reserved
        values: dict[str, Any] = {
            "total_size_bytes": total,
            "reserved_bytes": promised,
            "file_count": table.file_count + count,
            "last_updated": datetime.now(UTC),
        }
        if limits := self._limits.get(provider):
            values["is_full"] = limits.quota - total - promised < limits.full_below
        db.execute(storage_stats.update().where(table.provider == provider).values(values))

    def grow(self, token: str, size: int) -> bool:
        with self._engine.begin() as db:
            found = self._reservation(db, token)
            if found is None:
                return False
            more = max(0, size - found.size)
            if not self._take(db, found.provider, more):
                return False
            db.execute(
                reservations.update()
                .where(reservations.c.token == token)
                .values(size=max(size, found.size), reserved=found.reserved + more)
            )
            return True

    @staticmethod
    def _reservation(db: sa.Connection, token: str) -> Reservation | None:
        """The reservation, locked until the transaction ends."""
        columns = [reservations.c[name] for name in Reservation._fields]
        row = db.execute(sa.select(*columns).where(reservations.c.token == token).with_for_update()).one_or_none()
        return Reservation(*row)._replace(idempotency=row.idempotency or "") if row is not None else None

    def renew(self, tokens: Iterable[str], until: datetime) -> None:
        rest = iter(tokens)
        with self._engine.begin() as db:
            while some := list(islice(rest, _PAGE)):
                db.execute(reservations.update().where(reservations.c.token.in_(some)).values(lease_until=until))

    def commit(self, token: str, size: int, md5: str, at: datetime) -> bool:
        with self._engine.begin() as db:
            found = self._reservation(db, token)
            if found is None:
                return False
            here = (objects.c.provider == found.provider, objects.c.key == found.key)
            replaced = db.scalar(sa.select(objects.c.size).where(*here).with_for_update())
            db.execute(objects.delete().where(*here))
            row = Stored(found.provider, found.key, size, md5, at)._asdict()
            db.execute(objects.insert().values(row | {"idempotency": found.idempotency or None}))
            db.execute(reservations.delete().where(reservations.c.token == token))
            self._settle(
                db,
                found.provider,
                reserved=-found.reserved,
                size=size - (replaced or 0),
                count=1 if replaced is None else 0,
            )
            return True

    def release(self, token: str) -> None:
        with self._engine.begin() as db:
            found = self._reservation(db, token)
            if found is not None:
                db.execute(reservations.delete().where(reservations.c.token == token))
                self._settle(db, found.provider, reserved=-found.reserved)

    def overdue(self, now: datetime) -> list[Reservation]:
        columns = [reservations.c[name] for name in Reservation._fields]
        due = sa.select(*columns).where(reservations.c.lease_until < now).order_by(reservations.c.lease_until)
        with self._reading() as db:
            return [Reservation(*row)._replace(idempotency=row.idempotency or "") for row in db.execute(due)]

    def find(self, key: str) -> list[Stored]:
        return self._stored(objects.c.key == key)

    def known(self, idempotency: str) -> Stored | None:
        return next(iter(self._stored(objects.c.idempotency == idempotency)), None)

    def _stored(self, which: sa.ColumnElement[bool]) -> list[Stored]:
        columns = [objects.c[name] for name in Stored._fields]
        with self._reading() as db:
            rows = db.execute(sa.select(*columns).where(which).order_by(objects.c.created_at.desc()))
            return [Stored(*row)._replace(idempotency=row.idempotency or "") for row in rows]

    def remove(self, provider: str, key: str) -> bool:
        here = (objects.c.provider == provider, objects.c.key == key)
        with self._engine.begin() as db:
            size = db.scalar(sa.select(objects.c.size).where(*here).with_for_update())
            if size is None:
                return False
            if not db.execute(objects.delete().where(*here)).rowcount:
                return False
            self._settle(db, provider, size=-size, count=-1)
            return True

    def objects(self, older_than: datetime | None = None) -> Iterator[Stored]:
        columns = [objects.c[name] for name in Stored._fields]
        page = sa.select(*columns).order_by(objects.c.key, objects.c.provider).limit(_PAGE)
        if older_than is not None:
            page = page.where(objects.c.created_at < older_than)
        after: tuple[str, str] | None = None
        while True:  # pages, so that no transaction stays open while the caller works
            this = page
            if after is not None:
                this = page.where(sa.tuple_(objects.c.key, objects.c.provider) > after)
            with self._reading() as db:
                rows = [Stored(*row)._replace(idempotency=row.idempotency or "") for row in db.execute(this)]
            yield from rows
            if len(rows) < _PAGE:
                return
            after = (rows[-1].key, rows[-1].provider)

    def close(self) -> None:
        self._engine.dispose()


def _in_use(idempotency: str) -> Busy:
    return Busy(f"an upload with the token {idempotency!r} is under way", cure="Wait for it")
