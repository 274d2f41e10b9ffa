"""Uploads in parts that nobody finished, in servers that check signatures or take any key."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.servers import Bucket
from tests.servers.kinds import s3_client
from trueup.config import StoreConfig
from trueup.errors import AccessDenied, StoreError, Unreachable
from trueup.stores.cloud import CloudStore
from trueup.stores.leftovers import Leftovers

KEYS = {"access_key_id": "AKIA", "secret_access_key": "secret", "region": "eu-west-1"}
ODD = ["plain", "d/a b", "ü+%&=?#~*'()!:@,;$", "日本/語"]


def asked(url: str, options: dict[str, str]) -> Leftovers | None:
    with closing(CloudStore.open(StoreConfig(url=url, options=options), {})) as store:
        return store.leftovers


def begin(bucket: Bucket, *keys: str) -> None:
    with closing(s3_client(bucket.options["endpoint"])) as client:
        for key in keys:
            client.create_multipart_upload(Bucket=bucket.name, Key=key)


@pytest.mark.parametrize("server", ["seaweed_bucket", "moto_bucket"])
def test_unfinished_uploads_below_the_prefix_are_listed_and_aborted(
    server: str, request: pytest.FixtureRequest
) -> None:
    bucket: Bucket = request.getfixturevalue(server)
    begin(bucket, *(f"p/{key}" for key in ODD), "elsewhere", "pq")
    leftovers = asked(f"{bucket.url}/p", bucket.options)
    assert leftovers is not None
    found = list(leftovers.list())
    assert sorted(left.key for left in found) == sorted(ODD)
    if server == "seaweed_bucket":  # in moto each began in 2010
        assert all(abs(left.began - datetime.now(UTC)) < timedelta(minutes=5) for left in found)
    for left in found:
        leftovers.abort(left)
    leftovers.abort(found[0])
    assert list(leftovers.list()) == []
    others = asked(bucket.url, bucket.options)
    assert others is not None
    assert sorted(left.key for left in others.list()) == ["elsewhere", "pq"]


def test_a_wrong_signature_is_no_access_and_shows_no_secret(seaweed_bucket: Bucket) -> None:
    leftovers = asked(seaweed_bucket.url, seaweed_bucket.options | {"secret_access_key": "not-the-secret"})
    assert leftovers is not None
    with pytest.raises(AccessDenied, match="403") as caught:
        list(leftovers.list())
    assert "not-the-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("gs://b", {}),
        ("az://b", {"account_name": "a"}),
        ("s3://b", {"region": "eu-west-1"}),
        ("s3://b", {"access_key_id": "a", "secret_access_key": "b"}),
        ("s3://b", KEYS | {"role_arn": "arn:aws:iam::1:role/r"}),
    ],
)
def test_where_they_cannot_be_asked_for_there_are_none(url: str, options: dict[str, str]) -> None:
    assert asked(url, options) is None


Page = Callable[[str], tuple[int, str]]


@contextmanager
def answering(page: Page) -> Iterator[tuple[str, list[AWSRequest]]]:
    """A server that answers by what is asked for, and what it was asked. It is a proxy as well."""
    seen: list[AWSRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(AWSRequest(method=self.command, url=self.path, headers=dict(self.headers)))
            code, text = page(self.path)
            self.send_response(code)
            if code == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def listing(*keys: str, more: str = "") -> str:
    uploads = "".join(
        f"<Upload><Key>{key}</Key><UploadId>1</UploadId><Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload>"
        for key in keys
    )
    marker = f"<IsTruncated>true</IsTruncated><NextKeyMarker>{more}</NextKeyMarker>" if more else ""
    return f'<R xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{uploads}{marker}</R>'


def test_all_pages_are_asked_for_and_a_page_that_repeats_itself_is_the_last() -> None:
    def page(url: str) -> tuple[int, str]:
        if "key-marker=b" in url:
            return 200, listing("c", more="b")
        return 200, listing("a", "b", more="b")

    with answering(page) as (endpoint, _):
        leftovers = asked("s3://bucket", KEYS | {"endpoint": endpoint})
        assert leftovers is not None
        assert [left.key for left in leftovers.list()] == ["a", "b", "c"]


@pytest.mark.parametrize("session", [{}, {"session_token": "to/ken+="}])
def test_a_request_is_signed_as_the_vendor_signs_it_with_the_bucket_in_the_host(
    session: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(lambda _: (200, listing())) as (proxy, seen):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "")
        options = KEYS | session | {"endpoint": "http://s3.example", "virtual_host_style": "true"}
        leftovers = asked("s3://bucket/ü b", options)
        assert leftovers is not None
        assert list(leftovers.list()) == []
    [request] = seen
    assert request.url.startswith("http://bucket.s3.example/?prefix=%C3%BC%20b%2F&uploads=")
    signer = S3SigV4Auth(
        Credentials(KEYS["access_key_id"], KEYS["secret_access_key"], session.get("session_token")), "s3", "eu-west-1"
    )
    names = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    ours = AWSRequest(method="GET", url=request.url, headers={name: request.headers[name] for name in names})
    ours.context["timestamp"] = request.headers["x-amz-date"]
    wanted = signer.signature(signer.string_to_sign(ours, signer.canonical_request(ours)), ours)
    assert request.headers["authorization"].endswith(f"Signature={wanted}")
    assert request.headers.get("x-amz-security-token") == session.get("session_token")


@pytest.mark.parametrize(
    ("answer", "said"),
    [((200, "<not"), "cannot be read"), ((500, ""), "500"), ((302, ""), "302"), ((403, ""), "403")],
)
def test_an_answer_that_is_none_is_said_so(answer: tuple[int, str], said: str) -> None:
    with answering(lambda _: answer) as (endpoint, seen):
        leftovers = asked("s3://bucket", KEYS | {"endpoint": endpoint})
        assert leftovers is not None
        with pytest.raises(StoreError, match=said):
            list(leftovers.list())
        assert len(seen) == 1
    with pytest.raises(Unreachable):
        list(leftovers.list())
