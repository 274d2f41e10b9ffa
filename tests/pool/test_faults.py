"""Bad input and faults of a pool: whatever happens, exact books afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa

import trueup
from tests.pool.test_pool import KB, World
from trueup.catalog import database
from trueup.config import StoreConfig, load
from trueup.errors import PoolFull, StoreError, TrueupError, UsageError
from trueup.pool import Pool
from trueup.stores import open_store
from trueup.testing.memory import MemoryStore

MB = 1 << 20


def pool_of(folder: Path, settings: str) -> Pool:
    (folder / "a").mkdir(exist_ok=True)
    (folder / "trueup.toml").write_text(f'[pool]\n{settings}\n[pool.providers.a]\nurl = "a"\n')
    return trueup.Pool.from_config(load(folder / "trueup.toml"))


def told(pool: Pool) -> list[str]:
    """The alerts that wait."""
    due = pool._catalog.outbox.due(datetime.now(UTC) + timedelta(days=1))
    return [str(message.payload["provider"]) for message in due]


def check(pool: Pool, folder: Path) -> None:
    """The books say what lies there."""
    [usage] = pool._ledger.usage()
    sizes = [path.stat().st_size for path in (folder / "a").rglob("*") if path.is_file()]
    rows = [stored.size for stored in pool.ls()]
    assert sorted(rows) == sorted(sizes)
    assert (usage.total_size_bytes, usage.file_count) == (sum(rows) + usage.unowned_bytes, len(rows))
    assert usage.reserved_bytes == 0


def test_an_empty_file_is_an_object(tmp_path: Path):
    (tmp_path / "empty").write_bytes(b"")
    with pool_of(tmp_path, 'quota = "1000"') as pool:
        assert pool.upload(tmp_path / "empty").file_size == 0
        assert pool.upload([], "nothing").file_size == 0
        assert pool.get("empty", tmp_path / "back")[1].read_bytes() == b""
        check(pool, tmp_path)
        assert pool.stats().total_file_count == 2


def test_a_quota_of_nothing_takes_nothing(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"x")
    with pool_of(tmp_path, 'quota = "0"') as pool:
        [row] = pool.stats().providers
        assert (row.used_percentage, row.available_bytes, row.is_full) == (100.0, 0, True)
        with pytest.raises(PoolFull):
            pool.upload(tmp_path / "f")
        assert told(pool) == ["a"]
        check(pool, tmp_path)


def test_a_quota_that_is_lowered_deletes_nothing_and_tells_once(tmp_path: Path):
    (tmp_path / "f").write_bytes(bytes(600))
    with pool_of(tmp_path, 'quota = "1000"') as pool:
        pool.upload(tmp_path / "f", "k")
        assert told(pool) == []
    for _ in range(3):
        with pool_of(tmp_path, 'quota = "500"') as pool:
            [row] = pool.stats().providers
            assert (row.used_percentage, row.available_bytes, row.is_full) == (120.0, 0, True)
            with pytest.raises(PoolFull):
                pool.upload([b"x"], "more")
            assert told(pool) == ["a"]
            check(pool, tmp_path)
    with pool_of(tmp_path, 'quota = "500"') as pool:
        (tmp_path / "f").write_bytes(bytes(10))
        pool.upload(tmp_path / "f", "k")  # what makes it smaller is taken
        assert pool.stats().total_size_bytes == 10
        check(pool, tmp_path)


def test_an_object_of_a_provider_that_is_gone_is_told_of_and_the_rest_works(tmp_path: Path):
    (tmp_path / "b").mkdir()
    with pool_of(tmp_path, 'quota = "1000"\nplacement = "most-free"') as pool:
        pool.upload([b"old"], "old")
    (tmp_path / "trueup.toml").write_text('[pool.providers.b]\nurl = "b"\n')
    with trueup.Pool.from_config(load(tmp_path / "trueup.toml")) as pool:
        assert pool.upload([b"new"], "new").provider == "b"
        assert [row.provider for row in pool.stats().providers] == ["a", "b"]
        assert [stored.key for stored in pool.ls()] == ["new", "old"]
        for verb in (pool.url, pool.delete, lambda key: pool.get(key, tmp_path / "back")):
            with pytest.raises(StoreError, match="the provider a of 'old' cannot be used: it is not in the settings"):
                verb("old")
        assert pool.sweep().problems == []
        assert pool.upload([b"newer"], "old").provider == "b"


@pytest.mark.parametrize("key", ["../x", "/x", "a//b", "", "x/"])
def test_a_key_that_cannot_be_is_refused_before_anything(tmp_path: Path, key: str):
    with pool_of(tmp_path, 'quota = "1000"') as pool, pytest.raises(UsageError):
        pool.upload([b"x"], key)
    with pool_of(tmp_path, 'quota = "1000"') as pool:
        check(pool, tmp_path)


@contextmanager
def breaking_off() -> Iterator[str]:
    """A bucket that answers 503 in the middle of each body."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            self.rfile.read(int(self.headers["content-length"]) // 2)
            self.close_connection = True
            self.send_response(503)
            self.send_header("content-length", "0")
            self.end_headers()

        def do_HEAD(self):
            self.send_response(404)
            self.end_headers()

        def do_POST(self):
            self.send_response(503)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_DELETE = do_HEAD

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("size", [2 * MB, 20 * MB])
def test_a_cloud_that_breaks_off_in_the_middle_is_followed_by_the_next(tmp_path: Path, size: int):
    (tmp_path / "f").write_bytes(bytes(size))
    with breaking_off() as endpoint:
        options = {
            "endpoint": endpoint, "region": "us-east-1", "access_key_id": "x", "secret_access_key": "y", "retries": "0"
        }  # fmt: skip
        cloud = open_store(StoreConfig(name="s3", url="s3://bucket", options=options), {})
        stores = {"s3": cloud, "b": MemoryStore("memory://b")}
        world = World(f"sqlite:///{tmp_path / 'pool.db'}", stores, {"s3": 100 * MB, "b": 50 * MB})
        with closing(cloud), world.pool:
            assert world.pool.upload(tmp_path / "f").provider == "b"
            usages = {usage.provider: usage for usage in world.ledger.usage()}
            assert (usages["s3"].total_size_bytes, usages["s3"].reserved_bytes) == (0, 0)
            assert (usages["b"].total_size_bytes, usages["b"].reserved_bytes) == (size, 0)


def test_a_database_that_goes_between_put_and_commit_leaves_books_that_a_sweep_makes_exact(
    tmp_path: Path, new_database: Callable[[], str]
):
    url = new_database()
    database.upgrade(url)
    store = MemoryStore("memory://a")
    world = World(url, {"a": store}, {"a": 100 * KB})
    admin = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
    others += " and pid <> pg_backend_pid()"
    write = store.write

    def cut(*arguments: object, **options: object) -> object:
        written = write(*arguments, **options)
        with admin.connect() as db:
            db.execute(sa.text(others)).all()
        return written

    with world.pool as pool:
        store.write = cut
        with pytest.raises(TrueupError, match="cannot be used"):
            pool.upload([bytes(10 * KB)], "k")
        del store.write
        assert world.held() == {"a": {"k": 10 * KB}}
        [left] = world.ledger.overdue(datetime.now(UTC) + timedelta(days=1))
        assert world.reserved()["a"] >= 10 * KB
        world.ledger.renew([left.token], datetime.now(UTC) - timedelta(seconds=1))
        assert pool.sweep().committed == 1
        world.check()
    admin.dispose()
