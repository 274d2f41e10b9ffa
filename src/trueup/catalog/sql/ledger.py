"""The books in a SQL database: SQLite and PostgreSQL.

What decides about room is one conditional update, so that of two uploads that want the last bytes one gets them,
whatever the database's isolation. Statements are put together once: doing so takes longer than running most of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from trueup import keys
from trueup.catalog.base import STORED, Limits, Reservation, Stored, Usage, now
from trueup.catalog.sql.engine import reading
from trueup.catalog.sql.outbox import put
from trueup.catalog.sql.tables import objects, reservations, storage_stats
from trueup.errors import Busy

_PAGE: Final = 1000
_OBJECT: Final = [objects.c[name] for name in Stored._fields]
_RESERVATION: Final = [reservations.c[name] for name in Reservation._fields]


def _of(name: str) -> sa.BindParameter[object]:
    """A value that is given when the statement runs."""
    return sa.bindparam(f"the_{name}")


_books = storage_stats.c
_USAGE: Final = sa.select(*(_books[name] for name in Usage._fields)).order_by(_books.provider)
_STATE: Final = (
    _books.total_size_bytes,
    _books.reserved_bytes,
    _books.is_full,
    _books.alert_sent,
    _books.file_count,
    _books.alert_limit,
)
_TAKE: Final = (
    storage_stats.update()
    .where(
        _books.provider == _of("provider"),
        # What takes no more room is let in even where a quota was lowered below what is there.
        sa.or_(
            _of("more") == 0,
            _books.total_size_bytes + _books.reserved_bytes + _of("more") <= _of("quota"),
        ),
    )
    .values(
        reserved_bytes=_books.reserved_bytes + _of("more"),
        is_full=_of("quota") - _books.total_size_bytes - _books.reserved_bytes - _of("more") < _of("full_below"),
        last_updated=_of("now"),
    )
    .returning(*_STATE)
)
_FULL: Final = storage_stats.update().where(_books.provider == _of("provider")).values(is_full=True).returning(*_STATE)
_SETTLE: Final = (
    storage_stats.update()
    .where(_books.provider == _of("provider"))
    .values(
        total_size_bytes=_books.total_size_bytes + _of("size"),
        file_count=_books.file_count + _of("count"),
        reserved_bytes=_books.reserved_bytes + _of("reserved"),
        is_full=_of("quota") - _books.total_size_bytes - _of("size") - _books.reserved_bytes - _of("reserved")
        < _of("full_below"),
        last_updated=_of("now"),
    )
    .returning(*_STATE)
)
_ALERT: Final = (
    storage_stats.update()
    .where(_books.provider == _of("provider"))
    .values(alert_sent=_of("sent"), alert_limit=_of("quota"))
)
_NAMED: Final = sa.select(objects.c.key).where(objects.c.idempotency == _of("idempotency"))
_PROMISE: Final = reservations.insert()
_PROMISED: Final = sa.select(*_RESERVATION).where(reservations.c.token == _of("token")).with_for_update()
_GROWN: Final = (
    reservations.update().where(reservations.c.token == _of("token")).values(size=_of("size"), reserved=_of("reserved"))
)
_FULFILLED: Final = reservations.delete().where(reservations.c.token == _of("token")).returning(*_RESERVATION)
_OVERDUE: Final = (
    sa.select(*_RESERVATION).where(reservations.c.lease_until <= _of("now")).order_by(reservations.c.lease_until)
)
_HERE: Final = (objects.c.provider == _of("provider"), objects.c.key == _of("key"))
_REPLACED: Final = objects.delete().where(*_HERE).returning(objects.c.size, objects.c.state)
_REPLACEABLE: Final = sa.select(objects.c.size).where(*_HERE, objects.c.state == STORED).with_for_update()
# Two versions of a key may be of one millisecond.
_STRIKE_THIS: Final = _REPLACED.where(
    objects.c.created_at == _of("created_at"), objects.c.size == _of("size"), objects.c.md5 == _of("md5")
)
_OTHERS: Final = sa.select(reservations.c.token).where(
    reservations.c.provider == _of("provider"), reservations.c.key == _of("key"), reservations.c.token != _of("token")
)
_SUSPECT: Final = (
    reservations.update()
    .where(reservations.c.token == _of("token"))
    .values(lease_until=_of("now"), idempotency=sa.null())
)
_BOOK: Final = objects.insert()
_NEWEST: Final = sa.select(*_OBJECT).order_by(objects.c.created_at.desc())
_BY_KEY: Final = _NEWEST.where(objects.c.key == _of("key"))
_STORED_BY_KEY: Final = _BY_KEY.where(objects.c.state == STORED)
_SEVERAL: Final = _NEWEST.where(
    objects.c.state == STORED,
    objects.c.key.in_(
        sa.select(objects.c.key).where(objects.c.state == STORED).group_by(objects.c.key).having(sa.func.count() > 1)
    ),
)
_BY_IDEMPOTENCY: Final = _NEWEST.where(objects.c.idempotency == _of("idempotency"))


class SqlLedger:
    """See `Ledger`. `limits` by provider; a provider without any may be read and cleared, and promises no room."""

    def __init__(self, engine: sa.Engine, limits: Mapping[str, Limits]) -> None:
        self._engine = engine
        self._limits = limits
        self._make_rows()

    def _make_rows(self) -> None:
        # Columns that an application had before may have no default.
        empty = Usage("", 0, 0, 0, 0, 0, False, datetime.now(UTC))._asdict() | {"alert_sent": False}
        with self._engine.begin() as db:
            known = set(db.scalars(sa.select(_books.provider)))
            for provider in sorted(self._limits.keys() - known):
                # Another process may be making the same row.
                missing = ~sa.exists().where(_books.provider == provider)
                row = empty | {"provider": provider}
                values = sa.select(*(sa.literal(value, _books[name].type) for name, value in row.items()))
                db.execute(storage_stats.insert().from_select(list(row), values.where(missing)))

    def usage(self) -> list[Usage]:
        with reading(self._engine) as db:
            return [Usage(*row) for row in db.execute(_USAGE)]

    def reserve(self, wanted: Reservation) -> bool:
        try:
            with self._engine.begin() as db:
                credit = wanted.size - wanted.reserved
                here = {"the_provider": wanted.provider, "the_key": wanted.key}
                # Locked, so that what it replaces stays until it does.
                if credit > 0 and (db.scalar(_REPLACEABLE, here) or 0) < credit:
                    raise _in_use(wanted.key)
                # First, because a provider's row is what all wait for: it is locked as late as may be.
                db.execute(_PROMISE, wanted._asdict() | {"idempotency": wanted.idempotency or None})
                taken = self._take(db, wanted.provider, wanted.reserved)
                # Only now can no other upload of this name end meanwhile, and no row of it be put back.
                if wanted.idempotency and db.scalar(_NAMED, {"the_idempotency": wanted.idempotency}) is not None:
                    raise _in_use(wanted.key)
                if not taken:
                    db.execute(_FULFILLED, {"the_token": wanted.token})
        except IntegrityError:  # of the reservation's key, or of its idempotency token
            raise _in_use(wanted.key) from None
        return taken

    def _take(self, db: sa.Connection, provider: str, more: int) -> bool:
        """Take room if it is there, else mark the provider as full."""
        values = self._values(provider) | {"the_more": more}
        found = db.execute(_TAKE, values).one_or_none()
        if found is not None:
            self._tell(db, provider, found)
        elif (limits := self._limits.get(provider)) is not None and more <= limits.quota:
            self._mark(db, provider)
        return found is not None

    def _mark(self, db: sa.Connection, provider: str) -> None:
        if (found := db.execute(_FULL, {"the_provider": provider}).one_or_none()) is not None:
            self._tell(db, provider, found)

    def refuse(self, provider: str) -> None:
        with self._engine.begin() as db:
            self._mark(db, provider)

    def _tell(self, db: sa.Connection, provider: str, now: Any, *, freed: bool = False) -> None:  # noqa: ANN401 - a row of `_STATE`
        """Write a message when a provider has become full, once, until it has been emptied well. What never was so
        full is only emptied when something is `freed`, or when its quota is another one."""
        limits = self._limits.get(provider)
        if limits is None:
            return
        used = now.total_size_bytes + now.reserved_bytes
        here = {"the_provider": provider, "the_quota": limits.quota}
        if now.is_full and not now.alert_sent:
            db.execute(_ALERT, here | {"the_sent": True})
            facts = {"used_bytes": used, "limit_bytes": limits.quota, "file_count": now.file_count}
            put(db, "pool.full", {"provider": provider, **facts})
        emptied = not now.is_full and used < limits.rearm_below and (freed or now.alert_limit != limits.quota)
        if now.alert_sent and emptied:
            db.execute(_ALERT, here | {"the_sent": False})

    def settle(self, db: sa.Connection, provider: str, *, reserved: int = 0, size: int = 0, count: int = 0) -> None:
        """Change a provider's sums by so much, in the transaction at hand."""
        changes = {"the_reserved": reserved, "the_size": size, "the_count": count}
        found = db.execute(_SETTLE, self._values(provider) | changes).one()
        self._tell(db, provider, found, freed=size < 0)

    def _values(self, provider: str) -> dict[str, object]:
        limits = self._limits.get(provider, Limits(quota=0, full_below=0))
        return {
            "the_provider": provider,
            "the_quota": limits.quota,
            "the_full_below": limits.full_below,
            "the_now": datetime.now(UTC),
        }

    def grow(self, token: str, size: int) -> bool:
        with self._engine.begin() as db:
            found = db.execute(_PROMISED, {"the_token": token}).one_or_none()
            if found is None:
                return False
            more = max(0, size - found.size)
            if not self._take(db, found.provider, more):
                return False
            grown = {"the_token": token, "the_size": found.size + more, "the_reserved": found.reserved + more}
            db.execute(_GROWN, grown)
            return True

    def renew(self, tokens: Iterable[str], until: datetime) -> None:
        rest = iter(tokens)
        with self._engine.begin() as db:
            while some := list(islice(rest, _PAGE)):
                db.execute(reservations.update().where(reservations.c.token.in_(some)).values(lease_until=until))

    def commit(self, token: str, size: int, md5: str, at: datetime) -> bool:
        with self._engine.begin() as db:
            found = db.execute(_FULFILLED, {"the_token": token}).one_or_none()
            if found is None:
                return False
            old = db.execute(_REPLACED, {"the_provider": found.provider, "the_key": found.key}).one_or_none()
            replaced = old.size if old is not None and old.state == STORED else None
            row = Stored(found.provider, found.key, size, md5, at)._asdict()
            db.execute(_BOOK, row | {"idempotency": found.idempotency})
            self.settle(
                db,
                found.provider,
                reserved=-found.reserved,
                size=size - (replaced or 0),
                count=1 if replaced is None else 0,
            )
            return True

    def release(self, token: str) -> None:
        with self._engine.begin() as db:
            found = db.execute(_FULFILLED, {"the_token": token}).one_or_none()
            if found is not None:
                self.settle(db, found.provider, reserved=-found.reserved)

    def overdue(self, now: datetime) -> list[Reservation]:
        with reading(self._engine) as db:
            return [_reservation(row) for row in db.execute(_OVERDUE, {"the_now": now})]

    def find(self, key: str, *, missing: bool = False) -> list[Stored]:
        with reading(self._engine) as db:
            return [_stored(row) for row in db.execute(_BY_KEY if missing else _STORED_BY_KEY, {"the_key": key})]

    def known(self, idempotency: str) -> Stored | None:
        with reading(self._engine) as db:
            row = db.execute(_BY_IDEMPOTENCY, {"the_idempotency": idempotency}).first()
            return _stored(row) if row is not None else None

    def suspect(self, token: str) -> None:
        with self._engine.begin() as db:
            db.execute(_SUSPECT, {"the_token": token, "the_now": now()})

    def remove(self, stored: Stored, token: str = "") -> bool:
        this = {f"the_{name}": getattr(stored, name) for name in ("provider", "key", "created_at", "size", "md5")}
        with self._engine.begin() as db:
            # First: an upload that would replace it waits for this row, or has reserved its key before.
            struck = db.execute(_STRIKE_THIS, this).one_or_none()
            here = {"the_provider": stored.provider, "the_key": stored.key, "the_token": token}
            if db.scalar(_OTHERS, here) is not None:
                raise _in_use(stored.key)
            db.execute(_FULFILLED, {"the_token": token})
            if struck is not None and struck.state == STORED:
                self.settle(db, stored.provider, size=-struck.size, count=-1)
            return struck is not None

    def superseded(self) -> list[Stored]:
        newest: set[str] = set()
        with reading(self._engine) as db:
            rows = [_stored(row) for row in db.execute(_SEVERAL)]
        older = []
        for row in rows:  # the newest first
            if row.key in newest:
                older.append(row)
            newest.add(row.key)
        return older

    def objects(self, older_than: datetime | None = None) -> Iterator[Stored]:
        page = sa.select(*_OBJECT).order_by(objects.c.key, objects.c.provider).limit(_PAGE)
        if older_than is not None:
            page = page.where(objects.c.created_at < older_than)
        after: tuple[str, str] | None = None
        while True:  # pages, so that no transaction stays open while the caller works
            this = page
            if after is not None:
                this = page.where(sa.tuple_(objects.c.key, objects.c.provider) > after)
            with reading(self._engine) as db:
                rows = [_stored(row) for row in db.execute(this)]
            yield from rows
            if len(rows) < _PAGE:
                return
            after = (rows[-1].key, rows[-1].provider)


def _stored(row: Any) -> Stored:  # noqa: ANN401 - a row's columns have types of their own
    return Stored(*row)._replace(idempotency=row.idempotency or "")


def _reservation(row: Any) -> Reservation:  # noqa: ANN401 - the same
    return Reservation(*row)._replace(idempotency=row.idempotency or "")


def _in_use(key: str) -> Busy:
    return Busy(f"'{keys.display(key)}' is being uploaded or removed already", cure="Wait for that to end")
