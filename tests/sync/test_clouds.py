"""From cloud to cloud, and what goes along with the bytes: through the public verb, on real servers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import trueup
from tests.servers import Bucket
from tests.servers.faulty_s3 import FaultyS3, Request
from trueup.config import Settings, StoreConfig, SyncConfig
from trueup.errors import ConfigError
from trueup.stores import open_store
from trueup.stores.base import CHUNK, Metadata, Store
from trueup.stores.cloud import CloudStore
from trueup.testing.looking import content, listing

OLD = 1_500_000_000_123_456_789


class Clouds:
    """Named places, opened to look into them, and a sync between two of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configs: dict[str, StoreConfig] = {}
        self.stack = ExitStack()

    def add(self, name: str, url: str, options: dict[str, str] | None = None) -> Store:
        self.configs[name] = StoreConfig(name=name, url=url, options=options or {})
        store = open_store(self.configs[name], {})
        self.stack.callback(store.close)
        return store

    def sync(self, left: str, right: str, **options: object) -> trueup.SyncRun:
        settings = Settings(home=self.folder / "state", environ={}, stores=self.configs)
        run = trueup.sync(left, right, config=SyncConfig(**options), settings=settings)
        assert run.status == "ok", run.items
        return run


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    made = Clouds(tmp_path)
    with made.stack:
        yield made


def test_a_files_time_travels_through_a_bucket(clouds: Clouds, seaweed_bucket: Bucket, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        clouds.add(name, str(tmp_path / name))
    bucket = clouds.add("bucket", f"{seaweed_bucket.url}/p", seaweed_bucket.options)
    for name, size in (("a", 3), ("large", 9 * CHUNK)):
        (tmp_path / "one" / name).write_bytes(bytes(size))
        os.utime(tmp_path / "one" / name, ns=(OLD, OLD))
    clouds.sync("one", "bucket", preserve=("mtime",))
    assert bucket.metadata("a").mtime_ns == bucket.metadata("large").mtime_ns == OLD
    clouds.sync("two", "bucket", preserve=("mtime",))
    clouds.sync("three", "bucket")
    for name in ("a", "large"):
        assert (tmp_path / "two" / name).stat().st_mtime_ns == OLD
        assert (tmp_path / "three" / name).stat().st_mtime_ns != OLD
    assert clouds.sync("two", "bucket", preserve=("mtime",)).items == ()


@pytest.mark.parametrize("times", ["", "soon", "1e9", "9" * 300, "1500000000.5"])
def test_a_time_anybody_wrote_beside_an_object_is_taken_only_if_it_is_one(
    clouds: Clouds, seaweed_bucket: Bucket, tmp_path: Path, times: str
) -> None:
    bucket = clouds.add("bucket", f"{seaweed_bucket.url}/p", seaweed_bucket.options)
    assert isinstance(bucket, CloudStore)
    metadata = {"user_metadata": {"mtime": times}} if times else {}
    bucket._client.operator.write("a", b"x", **metadata)
    (tmp_path / "here").mkdir()
    clouds.add("here", str(tmp_path / "here"))
    clouds.sync("here", "bucket", preserve=("mtime",))
    found = (tmp_path / "here/a").stat().st_mtime_ns
    assert found == (1_500_000_000_500_000_000 if times == "1500000000.5" else bucket.stat("a").mtime_ns)


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ((), Metadata(content_type="text/html")),
        (("content-type",), Metadata(content_type="text/x-odd")),
        (("metadata",), Metadata(mtime_ns=OLD, content_type="text/html", user={"colour": "blue"})),
        (("metadata", "content-type"), Metadata(mtime_ns=OLD, content_type="text/x-odd", user={"colour": "blue"})),
    ],
)
def test_what_an_object_says_of_itself_goes_to_another_cloud_if_asked_for(
    clouds: Clouds,
    seaweed_bucket: Bucket,
    azurite_container: Bucket,
    keep: tuple[str, ...],
    kept: Metadata,
) -> None:
    source = clouds.add("amazon", f"{seaweed_bucket.url}/p", seaweed_bucket.options)
    target = clouds.add("azure", f"{azurite_container.url}/p", azurite_container.options)
    said = Metadata(mtime_ns=OLD, content_type="text/x-odd", user={"colour": "blue"})
    source.write("a.html", [b"x"], metadata=said)
    clouds.sync("amazon", "azure", preserve=keep, mode="push")
    assert content(target, "a.html") == b"x"
    assert target.metadata("a.html") == kept


