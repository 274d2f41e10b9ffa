"""The tables of the read model, and bringing them up to the fields that the settings name."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trueup.errors import ConfigError
from trueup.records.config import Field

VERSION: Final = 1
_APPLICATION: Final = int.from_bytes(b"trup")
"""What the file says it is of; a program of somebody else may count its versions as well."""
_OF_FIELDS: Final = ("accounts", "account_snapshots")
"""Tables that have a column for each field."""
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


def columns(db: sqlite3.Connection, table: str) -> dict[str, str]:
    """The columns of a table and their types, in capitals."""
    return {row[1]: str(row[2]).upper() for row in db.execute("select * from pragma_table_info(?)", (table,))}


def is_made(db: sqlite3.Connection, path: Path) -> bool:
    """Whether the tables are there; an empty file has none. Raises `ConfigError` for a file of somebody else."""
    # In one statement, so that nobody makes the file in between.
    application, version, tables = db.execute(
        "select application_id, user_version, exists (select 1 from sqlite_schema)"
        " from pragma_application_id, pragma_user_version"
    ).fetchone()
    if not (application or version or tables):
        return False
    if application != _APPLICATION:
        raise ConfigError(f"{path} holds tables of something else", cure="Name another [records] database")
    if version > VERSION:
        raise ConfigError(f"the read model {path} was written by a newer trueup", cure="Install that one")
    return True


def create(db: sqlite3.Connection, fields: Mapping[str, Field], path: Path) -> None:
    """Make what is missing, within the transaction that is open. Raises `ConfigError` as the checks do."""
    if not is_made(db, path):
        for statement in _TABLES:
            db.execute(statement)
        db.execute(f"pragma application_id = {_APPLICATION}")
        db.execute(f"pragma user_version = {VERSION}")
    check_types(db, fields, path)
    for table in _OF_FIELDS:
        there = columns(db, table)
        for field in fields.values():
            if field.name not in there:
                db.execute(f'alter table {table} add column "{field.name}" {_kind(field)}')


def check_types(db: sqlite3.Connection, fields: Mapping[str, Field], path: Path) -> None:
    """Raises `ConfigError` for a field that changed its type."""
    for table in _OF_FIELDS:
        there = columns(db, table)
        for field in fields.values():
            if there.get(field.name, _kind(field)) != _kind(field):
                raise ConfigError(
                    f"[records.fields] {field.name}: the read model {path} has a column of another type for it",
                    cure="Give the field another name",
                )


def _kind(field: Field) -> str:
    return "TEXT" if field.text else "INTEGER"
