"""What was fetched, in a SQL database."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from trueup.catalog.base import COMPLETED, FAILED, OURS, RUNNING, Download, now
from trueup.catalog.sql.engine import reading
from trueup.catalog.sql.tables import downloads
from trueup.errors import Busy

_PAGE: Final = 1000
_c = downloads.c
_RECORD: Final = sa.select(
    _c.id, _c.url, _c.status, _c.storage_provider, _c.key, _c.file_size, _c.error, _c.created_at, _c.updated_at
)


class SqlDownloads:
    """See `Downloads`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def begin(self, url: str, *, abandoned_before: datetime) -> Download:
        at = now()
        new = Download(f"{OURS}{uuid.uuid4().hex}", url, RUNNING, "", "", 0, "", at, at)
        running = hashlib.sha256(url.encode()).hexdigest()
        row = {name: getattr(new, name) for name in ("id", "url", "status", "key", "error", "created_at", "updated_at")}
        try:
            with self._engine.begin() as db:
                left = (_c.running == running, _c.updated_at < abandoned_before)
                over = {"status": FAILED, "error": "nobody went on with it", "running": None}
                db.execute(downloads.update().where(*left).values(over))
                db.execute(downloads.insert(), row | {"storage_provider": "", "file_size": 0, "running": running})
        except IntegrityError:
            raise Busy("this URL is being fetched already", cure="Wait for that to end") from None
        return new

    def alive(self, download: str) -> bool:
        return self._changed(download, {"updated_at": now()})

    def complete(self, download: str, *, provider: str, key: str, size: int) -> bool:
        done = {"storage_provider": provider, "key": key, "file_size": size}
        return self._changed(download, done | {"status": COMPLETED, "updated_at": now(), "running": None})

    def fail(self, download: str, error: str) -> None:
        self._changed(download, {"status": FAILED, "error": error, "updated_at": now(), "running": None})

    def _changed(self, download: str, values: dict[str, object]) -> bool:
        """Change a record that is running; whether it was."""
        with self._engine.begin() as db:
            here = (_c.id == download, _c.status == RUNNING)
            return bool(db.execute(downloads.update().where(*here).values(values)).rowcount)

    def get(self, download: str) -> Download | None:
        return next(iter(self._select(_RECORD.where(_c.id == download))), None)

    def latest(self, url: str) -> Download | None:
        of_url = _RECORD.where(_c.url == url, _c.status == COMPLETED)
        return next(iter(self._select(of_url.order_by(_c.created_at.desc(), _c.id).limit(1))), None)

    def ls(self, limit: int = 50) -> list[Download]:
        return self._select(_RECORD.order_by(_c.created_at.desc(), _c.id).limit(limit))

    def older(self, status: str, than: datetime) -> Iterator[Download]:
        page = _RECORD.where(_c.status == status, _c.updated_at < than).order_by(_c.updated_at, _c.id).limit(_PAGE)
        rows = self._select(page)
        while rows:  # pages, so that no transaction stays open while the caller works
            yield from rows
            after = (rows[-1].updated_at, rows[-1].id)
            rows = self._select(page.where(sa.tuple_(_c.updated_at, _c.id) > after))

    def remove(self, download: str) -> None:
        with self._engine.begin() as db:
            db.execute(downloads.delete().where(_c.id == download))

    def _select(self, what: sa.Select[Any]) -> list[Download]:
        with reading(self._engine) as db:
            return [Download(*row) for row in db.execute(what)]
