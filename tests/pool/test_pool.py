"""The pool through its public face: exact books, whatever fails."""

from __future__ import annotations

import asyncio
import hashlib
import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trueup
from tests.servers import Bucket
from tests.servers.kinds import s3_client, unique_name
from trueup.catalog import open_catalog
from trueup.catalog.base import Limits, Reservation
from trueup.cli import main
from trueup.config import Settings, StoreConfig, load
from trueup.downloads import downloads_config
from trueup.errors import Busy, ConfigError, NotFound, PoolFull, StoreError, Unreachable, UsageError
from trueup.pool.config import PoolConfig, ProviderConfig, pool_config
from trueup.pool.place import Room, order
from trueup.pool.pool import Pool
from trueup.pool.sweep import sweep
from trueup.pool.upload import TOKEN, Provider
from trueup.stores import open_store
from trueup.stores.base import CHUNK, Metadata, Store
from trueup.testing.faulty import FaultyStore
from trueup.testing.looking import listing
from trueup.testing.memory import MemoryStore

ROOT = Path(__file__).parents[2]
KB = 1000


class World:
    """A pool over stores that a test can reach behind its back."""

    def __init__(self, database: str, stores: dict[str, Store], quotas: dict[str, int], **options: object) -> None:
        limits = {
            name: Limits(quota=quota, full_below=quota // 100, rearm_below=quota * 95 // 100)
            for name, quota in quotas.items()
        }
        config = PoolConfig(
            database=database,
            providers={
                name: ProviderConfig(name=name, store=StoreConfig(url=stores[name].url), limits=limits[name])
                for name in stores
            },
            **{"placement": "most-free", **options},
        )
        self.stores = stores
        catalog = open_catalog(database, limits)
        self.ledger = catalog.ledger
        providers = {
            name: Provider(name=name, store=store, limits=limits[name], weight=1.0) for name, store in stores.items()
        }
        settings = Settings(home=Path("home"), environ={})
        self.pool = Pool(config, catalog, providers, home=settings.home, fetching=downloads_config(settings))

    def held(self) -> dict[str, dict[str, int]]:
        """What the stores really hold."""
        return {name: {entry.key: entry.size for entry in listing(store)} for name, store in self.stores.items()}

    def check(self) -> None:
        """The books say what the stores hold, and no quota is exceeded."""
        held = self.held()
        booked: dict[str, dict[str, int]] = {name: {} for name in self.stores}
        for stored in self.ledger.objects():
            booked[stored.provider][stored.key] = stored.size
        assert booked == held
        for usage in self.ledger.usage():
            sizes = held[usage.provider].values()
            assert (usage.total_size_bytes, usage.file_count, usage.reserved_bytes) == (sum(sizes), len(sizes), 0)

    def reserved(self) -> dict[str, int]:
        return {usage.provider: usage.reserved_bytes for usage in self.ledger.usage()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two clouds of 100 and 60 kB."""
    stores = {name: FaultyStore(MemoryStore(f"memory://{name}")) for name in ("a", "b")}
    made = World(f"sqlite:///{tmp_path / 'pool.db'}", stores, {"a": 100 * KB, "b": 60 * KB})
    with made.pool:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a file of so many bytes."""

    def make(size: int, name: str = "file") -> Path:
        path = tmp_path / name
        path.write_bytes(Random(size).randbytes(size))
        return path

    return make


# What it does


def test_an_upload_is_a_tuple_and_comes_back_whole(world: World, file: Callable[..., Path], tmp_path: Path):
    path = file(50 * KB, "video.mp4")
    url, provider, size = world.pool.upload(path, "test_video.mp4")
    assert (url, provider, size) == ("", "a", 50 * KB)
    world.check()
    stored, where = world.pool.get("test_video.mp4", tmp_path / "back.mp4")
    assert (where.read_bytes(), stored.md5) == (path.read_bytes(), hashlib.md5(path.read_bytes()).hexdigest())
    (tmp_path / "folder").mkdir()
    assert world.pool.get("test_video.mp4", tmp_path / "folder")[1] == tmp_path / "folder/test_video.mp4"
    assert [found.key for found in world.pool.ls()] == ["test_video.mp4"]
    world.pool.delete("test_video.mp4")
    world.check()
    for ask in (world.pool.url, world.pool.delete, lambda key: world.pool.get(key, tmp_path)):
        with pytest.raises(NotFound):
            ask("test_video.mp4")


def test_it_fills_up_exactly_and_then_sends_no_byte(world: World, file: Callable[..., Path]):
    path = file(20 * KB)
    for number in range(8):
        world.pool.upload(path, f"k{number}")
    stats = world.pool.stats()
    assert [(row.provider, row.available_bytes, row.is_full) for row in stats.providers] == [
        ("a", 0, True),
        ("b", 0, True),
    ]
    assert (stats.total_size_bytes, stats.total_file_count) == (160 * KB, 8)
    calls = [store.calls.copy() for store in world.stores.values()]
    with pytest.raises(PoolFull):
        world.pool.upload(path, "one more")
    assert [store.calls for store in world.stores.values()] == calls
    world.check()
    world.pool.delete("k3")
    world.pool.upload(path, "one more")
    world.check()


def test_the_numbers_have_the_shape_of_the_contract(world: World, file: Callable[..., Path]):
    world.pool.upload(file(25 * KB), "k")
    first = world.pool.stats().model_dump()["providers"][0]
    assert first.pop("last_updated").endswith("Z")
    assert first == {
        "provider": "a",
        "total_size_bytes": 25_000,
        "total_size_gb": 0.0,
        "file_count": 1,
        "available_bytes": 75_000,
        "available_gb": 0.0,
        "used_percentage": 25.0,
        "is_full": False,
    }


def test_a_key_that_exists_is_replaced_and_counted_once(world: World, file: Callable[..., Path]):
    world.pool.upload(file(90 * KB), "k")
    world.pool.upload(file(100 * KB), "k")  # its own bytes are not in its way
    assert world.held() == {"a": {"k": 100 * KB}, "b": {}}
    world.check()
    world.pool.upload(file(10 * KB), "k")
    world.check()
    world.pool.upload(file(90 * KB), "other")
    world.pool.upload(file(55 * KB), "k")  # grows out of its place, and leaves nothing there
    assert world.held() == {"a": {"other": 90 * KB}, "b": {"k": 55 * KB}}
    world.check()


@pytest.mark.parametrize("size", [0, 1, 59 * KB, 100 * KB])
def test_bytes_of_unknown_length_are_taken_as_far_as_there_is_room(world: World, size: int):
    data = bytes(size)
    _, _, found = world.pool.upload(io.BytesIO(data), "k")
    assert found == size
    world.check()


def test_bytes_of_unknown_length_that_do_not_fit_leave_nothing(world: World):
    for stream in (io.BytesIO(bytes(101 * KB)), (bytes(KB) for _ in range(200))):
        with pytest.raises(PoolFull):
            world.pool.upload(stream, "k")
    assert world.held() == {"a": {}, "b": {}}
    world.check()


def test_the_same_idempotency_token_is_the_same_object_and_one_charge(world: World, file: Callable[..., Path]):
    for key in ("k", "k", "another"):
        assert world.pool.put(file(30 * KB), key, idempotency="order-7").key == "k"
    assert world.held()["a"] == {"k": 30 * KB}
    world.check()


@pytest.mark.parametrize("key", ["", "../k", "/k", "a//b", " k", ".trueup/k", "a/.trueup-1", "k" * 2000])
def test_a_key_that_is_none_is_refused(world: World, key: str):
    with pytest.raises(UsageError):
        world.pool.upload(io.BytesIO(b"x"), key)
    world.check()


def test_a_file_that_is_none_is_refused(world: World, tmp_path: Path):
    for path in (tmp_path / "absent", tmp_path, "a\0b"):
        with pytest.raises(UsageError):
            world.pool.upload(path, "k")
    world.check()


@pytest.mark.parametrize(("source", "cure"), [(b"abc", "io.BytesIO"), (io.StringIO("abc"), '"rb"')])
def test_what_only_looks_like_a_stream_is_refused(world: World, source: object, cure: str):
    with pytest.raises(UsageError) as caught:
        world.pool.upload(source, "k")
    assert cure in str(caught.value.cure)
    assert list(world.pool.ls()) == []


def test_the_same_verbs_work_in_an_event_loop(world: World, file: Callable[..., Path], tmp_path: Path):
    async def all_of_them() -> None:
        assert (await world.pool.aupload(file(KB), "k")).file_size == KB
        assert [stored.key for stored in await world.pool.als()] == ["k"]
        assert (await world.pool.astats()).total_file_count == 1
        await world.pool.aget("k", tmp_path / "back")
        with pytest.raises(StoreError):
            await world.pool.aurl("k")
        assert (await world.pool.asweep()).problems == []
        await world.pool.adelete("k")

    asyncio.run(all_of_them())
    assert (tmp_path / "back").stat().st_size == KB
    world.check()


# What fails


def test_the_next_provider_takes_what_the_first_one_cannot(world: World, file: Callable[..., Path]):
    world.stores["a"].fail("write", Unreachable("503"))
    assert world.pool.upload(file(20 * KB), "k").provider == "b"
    world.check()


def test_when_all_with_room_fail_that_is_said_and_nothing_is_booked(world: World, file: Callable[..., Path]):
    for store in world.stores.values():
        store.fail("write", Unreachable("503"))
    with pytest.raises(Unreachable):
        world.pool.upload(file(20 * KB), "k")
    world.check()


def test_a_lost_answer_is_an_upload(world: World, file: Callable[..., Path]):
    world.stores["a"].fail("write", Unreachable("reset"), after=True)
    assert world.pool.upload(file(20 * KB), "k").provider == "a"
    world.check()


def test_where_nothing_is_known_the_room_stays_taken_until_a_sweep_knows(world: World, file: Callable[..., Path]):
    first = world.stores["a"]
    first.fail("write", Unreachable("reset"), after=True, nth=1)
    first.fail("stat", Unreachable("no route"), nth=1)
    assert world.pool.upload(file(20 * KB), "k").provider == "b"
    assert world.reserved() == {"a": 20 * KB, "b": 0}
    first.fail("stat", Unreachable("no route"), nth=1)
    assert len(world.pool.sweep().problems) == 1  # still nobody knows
    assert world.reserved() == {"a": 20 * KB, "b": 0}
    swept = world.pool.sweep()
    assert (swept.committed, swept.released, swept.problems) == (0, 1, [])  # somebody has it from `b`
    world.check()


def _only(world: World) -> Reservation:
    [found] = world.ledger.overdue(datetime.now(UTC) + timedelta(days=1))
    return found


def test_a_body_that_breaks_off_leaves_nothing(world: World):
    def body() -> Iterator[bytes]:
        yield bytes(KB)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.pool.upload(body(), "k")
    world.check()


def test_a_file_that_changes_while_it_is_sent_is_no_upload(world: World, file: Callable[..., Path]):
    path = file(30 * KB)
    for store in world.stores.values():
        store.on("write", lambda _: path.write_bytes(b"shorter"))
    with pytest.raises(StoreError):
        world.pool.upload(path, "k")
    world.check()


@pytest.mark.parametrize("kind", ["cloud", "folder"])
@pytest.mark.parametrize("there", ["nothing", "ours", "theirs"])
def test_a_sweep_settles_what_a_crash_left(tmp_path: Path, kind: str, there: str):
    store: Store = MemoryStore("memory://a") if kind == "cloud" else open_store(str(tmp_path / "a"), {})
    store.create()
    world = World(f"sqlite:///{tmp_path / 'pool.db'}", {"a": store}, {"a": 100})
    past = datetime.now(UTC) - timedelta(seconds=1)
    wanted = Reservation("token", "a", "k", 3, 3, hashlib.md5(b"one").hexdigest(), past)
    if kind == "cloud":
        wanted = wanted._replace(md5="")
    with world.pool:
        assert world.ledger.reserve(wanted)
        if there != "nothing":
            token = "token" if there == "ours" else "another"
            store.write("k", [b"one" if there == "ours" else b"two"], metadata=Metadata(user={TOKEN: token}))
        swept = world.pool.sweep()
        assert (swept.committed, swept.released) == ((1, 0) if there == "ours" else (0, 1))
        assert world.reserved() == {"a": 0}
        assert [stored.md5 for stored in world.ledger.find("k")] == (
            [hashlib.md5(b"one").hexdigest()] if there == "ours" else []
        )


def test_a_sweep_that_was_faster_than_the_upload_loses_nothing(world: World, file: Callable[..., Path]):
    def settled_early(key: str) -> None:
        world.ledger.release(_only(world).token)

    world.stores["a"].on("write", settled_early)
    world.pool.upload(file(20 * KB), "k")
    world.check()


def test_an_upload_that_died_does_not_block_its_key(world: World, file: Callable[..., Path]):
    past = datetime.now(UTC) - timedelta(seconds=1)
    assert world.ledger.reserve(Reservation("dead", "a", "k", 5, 5, "", past))
    assert world.pool.upload(file(20 * KB), "k").provider == "a"
    world.check()


def test_two_uploads_of_one_key_at_once_are_one_object(world: World, file: Callable[..., Path]):
    gate = world.stores["a"].hang("write")
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(world.pool.upload, file(20 * KB), "k")
        gate.reached.wait(10)
        with pytest.raises(Busy, match="'k' is being uploaded or removed already"):
            world.pool.upload(file(30 * KB, "another"), "k")
        gate.open.set()
        assert first.result().file_size == 20 * KB
    world.check()


def test_what_was_replaced_meanwhile_is_not_swept(tmp_path: Path, file: Callable[..., Path]):
    store = FaultyStore(MemoryStore("memory://a"))
    world = World(f"sqlite:///{tmp_path / 'p.db'}", {"a": store}, {"a": 100 * KB}, keep=timedelta(seconds=0.1))
    with world.pool:
        world.pool.upload(file(KB), "k")
        time.sleep(0.15)
        path = file(2 * KB, "newer")
        once = iter([True])
        store.on("stat", lambda _: next(once, False) and world.pool.upload(path, "k"))
        assert world.pool.sweep().removed == 0
        assert world.held() == {"a": {"k": 2 * KB}}
        world.check()


def test_what_is_past_its_age_is_removed(tmp_path: Path, file: Callable[..., Path]):
    store = FaultyStore(MemoryStore("memory://a"))
    world = World(f"sqlite:///{tmp_path / 'p.db'}", {"a": store}, {"a": 100 * KB}, keep=timedelta(seconds=0.2))
    with world.pool:
        world.pool.upload(file(KB), "old")
        assert world.pool.sweep().removed == 0
        time.sleep(0.25)
        world.pool.upload(file(KB), "new")
        store.fail("delete", Unreachable("503"), nth=1)
        assert len(world.pool.sweep().problems) == 1
        assert world.pool.sweep().removed == 1
        assert world.held() == {"a": {"new": KB}}
        world.check()


acts = st.lists(
    st.tuples(
        st.sampled_from(["put", "stream", "delete", "fail", "lose", "sweep"]),
        st.sampled_from("klm"),
        st.integers(0, 70 * KB),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(acts)
def test_whatever_happens_the_books_are_exact(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, str, int]]
):
    folder = tmp_path_factory.mktemp("pool")
    _act(f"sqlite:///{folder / 'pool.db'}", folder, acts)


@settings(max_examples=20, deadline=None)
@given(acts)
def test_whatever_happens_the_books_in_mongodb_are_exact(
    tmp_path_factory: pytest.TempPathFactory, mongo_server: dict[str, str], acts: list[tuple[str, str, int]]
):
    url = f"mongodb://127.0.0.1:{mongo_server['port']}/{unique_name()}"
    _act(url, tmp_path_factory.mktemp("pool"), acts)


def _act(database: str, folder: Path, acts: list[tuple[str, str, int]]) -> None:
    stores = {name: FaultyStore(MemoryStore(f"memory://{name}")) for name in ("a", "b")}
    world = World(database, stores, {"a": 100 * KB, "b": 60 * KB})
    with world.pool:
        for act, key, size in acts:
            with suppress(PoolFull, StoreError):
                match act:
                    case "put":
                        (folder / "f").write_bytes(bytes(size))
                        world.pool.upload(folder / "f", key)
                    case "stream":
                        world.pool.upload(io.BytesIO(bytes(size)), key)
                    case "delete":
                        world.pool.delete(key)
                    case "fail":
                        stores["a"].fail("write", Unreachable("503"), nth=1)
                    case "lose":
                        stores["b"].fail("write", Unreachable("reset"), after=True, nth=1)
                    case "sweep":
                        world.pool.sweep()
            world.check()


# Many at once


RACERS = 50
MB = 1 << 20
LAST = 10 * MB
SIZE = LAST // 64 + 1


def test_processes_that_race_for_the_last_bytes_put_exactly_what_fits(tmp_path: Path, database_url: str):
    """Fifty of them want the last ten megabytes. Each puts two files: a hundred, of which sixty-three fit."""
    (tmp_path / "a").mkdir()
    (tmp_path / "f").write_bytes(bytes(SIZE))
    (tmp_path / "trueup.toml").write_text(
        f'[database]\nurl = "{database_url}"\n[pool]\nquota = "{LAST + 7 * MB}"\n[pool.providers.a]\nurl = "a"\n'
    )
    with Pool.from_config(load(tmp_path / "trueup.toml")) as pool:
        pool.upload(io.BytesIO(bytes(7 * MB)), "before")
    command = [sys.executable, "-m", "tests.pool.racers", str(tmp_path), str(RACERS)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    put = int(done.stdout)
    assert put == LAST // SIZE == 63
    with Pool.from_config(load(tmp_path / "trueup.toml")) as pool:
        [row] = pool.stats().providers
        assert (row.total_size_bytes, row.file_count) == (7 * MB + put * SIZE, put + 1)
        assert row.available_bytes == LAST - put * SIZE
        assert pool._ledger.usage()[0].reserved_bytes == 0
        assert pool._ledger.overdue(datetime.now(UTC) + timedelta(days=1)) == []
    held = sum(path.stat().st_size for path in (tmp_path / "a").iterdir())
    assert max(0, held - (LAST + 7 * MB)) == 0
    assert held == row.total_size_bytes


def test_uploads_in_parts_that_nobody_finished_are_aborted_but_not_those_at_work(
    tmp_path: Path, seaweed_bucket: Bucket
):
    config = StoreConfig(name="s3", url=f"{seaweed_bucket.url}/p", options=seaweed_bucket.options)
    world = World(f"sqlite:///{tmp_path / 'pool.db'}", {"s3": open_store(config, {})}, {"s3": 10 * CHUNK})
    with closing(s3_client(seaweed_bucket.options["endpoint"])) as client, world.pool as pool:
        for key in ("p/dead", "p/alive", "other"):
            client.create_multipart_upload(Bucket=seaweed_bucket.name, Key=key)
        ends = datetime.now(UTC) + timedelta(hours=1)
        assert world.ledger.reserve(Reservation("t", "s3", "alive", KB, KB, "", ends))
        assert pool.sweep().aborted == 0  # none is a day old
        soon = datetime.now(UTC) + timedelta(minutes=5)
        swept = sweep(pool._catalog, pool._providers, older_than=None, begun_before=soon, until=soon)
        assert (swept.aborted, swept.problems) == (1, [])
        left = client.list_multipart_uploads(Bucket=seaweed_bucket.name)["Uploads"]
        assert sorted(upload["Key"] for upload in left) == ["other", "p/alive"]


# Settings


def test_clouds_on_real_servers_are_one_pool(
    tmp_path: Path, seaweed_bucket: Bucket, azurite_container: Bucket, gcs_bucket: Bucket
):
    import urllib.request

    clouds = {"s3": seaweed_bucket, "azure": azurite_container, "gcs": gcs_bucket}
    configs = {name: StoreConfig(name=name, url=bucket.url, options=bucket.options) for name, bucket in clouds.items()}
    with ExitStack() as stack:
        stores = {name: open_store(config, {}) for name, config in configs.items()}
        for store in stores.values():
            stack.callback(store.close)
        world = World(f"sqlite:///{tmp_path / 'pool.db'}", stores, dict.fromkeys(clouds, 10 * CHUNK))
        with world.pool:
            for number in range(6):
                world.pool.upload((bytes([number]) * CHUNK for _ in range(4)), f"k{number}")
            world.check()
            assert {len(held) for held in world.held().values()} == {2}
            for stored in world.pool.ls():
                if stored.provider != "gcs":  # the server on loopback checks no signature, and takes no anonymous one
                    with urllib.request.urlopen(world.pool.url(stored.key, ttl=timedelta(minutes=5))) as answer:
                        assert hashlib.md5(answer.read()).hexdigest() == stored.md5
                world.pool.delete(stored.key)
            world.check()


def test_a_provider_that_cannot_be_opened_is_told_and_the_others_work(tmp_path: Path, file: Callable[..., Path]):
    (tmp_path / "a").mkdir()
    (tmp_path / "trueup.toml").write_text('[pool.providers.a]\nurl = "a"\n[pool.providers.b]\nurl = "nonsense://b"\n')
    with trueup.Pool.from_config(load(tmp_path / "trueup.toml")) as pool:
        assert list(pool.problems) == ["b"]
        assert pool.upload(file(KB), "k").provider == "a"
        assert pool.url("k") == f"file://{tmp_path}/a/k"


def test_a_url_that_is_to_work_for_too_long_is_refused(
    tmp_path: Path, file: Callable[..., Path], seaweed_bucket: Bucket, capsys: pytest.CaptureFixture[str]
):
    options = "".join(f'{name} = "{value}"\n' for name, value in seaweed_bucket.options.items())
    text = f'[stores.cloud]\nurl = "{seaweed_bucket.url}"\n{options}[pool.providers.a]\nurl = "cloud"\n[pool]\n'
    (tmp_path / "trueup.toml").write_text(text)
    settings = ("--config", str(tmp_path / "trueup.toml"))
    assert main(["pool", "put", str(file(KB)), "k", *settings]) == 0
    assert main(["pool", "url", "k", "--ttl", "7d", *settings]) == 0
    assert "X-Amz-Expires=604800" in capsys.readouterr().out
    assert main(["pool", "url", "k", "--ttl", "8d", *settings]) == 2
    assert "works for at most 7 days" in capsys.readouterr().err
    (tmp_path / "trueup.toml").write_text(text + 'signed_url_ttl = "8d"\n')
    assert main(["pool", "put", str(file(KB)), "k", *settings]) == 2
    assert "signed_url_ttl is longer than 7 days" in capsys.readouterr().err


def test_the_environment_alone_names_a_pool():
    environ = {
        "GCS_BUCKET_NAME": "g",
        "AZURE_CONTAINER_NAME": "z",
        "AWS_S3_BUCKET_NAME": "s",
        "AWS_STORAGE_BUCKET_NAME": "r",
    }
    config = pool_config(Settings(home=Path("h"), environ=environ))
    assert {name: found.store.url for name, found in config.providers.items()} == {
        "gcs": "gs://g",
        "azure": "az://z",
        "s3": "s3://s",
        "r2": "r2://r",
    }
    assert {found.limits.quota for found in config.providers.values()} == {5 << 30}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[pool]\nplacement = "best"', "placement"),
        ("[pool]\nqouta = 1", "qouta is unknown"),
        ("[pool]\n", "no provider"),
        ("[pool.providers.a]\n", "has no url"),
        ('[pool.providers.a]\nurl = "a"\nquota = "many"', "not a size"),
        ('[pool.providers.a]\nurl = "a"\nweight = 0', "weight"),
        ('[pool.providers.a]\nurl = "a"\nfull_below = "101%"', "more than all"),
        ('[pool]\nkeep = "soon"\n[pool.providers.a]\nurl = "a"', "keep"),
        ("[pool]\nproviders = 1", "must be a table"),
    ],
)
def test_settings_that_are_none_are_refused(tmp_path: Path, text: str, said: str):
    (tmp_path / "trueup.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        pool_config(load(tmp_path / "trueup.toml"))


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=6),
    st.integers(0, 100),
    st.sampled_from(["random", "most-free", "round-robin", "weighted"]),
    st.integers(0, 1000),
)
def test_every_provider_with_room_is_in_the_order_once_and_no_other(
    free: list[int], size: int, placement: str, turn: int
):
    rooms = [Room(str(number), room) for number, room in enumerate(free)]
    found = order(rooms, size, placement, chance=Random(turn), turn=turn)
    assert sorted(found) == sorted(room.provider for room in rooms if room.free >= size)
    if placement == "most-free" and found:
        assert free[int(found[0])] == max(free)


def test_placements_do_what_their_names_say():
    rooms = [Room("a", 10, 1.0), Room("b", 10, 3.0)]
    firsts = [order(rooms, 1, "round-robin", chance=Random(0), turn=turn)[0] for turn in range(4)]
    assert firsts == ["a", "b", "a", "b"]
    chance = Random(7)
    weighted = [order(rooms, 1, "weighted", chance=chance, turn=0)[0] for _ in range(4000)]
    assert 0.72 < weighted.count("b") / 4000 < 0.78
