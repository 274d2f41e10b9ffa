"""Which files of a source were taken, in a SQL database: the memory of `ingest`.

One row a file. Its `success` is true only once the file has had its effect; until then the row is a claim, a failure or
a quarantine. `size`, `md5` and `version` are those of the last effect, so that they outlive a claim for newer bytes.
"""

from __future__ import annotations

import secrets
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from trueup.catalog.base import now
from trueup.catalog.sql import migrate
from trueup.catalog.sql.engine import engine_of, reading, unusable
from trueup.catalog.sql.lent import lent, require_unended
from trueup.catalog.sql.runs import SqlRunLog
from trueup.catalog.sql.tables import Moment, processed_files
from trueup.errors import ConfigError, TrueupError
from trueup.runs import RunRecord

DONE: Final = "done"
ASSUMED: Final = "assumed"
"""It lay in the local folder, and nothing said otherwise."""
DUPLICATE: Final = "duplicate"
"""Its bytes had their effect under another name."""
CLAIMED: Final = "claimed"
FAILED: Final = "failed"
QUARANTINED: Final = "quarantined"
REQUESTED: Final = "requested"
"""Somebody wants it taken again."""

_PAGE: Final = 500
_ADOPTED: Final = ""
"""The source of rows that an application wrote: they are everybody's."""
_COUNTED: Final = {"preserve_rowcount": True}
"""Not every driver tells of its own how many rows were inserted."""
_c: Final = processed_files.c
_STATE: Final = sa.func.coalesce(_c.state, sa.case((_c.success, DONE), else_=FAILED))


class Row(NamedTuple):
    """One file as the database has it."""

    filename: str
    """Its key."""
    success: bool
    state: str
    """One of those above."""
    size: int | None
    """Bytes at its last effect; None where that is unknown, or before the first."""
    md5: str
    """Hex, at its last effect; empty where that is unknown."""
    seen: str
    """What the source told of it when it was last looked at: the same means that nobody wrote it since."""
    version: int
    """How often it had other bytes, from 1; 0 before its first effect."""
    attempts: int
    """Tries since its last effect that came to nothing, or are under way."""
    error: str
    """Why the last one did."""
    cause: str
    """The same in one word."""
    owner: str
    """Who has the claim."""
    token: str
    """The claim's; empty for none."""
    lease_until: datetime | None
    """UTC. The claim's."""
    retry_at: datetime | None
    """UTC. A failure is not tried again before."""
    gone_since: datetime | None
    """UTC. Since when it is on the server no more."""
    processed_at: datetime | None
    """UTC. Its last effect."""


class Claim(NamedTuple):
    """The right to take one file, until its lease ends."""

    filename: str
    token: str
    attempts: int
    """This one included."""
    before: Row | None
    """What the row was."""


_ROW: Final = [_STATE.label("state") if name == "state" else _c[name] for name in Row._fields]
_FREE: Final[dict[str, Any]] = dict.fromkeys(("owner", "token", "lease_until", "retry_at"))
_WELL: Final[dict[str, Any]] = _FREE | {"attempts": 0, "error": None, "cause": None}


def _of(name: str) -> sa.BindParameter[Any]:
    """A value that is given when the statement runs."""
    return sa.bindparam(f"the_{name}")


# Put together once: that takes longer than running them, and each statement that holds values is a knot of cycles that
# keeps them in memory.
_NAMED: Final = _c.filename.in_(sa.bindparam("names", expanding=True))
_OURS_IS: Final = sa.or_(_c.source == _of("source"), _c.source == _ADOPTED)
_LOOKS: Final = sa.select(_c.filename, _c.size, _c.seen).where(_c.success.is_(sa.true()), _OURS_IS, _NAMED)
_ROWS: Final = sa.select(*_ROW).where(_OURS_IS, _NAMED).order_by(_c.success.is_(sa.true()), _c.source)
_FACTS: Final = ("state", "size", "md5", "seen", "version", "processed_at")
_FINISH: Final = (
    processed_files.update()
    .where(_OURS_IS, _c.filename == _of("name"), _c.token == _of("token"))
    .values(_WELL | {name: _of(name) for name in _FACTS} | {"success": True, "gone_since": None})
)
_GONE: Final = processed_files.update().where(_OURS_IS, _NAMED).values(gone_since=_of("since"))
_FORGET: Final = processed_files.delete().where(_c.source == _of("source"), _NAMED, _c.success.is_(sa.true()))


