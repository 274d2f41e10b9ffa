"""The pool: several clouds as one place, each under its quota."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self
from urllib.parse import quote

from trueup import keys
from trueup.catalog import open_catalog
from trueup.catalog.base import Catalog, Stored, Usage
from trueup.catalog.lease import Leases
from trueup.config import Settings, load
from trueup.downloads import Cleaned, DownloadsConfig, Fetched, Fetcher, clean_failed, clean_old, downloads_config
from trueup.errors import ConfigError, NotFound, StoreError, TrueupError, UsageError
from trueup.notify import deliver
from trueup.notify.config import Alerts, alerts
from trueup.pool.config import PoolConfig, pool_config
from trueup.pool.place import Room, order
from trueup.pool.source import FileSource, Source, StreamSource
from trueup.pool.sweep import Swept, sweep
from trueup.pool.upload import Provider, Uploads, no_room, remove
from trueup.runs import RunRecord, new_run_id, stamped
from trueup.stores import open_store
from trueup.stores.cloud import CloudStore
from trueup.stores.local import LocalStore

_GB = 1 << 30
_UNFINISHED = timedelta(days=1)
"""So long an upload in parts may take, if no lease is held for it."""


class Uploaded(NamedTuple):
    """What an upload comes to."""

    url: str
    """Signed, or of a file; empty where the provider has none."""
    provider: str
    file_size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStats:
    """One provider's numbers; bytes, and GB of 2^30 bytes."""

    provider: str
    total_size_bytes: int
    total_size_gb: float
    file_count: int
    available_bytes: int
    available_gb: float
    used_percentage: float
    is_full: bool
    last_updated: str
    """RFC 3339, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """The pool's numbers."""

    providers: tuple[ProviderStats, ...]
    total_size_bytes: int
    total_size_gb: float
    total_file_count: int

    def model_dump(self) -> dict[str, Any]:
        """As plain values: what `trueup pool stats --json` prints."""
        # Not `asdict`, which copies each value: half of what a page of these numbers would take.
        return _shallow(self) | {"providers": [_shallow(provider) for provider in self.providers]}


