"""Listings that break off, run in circles, hang or hold names nobody can use."""

from __future__ import annotations

import binascii
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest

from tests.servers import Bucket
from tests.servers.faulty_s3 import FaultyS3
from tests.servers.kinds import s3_client
from trueup.config import StoreConfig
from trueup.errors import AccessDenied, BucketMissing, CredentialsExpired, ListingUnfinished, StoreError, Unreachable
from trueup.stores import lister
from trueup.stores.base import Entry, OutOfOrder
from trueup.stores.cloud import CloudStore


def opened(server: FaultyS3 | Bucket, prefix: str = "", **options: str) -> CloudStore:
    given = {"timeout": "1s", "retries": "1", **server.options, **options}
    return CloudStore.open(StoreConfig(url=f"{server.url}/{prefix}", options=given), {})


def whole(store: CloudStore) -> list[str]:
    """The keys, asked for as callers do."""
    try:
        return [entry.key for entry in store.list()]
    except OutOfOrder:
        return [entry.key for entry in store.list(ordered=False)]


@pytest.fixture
def five(faulty_s3: FaultyS3) -> FaultyS3:
    faulty_s3.objects.update({f"p/k{number}": b"x" for number in range(5)})
    faulty_s3.faults.page_size = 2
    return faulty_s3


@pytest.mark.parametrize("prefix", ["", "p"])
def test_a_sound_listing_is_whole_whatever_its_pages(five: FaultyS3, prefix: str) -> None:
    start = "" if prefix else "p/"
    for size in (1, 2, 3, 4, 5, 6):
        five.faults.page_size = size
        assert whole(opened(five, prefix)) == [f"{start}k{number}" for number in range(5)]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("page", [2, 3])
@pytest.mark.parametrize(
    "fault", ["500", "html", "repeat-token", "no-token", "reset", "empty-body", "repeat-keys", "hang"]
)
def test_a_listing_that_breaks_off_is_never_taken_for_a_whole_one(
    five: FaultyS3, fault: str, page: int, ordered: bool
) -> None:
    five.faults.pages[page] = fault
    store = opened(five, "p")
    try:
        found = [entry.key for entry in store.list(ordered=ordered)]
    except OutOfOrder:
        assert ordered
        assert fault in {"repeat-token", "no-token", "repeat-keys"}
        with pytest.raises(ListingUnfinished):
            whole(store)
    except ListingUnfinished as error:
        assert "s3://bucket@" in str(error)  # noqa: PT017 - one outcome of three
    else:
        # What a client takes for the end is found out by asking again, page by page if need be.
        assert fault in {"html", "empty-body", "no-token"}
        assert found == [f"k{number}" for number in range(5)]


def test_a_key_that_is_listed_above_a_start_and_belongs_below_it_is_not_passed_over(faulty_s3: FaultyS3) -> None:
    kelvin = "\u212a"  # its normal form is K
    faulty_s3.objects.update({f"p/{name}": b"x" for name in ("A", "M", kelvin)})
    store = opened(faulty_s3, "p", byte_ordered="true")
    assert [entry.key for entry in store.list("B", ordered=False)] == [kelvin, "M"]
    with pytest.raises(OutOfOrder):
        list(store.list("L"))


def test_html_where_the_second_look_should_answer_is_found_out(five: FaultyS3) -> None:
    five.faults.pages[2] = "html"
    seen = []

    def spoil(request: object) -> None:
        seen.append(request)
        if len([each for each in seen if getattr(each, "query", {}).get("start-after")]) == 1:
            five.faults.pages[1] = "html"

    five.faults.before = spoil
    with pytest.raises(ListingUnfinished, match="not one"):
        whole(opened(five, "p"))


