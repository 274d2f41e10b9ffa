"""The queue of jobs, in a SQL database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from trueup.catalog.base import now
from trueup.catalog.sql.engine import clock, reading
from trueup.catalog.sql.tables import job_events, job_runs
from trueup.catalog.tasks import FAILURE, PENDING, RETRY, REVOKED, STARTED, Task
from trueup.errors import Busy

_c = job_runs.c
_e = job_events.c
_TASK: Final = sa.select(*(_c[name] for name in Task._fields))
_BRIEF: Final = sa.select(*(_c[name] if name != "result" else sa.null().label(name) for name in Task._fields))
_OVER: Final = {"alone": None, "lease_until": None}


class SqlTasks:
    """See `Tasks`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(self, task: str, job: str, arguments: Mapping[str, Any], alone: str) -> Task:
        new = Task(task, job, arguments, PENDING, created_at=now())
        row = new._asdict() | {"arguments": json.dumps(arguments), "alone": alone}
        while True:
            try:
                with self._engine.begin() as db:
                    db.execute(job_runs.insert(), row)
                return new
            except IntegrityError:
                with reading(self._engine) as db:
                    other = db.scalar(sa.select(_c.id).where(sa.or_(_c.alone == alone, _c.id == task)))
            if other is not None:  # else it ended in between
                raise Busy(f"{job} is under way already", cure="Wait for it, or cancel it", run=other)

    def start(self, holder: str, lease: timedelta, *, task: str = "") -> Task | None:
        at = clock(self._engine)
        waits = sa.and_(_c.state.in_((PENDING, RETRY)), sa.or_(_c.due_at.is_(None), _c.due_at <= at))
        if task:
            dead = sa.and_(_c.state == STARTED, _c.lease_until <= at)
            wanted = sa.select(_c.id).where(_c.id == task, sa.or_(_c.state.in_((PENDING, RETRY)), dead))
        else:
            wanted = sa.select(_c.id).where(waits).order_by(_c.created_at, _c.id).limit(1)
        values = {
            "state": STARTED, "holder": holder, "started_at": now(), "lease_until": clock(self._engine, lease),
            "attempts": _c.attempts + 1, "due_at": None,
        }  # fmt: skip
        with self._engine.begin() as db:
            found = db.scalar(wanted.with_for_update(skip_locked=True))
            if found is None:
                return None
            db.execute(job_runs.update().where(_c.id == found).values(values))
            return _task(db.execute(_TASK.where(_c.id == found)).one())

    def renew(self, holder: str, tasks: Sequence[str], lease: timedelta) -> set[str]:
        ours = (_c.id.in_(tasks), _c.holder == holder, _c.state == STARTED)
        with self._engine.begin() as db:
            db.execute(job_runs.update().where(*ours).values(lease_until=clock(self._engine, lease)))
            kept = set(db.scalars(sa.select(_c.id).where(*ours, _c.cancelled.is_(False))))
        return set(tasks) - kept

    def finish(
        self, task: str, holder: str, state: str, *, status: str = "", result: Mapping[str, Any] | None, error: str = ""
    ) -> bool:
        told = json.dumps(result) if result is not None else None
        values = {"state": state, "status": status, "result": told, "error": error, "finished_at": now(), **_OVER}
        return self._held(task, holder, values)

    def again(self, task: str, holder: str, error: str, wait: timedelta) -> bool:
        values = {"state": RETRY, "error": error, "lease_until": None, "due_at": clock(self._engine, wait)}
        return self._held(task, holder, values)

    def hand_back(self, task: str, holder: str, why: str) -> bool:
        values = {"state": RETRY, "error": why, "lease_until": None, "due_at": clock(self._engine)}
        return self._held(task, holder, values | {"handed_back": _c.handed_back + 1})

    def _held(self, task: str, holder: str, values: dict[str, Any]) -> bool:
        here = (_c.id == task, _c.holder == holder, _c.state == STARTED)
        with self._engine.begin() as db:
            return bool(db.execute(job_runs.update().where(*here).values(values)).rowcount)

    def cancel(self, task: str) -> Task | None:
        with self._engine.begin() as db:
            over = {"state": REVOKED, "cancelled": True, "finished_at": now(), **_OVER}
            waits = (_c.id == task, _c.state.in_((PENDING, RETRY)))
            db.execute(job_runs.update().where(*waits).values(over))
            db.execute(job_runs.update().where(_c.id == task, _c.state == STARTED).values(cancelled=True))
        return self.get(task)

    def interrupt(self, holder: str) -> list[str]:
        dead = sa.or_(_c.holder == holder, _c.lease_until <= clock(self._engine))
        values = {"state": FAILURE, "status": "interrupted", "error": "interrupted", "finished_at": now(), **_OVER}
        with self._engine.begin() as db:
            gone = sa.select(_c.id).where(_c.state == STARTED, dead).order_by(_c.id)
            found = list(db.scalars(gone.with_for_update(skip_locked=True)))
            db.execute(job_runs.update().where(_c.id.in_(found)).values(values))
        return found

    def lost(self, patience: timedelta) -> list[Task]:
        long_ago = clock(self._engine, -patience)
        dead = (
            _c.state == STARTED,
            _c.lease_until <= clock(self._engine),
            _c.due_at.is_(None) | (_c.due_at <= long_ago),
        )
        forgotten = (_c.state.in_((PENDING, RETRY)), sa.func.coalesce(_c.due_at, _c.created_at) <= long_ago)
        gone = _TASK.where(sa.or_(sa.and_(*dead), sa.and_(*forgotten))).order_by(_c.id)
        with self._engine.begin() as db:
            found = [_task(row) for row in db.execute(gone.with_for_update(skip_locked=True)).all()]
            named = _c.id.in_([task.id for task in found])
            db.execute(job_runs.update().where(named).values(due_at=clock(self._engine)))
        return found

    def get(self, task: str) -> Task | None:
        return next(iter(self._select(_TASK.where(_c.id == task))), None)

    def latest(self, limit: int = 50, *, job: str = "", but: Sequence[str] = (), brief: bool = False) -> list[Task]:
        wanted = (_BRIEF if brief else _TASK).where(_c.job.not_in(but))
        if job:
            wanted = wanted.where(_c.job == job)
        return self._select(wanted.order_by(_c.created_at.desc(), _c.id.desc()).limit(limit))

    def _select(self, what: sa.Select[Any]) -> list[Task]:
        with reading(self._engine) as db:
            return [_task(row) for row in db.execute(what).all()]

    def say(self, task: str, number: int, events: Sequence[Mapping[str, Any]]) -> None:
        with self._engine.begin() as db:
            db.execute(job_events.insert(), {"task": task, "number": number, "events": json.dumps(events)})

    def said(self, task: str, after: int = 0) -> list[tuple[int, list[dict[str, Any]]]]:
        query = sa.select(_e.number, _e.events).where(_e.task == task, _e.number > after).order_by(_e.number)
        with reading(self._engine) as db:
            return [(number, json.loads(events)) for number, events in db.execute(query).all()]

    def forget(self, *, said_before: datetime, over_before: datetime) -> None:
        over = sa.select(_c.id).where(_c.finished_at < max(said_before, over_before))
        with self._engine.begin() as db:
            db.execute(job_events.delete().where(_e.task.in_(over)))
            db.execute(job_runs.delete().where(_c.finished_at < over_before))


def _task(row: sa.Row[Any]) -> Task:
    found = row._asdict()
    result = json.loads(found["result"]) if found["result"] is not None else None
    return Task(**found | {"arguments": json.loads(found["arguments"]), "result": result})
