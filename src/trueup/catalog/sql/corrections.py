"""Looking at the books row by row, and making them true, in a SQL database.

Whoever corrects holds the provider's row of sums from the beginning. An upload takes that row last, both when it
reserves and when it commits, and so does a removal: none of them ends meanwhile, and its object's row is never waited
for, which would be for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from trueup.catalog.base import STORED, Backup, Correction, Stored, now
from trueup.catalog.sql.engine import reading
from trueup.catalog.sql.ledger import SqlLedger
from trueup.catalog.sql.tables import backup_rows, backups, objects, reservations, storage_stats
from trueup.errors import UsageError

_PAGE: Final = 5000
_SOME: Final = 1000
"""Values in one statement, and rows put back at once."""
_OBJECT: Final = [objects.c[name] for name in Stored._fields]
_books = storage_stats.c
_HERE: Final = (objects.c.provider == sa.bindparam("the_provider"), objects.c.key == sa.bindparam("the_key"))
_STRIKE: Final = objects.delete().where(*_HERE)
_CHANGE: Final = objects.update().where(*_HERE)
_BOOK: Final = objects.insert()


class SqlCorrections:
    """See `Corrections`."""

    def __init__(self, engine: sa.Engine, ledger: SqlLedger) -> None:
        self._engine = engine
        self._ledger = ledger
        # PostgreSQL orders text as people of the database's language do, unless it is told otherwise.
        self._key = objects.c.key.collate("C") if engine.dialect.name == "postgresql" else objects.c.key

    def rows(self, provider: str, start: str = "", end: str = "") -> Iterator[Stored]:
        until = [self._key < end] if end else []
        page = sa.select(*_OBJECT).where(objects.c.provider == provider, *until).order_by(self._key).limit(_PAGE)
        with reading(self._engine) as db:
            rows = db.execute(page.where(self._key >= start)).all()
        while rows:  # pages, so that no transaction stays open while the caller works
            for row in rows:
                yield _stored(row)
            with reading(self._engine) as db:
                rows = db.execute(page.where(self._key > rows[-1].key)).all()

    def again(self, provider: str, keys: Sequence[str]) -> dict[str, Stored]:
        with reading(self._engine) as db:
            return _rows(db, provider, keys)

    def covered(self, provider: str, keys: Sequence[str]) -> set[str]:
        with reading(self._engine) as db:
            return _reserved(db, provider, keys)

    def correct(self, backup: str, run: str, provider: str, corrections: Sequence[Correction]) -> list[bool]:
        with self._engine.begin() as db:
            sums = self._locked(db, provider)
            if sums is None:
                return [False] * len(corrections)
            had = sa.select(backup_rows.c.key).where(backup_rows.c.backup == backup)
            keys = [correction.key for correction in corrections]
            before = {row.key for row in _among(db, had, backup_rows.c.key, keys)}
            possible = _possible(db, provider, corrections)
            done = [good and one.key not in before for one, good in zip(corrections, possible, strict=True)]
            chosen = [correction for correction, good in zip(corrections, done, strict=True) if good]
            if chosen:
                self._keep(db, backup, run, provider, sums)
                kept = [{"key": one.key, "before": _json(one.before), "after": _json(one.after)} for one in chosen]
                db.execute(backup_rows.insert(), [{"backup": backup, **row} for row in kept])
                _apply(db, chosen)
                size, count = _difference(chosen)
                self._count(db, backup, provider, size=size, count=count)
        return done

    def set_unowned(self, backup: str, run: str, provider: str, was: tuple[int, int], now: tuple[int, int]) -> bool:
        with self._engine.begin() as db:
            sums = self._locked(db, provider)
            if sums is None or (sums["unowned_count"], sums["unowned_bytes"]) != was:
                return False
            mine = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(objects.c.size), 0))
            count, size = db.execute(mine.where(objects.c.provider == provider, objects.c.state == STORED)).one()
            # What an application has written there, or lost, counts no more. PostgreSQL adds up as decimals.
            count = was[0] + count - sums["file_count"]
            size = was[1] + int(size) - sums["total_size_bytes"]
            if now == was and not (count or size):
                return False
            self._keep(db, backup, run, provider, sums)
            self._count(db, backup, provider, size=size, count=count, unowned=(now[0] - was[0], now[1] - was[1]))
            return True

    @staticmethod
    def _locked(db: sa.Connection, provider: str) -> dict[str, Any] | None:
        """The provider's sums as JSON has them, which nobody else changes until the transaction ends."""
        found = db.execute(sa.select(storage_stats).where(_books.provider == provider).with_for_update())
        row = found.mappings().one_or_none()
        return _plain(dict(row)) if row is not None else None

    @staticmethod
    def _keep(db: sa.Connection, backup: str, run: str, provider: str, sums: dict[str, Any]) -> None:
        """Begin the backup, or go on with it: what somebody else did meanwhile is not to be undone with it."""
        this = backups.c.id == backup
        begun = db.execute(sa.select(backups.c.after).where(this)).one_or_none()
        if begun is None:
            text = json.dumps(sums)
            row = {"id": backup, "run": run, "provider": provider, "created_at": now(), "before": text, "after": text}
            db.execute(backups.insert(), row | {"unowned_count": 0, "unowned_bytes": 0})
        elif json.loads(begun.after) != sums:
            db.execute(backups.update().where(this).values(before=None))

    def _count(
        self,
        db: sa.Connection,
        backup: str,
        provider: str,
        *,
        size: int = 0,
        count: int = 0,
        unowned: tuple[int, int] = (0, 0),
    ) -> None:
        """Change the sums, and note in the backup what they are then."""
        self._change(db, provider, size, count, unowned)
        more = {
            "unowned_count": backups.c.unowned_count + unowned[0],
            "unowned_bytes": backups.c.unowned_bytes + unowned[1],
            "after": json.dumps(self._locked(db, provider)),
        }
        db.execute(backups.update().where(backups.c.id == backup).values(more))

    def _change(self, db: sa.Connection, provider: str, size: int, count: int, unowned: tuple[int, int]) -> None:
        if any(unowned):
            more = {
                "unowned_count": _books.unowned_count + unowned[0],
                "unowned_bytes": _books.unowned_bytes + unowned[1],
            }
            db.execute(storage_stats.update().where(_books.provider == provider).values(more))
        self._ledger.settle(db, provider, size=size + unowned[1], count=count + unowned[0])

    def backups(self) -> list[Backup]:
        rows = sa.func.count(backup_rows.c.key).label("rows")
        listed = (
            sa.select(
                backups.c.id, backups.c.run, backups.c.provider, backups.c.created_at, rows, backups.c.restored_at
            )
            .join_from(backups, backup_rows, backups.c.id == backup_rows.c.backup, isouter=True)
            .group_by(backups.c.id)
            .order_by(backups.c.created_at.desc(), backups.c.id)
        )
        with reading(self._engine) as db:
            return [Backup(*row) for row in db.execute(listed)]

    def restore(self, backup: str) -> tuple[int, list[str]]:
        this = backups.c.id == backup
        with self._engine.begin() as db:
            provider = db.scalar(sa.select(backups.c.provider).where(this))
            if provider is None:
                raise UsageError(f"there is no backup {backup}", cure="See them: trueup backups ls")
            sums = self._locked(db, provider)
            kept = db.execute(sa.select(backups).where(this)).one()
            if kept.restored_at is not None:
                raise UsageError(f"the backup {backup} was restored already")
            back, stay, size, count = 0, [], 0, 0
            for undone in _undone(db, backup):
                possible = _possible(db, provider, undone)
                chosen = [one for one, good in zip(undone, possible, strict=True) if good]
                _apply(db, chosen)
                more = _difference(chosen)
                back, size, count = back + len(chosen), size + more[0], count + more[1]
                stay += [one.key for one, good in zip(undone, possible, strict=True) if not good]
            if kept.before is not None and sums == json.loads(kept.after) and not stay:
                before = json.loads(kept.before)
                before["last_updated"] = datetime.fromisoformat(before["last_updated"])
                db.execute(storage_stats.update().where(_books.provider == provider).values(before))
            else:
                self._change(db, provider, size, count, (-kept.unowned_count, -kept.unowned_bytes))
            db.execute(backups.update().where(this).values(restored_at=now()))
            return back, stay