def test_a_helper_that_does_not_answer_is_killed(five: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueup.stores.listing._SLACK", -2.0)
    five.faults.pages[2] = "hang"
    store = opened(five, "p", timeout="5s", retries="0")
    began = time.monotonic()
    with pytest.raises(ListingUnfinished, match="no page came for 3 seconds"):
        whole(store)
    assert time.monotonic() - began < 6


def test_one_page_out_of_order_asks_for_sorting(five: FaultyS3) -> None:
    five.faults.pages[2] = "unsorted"
    store = opened(five, "p")
    with pytest.raises(OutOfOrder):
        list(store.list())
    assert [entry.key for entry in store.list(ordered=False)] == [f"k{number}" for number in range(5)]


def test_what_came_before_a_key_out_of_order_is_told(faulty_s3: FaultyS3) -> None:
    faulty_s3.objects.update({f"k{number:02}": b"x" for number in range(20)} | {"Z": b"x"})
    faulty_s3.faults.order = str.lower  # a server that sorts without case
    entries = opened(faulty_s3).list()
    told = [next(entries).key for _ in range(20)]
    with pytest.raises(OutOfOrder):
        next(entries)
    assert told == [f"k{number:02}" for number in range(20)]


@pytest.mark.parametrize("ordered", [True, False])
def test_an_object_that_cannot_be_read_ends_the_listing_after_what_came_before_it(
    ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(number: int) -> SimpleNamespace:
        md5 = "a" if number == 2 else None
        metadata = SimpleNamespace(content_length=1, etag='"e"', content_md5=md5, last_modified=None)
        return SimpleNamespace(path=f"k{number}", metadata=metadata)

    sent: list[str] = []
    monkeypatch.setattr(lister, "send", lambda frame: sent.extend(row[0] for row in frame[1]))
    request = {"service": "azblob", "prefix": "p/", "start": "", "ordered": ordered, "byte_ordered": True, "page": 3}
    listing = lister.Listing(SimpleNamespace(), request | {"at_once": 1})
    with pytest.raises(binascii.Error):
        listing.drain(map(told, range(4)))
    listing.send_page()
    assert (sent, listing.count) == (["k0", "k1"], 3)


def test_a_server_that_answers_everything_with_a_page_is_not_an_empty_bucket(faulty_s3: FaultyS3) -> None:
    assert whole(opened(faulty_s3)) == []
    faulty_s3.faults.pages[1] = "html"
    assert whole(opened(faulty_s3)) == []  # a HEAD is answered soundly: nothing tells it from an empty bucket
    faulty_s3.faults.fail("OK", 200, method="HEAD")
    with pytest.raises(ListingUnfinished, match="cannot exist"):
        whole(opened(faulty_s3))


def test_an_object_deleted_while_listing_is_no_fault(five: FaultyS3) -> None:
    def delete_last(request: object) -> None:
        if getattr(request, "query", {}).get("start-after"):
            five.objects.pop("p/k4", None)

    five.faults.before = delete_last
    assert whole(opened(five, "p"))[:4] == [f"k{number}" for number in range(4)]


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ExpiredToken", 400, CredentialsExpired),
        ("SignatureDoesNotMatch", 403, AccessDenied),
        ("AccessDenied", 403, AccessDenied),
        ("NoSuchBucket", 404, BucketMissing),
        ("SlowDown", 503, Unreachable),
    ],
)
def test_what_is_wrong_from_the_start_is_said_as_it_is(
    faulty_s3: FaultyS3, code: str, status: int, error: type[StoreError]
) -> None:
    faulty_s3.faults.fail(code, status)
    store = opened(faulty_s3)
    for act in (lambda: list(store.list()), lambda: store.stat("key-one"), lambda: store.write("key-one", [b"x"])):
        with pytest.raises(error) as raised:
            act()
        assert type(raised.value) is error
        assert raised.value.cure
        text = str(raised.value)
        assert "bucket" in text
        assert "\n" not in text
        assert "not-a-secret" not in text


def test_odd_names_are_faults_in_their_place(moto_bucket: Bucket) -> None:
    names = ["a//b", "../up", "./x", " lead", "trail ", "dir/", "dir/file", "ctl\x01x", "plain", "/slash", "//two", "z"]
    client = s3_client(moto_bucket.options["endpoint"])
    for name in names:
        client.put_object(Bucket=moto_bucket.name, Key=name, Body=b"x")
    client.close()
    for ordered in (True, False):
        found = {entry.key: entry.fault for entry in opened(moto_bucket).list(ordered=ordered)}
        assert found == {
            "/": "unaddressable",
            "a//b": "unaddressable",
            "../up": "unaddressable",
            "./x": "unaddressable",
            " lead": "unaddressable",
            "trail ": "unaddressable",
            "dir/": "marker",
            "dir/file": "",
            "ctl\x01x": "",
            "plain": "",
            "z": "",
        }
        assert sorted(found) == list(found)


def test_names_that_begin_with_a_slash_are_told_from_their_twins(moto_bucket: Bucket) -> None:
    client = s3_client(moto_bucket.options["endpoint"])
    for name in ["/a", "/b", "/-x", "-x", "-y", "a", "b", "c"]:
        client.put_object(Bucket=moto_bucket.name, Key=name, Body=b"x")
    assert [entry.key for entry in opened(moto_bucket).list()] == ["-x", "-y", "/", "a", "b", "c"]
    for name in ["-x", "-y", "a", "b", "c"]:
        client.delete_object(Bucket=moto_bucket.name, Key=name)
    assert [entry.key for entry in opened(moto_bucket).list()] == ["/"]
    client.close()


