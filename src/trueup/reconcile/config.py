"""What `[reconcile]` means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from trueup.config import Settings, check_names, parse_seconds, resolve_secret, table_of
from trueup.errors import ConfigError

_KNOWN: Final = frozenset({"grace", "max_change", "references"})
_OF_A_REFERENCE: Final = frozenset({"database", "query", "collection", "fields", "provider", "preset"})
PRESETS: Final = ("active-storage",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceConfig:
    """One `[reconcile.references.NAME]`: an application's own table."""

    name: str
    database: str = field(repr=False)
    query: str = ""
    """SQL that gives the columns `key` and, where there are such, `provider`, `size`, `md5`, `created_at`."""
    collection: str = ""
    """In MongoDB; `fields` says which of its fields are those."""
    fields: Mapping[str, str] = field(default_factory=dict)
    preset: str = ""
    """Whose table it is, instead of a query."""
    provider: str = ""
    """Where all of it lies, when the rows do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileConfig:
    """How books are compared with what is there."""

    grace: timedelta = timedelta(hours=1)
    """What is younger is left alone."""
    max_change: str = "50%"
    """A fix of more than this share of a provider's rows, and of more than 100, is refused."""
    references: Mapping[str, ReferenceConfig] = field(default_factory=dict)


def reconcile_config(settings: Settings) -> ReconcileConfig:
    """Raises `ConfigError`."""
    section = table_of(settings.sections.get("reconcile", {}), "[reconcile]")
    check_names(section, _KNOWN, "[reconcile]")
    references = table_of(section.get("references", {}), "[reconcile.references]")
    grace = str(section.get("grace", "1h"))
    seconds = 0.0 if grace in {"0", "0s"} else parse_seconds(grace, where="[reconcile] grace")
    return ReconcileConfig(
        grace=timedelta(seconds=seconds),
        max_change=share(str(section.get("max_change", "50%")), "[reconcile] max_change"),
        references={name: _reference(name, table, settings) for name, table in references.items()},
    )


def share(text: str, where: str) -> str:
    """A percentage. Raises `ConfigError`."""
    found = re.fullmatch(r"(\d+)\s*%", text.strip())
    if not found or int(found[1]) > 100:
        raise ConfigError(f"{where} = {text!r} is no share", cure="Write it like 50%")
    return f"{found[1]}%"


def _reference(name: str, given: object, settings: Settings) -> ReferenceConfig:
    where = f"[reconcile.references.{name}]"
    table = table_of(given, where)
    check_names(table, _OF_A_REFERENCE, where)
    database, query, collection, preset = (
        str(table.get(key, "")) for key in ("database", "query", "collection", "preset")
    )
    if not database:
        raise ConfigError(f"{where} has no database", cure="Write its URL, like postgresql://user@host/name")
    if sum(map(bool, (query, collection, preset))) != 1:
        raise ConfigError(f"{where} needs a query, a collection of MongoDB, or a preset", cure="Write one of them")
    if preset and preset not in PRESETS:
        raise ConfigError(f"{where} preset = {preset!r} is unknown", cure=f"Known: {', '.join(PRESETS)}")
    base = settings.path.resolve().parent if settings.path is not None else Path.cwd()
    database = resolve_secret(database, settings.environ, base)
    if found := re.fullmatch(r"sqlite:///([^/:].*)", database):
        database = f"sqlite:///{base / found[1]}"
    return ReferenceConfig(
        name=name,
        database=database,
        query=query,
        collection=collection,
        preset=preset,
        fields={key: str(value) for key, value in table_of(table.get("fields", {}), f"{where} fields").items()},
        provider=str(table.get("provider", "")),
    )
