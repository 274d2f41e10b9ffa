"""The read model: what was merged, one snapshot of it a day, and why, in one SQLite file that anybody may read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Final, NamedTuple

from trueup.errors import TrueupError, UsageError
from trueup.records.config import Field, Project
from trueup.records.growth import Snapshot
from trueup.records.merge import NOTHING, PIN, Heard, Kept, Value
from trueup.records.opening import nothing, to_read, to_write
from trueup.records.outbox import FileOutbox
from trueup.records.profile import profile_key
from trueup.records.remembered import as_json, kept_of, value_of
from trueup.records.schema import columns
from trueup.records.tell import State

_TIME: Final = "%Y-%m-%d %H:%M:%S"
_CHUNK: Final = 5000


@dataclass(slots=True, kw_only=True)
class Account:
    """One account, as it is stored."""

    id: int
    project_id: str
    key: str
    profile_url: str
    deleted_at: str | None = None
    values: dict[str, Value | None]
    """What readers see: pins included."""
    kept: dict[str, Kept] = field(default_factory=dict)
    """What the rules gave, by field."""
    pins: dict[str, Value] = field(default_factory=dict)

    def before(self, name: str) -> Kept:
        """What a merge of a field starts from. What somebody wrote into the table since counts as stored; a pin does
        not."""
        kept = self.kept.get(name, NOTHING)
        stored = self.values.get(name)
        if stored is None or self.pins.get(name) == stored or stored == kept.value:
            return kept
        return Kept(value=stored, winner=None, candidates=kept.candidates, heard=kept.heard)

    def to_json(self) -> dict[str, object]:
        """As documented."""
        return {
            "id": self.id,
            "project_id": self.project_id,
            "key": self.key,
            "profile_url": self.profile_url,
            **self.values,
            "deleted_at": self.deleted_at,
        }

    def provenance(self) -> dict[str, dict[str, object]]:
        """By field that has one: the value that readers see, who won, and who said what."""
        found: dict[str, dict[str, object]] = {}
        for name, value in self.values.items():
            kept = self.kept.get(name, NOTHING)
            winner = PIN if name in self.pins else kept.winner
            if winner is not None:
                found[name] = {"value": value, "winner": winner, "candidates": dict(kept.candidates)}
        return found


class Listing(NamedTuple):
    """Accounts as a table: thousands of them are read in milliseconds, and made into something else where needed."""

    columns: tuple[str, ...]
    """`id`, `key`, `profile_url` and the fields."""
    rows: list[tuple[int | str | None, ...]]

    def to_json(self) -> list[dict[str, object]]:
        """The rows, each by the names of the columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class ReadModel:
    """The file. With `read_only` it is neither made nor changed; one that is not there is empty then. Several threads
    may use it, one at a time.

    Raises `ConfigError` for a file of somebody else and `TrueupError` for one that cannot be used."""

    def __init__(self, path: Path, fields: Mapping[str, Field], *, read_only: bool = False) -> None:
        self.path = path
        self._fields = fields
        self._check = nothing
        with self._told():
            self._db, self._check = (to_read if read_only else to_write)(path, fields)
            there = columns(self._db, "accounts")
        self._names = [name for name in fields if name in there]
        self.outbox = FileOutbox(self._db, self._told)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def begin(self) -> Iterator[None]:
        """One transaction, which nobody else writes in."""
        with self._told():
            self._db.execute("begin immediate")
            try:
                yield
                self._check()
                self._db.execute("commit")
            except BaseException:
                self._db.rollback()
                raise

    # Reading

    def version(self) -> int:
        """Another one than before when somebody else has written into the file since."""
        with self._told():
            return int(self._db.execute("pragma data_version").fetchone()[0])

    def accounts(self, project_id: str) -> dict[str, Account]:
        """The accounts of a project by key, deleted ones included."""
        return {account.key: account for account in self._load("project_id = ?", (project_id,))}

    def living(self, project_id: str) -> list[str]:
        """The keys of those that are not deleted."""
        with self._told():
            query = "select key from accounts where project_id = ? and deleted_at is null order by id"
            return [row[0] for row in self._db.execute(query, (project_id,))]

    def seen(self, project_id: str) -> list[str]:
        """The keys of those of which the sheet said something when they were merged last."""
        with self._told():
            query = """
                select key from accounts a where project_id = ? and deleted_at is null and exists (
                    select 1 from field_provenance p where p.account_id = a.id and p.candidates like '%"sheet": %'
                )
            """
            return [row[0] for row in self._db.execute(query, (project_id,))]

    def listed(self, project_id: str) -> Listing:
        """The accounts of a project that are not deleted, as readers see them, by key."""
        names = ("id", "key", "profile_url", *self._names)
        query = f"select {_quoted(names)} from accounts where project_id = ? and deleted_at is null order by key"
        with self._told():
            rows = self._db.cursor()
            rows.row_factory = None
            return Listing(names, rows.execute(query, (project_id,)).fetchall())

    def find(self, word: str) -> Account:
        """An account by its id, its key or a URL of its profile. Raises `UsageError` for none, and for several."""
        found = self._load("id = ?", (int(word),)) if word.isdecimal() and len(word) < 19 else []
        found = found or self._load("key = ?", (profile_key(word) or word,))
        if not found:
            raise UsageError(f"there is no account '{word}'", cure="Name its id, its key or its URL")
        if len(found) > 1:
            ids = ", ".join(f"{account.id} ({account.project_id})" for account in found)
            raise UsageError(f"several projects have an account '{word}'", cure=f"Name one by its id: {ids}")
        return found[0]

    def snapshots(self, account_id: int, limit: int) -> list[Snapshot]:
        """The newest first."""
        with self._told():
            rows = self._db.execute(
                f"select {_quoted(['snapshot_time', 'local_date', *self._names])} from account_snapshots"
                " where account_id = ? order by local_date desc limit ?",
                (account_id, limit),
            )
            return [self._snapshot(account_id, *row) for row in rows]

    def recent(self, project_id: str, hours: float) -> Iterator[tuple[str, list[Snapshot], list[date]]]:
        """Of each account its key; its last snapshot and, where there is one, the newest that is so many hours older;
        and the days between these two that have one."""
        names = ["snapshot_time", "local_date", *self._names]
        ends = ", ".join(f'{side}."{name}"' for side in ("l", "e") for name in names)
        query = f"""
            select a.id, a.key, (
                select group_concat(b.local_date) from account_snapshots b
                where b.account_id = a.id and b.local_date > e.local_date and b.local_date < l.local_date
            ), {ends}
            from accounts a
            join account_snapshots l on l.account_id = a.id and l.local_date = (
                select max(m.local_date) from account_snapshots m where m.account_id = a.id
            )
            left join account_snapshots e on e.account_id = a.id and e.local_date = (
                select o.local_date from account_snapshots o
                where o.account_id = a.id and o.snapshot_time <= datetime(l.snapshot_time, ?)
                order by o.local_date desc limit 1
            )
            where a.project_id = ? and a.deleted_at is null order by a.key
        """
        with self._told():
            rows = self._db.execute(query, (f"-{hours * 3600:.0f} seconds", project_id)).fetchall()
        for number, key, between, *values in rows:
            last, first = values[: len(names)], values[len(names) :]
            ends_of_it = [self._snapshot(number, *side) for side in (last, first) if side[0] is not None]
            with self._sensible("account_snapshots", number):
                days = [date.fromisoformat(day) for day in between.split(",")] if between else []
            yield key, ends_of_it, days

    def last_run(self) -> str | None:
        """As of when the last sync merged: UTC, RFC 3339."""
        with self._told():
            row = self._db.execute("select timestamp from sync_history order by rowid desc limit 1").fetchone()
            return str(row[0]) if row else None

    def last_state(self, project_id: str) -> State | None:
        """How the last sync of a project ended."""
        query = "select status, error_code from sync_history where project_id = ? order by rowid desc limit 1"
        with self._told():
            row = self._db.execute(query, (project_id,)).fetchone()
            return State(*row) if row else None

    def last_results(self) -> dict[str, dict[str, object]]:
        """The last line of history of each project, by its id."""
        with self._told():
            rows = self._db.execute(
                "select * from sync_history where rowid in (select max(rowid) from sync_history group by project_id)"
            ).fetchall()
        found: dict[str, dict[str, object]] = {}
        for row in rows:
            project = str(row["project_id"])
            try:
                issues = json.loads(row["issues"])
            except ValueError as error:
                raise self._nonsense("sync_history", f"project {project}") from error
            found[project] = {**{key: row[key] for key in row.keys()}, "issues": issues}  # noqa: SIM118 - a row is no mapping
        return found

    # Writing, within a transaction

    def put_project(self, project: Project) -> None:
        """Know a project."""
        self._db.execute(
            "insert into projects (id, name, active) values (?1, ?2, ?3) on conflict (id) do update"
            " set name = ?2, active = ?3 where name <> ?2 or active <> ?3",
            (project.id, project.name, project.active),
        )

    def put(self, *accounts: Account) -> None:
        """Write accounts, and remember why. One with the id 0 is new, and gets its id."""
        (last,) = self._db.execute("select coalesce(max(id), 0) from accounts").fetchone()
        for number, account in enumerate((account for account in accounts if not account.id), last + 1):
            account.id = number
        names = ["id", "project_id", "key", "profile_url", "deleted_at", *self._names]
        new = ", ".join(f'"{name}" = excluded."{name}"' for name in names[1:])
        self._db.executemany(
            f"insert into accounts ({_quoted(names)}) values ({_marks(names)}) on conflict (id) do update set {new}",
            (
                (one.id, one.project_id, one.key, one.profile_url, one.deleted_at, *map(one.values.get, self._names))
                for one in accounts
            ),
        )
        self._db.executemany(
            "insert or replace into field_provenance (account_id, field, value, winner, candidates, heard)"
            " values (?, ?, ?, ?, ?, ?)",
            (
                (one.id, name, kept.value, kept.winner, as_json(kept.candidates), as_json(kept.heard))
                for one in accounts
                for name, kept in one.kept.items()
            ),
        )

    def put_heard(self, account: Account, name: str, heard: Mapping[str, Heard]) -> None:
        """Remember who says what of a field, and since when."""
        self._db.execute(
            "update field_provenance set heard = ? where account_id = ? and field = ?",
            (as_json(heard), account.id, name),
        )

    def take_snapshots(self, accounts: Iterable[Account], now: datetime) -> int:
        """Keep the accounts as they are for the day of `now`, whose zone says which day it is. The first snapshot of a
        day stays. How many were new."""
        names = ["account_id", "snapshot_time", "local_date", *self._names]
        told = (now.strftime(_TIME), now.date().isoformat())
        rows = [(account.id, *told, *(account.values.get(name) for name in self._names)) for account in accounts]
        made = self._db.executemany(
            f"insert into account_snapshots ({_quoted(names)}) values ({_marks(names)}) on conflict do nothing", rows
        )
        return made.rowcount if rows else 0

    def put_history(self, row: Mapping[str, object]) -> None:
        """Remember how a project's sync went; the row is that of the table."""
        self._db.execute(f"insert into sync_history ({_quoted(row)}) values ({_marks(row)})", list(row.values()))

    def pin(self, account: Account, name: str, value: Value | None, when: str) -> None:
        """Hold a field at a value, whatever is merged; with None it is let go, and what the rule gave is back. What a
        parser wrote into the field since the last merge is kept, and is what is back."""
        if (kept := account.before(name)) != NOTHING:
            account.kept[name] = kept
        if value is None:
            self._db.execute("delete from pins where account_id = ? and field = ?", (account.id, name))
            account.pins.pop(name, None)
            shown = account.kept.get(name, NOTHING).value
        else:
            self._db.execute("insert or replace into pins values (?, ?, ?, ?)", (account.id, name, value, when))
            account.pins[name] = shown = value
        account.values[name] = shown
        self.put(account)

    def _load(self, condition: str, values: tuple[object, ...]) -> list[Account]:
        with self._told():
            accounts = {
                row["id"]: Account(
                    id=row["id"],
                    project_id=row["project_id"],
                    key=row["key"],
                    profile_url=row["profile_url"],
                    deleted_at=row["deleted_at"],
                    values={name: row[name] for name in self._names},
                )
                for row in self._db.execute(f"select * from accounts where {condition} order by id", values)
            }
            within = f"account_id in (select id from accounts where {condition})"
            wanted = "account_id, field, value, winner, candidates, heard"
            rows = self._db.execute(f"select {wanted} from field_provenance where {within}", values)
            while chunk := rows.fetchmany(_CHUNK):
                for number, name, kept in self._kept(chunk):
                    accounts[number].kept[name] = kept
            for row in self._db.execute(f"select * from pins where {within}", values):
                if row["field"] in self._fields:
                    with self._sensible("pins", row["account_id"]):
                        accounts[row["account_id"]].pins[row["field"]] = value_of(
                            row["value"], self._fields[row["field"]]
                        )
        return list(accounts.values())

    def _kept(self, rows: Sequence[sqlite3.Row]) -> list[tuple[int, str, Kept]]:
        """What rows of `field_provenance` say of fields of the settings: the id of the account, the field, and that."""
        try:
            return kept_of(rows, self._fields)
        except ValueError:
            for row in rows:
                with self._sensible("field_provenance", row["account_id"]):
                    kept_of([row], self._fields)
            raise

    def _snapshot(self, account: int, time: str, day: str, *values: Value | None) -> Snapshot:
        with self._sensible("account_snapshots", account):
            return Snapshot(
                time=_clock(time),
                date=date.fromisoformat(day),
                fields=dict(zip(self._names, values, strict=True)),
            )

    @contextmanager
    def _sensible(self, table: str, account: int) -> Iterator[None]:
        """Somebody else may have written a row that makes no sense."""
        try:
            yield
        except ValueError as error:
            (key,) = self._db.execute("select key from accounts where id = ?", (account,)).fetchone() or ("?",)
            raise self._nonsense(table, f"account {account} ({key})") from error

    def _nonsense(self, table: str, whose: str) -> TrueupError:
        said = f"the read model {self.path}: a row of {table} for {whose} makes no sense"
        return TrueupError(said, cure="Mend or delete it")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
            self._check()
        except (sqlite3.Error, OSError) as error:
            self._check()
            raise TrueupError(
                f"the read model {self.path} cannot be used: {error}", cure="Check [records] database"
            ) from error


def _clock(text: str) -> datetime:
    """A time of the configured zone. Raises `ValueError`."""
    time = datetime.fromisoformat(text)
    if time.tzinfo:
        raise ValueError(text)
    return time


def _quoted(names: Collection[str]) -> str:
    """A field may be called as a word of SQL is."""
    return ", ".join(f'"{name}"' for name in names)


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
