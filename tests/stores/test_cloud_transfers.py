"""Reading and writing one object: what is promised when others write too, answers get lost, or the object is large."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.servers import Bucket
from tests.servers.faulty_s3 import FaultyS3, Request
from tests.servers.kinds import s3_client
from trueup.config import StoreConfig
from trueup.errors import (
    Archived,
    BucketMissing,
    PreconditionFailed,
    StoreError,
    Unaddressable,
    Unreachable,
    UsageError,
)
from trueup.stores import budget
from trueup.stores.base import CHUNK
from trueup.stores.cloud import CloudStore
from trueup.stores.media import guess

LARGE = 9 * CHUNK


def opened(server: FaultyS3 | Bucket, prefix: str = "p", **options: str) -> CloudStore:
    given = {"timeout": "20s", "retries": "2", **server.options, **options}
    return CloudStore.open(StoreConfig(url=f"{server.url}/{prefix}", options=given), {})


def large() -> Iterator[bytes]:
    for number in range(LARGE // CHUNK):
        yield bytes([number]) * CHUNK


def md5_of(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


# Conditions.


def test_nothing_is_probed_before_a_write_has_a_condition(faulty_s3: FaultyS3) -> None:
    store = opened(faulty_s3)
    store.write("a", [b"x"])
    store.stat("a")
    store.delete("a")
    assert not store.features.if_absent
    assert not any("probe" in request.key for request in faulty_s3.requests)
    store.write("a", [b"x"], if_absent=True)
    features = store.features
    assert (features.if_absent, features.if_match, features.delete_if_match) == (True, True, True)
    assert list(faulty_s3.objects) == ["p/a"]


def test_a_probe_that_is_not_allowed_means_looking_first(faulty_s3: FaultyS3) -> None:
    def forbid(request: Request) -> None:
        if "probe" in request.key and request.method == "PUT" and not faulty_s3.faults.failures:
            faulty_s3.faults.fail("AccessDenied", 403, key=request.key)

    faulty_s3.faults.before = forbid
    store = opened(faulty_s3)
    entry = store.write("a", [b"one"], if_absent=True)
    with pytest.raises(PreconditionFailed):
        store.write("a", [b"two"], if_absent=True)
    store.write("a", [b"three"], if_match=entry)
    assert not store.features.if_absent
    assert faulty_s3.objects == {"p/a": b"three"}


def test_a_lost_answer_is_no_failed_condition(faulty_s3: FaultyS3) -> None:
    store = opened(faulty_s3)
    store.write("warm", [b"x"], if_absent=True)

    def lose(request: Request) -> None:
        if request.key == "p/a" and request.method == "PUT" and "p/a" not in faulty_s3.objects:
            faulty_s3.objects["p/a"] = b"ours"
            raise ConnectionResetError

    faulty_s3.faults.before = lose
    assert store.write("a", [b"ours"], if_absent=True).md5 == md5_of(b"ours")
    with pytest.raises(PreconditionFailed):
        store.write("a", [b"else"], if_absent=True)


def test_a_long_upload_looks_again_before_it_is_joined(faulty_s3: FaultyS3) -> None:
    store = opened(faulty_s3)
    planned = store.write("a", [b"before"])

    def body() -> Iterator[bytes]:
        yield from large()
        faulty_s3.objects["p/a"] = b"another's"

    with pytest.raises(PreconditionFailed):
        store.write("a", body(), size=LARGE, if_match=planned)
    assert faulty_s3.objects["p/a"] == b"another's"


# What was written.


def test_another_writer_in_between_leaves_no_fingerprint(
    seaweed_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = opened(seaweed_bucket), opened(seaweed_bucket)
    look = store._client.look

    def late(key: str):
        other.write(key, [b"another's"])
        return look(key)

    monkeypatch.setattr(store._client, "look", late)
    entry = store.write("big", large(), size=LARGE)
    assert (entry.fingerprint, entry.size) == ("", LARGE)
    assert store.write("small", [b"ours"]).fingerprint == ""


def test_where_etags_are_not_content_every_write_is_looked_at(
    seaweed_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trueup.stores import client

    real = client.seen

    def encrypted(*arguments):
        key, size, mtime, _, _, etag, *rest = real(*arguments)
        return key, size, mtime, etag[::-1], etag[::-1], etag[::-1], *rest

    monkeypatch.setattr(client, "seen", encrypted)
    store = opened(seaweed_bucket)
    for number in range(3):
        entry = store.write(f"{number}", [b"x"])
        assert entry.md5 == md5_of(b"x")
        assert entry.fingerprint == md5_of(b"x")[::-1] == store.stat(f"{number}").fingerprint


def test_one_look_is_enough_where_etags_are_content(faulty_s3: FaultyS3) -> None:
    store = opened(faulty_s3)
    for number in range(20):
        store.write(f"{number}", [b"x"])
    assert len([request for request in faulty_s3.requests if request.method == "HEAD"]) == 1


def test_a_failed_large_body_is_never_published(faulty_s3: FaultyS3) -> None:
    store = opened(faulty_s3)
    for size, md5 in ((LARGE + 1, ""), (LARGE - 1, ""), (LARGE, "0" * 32)):
        with pytest.raises(StoreError):
            store.write("a", large(), size=size, md5=md5)
    assert "p/a" not in faulty_s3.objects


def test_headers_are_guessed_and_settable(seaweed_bucket: Bucket) -> None:
    opened(seaweed_bucket, cache_control="max-age=60").write("page.html", [b"x"])
    opened(seaweed_bucket, content_type="text/x-mine").write("big.css", large())
    with closing(s3_client(seaweed_bucket.options["endpoint"])) as client:
        head = client.head_object(Bucket=seaweed_bucket.name, Key="p/page.html")
        assert (head["ContentType"], head["CacheControl"]) == ("text/html", "max-age=60")
        assert client.head_object(Bucket=seaweed_bucket.name, Key="p/big.css")["ContentType"] == "text/x-mine"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a/b.jpg", "image/jpeg"),
        ("B.HTML", "text/html"),
        ("x.tar.gz", "application/gzip"),
        ("noext", "application/octet-stream"),
        ("dir.d/plain", "application/octet-stream"),
        ("v1.2.3.js", "text/javascript"),
        ("f.woff2", "font/woff2"),
    ],
)
def test_the_kind_a_name_suggests(name: str, kind: str) -> None:
    assert guess(name) in {kind, kind.replace("text/javascript", "application/javascript")}


# Reading.


def test_a_read_that_breaks_off_is_an_error(faulty_s3: FaultyS3) -> None:
    faulty_s3.objects |= {"p/small": b"x" * 1000, "p/big": bytes(LARGE)}
    faulty_s3.faults.truncate |= {"p/small": 0, "p/big": 0}
    store = opened(faulty_s3, retries="1")
    for key in ("small", "big"):
        with pytest.raises(Unreachable, match=key), store.read(key) as body:
            list(body)


def test_a_read_that_is_cut_again_and_again_goes_on_where_it_was(faulty_s3: FaultyS3) -> None:
    content = bytes(range(200)) * 5
    faulty_s3.objects["p/a"] = content
    faulty_s3.faults.truncate["p/a"] = 400
    with opened(faulty_s3).read("a") as body:
        assert b"".join(body) == content


def test_an_object_that_changes_under_a_long_read_is_noticed(faulty_s3: FaultyS3) -> None:
    faulty_s3.objects["p/big"] = bytes(6 * LARGE)
    store = opened(faulty_s3)
    with store.read("big") as body:
        next(body)
        faulty_s3.objects["p/big"] = b"\1" * (6 * LARGE)
        with pytest.raises(PreconditionFailed):
            list(body)


def test_an_archived_object_is_told_apart(faulty_s3: FaultyS3) -> None:
    faulty_s3.objects["p/a"] = b"x"
    faulty_s3.faults.fail("InvalidObjectState", 403, method="GET", key="p/a")
    store = opened(faulty_s3)
    with pytest.raises(Archived, match=r"'a'.*archive"), store.read("a") as body:
        list(body)


def test_a_name_that_is_too_long_is_told_apart(faulty_s3: FaultyS3) -> None:
    store = opened(faulty_s3)
    with pytest.raises(Unaddressable):
        store.write("x" * 1024, [b"x"])
    store.write("a", [b"x"])
    faulty_s3.faults.fail("KeyTooLongError", 400, method="PUT")
    with pytest.raises(Unaddressable, match="too long"):
        store.write("b", [b"x"])


def test_an_endpoint_nobody_answers_at_is_named() -> None:
    options = {
        "endpoint": "http://127.0.0.1:9",
        "access_key_id": "AK",
        "secret_access_key": "hush-hush",
        "retries": "1",
    }
    store = CloudStore.open(StoreConfig(url="s3://bucket", options=options), {})
    for act in (store.exists, lambda: store.stat("a"), lambda: store.write("a", [b"x"]), lambda: list(store.list())):
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9") as raised:
            act()
        assert "hush" not in str(raised.value)


def test_a_missing_bucket_is_told_from_a_missing_object(faulty_s3: FaultyS3) -> None:
    absent = CloudStore.open(StoreConfig(url="s3://absent", options=faulty_s3.options), {})
    assert not absent.exists()
    for act in (absent.create, lambda: absent.stat("a"), lambda: absent.write("a", [b"x"])):
        with pytest.raises(BucketMissing, match=r"absent.*Create it"):
            act()


# Copies, clocks, starts.


def test_what_the_server_cannot_copy_passes_through_here(
    seaweed_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trueup.stores.cloud._COPY_LIMIT", 0)
    store = opened(seaweed_bucket)
    source = store.write("a", large())
    copied = store.copy("a", "b", if_match=source)
    assert (copied.size, copied.md5) == (LARGE, source.md5)


def test_the_servers_clock_is_compared(faulty_s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(faulty_s3)
    assert store.clock_ahead_ns() == 0
    monkeypatch.setattr("tests.servers.faulty_s3._Handler.date_time_string", lambda *_: "Mon, 01 Jan 2035 00:00:00 GMT")
    assert store.clock_ahead_ns() > 10**17


def test_a_start_is_asked_of_servers_that_are_known_to_list_in_byte_order(faulty_s3: FaultyS3) -> None:
    faulty_s3.objects |= {f"p/{number:03d}": b"x" for number in range(50)}
    wanted = [f"{number:03d}" for number in range(40, 50)]
    for told in ("true", "false"):
        faulty_s3.requests.clear()
        store = opened(faulty_s3, byte_ordered=told)
        assert [entry.key for entry in store.list("040")] == wanted
        assert store.features.start == (told == "true")
        assert faulty_s3.requests[0].query.get("start-after", "").startswith("p/04/") == (told == "true")


@pytest.mark.parametrize("key", ["plain.txt", "d/a b.txt", "ü/ñ+%&.txt", "日本.txt"])
def test_a_signed_url_reads_and_does_nothing_else(key: str, seaweed_bucket: Bucket, azurite_container: Bucket) -> None:
    for bucket in (seaweed_bucket, azurite_container):
        store = opened(bucket)
        store.write(key, [b"signed"])
        url = store.sign(key, ttl=timedelta(minutes=5))
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.read() == b"signed"
        for method in ("PUT", "DELETE"):
            headers = {"x-ms-blob-type": "BlockBlob"}
            request = urllib.request.Request(url, data=b"no", method=method, headers=headers)
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(request, timeout=10)
        store.close()


KEYS = {"access_key_id": "a", "secret_access_key": "b"}
AZURE = {"account_name": "me"}


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("s3://b", KEYS, "at most 7 days. Ask"),
        ("s3://b", KEYS | {"session_token": "c"}, "at most 7 days, and no longer than the session of its credentials"),
        ("r2://b", KEYS | {"account_id": "d"}, "at most 7 days"),
        ("gs://b", {}, "at most 7 days"),
        ("az://b", AZURE, "at most 7 days"),
        ("az://b", AZURE | {"account_key": "YQ=="}, ""),
    ],
)
def test_a_url_works_no_longer_than_its_cloud_and_its_credentials_grant(
    url: str, options: dict[str, str], said: str
) -> None:
    store = CloudStore.open(StoreConfig(url=url, options=options), {})
    if not said:
        assert store.longest_url is None
        assert "&se=20" in store.sign("k", ttl=timedelta(days=400))
        return
    assert store.longest_url == timedelta(days=7)
    with pytest.raises(UsageError, match=said):
        store.sign("k", ttl=timedelta(days=7, seconds=1))
    with pytest.raises(UsageError, match="at least one second"):
        store.sign("k", ttl=timedelta(milliseconds=500))
    if url.startswith(("s3", "r2")):
        assert "X-Amz-Expires=604800&" in store.sign("k", ttl=timedelta(days=7))


def test_what_a_shared_access_signature_grants_cannot_be_granted_again() -> None:
    store = CloudStore.open(StoreConfig(url="az://b", options=AZURE | {"sas_token": "sv=1&sig=c2Vj"}), {})
    with pytest.raises(StoreError, match=r"SAS token, whose rights cannot be narrowed\. Give it the account's key"):
        store.sign("k", ttl=timedelta(hours=1))


# The process.


def script(text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_opening_a_store_imports_no_client_and_asks_nobody() -> None:
    text = """