def test_metadata_that_a_cloud_cannot_keep_is_said_and_the_rest_goes_on(
    clouds: Clouds, seaweed_bucket: Bucket, azurite_container: Bucket
) -> None:
    source = clouds.add("amazon", f"{seaweed_bucket.url}/p", seaweed_bucket.options)
    target = clouds.add("azure", f"{azurite_container.url}/p", azurite_container.options)
    source.write("a", [b"x"], metadata=Metadata(user={"two-words": "blue"}))
    source.write("b", [b"x"], metadata=Metadata(content_encoding="gzip"))
    source.write("c", [b"x"], metadata=Metadata(user={"word": "blue"}))
    settings = Settings(home=clouds.folder / "state", environ={}, stores=clouds.configs)
    run = trueup.sync("amazon", "azure", config=SyncConfig(preserve=("metadata",)), settings=settings)
    assert (run.status, run.counts["failed"], run.counts["copy_right"]) == ("partial", 2, 1)
    said = {str(item["key"]): str(item["error"]) for item in run.items}
    assert "its metadata 'two-words' cannot be kept" in said["a"]
    assert "its Content-Encoding cannot be kept" in said["b"]
    assert [entry.key for entry in listing(target)] == ["c"]


def test_between_two_prefixes_of_a_bucket_no_byte_passes_here(clouds: Clouds, faulty_s3: FaultyS3) -> None:
    source = clouds.add("from", f"{faulty_s3.url}/from", faulty_s3.options)
    target = clouds.add("to", f"{faulty_s3.url}/to", faulty_s3.options)
    for name in ("a", "d/b"):
        source.write(name, [name.encode()])
    began = len(faulty_s3.requests)
    run = clouds.sync("from", "to")
    assert (run.counts["copy_right"], run.bytes_right) == (2, 4)
    read = {request.key for request in faulty_s3.requests[began:] if request.method == "GET" and request.key}
    assert not read & {"from/a", "from/d/b"}
    assert {entry.key: content(target, entry.key) for entry in listing(target)} == {"a": b"a", "d/b": b"d/b"}
    target.write("a", [b"newer"])
    replacing = clouds.sync("from", "to")
    assert content(source, "a") == b"newer"
    assert clouds.sync("from", "to").items == ()
    trueup.undo(replacing.run, settings=Settings(home=clouds.folder / "state", environ={}, stores=clouds.configs))
    assert (content(source, "a"), content(target, "a")) == (b"a", b"newer")


def test_between_two_buckets_the_bytes_stream_through_no_file(
    clouds: Clouds, seaweed_bucket: Bucket, gcs_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clouds.add("amazon", f"{seaweed_bucket.url}/p", seaweed_bucket.options)
    target = clouds.add("google", f"{gcs_bucket.url}/p", gcs_bucket.options)
    data = bytes(range(256)) * 4096 * 20
    source.write("large", (data[at : at + CHUNK] for at in range(0, len(data), CHUNK)), size=len(data))
    opened: list[str] = []
    real = os.open

    def noted(path: str, flags: int, *rest: int, **more: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            opened.append(str(path))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", noted)
    clouds.sync("amazon", "google")
    assert content(target, "large") == data
    assert not [
        path for path in opened if str(clouds.folder) not in path and "plan-" not in path and path != os.devnull
    ]


@pytest.mark.parametrize("limit", [1, 3])
def test_a_store_is_asked_no_more_at_once_than_it_may_be(clouds: Clouds, faulty_s3: FaultyS3, limit: int) -> None:
    most, now, lock = 0, 0, threading.Lock()
    meet = threading.Semaphore(0)

    def arrived(request: Request) -> None:
        nonlocal most, now
        if request.query.get("list-type"):
            return
        with lock:
            now += 1
            most = max(most, now)
        meet.acquire(timeout=0.05)  # so that others, if there were any, would be here as well
        with lock:
            now -= 1

    (clouds.folder / "here").mkdir()
    for number in range(12):
        (clouds.folder / "here" / f"{number}").write_bytes(b"x")
    (clouds.folder / "here/large").write_bytes(bytes(20 * CHUNK))
    clouds.add("here", str(clouds.folder / "here"))
    bucket = clouds.add("bucket", f"{faulty_s3.url}/p", {**faulty_s3.options, "concurrency": str(limit)})
    faulty_s3.faults.before = arrived
    clouds.sync("here", "bucket", workers=16)
    (clouds.folder / "there").mkdir()
    clouds.add("there", str(clouds.folder / "there"))
    clouds.sync("there", "bucket", workers=16)
    faulty_s3.faults.before = None
    assert most == limit
    assert len(listing(bucket)) == 13


@pytest.mark.parametrize("text", ["-1", "many", "257"])
def test_a_limit_that_is_none_is_refused(clouds: Clouds, faulty_s3: FaultyS3, text: str) -> None:
    with pytest.raises(ConfigError, match="concurrency"):
        clouds.add("bucket", f"{faulty_s3.url}/p", {**faulty_s3.options, "concurrency": text})


def test_only_what_can_be_preserved_may_be_named() -> None:
    with pytest.raises(ConfigError, match="preserve = 'owner'"):
        SyncConfig(preserve=("mtime", "owner"))
