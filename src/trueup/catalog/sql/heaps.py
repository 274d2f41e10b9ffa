"""What the parts of one job over many machines hand to each other, in a SQL database: rows under names."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import Any, Final

import sqlalchemy as sa

from trueup.catalog.sql.engine import reading
from trueup.catalog.sql.tables import job_heaps
from trueup.errors import TrueupError

_c: Final = job_heaps.c
_LINES: Final = 1000
"""Rows in one page."""


class Heaps:
    """Heaps of rows (JSON) that belong together. Each is written by one, then read by others, to its end: a page
    without rows."""

    def __init__(self, engine: sa.Engine, owner: str) -> None:
        """Those of an `owner`, like a pair."""
        self._engine = engine
        self._owner = owner

    def keep(self, heap: str, rows: Iterable[object]) -> None:
        """Keep rows under a name, in the place of those that had it."""
        self.drop(heap)
        rest = iter(rows)
        for number in count():
            page = list(islice(rest, _LINES))
            lines = zlib.compress("\n".join(map(json.dumps, page)).encode(), 1)
            with self._engine.begin() as db:
                db.execute(job_heaps.insert().values(owner=self._owner, heap=heap, number=number, lines=lines))
            if not page:
                return

    def kept(self, heap: str) -> Iterator[Any]:
        """The rows of a name, in their order. Raises `TrueupError` when they are not all there: nothing may be taken
        for all there was."""
        for number in count():
            lines = self._page(heap, number)
            if lines is None:
                raise TrueupError("what parts of this job handed on is gone: another run has begun meanwhile")
            if not lines:
                return
            yield from map(json.loads, lines.split("\n"))

    def first(self, heap: str) -> Any:  # noqa: ANN401 - whatever was kept
        """The first row of a name; None where there is none."""
        lines = self._page(heap, 0)
        return json.loads(lines.split("\n")[0]) if lines else None

    def _page(self, heap: str, number: int) -> str | None:
        there = (_c.owner == self._owner, _c.heap == heap, _c.number == number)
        with reading(self._engine) as db:
            page = db.scalar(sa.select(_c.lines).where(*there))
        return zlib.decompress(page).decode() if page is not None else None

    def drop(self, heap: str | None = None) -> None:
        """Forget the rows of a name; all for None."""
        self._delete(*([_c.heap == heap] if heap is not None else []))

    def drop_of(self, run: str) -> None:
        """Forget the rows of all names with a run in them."""
        self._delete(_c.heap.contains(run, autoescape=True))

    def _delete(self, *which: sa.ColumnElement[bool]) -> None:
        with self._engine.begin() as db:
            db.execute(job_heaps.delete().where(_c.owner == self._owner, *which))