import sys
from trueup.stores import open_store
store = open_store("s3://bucket/p", {})
print(store.url, store.features.tree, [name for name in sys.modules if name.startswith(("opendal", "obstore"))])
"""
    assert script(text) == "s3://bucket/p False []\n"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_a_forked_child_is_told_instead_of_hanging(faulty_s3: FaultyS3) -> None:
    text = f"""
import os
from trueup.config import StoreConfig
from trueup.stores import open_store
from trueup.stores.operators import ForkedProcess
config = StoreConfig(url="s3://bucket", options={faulty_s3.options!r})
store = open_store(config, {{}})
for expected in ("works", "told"):
    pid = os.fork()
    if not pid:
        try:
            said = "works" if store.exists() else "?"
        except ForkedProcess as error:
            said = "told"
        print(said, flush=True)
        os._exit(said != expected)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.exists()
"""
    assert script(text).split() == ["works", "told"]


def test_parts_grow_and_stay_below_the_limit() -> None:
    for size in (0, 1, 8 << 20, 10 << 30, 79 << 30, 5 << 40):
        part = budget.part_size(size)
        assert part * budget.MOST_PARTS >= size
        assert part % (8 << 20) == 0


def test_the_budget_is_shared_and_given_back() -> None:
    shared = budget.Budget(64)
    with shared.pieces(8) as one, shared.pieces(8) as two, shared.pieces(8) as three, shared.pieces(8) as four:
        assert (one, two, three, four) == (4, 2, 1, 1)
        waiting = threading.Event()

        def fifth() -> None:
            with shared.pieces(8) as count:
                assert count >= 1
                waiting.set()

        thread = threading.Thread(target=fifth)
        thread.start()
        assert not waiting.wait(0.1)
    assert waiting.wait(5)
    thread.join()
    with shared.pieces(1000) as count:
        assert count == 1
