"""The history of runs, in a SQL database."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa

from trueup.catalog.sql.engine import reading
from trueup.catalog.sql.tables import runs
from trueup.runs import RunRecord

_c = runs.c
_NEWEST: Final = sa.select(runs).order_by(_c.started.desc(), _c.run.desc())


class SqlRunLog:
    """See `RunLog`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, record: RunRecord) -> None:
        row = asdict(record) | {"summary": json.dumps(record.summary)}
        with self._engine.begin() as db:
            db.execute(runs.delete().where(_c.run == record.run))
            db.execute(runs.insert(), row)

    def latest(self, limit: int = 50) -> list[RunRecord]:
        return self._select(_NEWEST.limit(limit))

    def get(self, run: str) -> RunRecord | None:
        # Not LIKE, which takes `t` for `T` in SQLite.
        begins = sa.func.substr(_c.run, 1, len(run)) == run
        found = self._select(sa.select(runs).where(begins).order_by(_c.run).limit(2))
        exact = [record for record in found if record.run == run] or found
        return exact[0] if len(exact) == 1 and run else None

    def last(self, job: str, name: str, *, but: str) -> RunRecord | None:
        """The newest run of one job by its name whose status is not `but`."""
        found = self._select(_NEWEST.where(_c.job == job, _c.name == name, _c.status != but).limit(1))
        return found[0] if found else None

    def _select(self, what: sa.Select[Any]) -> list[RunRecord]:
        with reading(self._engine) as db:
            rows = db.execute(what).mappings().all()
        return [RunRecord(**{**row, "summary": json.loads(row["summary"])}) for row in rows]
