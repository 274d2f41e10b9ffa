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
from tests.servers.kinds import s3_client
from trueup import events
from trueup.config import Settings, StoreConfig, SyncConfig
from trueup.errors import ConfigError, StoreError
from trueup.stores import open_store
from trueup.stores.base import CHUNK, Metadata, Store
from trueup.stores.cloud import CloudStore
from trueup.sync.outputs import Outputs
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
    data = {"a": bytes(9 * CHUNK), "d/b": b"b" * 9 * CHUNK}
    for name, body in data.items():
        source.write(name, [body])
    began = len(faulty_s3.requests)
    run = clouds.sync("from", "to")
    assert (run.counts["copy_right"], run.bytes_right) == (2, 18 * CHUNK)
    read = {request.key for request in faulty_s3.requests[began:] if request.method == "GET" and request.key}
    assert not read & {"from/a", "from/d/b"}
    assert {entry.key: content(target, entry.key) for entry in listing(target)} == data
    target.write("a", [b"newer"])
    replacing = clouds.sync("from", "to")
    assert content(source, "a") == b"newer"
    assert clouds.sync("from", "to").items == ()
    trueup.undo(replacing.run, settings=Settings(home=clouds.folder / "state", environ={}, stores=clouds.configs))
    assert (content(source, "a"), content(target, "a")) == (data["a"], b"newer")