class Processed:
    """The rows of one source. Safe to use from many threads and processes at once: every method is one transaction,
    but the one that takes a connection."""

    def __init__(self, engine: sa.Engine, source: str) -> None:
        self._engine = engine
        self._runs = SqlRunLog(engine)
        self._source = source
        self._ours = sa.or_(_c.source == source, _c.source == _ADOPTED)

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    @contextmanager
    def begin(self, *, keep: bool = True) -> Iterator[sa.Connection]:
        """One transaction, which whoever gets it cannot commit. Without `keep` it is undone at its end. Raises
        `TrueupError` when it cannot begin; what SQLAlchemy raises later passes through."""
        with ExitStack() as stack:
            with self._plainly():
                db = stack.enter_context(self._engine.connect())
                transaction = db.begin()
            try:
                with lent(db):
                    yield db
            except BaseException:
                transaction.close()
                raise
            if keep:
                transaction.commit()
            else:
                transaction.close()

    # ----- reading -----

    def looks(self, names: Sequence[str]) -> dict[str, tuple[int | None, str]]:
        """Size and looks of those of these files that had their effect."""
        found: dict[str, tuple[int | None, str]] = {}
        with self._reading() as db:
            for some in self._some(names):
                for name, size, seen in db.execute(_LOOKS, some):
                    found[name] = size, seen or ""
        return found

    def rows(self, names: Sequence[str]) -> dict[str, Row]:
        """The rows of these files. Where an application has written one beside ours, the one that tells of an effect
        counts."""
        found: dict[str, Row] = {}
        with self._reading() as db:
            for some in self._some(names):
                for row in db.execute(_ROWS, some):
                    found[row.filename] = _row(row)
        return found

    def _some(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What a statement is given for these names, some at a time."""
        for start in range(0, len(names), _PAGE):
            yield {"the_source": self._source, "names": names[start : start + _PAGE]}

    def pages(self, *, unfinished: bool = False) -> Iterator[list[Row]]:
        """All rows, or those of files that wait for their effect, some at a time. They may be changed meanwhile."""
        query = sa.select(*_ROW).where(self._ours).order_by(_c.filename).limit(_PAGE)
        if unfinished:
            query = query.where(_c.success.is_(sa.false()))
        after: str | None = None
        while True:
            with self._reading() as db:
                page = [_row(row) for row in db.execute(query if after is None else query.where(_c.filename > after))]
            if not page:
                return
            after = page[-1].filename
            yield page

    def with_bytes(self, db: sa.Connection, md5: str, size: int, but: str) -> str | None:
        """Another file that had its effect with these very bytes. Until the transaction of `db` ends, no other gets
        past this with them. What SQLAlchemy raises passes through."""
        if db.dialect.name == "postgresql":  # in SQLite one at a time writes anyway
            db.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(md5, 0))))
        same = (_c.md5 == md5, _c.size == size, _c.success.is_(sa.true()), _c.filename != but)
        return db.scalar(sa.select(_c.filename).where(self._ours, *same).order_by(_c.filename).limit(1))

    # ----- files that had their effect -----

    def assume(self, files: Iterable[tuple[str, int]], state: str = ASSUMED) -> None:
        """Say that files, by name and size, were taken before. A row that is there stays."""
        facts = {"success": True, "state": state, "version": 1, "processed_at": now()}
        rows = [self._new(name) | facts | {"size": size} for name, size in files]
        if rows:
            with self._writing() as db:
                db.execute(self._insert(), rows)

    def note(self, looks: Iterable[tuple[str, int, str]]) -> None:
        """What the source tells now, by name, size and looks, of files that are as they were at their last effect."""
        change = processed_files.update().where(
            self._ours, _c.filename == sa.bindparam("the_name"), _c.success.is_(sa.true())
        )
        change = change.values(size=sa.bindparam("the_size"), seen=sa.bindparam("the_looks"))
        rows = [{"the_name": name, "the_size": size, "the_looks": looks} for name, size, looks in looks]
        if rows:
            with self._writing() as db:
                db.execute(change, rows)

    # ----- claims -----

    def claim(self, wanted: Sequence[tuple[str, Row | None, bool]], owner: str, until: datetime) -> list[Claim]:
        """Take the right to each file that nobody took since its row was read: its name, that row, and whether its
        tries count from the beginning. Those that were got, in their order."""
        got = []
        with self._writing() as db:
            for name, row, anew in wanted:
                claim = Claim(name, secrets.token_hex(8), 1 if row is None or anew else row.attempts + 1, row)
                values = {
                    "success": False, "state": CLAIMED, "attempts": claim.attempts,
                    "owner": owner, "token": claim.token, "lease_until": until, "retry_at": None,
                }  # fmt: skip
                if row is None:
                    done = db.execute(self._insert(), self._new(name) | values, execution_options=_COUNTED)
                else:
                    as_read = (
                        sa.literal(row.state) == _STATE,
                        sa.func.coalesce(_c.token, "") == row.token,
                        sa.func.coalesce(_c.attempts, 0) == row.attempts,
                    )
                    here = processed_files.update().where(self._ours, _c.filename == name, *as_read)
                    done = db.execute(here.values(values | {"source": self._becomes(name)}))
                if done.rowcount:  # an application may have several rows of a name
                    got.append(claim)
        return got

    def renew(self, tokens: Sequence[str], until: datetime) -> None:
        """Let claims last until then."""
        with self._writing() as db:
            db.execute(processed_files.update().where(_c.token.in_(tokens)).values(lease_until=until))

    def release(self, claims: Iterable[Claim], fetched: Container[str] = ()) -> None:
        """Give claims back, as if they had never been; those that somebody took over stay theirs. A file that was
        `fetched` meanwhile keeps its row: without one it would count as taken, because it is here."""
        with self._writing() as db:
            for claim in claims:
                here, row = self._held(claim), claim.before
                if row is not None:
                    before = {name: getattr(row, name) for name in ("success", "state", "attempts", "retry_at")}
                    if row.state == CLAIMED:  # one that was taken over: it is nobody's now, and waits for nothing
                        before["state"] = REQUESTED
                elif claim.filename in fetched:
                    before = {"state": REQUESTED, "attempts": 0}
                else:
                    db.execute(processed_files.delete().where(*here))
                    continue
                db.execute(processed_files.update().where(*here).values(_FREE | before))

    def fail(self, claim: Claim, error: str, cause: str, seen: str, retry_at: datetime | None) -> None:
        """The try came to nothing. Without a time to try again, the file is put in quarantine."""
        state = FAILED if retry_at is not None else QUARANTINED
        values = _FREE | {"state": state, "error": error, "cause": cause, "seen": seen, "retry_at": retry_at}
        with self._writing() as db:
            db.execute(processed_files.update().where(*self._held(claim)).values(values))

    def finish(
        self, db: sa.Connection, claim: Claim, *, size: int, md5: str, seen: str, version: int, state: str = DONE
    ) -> bool:
        """The file has had its effect, if the transaction of `db` is committed. False when somebody else took the claim
        over: then it must not be. Raises `TrueupError` when it is over already."""
        require_unended(db)
        facts = {"the_state": state, "the_size": size, "the_md5": md5, "the_seen": seen, "the_version": version}
        facts |= {"the_source": self._source, "the_name": claim.filename, "the_token": claim.token}
        return db.execute(_FINISH, facts | {"the_processed_at": now()}).rowcount > 0

    def request(self, rows: Iterable[Row]) -> int:
        """Have files taken again, at once: each that nobody is at, and that had no effect since its row was read. How
        many."""
        values = _WELL | {"success": False, "state": REQUESTED}
        done = 0
        with self._writing() as db:
            for row in rows:
                since = _c.processed_at.is_not_distinct_from(sa.literal(row.processed_at, Moment))
                same = (_c.success.is_(sa.true()) if row.success else _c.success.is_not(sa.true()), since)
                here = (self._ours, _c.filename == row.filename, _STATE != CLAIMED, *same)
                done += db.execute(processed_files.update().where(*here).values(values)).rowcount
        return done

    # ----- files that are gone from the server -----

    def gone(self, names: Sequence[str], since: datetime | None) -> None:
        """Note since when files are not on the server any more, or that they are back (None)."""
        with self._writing() as db:
            db.execute(_GONE, {"the_source": self._source, "names": list(names), "the_since": since})

    def forget(self, names: Sequence[str]) -> None:
        """Drop the rows of files that had their effect; but those that an application wrote are not ours alone."""
        with self._writing() as db:
            db.execute(_FORGET, {"the_source": self._source, "names": list(names)})

    # ----- beside the rows -----

    def record(self, record: RunRecord) -> None:
        """Remember a run, in the history that the database keeps."""
        with self._plainly():
            self._runs.add(record)

    def latest(self, job: str, name: str, *, but: str) -> RunRecord | None:
        """The newest run of a job's name whose status is not `but`."""
        with self._plainly():
            return self._runs.last(job, name, but=but)

    def count(self, query: str) -> int:
        """What a query of the application's counts; what else it does is undone. Raises `ConfigError` for one that does
        not count, and `TrueupError`."""
        try:
            with self.begin(keep=False) as db:
                found = db.execute(sa.text(query)).scalar()
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", None) or error).partition("\n")[0]
            raise ConfigError(f"domain_count fails: {said}", cure="Write SQL that gives one number") from error
        if not isinstance(found, int):
            raise ConfigError(f"domain_count gives {found!r}", cure="Write SQL that gives one number")
        return found

    def index_bytes(self) -> None:
        """Make `with_bytes` quick. Only who asks for it pays for the index."""
        index = sa.Index("ix_processed_files_md5", _c.md5)
        with self._writing() as db:
            # Who finds none makes one: for PostgreSQL one after the other, SQLite asks again where it writes.
            if db.dialect.name == "postgresql":
                db.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(index.name, 0))))
            if not sa.inspect(db).has_index(processed_files.name, str(index.name)):
                db.execute(sa.schema.CreateIndex(index, if_not_exists=True))

    def _becomes(self, name: str) -> sa.ColumnElement[str]:
        """The source of a row that is claimed: ours, unless the application has more rows of that name than one."""
        same = processed_files.alias()
        rows = sa.select(sa.func.count()).where(same.c.source.in_([self._source, _ADOPTED]), same.c.filename == name)
        return sa.case((rows.scalar_subquery() > 1, _c.source), else_=self._source)

    def _held(self, claim: Claim) -> tuple[sa.ColumnElement[bool], ...]:
        return (self._ours, _c.filename == claim.filename, _c.token == claim.token)

    def _new(self, name: str) -> dict[str, Any]:
        return {"source": self._source, "filename": name, "version": 0, "attempts": 0}

    def _insert(self) -> sqlite.Insert | postgresql.Insert:
        here: dict[str, Any] = {"index_elements": [_c.source, _c.filename], "index_where": sa.text("source <> ''")}
        if self._engine.dialect.name == "sqlite":
            return sqlite.insert(processed_files).on_conflict_do_nothing(**here)
        return postgresql.insert(processed_files).on_conflict_do_nothing(**here)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._plainly(), reading(self._engine) as db:
            yield db

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._plainly(), self._engine.begin() as db:
            yield db

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Say in one line what a database refuses."""
        try:
            yield
        except IntegrityError as error:
            raise TrueupError(
                "the table processed_files is an application's, and takes each name only once for all sources",
                cure="Give this job a database of its own: [ingest.NAME] database",
            ) from error
        except SQLAlchemyError as error:
            raise unusable(self._engine, error) from error
        except ValueError as error:  # SQLite keeps in a column whatever an application has put there
            raise TrueupError(
                f"the table processed_files holds what cannot be read: {error}",
                cure="Have an application's rows mended",
            ) from error


def open_sql(url: str, source: str) -> Processed:
    """The rows of a source. A SQLite file is made, and brought up to date; elsewhere `upgrade` does that when somebody
    asks. Raises `ConfigError`, `MissingExtra` and `TrueupError`."""
    engine = engine_of(url, plainly=False)
    try:
        if engine.dialect.name == "sqlite":
            migrate.upgrade(engine)
        else:
            migrate.require(engine)
    except SQLAlchemyError as error:
        engine.dispose()
        raise unusable(engine, error) from error
    except BaseException:
        engine.dispose()
        raise
    return Processed(engine, source)


def _row(row: Any) -> Row:  # noqa: ANN401 - a row of SQLAlchemy's
    return Row(
        row.filename,
        bool(row.success),
        row.state,
        row.size,
        row.md5 or "",
        row.seen or "",
        row.version or 0,
        row.attempts or 0,
        row.error or "",
        row.cause or "",
        row.owner or "",
        row.token or "",
        *row[12:],
    )