class Pool:
    """Several clouds as one place. Safe to use from many threads; use it as a context manager, or `close` it."""

    def __init__(
        self,
        config: PoolConfig,
        catalog: Catalog,
        providers: dict[str, Provider],
        *,
        home: Path,
        fetching: DownloadsConfig,
        to: Alerts | None = None,
    ) -> None:
        self._config = config
        self._to = to or Alerts()
        self._home = home
        self._fetching = fetching
        self._catalog = catalog
        self._ledger = catalog.ledger
        self._providers = providers
        self._leases = Leases(self._ledger.renew, config.reservation_ttl)
        self._uploads = Uploads(self._ledger, providers, self._leases)
        self._turn = itertools.count()
        self._chance = random.Random()  # noqa: S311 - where a file goes is no secret
        self.downloads = Fetcher(catalog.downloads, self, self._fetching, home)
        """URLs into this pool."""
        self.problems: dict[str, str] = {}
        """Providers that could not be opened, and why; the others work."""

    @classmethod
    def from_config(cls, settings: Settings | None = None) -> Self:
        """The pool of the settings, or of the environment alone. Raises `ConfigError`, and `TrueupError` for a
        database that cannot be used."""
        settings = settings or load()
        config, fetching, to = pool_config(settings), downloads_config(settings), alerts(settings)
        opened: dict[str, Provider] = {}
        problems: dict[str, str] = {}
        for name, provider in config.providers.items():
            try:
                store = open_store(provider.store, settings.environ)
            except TrueupError as error:
                problems[name] = str(error)
                continue
            opened[name] = Provider(name=name, store=store, limits=provider.limits, weight=provider.weight)
        if not opened:
            raise ConfigError(f"no provider of the pool can be used: {'; '.join(problems.values())}")
        try:
            for name, found in opened.items():
                _check_ttl(config, name, found)
            catalog = open_catalog(config.database, {name: found.limits for name, found in config.providers.items()})
        except BaseException:
            for found in opened.values():
                found.store.close()
            raise
        pool = cls(config, catalog, opened, home=settings.home, fetching=fetching, to=to)
        pool.problems = problems
        pool._mark_full()
        return pool

    def _mark_full(self) -> None:
        """A quota that was lowered may leave a provider full, and nobody had to refuse an upload for that yet."""
        for usage in self._ledger.usage():
            found = self._config.providers.get(usage.provider)
            if found and not usage.is_full and usage.room(found.limits.quota) < found.limits.full_below:
                self._ledger.refuse(usage.provider)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database and the stores."""
        self._leases.close()
        self._catalog.close()
        for provider in self._providers.values():
            provider.store.close()

    # Putting

    def upload(
        self, source: str | os.PathLike[str] | BinaryIO | Iterable[bytes], key: str = "", *, idempotency: str = ""
    ) -> Uploaded:
        """Put a file, or bytes as they come, under a key (a file's own name by default) at a provider that has room.
        Raises `PoolFull` before a byte is sent, `UsageError` for a missing file or an unusable key, and a `StoreError`
        when every provider with room fails. The same idempotency token again gives the same object."""
        stored = self.put(source, key, idempotency=idempotency)
        return Uploaded(self.signed(stored)[0], stored.provider, stored.size)

    def put(
        self, source: str | os.PathLike[str] | BinaryIO | Iterable[bytes], key: str = "", *, idempotency: str = ""
    ) -> Stored:
        """As `upload`, without a URL."""
        taken: Source
        if isinstance(source, str | os.PathLike):
            taken, key = FileSource(source), key or Path(source).name
        else:
            taken = StreamSource(source)
        if why := keys.unaddressable_in_cloud(key):
            raise UsageError(f"'{keys.display(key)}' cannot be a key: {why}", cure="Name it otherwise")
        if keys.is_reserved(key):
            raise UsageError(f"'{keys.display(key)}' cannot be a key: such names are trueup's own")
        if idempotency and (known := self._ledger.known(idempotency)):
            return known
        before = self._ledger.find(key)
        candidates = self._candidates(before, taken.size if taken.size is not None else 1)
        return self._uploads.upload(taken, key, candidates, before, idempotency=idempotency)

    def fetch(self, url: str) -> Uploaded:
        """Put what a URL names into the pool; what was fetched before and is still there is only signed again. Raises
        what `downloads.fetch` does."""
        fetched = self.downloads.fetch(url)
        return Uploaded(self.fetched_link(fetched)[0], fetched.stored.provider, fetched.stored.size)

    def fetched_link(self, fetched: Fetched) -> tuple[str, datetime | None]:
        """As `signed`, and no longer than the object stays."""
        return self.signed(fetched.stored, ttl=min(self._config.signed_url_ttl, fetched.left(self._fetching.keep)))

    def require_room(self, size: int) -> None:
        """Raises `PoolFull` when no provider has room for so many bytes."""
        if not self._candidates([], size):
            raise no_room("so large a file")

    def _candidates(self, before: list[Stored], size: int) -> list[str]:
        """Where to try, in this order: where the key is now first, so that it does not wander."""
        here = [stored.provider for stored in before if stored.provider in self._providers]
        usages = self._ledger.usage()
        for usage in usages:
            found = self._providers.get(usage.provider)
            # What is larger than all of it finds no room in an empty one either.
            lacks = found is not None and usage.room(found.limits.quota) < size <= found.limits.quota
            if lacks and not usage.is_full and usage.provider not in here:
                self._ledger.refuse(usage.provider)
        rooms = [
            Room(usage.provider, usage.room(provider.limits.quota), provider.weight)
            for usage in usages
            if (provider := self._providers.get(usage.provider)) is not None
        ]
        others = order(rooms, size, self._config.placement, chance=self._chance, turn=next(self._turn))
        return [*here[:1], *(name for name in others if name not in here[:1])]

    # Finding

    def get(self, key: str, target: str | os.PathLike[str]) -> tuple[Stored, Path]:
        """Write an object to a file, or under its own name into a folder, whole or not at all. Returns where it then
        is. Raises `NotFound`."""
        stored = self._one(key)
        store = self._providers[stored.provider].store
        path = Path(target)
        path = path / key.rpartition("/")[2] if path.is_dir() else path
        with store.read(key) as body:
            LocalStore(path.parent).write(path.name, body, size=stored.size, md5=stored.md5)
        return stored, path

    def url(self, key: str, *, ttl: timedelta | None = None) -> str:
        """A URL that reads the object until `ttl` has passed, and can do nothing else; a folder's provider has its
        file's. Raises `NotFound`, `UsageError` for longer than the provider grants, and `StoreError` where there is
        none."""
        return self.link(key, ttl=ttl)[0]

    def link(self, key: str, *, ttl: timedelta | None = None) -> tuple[str, datetime | None]:
        """As `url`, and when it ends; None where it does not."""
        return self._link(self._one(key), ttl)

    def signed(self, stored: Stored, *, ttl: timedelta | None = None) -> tuple[str, datetime | None]:
        """As `link`; empty where the provider has no URLs."""
        try:
            return self._link(stored, ttl)
        except StoreError:
            return "", None

    def _link(self, stored: Stored, ttl: timedelta | None) -> tuple[str, datetime | None]:
        store = self._provider(stored).store
        if isinstance(store, LocalStore):
            return f"{store.url}/{quote(stored.key)}", None
        ttl = ttl or self._config.signed_url_ttl
        ends = datetime.now(UTC) + ttl
        return store.sign(stored.key, ttl=ttl), ends

    def known(self, idempotency: str) -> Stored | None:
        """The object of an upload of this name."""
        return self._ledger.known(idempotency)

    def held(self, key: str, provider: str) -> Stored | None:
        """An object that is on the books and in its cloud, which is asked. None at a provider that cannot be used.
        Raises `StoreError` when the cloud does not say."""
        opened = self._providers.get(provider)
        if opened is None:
            return None
        for stored in self._ledger.find(key):
            if stored.provider == provider:
                with suppress(NotFound):
                    opened.store.stat(key)
                    return stored
        return None

    def delete(self, key: str, provider: str | None = None) -> None:
        """Remove an object, at one provider or wherever it is. Raises `NotFound`."""
        found = [row for row in self._ledger.find(key, missing=True) if provider in {None, row.provider}]
        if not found:
            raise NotFound(f"'{keys.display(key)}' is not in the pool")
        for stored in found:
            self._provider(stored)
            remove(self._ledger, self._providers, stored, until=self._leases.end())

    def ls(self) -> Iterator[Stored]:
        """Every object by key."""
        return self._ledger.objects()

    def stats(self) -> PoolStats:
        """The books, in constant time."""
        rows = tuple(self._stats(usage, quota) for usage, quota in self.usage())
        total = sum(row.total_size_bytes for row in rows)
        return PoolStats(
            providers=rows,
            total_size_bytes=total,
            total_size_gb=round(total / _GB, 2),
            total_file_count=sum(row.file_count for row in rows),
        )

    def version(self) -> int | None:
        """Another one than before when somebody has changed the books since, maybe; None where only `stats` tells. It
        waits for nobody. Raises `TrueupError` for a database that is not where it was."""
        return self._catalog.version()

    def usage(self) -> Iterator[tuple[Usage, int]]:
        """Each provider's books and its quota, in bytes; 0 for one that the settings do not have any more."""
        for usage in self._ledger.usage():
            found = self._config.providers.get(usage.provider)
            yield usage, found.limits.quota if found is not None else 0

    def _stats(self, usage: Usage, quota: int) -> ProviderStats:
        room = usage.room(quota)
        return ProviderStats(
            provider=usage.provider,
            total_size_bytes=usage.total_size_bytes,
            total_size_gb=round(usage.total_size_bytes / _GB, 2),
            file_count=usage.file_count,
            available_bytes=room,
            available_gb=round(room / _GB, 2),
            used_percentage=round(100 * usage.total_size_bytes / quota, 1) if quota else 100.0,
            is_full=usage.is_full,
            last_updated=re.sub(r"\+00:00$", "Z", usage.last_updated.isoformat(timespec="seconds")),
        )

    def sweep(self) -> Swept:
        """Settle what crashes left, remove what is past its age, downloads too, abort uploads in parts that nobody
        finished within a day, where the cloud lists them, and send what waits in the outbox."""
        began, started = time.monotonic(), datetime.now(UTC)
        older = started - self._config.keep if self._config.keep is not None else None
        swept = sweep(
            self._catalog,
            self._providers,
            older_than=older,
            begun_before=started - _UNFINISHED,
            until=self._leases.end(),
        )
        for cleaned in (self.clean_old_downloads(), self.clean_failed_downloads()):
            swept.add(cleaned)
        delivered = deliver(self._catalog.outbox, self._to)
        swept.told += delivered.sent
        swept.problems += delivered.problems
        if swept != Swept():
            record = RunRecord(
                run=new_run_id(started),
                job="sweep",
                name="pool",
                status="partial" if swept.problems else "ok",
                started=stamped(started),
                seconds=time.monotonic() - began,
                summary=asdict(swept),
            )
            self._catalog.runs.add(record)
        return swept

    def clean_old_downloads(self) -> Cleaned:
        """Remove what was fetched longer ago than `[downloads] keep`."""
        return clean_old(self._catalog.downloads, self, keep=self._fetching.keep)

    def clean_failed_downloads(self) -> Cleaned:
        """Remove what fetches that failed an hour ago have left, here and in the pool."""
        return clean_failed(self._catalog.downloads, self, home=self._home)

    # The same for an event loop: each runs in a thread

    async def aupload(
        self, source: str | os.PathLike[str] | BinaryIO | Iterable[bytes], key: str = "", *, idempotency: str = ""
    ) -> Uploaded:
        """`upload`."""
        return await asyncio.to_thread(self.upload, source, key, idempotency=idempotency)

    async def afetch(self, url: str) -> Uploaded:
        """`fetch`."""
        return await asyncio.to_thread(self.fetch, url)

    async def aget(self, key: str, target: str | os.PathLike[str]) -> tuple[Stored, Path]:
        """`get`."""
        return await asyncio.to_thread(self.get, key, target)

    async def aurl(self, key: str, *, ttl: timedelta | None = None) -> str:
        """`url`."""
        return await asyncio.to_thread(self.url, key, ttl=ttl)

    async def adelete(self, key: str, provider: str | None = None) -> None:
        """`delete`."""
        await asyncio.to_thread(self.delete, key, provider)

    async def als(self) -> list[Stored]:
        """`ls`, all at once."""
        return await asyncio.to_thread(lambda: list(self.ls()))

    async def astats(self) -> PoolStats:
        """`stats`."""
        return await asyncio.to_thread(self.stats)

    async def asweep(self) -> Swept:
        """`sweep`."""
        return await asyncio.to_thread(self.sweep)

    def _one(self, key: str) -> Stored:
        found = self._ledger.find(key)
        if not found:
            raise NotFound(f"'{keys.display(key)}' is not in the pool", cure="See the keys: trueup pool ls")
        self._provider(found[0])
        return found[0]

    def _provider(self, stored: Stored) -> Provider:
        provider = self._providers.get(stored.provider)
        if provider is None:
            why = self.problems.get(stored.provider, "it is not in the settings")
            raise StoreError(f"the provider {stored.provider} of '{keys.display(stored.key)}' cannot be used: {why}")
        return provider


def _shallow(row: ProviderStats | PoolStats) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)}


def _check_ttl(config: PoolConfig, name: str, provider: Provider) -> None:
    """Raise `ConfigError` where URLs of a provider cannot work as long as is set."""
    limit = provider.store.longest_url if isinstance(provider.store, CloudStore) else None
    if limit is not None and config.signed_url_ttl > limit:
        raise ConfigError(
            f"[pool] signed_url_ttl is longer than {limit.days} days, and no URL of the provider {name} works longer",
            cure=f"Write {limit.days}d or less",
        )