def _among(
    db: sa.Connection, rows: sa.Select[Any], column: sa.ColumnElement[Any], values: Iterable[str]
) -> Iterator[Any]:
    """The rows whose column has one of these values."""
    rest = list(values)
    for first in range(0, len(rest), _SOME):
        yield from db.execute(rows.where(column.in_(rest[first : first + _SOME])))


def _rows(db: sa.Connection, provider: str, keys: Sequence[str], *, lock: bool = False) -> dict[str, Stored]:
    """Rows by key; with `lock`, those that nobody else is about to change."""
    these = sa.select(*_OBJECT).where(objects.c.provider == provider)
    if lock:
        these = these.with_for_update(skip_locked=True)
    return {row.key: _stored(row) for row in _among(db, these, objects.c.key, keys)}


def _reserved(db: sa.Connection, provider: str, keys: Sequence[str]) -> set[str]:
    here = sa.select(reservations.c.key).where(reservations.c.provider == provider)
    return {row.key for row in _among(db, here, reservations.c.key, keys)}


def _possible(db: sa.Connection, provider: str, corrections: Sequence[Correction]) -> list[bool]:
    """Which rows are as they were read, with no upload of their key or their name under way. A key is corrected once.
    The provider's sums are locked."""
    keys = [correction.key for correction in corrections]
    ours = _rows(db, provider, keys, lock=True)
    others = _rows(db, provider, keys).keys() - ours.keys()
    taken = others | _reserved(db, provider, keys)
    names = [name for correction in corrections if (name := _new_name(correction))]
    used = {row.idempotency for table in (objects, reservations) for row in _named(db, table, names)}
    done = []
    for correction in corrections:
        free = correction.key not in taken and _new_name(correction) not in used
        done.append(free and ours.get(correction.key) == correction.before)
        taken.add(correction.key)
        used.add(_new_name(correction) or None)
    return done


