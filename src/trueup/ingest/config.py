"""What `[ingest.NAME]` means."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from trueup.catalog.database import database_of
from trueup.config import Settings, StoreConfig, check_names, local_path, parse_seconds, resolve_secret, table_of
from trueup.errors import ConfigError

IGNORE: Final = "ignore"
VERSION: Final = "version"
ERROR: Final = "error"
_REWRITES: Final = (IGNORE, VERSION, ERROR)
_DUPLICATES: Final = ("process", "skip")
_KNOWN: Final = frozenset(
    "source include exclude into handler on_rewrite stable_for attempts backoff lease on_duplicate forget poll"
    " domain_count database".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """One `[ingest.NAME]`."""

    name: str
    source: StoreConfig
    into: Path
    database: str = field(repr=False)
    base: Path
    """The folder of the settings file: a handler may lie in it."""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    handler: str = ""
    """`module:function`, `csv:TABLE` or `ndjson:TABLE`; empty: a file is taken when it is here."""
    on_rewrite: str = VERSION
    """What becomes of other bytes under a name that was taken: `ignore`, `version` or `error`."""
    stable_for: timedelta = timedelta(seconds=10)
    """What was modified less than this ago may not be whole yet."""
    attempts: int = 3
    backoff: timedelta = timedelta(seconds=30)
    """The pause after a failure; each further one waits twice as long."""
    lease: timedelta = timedelta(minutes=5)
    skip_duplicates: bool = False
    """Bytes that had their effect under another name have none again."""
    forget: timedelta | None = None
    """How long a file must be gone from the server before it is forgotten; None: for ever."""
    poll: float = 30.0
    """Seconds between two passes of a watch."""
    domain_count: str = ""
    """SQL that counts what the handler made, for `diagnose`."""


def ingest_config(name: str, settings: Settings) -> IngestConfig:
    """The job of a name. Raises `ConfigError`."""
    jobs = table_of(settings.sections.get("ingest", {}), "[ingest]")
    if name not in jobs:
        known = ", ".join(sorted(jobs)) or "none"
        raise ConfigError(f"there is no [ingest.{name}]", cure=f"Known: {known}")
    where = f"[ingest.{name}]"
    table = table_of(jobs[name], where)
    check_names(table, _KNOWN, where)
    base = settings.path.resolve().parent if settings.path is not None else Path.cwd()

    def seconds(key: str, default: str) -> float:
        given = str(table.get(key, default))
        return 0.0 if given in {"0", "0s"} else parse_seconds(given, where=f"{where} {key}")

    attempts = str(table.get("attempts", 3))
    if not attempts.isdecimal() or not int(attempts):
        raise ConfigError(f"{where} attempts = {attempts!r} is unusable", cure="Write 1 or more")
    forget = str(table.get("forget", "never"))
    poll = seconds("poll", "30s")
    if not poll:
        raise ConfigError(f"{where} poll is no pause at all", cure="Write it like 30s")
    lease = seconds("lease", "5m")
    if lease < 1:
        raise ConfigError(f"{where} lease is too short to be renewed", cure="Write 1s or more")
    into = _into(table, where, base)
    for other in jobs.keys() - {name}:
        try:
            theirs = _into(table_of(jobs[other], f"[ingest.{other}]"), f"[ingest.{other}]", base)
        except ConfigError:  # its own trouble, and it takes nothing
            continue
        if into.is_relative_to(theirs) or theirs.is_relative_to(into):
            # What one job has put there, the other would take for taken.
            raise ConfigError(
                f"{where} and [ingest.{other}] share the folder {into}", cure="Give each job its own into"
            )
    return IngestConfig(
        name=name,
        source=_source(table, where, settings, base),
        into=into,
        database=_database(table, settings, base),
        base=base,
        include=_patterns(table, "include", where),
        exclude=_patterns(table, "exclude", where),
        handler=_handler(table, where),
        on_rewrite=_one_of(table, "on_rewrite", _REWRITES, VERSION, where),
        stable_for=timedelta(seconds=seconds("stable_for", "10s")),
        attempts=int(attempts),
        backoff=timedelta(seconds=seconds("backoff", "30s")),
        lease=timedelta(seconds=lease),
        skip_duplicates=_one_of(table, "on_duplicate", _DUPLICATES, "process", where) == "skip",
        forget=None if forget == "never" else timedelta(seconds=seconds("forget", "")),
        poll=poll,
        domain_count=str(table.get("domain_count", "")).strip().rstrip(";"),
    )


def databases(settings: Settings) -> Iterator[str]:
    """The URL of each job's database, often the same. Raises `ConfigError`."""
    for name in table_of(settings.sections.get("ingest", {}), "[ingest]"):
        yield ingest_config(name, settings).database


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    given = table.get(key, "")
    if not isinstance(given, str) or not given:
        raise ConfigError(f"{where} has no {key}", cure="Write it in quotes")
    return given


def _into(table: Mapping[str, Any], where: str, base: Path) -> Path:
    given = _text(table, "into", where)
    if "://" in given:
        raise ConfigError(f"{where} into = {given!r} is no folder", cure="Files are taken to a folder of this machine")
    return Path(os.path.realpath(base / local_path(given, where=f"{where} into = ")))


def _source(table: Mapping[str, Any], where: str, settings: Settings, base: Path) -> StoreConfig:
    given = _text(table, "source", where)
    if given in settings.stores or "://" in given:
        return settings.store(given)
    return StoreConfig(url=str(base / local_path(given, where=f"{where} source = ")))


def _database(table: Mapping[str, Any], settings: Settings, base: Path) -> str:
    """The job's own database, else that of all."""
    given = str(table.get("database", ""))
    if not given:
        return _kept(database_of(settings))
    url = _kept(resolve_secret(given, settings.environ, base))
    relative = url.removeprefix("sqlite:///")
    return f"sqlite:///{base / relative}" if relative != url and relative[:1] not in {"/", ":"} else url


def _kept(url: str) -> str:
    """A database that lasts."""
    if url in {"sqlite://", "sqlite:///", "sqlite:///:memory:"}:
        raise ConfigError(
            "what was taken would be forgotten at the end: the database is in memory", cure="Write sqlite:///trueup.db"
        )
    return url


def _patterns(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    given = table.get(key, [])
    if isinstance(given, str):  # out of the environment
        given = given.split(",")
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ConfigError(f"{where} {key} = {given!r} is no list of patterns", cure='Write it like ["*.txt"]')
    return tuple(given)


def _handler(table: Mapping[str, Any], where: str) -> str:
    given = str(table.get("handler", ""))
    if given and not all(given.partition(":")[::2]):
        raise ConfigError(
            f"{where} handler = {given!r} names no function",
            cure='Write it like "package.module:function", "csv:TABLE" or "ndjson:TABLE"',
        )
    return given


def _one_of(table: Mapping[str, Any], key: str, allowed: tuple[str, ...], default: str, where: str) -> str:
    given = str(table.get(key, default))
    if given not in allowed:
        raise ConfigError(f"{where} {key} = {given!r} is unknown", cure=f"Use one of: {', '.join(allowed)}")
    return given
