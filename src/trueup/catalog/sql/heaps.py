"""What the parts of one job over many machines hand to each other, in a SQL database: rows under names."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from trueup.catalog.sql.engine import reading
from trueup.catalog.sql.tables import job_heaps

_c: Final = job_heaps.c
_LINES: Final = 1000
"""Rows in one page."""


class Heaps:
    """Heaps of rows (JSON) that belong together. Each is written by one, then read by others."""

    def __init__(self, engine: sa.Engine, owner: str) -> None:
        """Those of an `owner`, like a pair."""
        self._engine = engine
        self._owner = owner

    def keep(self, heap: str, rows: Iterable[object]) -> None:
        """Keep rows under a name, in the place of those that had it."""
        self.drop(heap)
        rest = iter(rows)
        number = 0
        while page := list(islice(rest, _LINES)):
            lines = zlib.compress("\n".join(map(json.dumps, page)).encode(), 1)
            with self._engine.begin() as db:
                db.execute(job_heaps.insert().values(owner=self._owner, heap=heap, number=number, lines=lines))
            number += 1

    def kept(self, heap: str) -> Iterator[Any]:
        """The rows of a name, in their order."""
        number = 0
        while True:
            there = (_c.owner == self._owner, _c.heap == heap, _c.number == number)
            with reading(self._engine) as db:
                page = db.scalar(sa.select(_c.lines).where(*there))
            if page is None:
                return
            yield from map(json.loads, zlib.decompress(page).decode().split("\n"))
            number += 1

    def drop(self, heap: str | None = None) -> None:
        """Forget the rows of a name; all for None."""
        named = [_c.heap == heap] if heap is not None else []
        with self._engine.begin() as db:
            db.execute(job_heaps.delete().where(_c.owner == self._owner, *named))