def _new_name(correction: Correction) -> str:
    """The idempotency token that a row gets and did not have; else empty."""
    before, after = correction
    had = before.idempotency if before is not None else ""
    return after.idempotency if after is not None and after.idempotency != had else ""


def _named(db: sa.Connection, table: sa.Table, names: Sequence[str]) -> Iterator[Any]:
    return _among(db, sa.select(table.c.idempotency), table.c.idempotency, names)


def _difference(corrections: Iterable[Correction]) -> tuple[int, int]:
    """Bytes and objects that the corrections add to what is there."""
    size = count = 0
    for before, after in corrections:
        for row, sign in ((before, -1), (after, 1)):
            if row is not None and row.state == STORED:
                size += sign * row.size
                count += sign
    return size, count


def _apply(db: sa.Connection, corrections: Iterable[Correction]) -> None:
    struck, changed, booked = [], [], []
    for before, after in corrections:
        here = {f"the_{name}": getattr(before or after, name) for name in ("provider", "key")}
        if after is None:
            struck.append(here)
            continue
        values = after._asdict() | {"idempotency": after.idempotency or None}
        if before is None:
            booked.append(values)
        else:
            changed.append(values | here)
    for statement, rows in ((_STRIKE, struck), (_CHANGE, changed), (_BOOK, booked)):
        if rows:
            db.execute(statement, rows)


def _undone(db: sa.Connection, backup: str) -> Iterator[list[Correction]]:
    """What would undo a backup, some rows at a time."""
    page = sa.select(backup_rows).where(backup_rows.c.backup == backup).order_by(backup_rows.c.key).limit(_SOME)
    rows = db.execute(page).all()
    while rows:
        yield [Correction(before=_from_json(row.after), after=_from_json(row.before)) for row in rows]
        rows = db.execute(page.where(backup_rows.c.key > rows[-1].key)).all()


def _stored(row: Any) -> Stored:  # noqa: ANN401 - a row's columns have types of their own
    return Stored(*row)._replace(idempotency=row.idempotency or "")


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON has it."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _json(row: Stored | None) -> str | None:
    return json.dumps(_plain(row._asdict())) if row is not None else None


def _from_json(text: str | None) -> Stored | None:
    if text is None:
        return None
    values = json.loads(text)
    return Stored(**values | {"created_at": datetime.fromisoformat(values["created_at"])})