def test_what_somebody_else_wrote_meanwhile_is_not_copied_over(
    clouds: Clouds, seaweed_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clouds.add("from", f"{seaweed_bucket.url}/from", seaweed_bucket.options)
    target = clouds.add("to", f"{seaweed_bucket.url}/to", seaweed_bucket.options)
    source.write("a", [b"planned"])
    real = CloudStore.write

    def slower(self: CloudStore, key: str, *arguments: object, **more: object) -> object:
        if self.url.endswith("/to") and not key.startswith(".trueup"):
            target._client.operator.write(key, b"theirs")
        return real(self, key, *arguments, **more)

    monkeypatch.setattr(CloudStore, "write", slower)
    settings = Settings(home=clouds.folder / "state", environ={}, stores=clouds.configs)
    run = trueup.sync("from", "to", config=SyncConfig(mode="push"), settings=settings)
    assert run.counts["drifted"] == 1
    assert content(target, "a") == b"theirs"


def test_what_a_store_adds_to_its_uploads_is_added_within_a_bucket_too(clouds: Clouds, seaweed_bucket: Bucket) -> None:
    source = clouds.add("from", f"{seaweed_bucket.url}/from", seaweed_bucket.options)
    target = clouds.add("to", f"{seaweed_bucket.url}/to", {**seaweed_bucket.options, "content_type": "text/x-ours"})
    source.write("large", [bytes(CHUNK)] * 9)
    clouds.sync("from", "to")
    assert target.metadata("large").content_type == "text/x-ours"


@pytest.mark.parametrize("theirs", ["1500000000123", "2020-01-01T00:00:00Z", "253402300799", "noon"])
def test_metadata_that_only_looks_like_ours_goes_along_unchanged(
    clouds: Clouds, seaweed_bucket: Bucket, gcs_bucket: Bucket, theirs: str
) -> None:
    source = clouds.add("amazon", f"{seaweed_bucket.url}/p", seaweed_bucket.options)
    target = clouds.add("google", f"{gcs_bucket.url}/p", gcs_bucket.options)
    assert isinstance(source, CloudStore)
    source._client.operator.write("a", b"x", user_metadata={"mtime": theirs, "x": "1"})
    clouds.sync("amazon", "google", preserve=("mtime", "metadata"))
    assert target.metadata("a").user == {"mtime": theirs, "x": "1"}
    assert target.metadata("a").mtime_ns is None


@pytest.mark.parametrize("mtime_ns", [0, 5, -1, -1_500_000_000, 4_102_444_800_000_000_001])
def test_every_time_a_file_may_have_travels_through_a_bucket(
    clouds: Clouds, seaweed_bucket: Bucket, tmp_path: Path, mtime_ns: int
) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        clouds.add(name, str(tmp_path / name))
    clouds.add("bucket", f"{seaweed_bucket.url}/p", seaweed_bucket.options)
    (tmp_path / "one/a").write_bytes(b"x")
    os.utime(tmp_path / "one/a", ns=(mtime_ns, mtime_ns))
    clouds.sync("one", "bucket", preserve=("mtime",))
    clouds.sync("two", "bucket", preserve=("mtime",))
    assert (tmp_path / "two/a").stat().st_mtime_ns == mtime_ns
    clouds.sync("two", "three")
    assert (tmp_path / "three/a").stat().st_mtime_ns == mtime_ns


@pytest.mark.parametrize("mode", ["push", "pull"])
def test_a_place_that_cannot_keep_times_is_named(clouds: Clouds, ftp_folder: Bucket, tmp_path: Path, mode: str) -> None:
    (tmp_path / "here").mkdir()
    clouds.add("here", str(tmp_path / "here"))
    there = clouds.add("there", ftp_folder.url, ftp_folder.options)
    (tmp_path / "here/a").write_bytes(b"x")
    there.write("b", [b"y"])
    heard: list[events.Event] = []
    settings = Settings(home=clouds.folder / "state", environ={}, stores=clouds.configs)
    config = SyncConfig(preserve=("mtime", "metadata"), mode=mode)
    trueup.sync("here", "there", config=config, settings=settings, outputs=Outputs(listener=heard.append))
    warned = [event.message for event in heard if isinstance(event, events.Warned)]
    assert warned == ([f"{there.url} cannot keep modification times"] if mode == "push" else [])


@pytest.mark.parametrize("value", ["two  spaces", "a\ttab", " before", "after ", "ф"])
def test_metadata_no_header_can_hold_is_said_so(clouds: Clouds, seaweed_bucket: Bucket, value: str) -> None:
    bucket = clouds.add("bucket", f"{seaweed_bucket.url}/p", seaweed_bucket.options)
    with pytest.raises(StoreError, match="its metadata 'colour' cannot be kept"):
        bucket.write("a", [b"x"], metadata=Metadata(user={"colour": value}))
    assert listing(bucket) == []


def test_objects_whose_headers_cannot_be_read_do_not_stop_the_others(
    clouds: Clouds, moto_bucket: Bucket, tmp_path: Path
) -> None:
    client = s3_client(moto_bucket.options["endpoint"])
    name = moto_bucket.url.removeprefix("s3://")
    for number in range(30):
        client.put_object(Bucket=name, Key=f"a{number}", Body=b"x", ContentType="text/я")
        client.put_object(Bucket=name, Key=f"z{number}", Body=b"x")
    (tmp_path / "here").mkdir()
    clouds.add("here", str(tmp_path / "here"))
    clouds.add("bucket", moto_bucket.url, moto_bucket.options)
    settings = Settings(home=clouds.folder / "state", environ={}, stores=clouds.configs)
    run = trueup.sync("here", "bucket", config=SyncConfig(mode="pull"), settings=settings)
    assert (run.status, run.counts["copy_left"], run.counts["failed"]) == ("partial", 30, 30)
    assert "header that is no plain text" in str(run.items[0]["error"])


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


@pytest.mark.parametrize("text", ["-1", "0", "many", "257"])
def test_a_limit_that_is_none_is_refused(clouds: Clouds, faulty_s3: FaultyS3, text: str) -> None:
    with pytest.raises(ConfigError, match="concurrency"):
        clouds.add("bucket", f"{faulty_s3.url}/p", {**faulty_s3.options, "concurrency": text})


def test_only_what_can_be_preserved_may_be_named() -> None:
    with pytest.raises(ConfigError, match="preserve = 'owner'"):
        SyncConfig(preserve=("mtime", "owner"))
