"""Looking at the books row by row, and making them true, in a SQL database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from trueup.catalog.base import STORED, Backup, Correction, Stored, now
from trueup.catalog.sql.engine import reading
from trueup.catalog.sql.ledger import SqlLedger
from trueup.catalog.sql.tables import backup_rows, backups, objects, reservations, storage_stats
from trueup.errors import UsageError

_PAGE: Final = 5000
_OBJECT: Final = [objects.c[name] for name in Stored._fields]
_books = storage_stats.c


class SqlCorrections:
    """See `Corrections`."""

    def __init__(self, engine: sa.Engine, ledger: SqlLedger) -> None:
        self._engine = engine
        self._ledger = ledger
        # PostgreSQL orders text as people of the database's language do, unless it is told otherwise.
        self._key = objects.c.key.collate("C") if engine.dialect.name == "postgresql" else objects.c.key

    def rows(self, provider: str) -> Iterator[Stored]:
        page = sa.select(*_OBJECT).where(objects.c.provider == provider).order_by(self._key).limit(_PAGE)
        with reading(self._engine) as db:
            rows = db.execute(page).all()
        while rows:  # pages, so that no transaction stays open while the caller works
            for row in rows:
                yield _stored(row)
            with reading(self._engine) as db:
                rows = db.execute(page.where(self._key > rows[-1].key)).all()

    def again(self, provider: str, keys: Sequence[str]) -> dict[str, Stored]:
        with reading(self._engine) as db:
            return self._rows(db, provider, keys)

    @staticmethod
    def _rows(db: sa.Connection, provider: str, keys: Sequence[str], *, lock: bool = False) -> dict[str, Stored]:
        these = sa.select(*_OBJECT).where(objects.c.provider == provider, objects.c.key.in_(keys))
        return {row.key: _stored(row) for row in db.execute(these.with_for_update() if lock else these)}

    def covered(self, provider: str, keys: Sequence[str]) -> set[str]:
        with reading(self._engine) as db:
            return self._reserved(db, provider, keys)

    @staticmethod
    def _reserved(db: sa.Connection, provider: str, keys: Sequence[str]) -> set[str]:
        here = (reservations.c.provider == provider, reservations.c.key.in_(keys))
        return set(db.scalars(sa.select(reservations.c.key).where(*here)))

    def correct(self, backup: str, run: str, provider: str, corrections: Sequence[Correction]) -> list[bool]:
        keys = [correction.key for correction in corrections]
        with self._engine.begin() as db:
            usage = self._locked(db, provider)
            rows, reserved = self._rows(db, provider, keys, lock=True), self._reserved(db, provider, keys)
            done = [
                rows.get(correction.key) == correction.before and correction.key not in reserved
                for correction in corrections
            ]
            chosen = [correction for correction, good in zip(corrections, done, strict=True) if good]
            if chosen:
                self._keep(db, backup, run, provider, usage)
                self._write(db, backup, chosen)
                self._count(db, backup, provider, *_difference(chosen))
        return done

    @staticmethod
    def _write(db: sa.Connection, backup: str, chosen: Sequence[Correction]) -> None:
        kept = [
            {"backup": backup, "key": one.key, "before": _json(one.before), "after": _json(one.after)} for one in chosen
        ]
        db.execute(backup_rows.insert(), kept)
        for one in chosen:
            _apply(db, one)

    def set_unowned(self, backup: str, run: str, provider: str, was: tuple[int, int], now: tuple[int, int]) -> bool:
        with self._engine.begin() as db:
            usage = self._locked(db, provider)
            if (usage["unowned_count"], usage["unowned_bytes"]) != was:
                return False
            self._keep(db, backup, run, provider, usage)
            count, size = now[0] - was[0], now[1] - was[1]
            self._count(db, backup, provider, size, count, unowned=(count, size))
            return True

    @staticmethod
    def _locked(db: sa.Connection, provider: str) -> dict[str, Any]:
        """The provider's sums, which nobody else changes until the transaction ends."""
        found = db.execute(sa.select(storage_stats).where(_books.provider == provider).with_for_update())
        return dict(found.mappings().one())

    @staticmethod
    def _keep(db: sa.Connection, backup: str, run: str, provider: str, usage: dict[str, Any]) -> None:
        """Begin the backup, if this is the first that goes into it."""
        if db.scalar(sa.select(backups.c.id).where(backups.c.id == backup)) is None:
            sums = json.dumps(_plain(usage))
            row = {"id": backup, "run": run, "provider": provider, "created_at": now(), "before": sums, "after": sums}
            db.execute(backups.insert(), row)

    def _count(
        self, db: sa.Connection, backup: str, provider: str, size: int, count: int, *, unowned: tuple[int, int] = (0, 0)
    ) -> None:
        """Change the sums, and note in the backup what they are then."""
        more = {"unowned_count": _books.unowned_count + unowned[0], "unowned_bytes": _books.unowned_bytes + unowned[1]}
        db.execute(storage_stats.update().where(_books.provider == provider).values(more))
        self._ledger.settle(db, provider, size=size, count=count)
        after = json.dumps(_plain(self._locked(db, provider)))
        db.execute(backups.update().where(backups.c.id == backup).values(after=after))

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
        with self._engine.begin() as db:
            found = db.execute(sa.select(backups).where(backups.c.id == backup).with_for_update()).mappings().first()
            if found is None:
                raise UsageError(f"there is no backup {backup}", cure="See them: trueup backups ls")
            if found["restored_at"] is not None:
                raise UsageError(f"the backup {backup} was restored already")
            self._locked(db, found["provider"])
            kept = db.execute(sa.select(backup_rows).where(backup_rows.c.backup == backup).order_by(backup_rows.c.key))
            back, stay = [], []
            for row in kept.all():
                undone = Correction(before=_from_json(row.after), after=_from_json(row.before))
                here = self._rows(db, found["provider"], [row.key], lock=True).get(row.key)
                if here != undone.before:
                    stay.append(row.key)
                    continue
                back.append(undone)
                _apply(db, undone)
            before, after = json.loads(found["before"]), json.loads(found["after"])
            self._restore_sums(db, found["provider"], before, after, back)
            db.execute(backups.update().where(backups.c.id == backup).values(restored_at=now()))
            return len(back), stay

    def _restore_sums(
        self,
        db: sa.Connection,
        provider: str,
        before: dict[str, Any],
        after: dict[str, Any],
        back: Sequence[Correction],
    ) -> None:
        """As they were, where nothing else has changed them since; else by as much as goes back."""
        here = storage_stats.update().where(_books.provider == provider)
        if _plain(self._locked(db, provider)) == after:
            db.execute(here.values(before | {"last_updated": datetime.fromisoformat(before["last_updated"])}))
            return
        size, count = _difference(back)
        unowned = [before[name] - after[name] for name in ("unowned_count", "unowned_bytes")]
        more = {"unowned_count": _books.unowned_count + unowned[0], "unowned_bytes": _books.unowned_bytes + unowned[1]}
        db.execute(here.values(more))
        self._ledger.settle(db, provider, size=size + unowned[1], count=count + unowned[0])


def _difference(corrections: Sequence[Correction]) -> tuple[int, int]:
    """Bytes and objects that the corrections add to what is there."""
    size = count = 0
    for before, after in corrections:
        for row, sign in ((before, -1), (after, 1)):
            if row is not None and row.state == STORED:
                size += sign * row.size
                count += sign
    return size, count


def _apply(db: sa.Connection, correction: Correction) -> None:
    before, after = correction
    row = after if after is not None else before
    assert row is not None
    here = (objects.c.provider == row.provider, objects.c.key == row.key)
    values = row._asdict() | {"idempotency": row.idempotency or None}
    if after is None:
        db.execute(objects.delete().where(*here))
    elif before is None:
        db.execute(objects.insert(), values)
    else:
        db.execute(objects.update().where(*here).values(values))


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
