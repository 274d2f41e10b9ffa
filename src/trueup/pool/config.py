"""What `[pool]`, or the environment alone, means: providers, quotas and times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from trueup.catalog.base import Limits
from trueup.catalog.database import database_of
from trueup.config import (
    Settings,
    StoreConfig,
    check_names,
    inventory_place,
    parse_seconds,
    parse_size,
    table_of,
)
from trueup.errors import ConfigError

PLACEMENTS: Final = ("random", "most-free", "round-robin", "weighted")

_KNOWN: Final = frozenset(
    "quota placement full_below rearm_below reservation_ttl signed_url_ttl keep providers".split()
)
_OF_A_PROVIDER: Final = frozenset({"url", "quota", "full_below", "weight", "inventory"})
_QUOTA: Final = "5GiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """One cloud of the pool."""

    name: str
    store: StoreConfig
    limits: Limits
    weight: float = 1.0
    """How often it is chosen beside the others, where the placement is `weighted`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """The whole pool."""

    database: str
    providers: Mapping[str, ProviderConfig]
    placement: str = "random"
    reservation_ttl: timedelta = timedelta(minutes=10)
    signed_url_ttl: timedelta = timedelta(hours=24)
    keep: timedelta | None = None
    """The age at which a sweep removes an upload; None is never."""


def has_pool(settings: Settings) -> bool:
    """Whether the settings, or the environment alone, name a provider. Raises `ConfigError`."""
    section = table_of(settings.sections.get("pool", {}), "[pool]")
    return bool(_tables(section, settings))


def pool_config(settings: Settings) -> PoolConfig:
    """Raises `ConfigError`."""
    section = table_of(settings.sections.get("pool", {}), "[pool]")
    check_names(section, _KNOWN, "[pool]")
    placement = str(section.get("placement", "random"))
    if placement not in PLACEMENTS:
        raise ConfigError(f"[pool] placement = {placement!r} is unknown", cure=f"Use one of: {', '.join(PLACEMENTS)}")
    tables = _tables(section, settings)
    if not tables:
        raise ConfigError(
            "the pool has no provider", cure="Write a [pool.providers.NAME] with a url, or set GCS_BUCKET_NAME"
        )
    providers = {name: _provider(name, table, section, settings) for name, table in tables.items()}
    keep = str(section.get("keep", "forever"))
    return PoolConfig(
        database=database_of(settings),
        providers=providers,
        placement=placement,
        reservation_ttl=_age(section, "reservation_ttl", "10m"),
        signed_url_ttl=_age(section, "signed_url_ttl", "24h"),
        keep=None if keep == "forever" else _age(section, "keep", keep),
    )


def _tables(section: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    return table_of(section.get("providers", {}), "[pool.providers]") or _found_in(settings.environ)


def _provider(name: str, given: object, pool: Mapping[str, Any], settings: Settings) -> ProviderConfig:
    where = f"[pool.providers.{name}]"
    table = table_of(given, where)
    check_names(table, _OF_A_PROVIDER, where)
    url = table.get("url")
    if not isinstance(url, str) or not url:
        raise ConfigError(f"{where} has no url", cure="Write a URL, or the name of a store")
    quota = parse_size(str(table.get("quota", pool.get("quota", _QUOTA))))
    store = settings.store(url)
    base = settings.path.resolve().parent if settings.path is not None else Path.cwd()
    if not store.name and "://" not in url and settings.path is not None:
        store = StoreConfig(url=str(base / url))
    store = replace(store, inventory=inventory_place(table, where, base, settings.stores) or store.inventory)
    try:
        weight = float(table.get("weight", 1))
    except (TypeError, ValueError):
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise ConfigError(f"{where} weight = {table.get('weight')!r} is unusable", cure="Write a number above 0")
    rearm_below = _share(str(pool.get("rearm_below", "95%")), quota, "[pool] rearm_below")
    full_below = _share(str(table.get("full_below", pool.get("full_below", "1%"))), quota, f"{where} full_below")
    full_below = max(1, full_below)  # one without any room is full, whatever its quota
    return ProviderConfig(
        name=name,
        store=store,
        limits=Limits(quota=quota, full_below=full_below, rearm_below=rearm_below),
        weight=weight,
    )


def _found_in(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The providers whose buckets the environment names."""
    found = {}
    if bucket := environ.get("GCS_BUCKET_NAME"):
        found["gcs"] = {"url": f"gs://{bucket}"}
    if container := environ.get("AZURE_CONTAINER_NAME"):
        found["azure"] = {"url": f"az://{container}"}
    if bucket := environ.get("AWS_S3_BUCKET_NAME"):
        found["s3"] = {"url": f"s3://{bucket}"}
    if bucket := environ.get("AWS_STORAGE_BUCKET_NAME"):
        found["r2"] = {"url": f"r2://{bucket}"}
    return found


def _share(text: str, quota: int, where: str) -> int:
    """Bytes from `1%` of the quota, or from a size."""
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text.strip()):
        if float(found[1]) > 100:
            raise ConfigError(f"{where} = {text!r} is more than all", cure="Write a share such as 1%")
        return int(quota * float(found[1]) / 100)
    return parse_size(text)


def _age(table: Mapping[str, Any], name: str, default: str) -> timedelta:
    return timedelta(seconds=parse_seconds(str(table.get(name, default)), where=f"[pool] {name}"))