def test_a_prefix_is_a_folder(moto_bucket: Bucket) -> None:
    whole_bucket = opened(moto_bucket)
    for key in ["pre/a", "prea", "pre"]:
        whole_bucket.write(key, [b"x"])
    assert whole(opened(moto_bucket, "pre")) == ["a"]
    assert whole(opened(moto_bucket, "pr")) == []


def test_a_listing_left_early_leaves_no_process(five: FaultyS3) -> None:
    store = opened(five, "p")
    entries = store.list()
    first = next(entries)
    assert isinstance(first, Entry)
    helper = entries.gi_frame.f_locals["helper"]
    entries.close()
    assert helper._process.returncode is not None


def test_the_helper_gets_no_secret_through_arguments_or_environment(
    five: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    seen = []
    real = subprocess.Popen

    def spy(*arguments: object, **options: object) -> object:
        seen.append((arguments, options))
        return real(*arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", spy)
    assert whole(opened(five, "p"))
    assert "not-a-secret" not in str(seen)


# Google and Azure answer in forms of their own; a page that is not one must break the listing there too.

_AZURE_PAGE = """<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="bucket"><Blobs><Blob>
<Name>k0</Name><Properties><Last-Modified>Mon, 01 Jan 2024 00:00:00 GMT</Last-Modified><Etag>0x1</Etag>
<Content-Length>1</Content-Length>
<Content-Type>text/plain</Content-Type><Content-MD5/><BlobType>BlockBlob</BlobType></Properties></Blob></Blobs>
<NextMarker>page-2</NextMarker></EnumerationResults>"""
_GOOGLE_PAGE = """{"kind": "storage#objects", "nextPageToken": "page-2", "items": [{"name": "k0", "size": "1",
"updated": "2024-01-01T00:00:00Z", "etag": "e", "md5Hash": "", "contentType": "text/plain"}]}"""


class _Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        good = {"/az": _AZURE_PAGE, "/st": _GOOGLE_PAGE}.get(self.path[:3], "") if "page-2" not in self.path else ""
        body = (good or "<!DOCTYPE html><html><body>Sign in</body></html>").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if not good else "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("url", "path", "options"),
    [
        ("az://bucket", "/az", {"account_name": "az", "account_key": "c2VjcmV0"}),
        ("gs://bucket", "", {"anonymous": "true"}),
    ],
)
def test_html_as_a_page_breaks_the_listing_of_other_clouds_too(
    url: str, path: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trueup.stores.listing._SLACK", 1.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        given = {
            "endpoint": f"http://127.0.0.1:{server.server_address[1]}{path}",
            "retries": "0",
            "timeout": "3s",
            **options,
        }
        store = CloudStore.open(StoreConfig(url=url, options=given), {})
        with pytest.raises(ListingUnfinished):
            whole(store)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("byte_ordered", ["false", "true"])
def test_a_long_stretch_of_trueups_own_names_is_no_stall(
    faulty_s3: FaultyS3, monkeypatch: pytest.MonkeyPatch, byte_ordered: str
) -> None:
    monkeypatch.setattr("trueup.stores.listing._SLACK", 1.0)  # patience of 3 s, the start included
    faulty_s3.objects.update({f"p/.trueup/trash/r/{number:03}": b"" for number in range(120)})
    faulty_s3.objects["p/z"] = b"x"
    faulty_s3.faults.page_size, faulty_s3.faults.delay = 5, 0.2
    store = opened(faulty_s3, "p", byte_ordered=byte_ordered, retries="0", timeout="2s")
    assert [entry.key for entry in store.list()] == ["z"]


STRANGE = {
    "other JSON": (200, b'{"ok": true}', "the server answered, but not as storage"),
    "nothing": (200, b"", "the server answered, but not as storage"),
    "noise": (200, bytes(range(256)), "the server answered, but not as storage"),
    "half a list": (200, b'<?xml version="1.0"?><ListBucketResult><Contents><Key>a', "answered, but not as storage"),
    "a teapot": (418, b"teapot", r"the server answered 418, but not as storage .* \(teapot\)"),
    "a page that says no": (400, b"<html>Bad</html>", "the server answered 400, but not as storage"),
    "a circle": (302, b"", "the server redirects without end"),
}


@pytest.mark.parametrize("answer", STRANGE)
def test_what_answers_but_is_no_storage_is_not_called_a_bad_connection(answer: str) -> None:
    status, body, said = STRANGE[answer]

    class Stranger(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", self.path)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        keys = {"access_key_id": "me", "secret_access_key": "sesame", "region": "us-east-1", "retries": "0"}
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        store = CloudStore.open(StoreConfig(url="s3://bucket", options={"endpoint": endpoint, **keys}), {})
        with pytest.raises(StoreError, match=said) as caught:
            whole(store)
        assert caught.value.cure == "See whether the endpoint of this store is right; if it is, try again later"
        store.close()
        server.shutdown()
        thread.join()
