"""The tables of the read model, and bringing them up to the fields that the settings name."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trueup.errors import ConfigError
from trueup.records.config import Field

VERSION: Final = 1
_TRIES: Final = 100
_PAUSE: Final = 0.05
"""Seconds."""
_TABLES: Final = (
    "create table projects (id text primary key, name text not null, active integer not null) strict",
    """create table accounts (
        id integer primary key, project_id text not null references projects (id), key text not null,
        profile_url text not null, deleted_at text, unique (project_id, key)
    ) strict""",
    # The key is the constraint that a day has one snapshot, and keeps those of an account together.
    """create table account_snapshots (
        account_id integer not null references accounts (id), snapshot_time text not null, local_date text not null,
        primary key (account_id, local_date)
    ) strict, without rowid""",
    """create table sync_history (
        run text not null, project_id text not null, project_name text not null, timestamp text not null,
        seconds real not null, status text not null, total_accounts integer not null, updated_count integer not null,
        changed_count integer not null, snapshot_count integer not null, error_code text, error_message text,
        issues text not null, primary key (run, project_id)
    ) strict""",
    """create table field_provenance (
        account_id integer not null references accounts (id), field text not null, value any, winner text,
        candidates text not null, heard text not null, primary key (account_id, field)
    ) strict, without rowid""",
    """create table pins (
        account_id integer not null references accounts (id), field text not null, value any not null,
        pinned_at text not null, primary key (account_id, field)
    ) strict, without rowid""",
    """create table outbox (
        id text primary key, kind text not null, payload text not null, created_at text not null, due_at text not null,
        attempts integer not null, delivered text not null, error text not null
    ) strict""",
)


def use_wal(db: sqlite3.Connection) -> None:
    """Let readers read while one writes. SQLite does not wait for others itself when the mode of a new file changes."""
    for _ in range(_TRIES):
        try:
            db.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_PAUSE)
    db.execute("pragma journal_mode = wal")


def columns(db: sqlite3.Connection, table: str) -> dict[str, str]:
    """The columns of a table and their types, in capitals."""
    return {row[1]: str(row[2]).upper() for row in db.execute("select * from pragma_table_info(?)", (table,))}


def create(db: sqlite3.Connection, fields: Mapping[str, Field], path: Path) -> None:
    """Make what is missing, within the transaction that is open. Raises `ConfigError` for a file that holds something
    else, and for a field that changed its type."""
    version = db.execute("pragma user_version").fetchone()[0]
    if version > VERSION:
        raise ConfigError(f"the read model {path} was written by a newer trueup", cure="Install that one")
    if not version:
        if db.execute("select 1 from sqlite_schema").fetchone():
            raise ConfigError(f"{path} holds tables of something else", cure="Name another [records] database")
        for statement in _TABLES:
            db.execute(statement)
        db.execute(f"pragma user_version = {VERSION}")
    for table in ("accounts", "account_snapshots"):
        there = columns(db, table)
        for field in fields.values():
            kind = "TEXT" if field.text else "INTEGER"
            if field.name not in there:
                db.execute(f'alter table {table} add column "{field.name}" {kind}')
            elif there[field.name] != kind:
                raise ConfigError(
                    f"[records.fields] {field.name}: the read model {path} has a column of another type for it",
                    cure="Give the field another name",
                )
