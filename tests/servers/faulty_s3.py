"""An S3 server inside the test whose answers can be spoilt, one by one.

It speaks path-style ListObjectsV2, GET (with ranges), HEAD, PUT (with conditions and copies), DELETE, and multipart
uploads; it checks no signature and knows one bucket.

    faulty_s3.objects["a/b.txt"] = b"..."                 any key at all; what the server holds
    faulty_s3.faults.page_size = 2                        keys on a page of a listing
    faulty_s3.faults.pages[2] = "html"                    what page 2 of every listing answers instead (see `PAGES`)
    faulty_s3.faults.spoil = callable                     says of each listing's `Request` what it answers instead
    faulty_s3.faults.fail("SlowDown", 503, times=3)       the next three requests fail so
    faulty_s3.faults.fail("ExpiredToken", 400)            every request from now on
    faulty_s3.faults.truncate["big"] = 100                a GET of this key breaks off after 100 bytes
    faulty_s3.faults.before = callable                    called with each `Request` before it is answered
    faulty_s3.clock_ahead = timedelta(hours=2)            the clock it tells is off
    faulty_s3.requests                                    every `Request` so far

The server runs in threads of the test's own process. OpenDAL's blocking *lister* holds the interpreter lock while it
waits for a page, so a listing must be made in another process (as trueup's is), or nobody answers it.
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"
PAGES = frozenset({"500", "html", "repeat-token", "no-token", "hang", "reset", "empty-body", "repeat-keys", "unsorted"})
"""Faults of a listing's page: an error 500; an HTML page with status 200; the token that led here once more; truncated
but without a token; no answer until the test ends; a closed connection; no body; the keys of the page before it; its
own keys in descending order."""
BORN = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it arrived. `page` is the number of a listing's page, from 1, and 0 for other requests; `start`
    the key after which that listing began."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    page: int = 0
    start: str = ""


@dataclass(slots=True, kw_only=True)
class Failure:
    """An error answer for the requests that fit: `times` of them, or all."""

    code: str
    status: int
    times: int | None = None
    method: str | None = None
    key: str | None = None

    def fits(self, request: Request) -> bool:
        return self.times != 0 and self.method in {None, request.method} and self.key in {None, request.key}


@dataclass(slots=True, kw_only=True)
class Faults:
    """What goes wrong."""

    page_size: int = 1000
    pages: dict[int, str] = field(default_factory=dict)
    page_times: int | None = None
    """How often page faults strike in all; None is always."""
    spoil: Callable[[Request], str] | None = None
    order: Callable[[str], Any] = field(default=lambda key: key.encode("utf-8", "surrogatepass"))
    """By what keys are sorted, and `start-after` with them."""
    starts: bool = True
    """`start-after` is heeded."""
    failures: list[Failure] = field(default_factory=list)
    truncate: dict[str, int] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before each answer."""
    before: Callable[[Request], None] | None = None

    def fail(
        self, code: str, status: int, *, times: int | None = None, method: str | None = None, key: str | None = None
    ) -> None:
        """Answer with this S3 error code and HTTP status."""
        self.failures.append(Failure(code=code, status=status, times=times, method=method, key=key))

    def clear(self) -> None:
        """Be a good server again."""
        self.pages.clear()
        self.failures.clear()
        self.truncate.clear()
        self.delay, self.before, self.page_times, self.spoil = 0.0, None, None, None


class FaultyS3:
    """The server; a context manager. `url` and `options` are what a store's configuration takes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.times: dict[str, datetime] = {}
        """LastModified of a key, where it is not `BORN`."""
        self.clock_ahead = timedelta()
        """How far the clock it tells is ahead of this machine's."""
        self.metadata: dict[str, dict[str, str]] = {}
        """What the last write of a key said of it in `x-amz-meta-` headers."""
        self.faults = Faults()
        self.requests: list[Request] = []
        self.uploads: dict[str, dict[int, bytes]] = {}
        """Multipart uploads that are neither completed nor aborted, by id."""
        self.lock = threading.RLock()
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.house = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"s3://{BUCKET}"

    @property
    def options(self) -> dict[str, str]:
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": "AKTEST",
            "secret_access_key": "not-a-secret",
        }

    def etag(self, key: str) -> str:
        return hashlib.md5(self.objects[key]).hexdigest()

    def modified(self, key: str) -> datetime:
        return self.times.get(key, BORN)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a hung page must not hang the test's end
    request_queue_size = 128
    house: FaultyS3

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.open_sockets: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open_sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open_sockets.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for kept_alive in list(self.open_sockets):
            try:
                kept_alive.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.server.house.clock_ahead.total_seconds())

    def do_any(self) -> None:
        house = self.server.house
        body = self._body()
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(parts.path)[1:].partition("/")
        listing = self.command == "GET" and not key and "list-type" in query
        page = _page(query) if listing else 0
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(
            method=self.command,
            bucket=bucket,
            key=key,
            query=query,
            headers=headers,
            page=page,
            start=_start(query) if listing else "",
        )
        with house.lock:
            house.requests.append(request)
        if house.faults.before:
            house.faults.before(request)
        if house.faults.delay:
            time.sleep(house.faults.delay)
        if failure := self._failure(request):
            return self._error(failure.status, failure.code)
        if bucket != BUCKET:
            return self._error(404, "NoSuchBucket")
        if listing:
            return self._list(request)
        with house.lock:
            return self._object(request, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any

    def _object(self, request: Request, body: bytes) -> None:
        match request.method:
            case "GET" | "HEAD" if not request.key:
                self._reply(200, b"")
            case "GET" | "HEAD":
                self._read(request)
            case "PUT" if "uploadId" in request.query:
                self._part(request, body)
            case "PUT":
                self._write(request, body)
            case "POST" if "uploads" in request.query:
                name = uuid.uuid4().hex
                self.server.house.uploads[name] = {}
                self._xml(
                    200, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
                )
            case "POST" if "uploadId" in request.query:
                self._complete(request, body)
            case "DELETE" if "uploadId" in request.query:
                self.server.house.uploads.pop(request.query["uploadId"], None)
                self._reply(204, b"")
            case "DELETE":
                self._delete(request)
            case _:
                self._error(501, "NotImplemented")

    # ----- listing -----

    def _list(self, request: Request) -> None:
        house, query, page = self.server.house, request.query, request.page
        fault = self._page_fault(request)
        match fault:
            case "500":
                return self._error(500, "InternalError")
            case "html":
                text = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Sign in</body></html>"
                return self._reply(200, text, {"Content-Type": "text/html"})
            case "empty-body":
                return self._reply(200, b"")
            case "hang":
                house.over.wait()
                self.close_connection = True
                return None
            case "reset":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return None
        with house.lock:
            rows, prefixes = self._rows(query)
        size = min(house.faults.page_size, int(query.get("max-keys", 1000)))
        last = _token(query)[2]
        offset = sum(house.faults.order(key) <= house.faults.order(last) for key in rows) if last else 0
        token = ""
        if offset + size < len(rows):
            token = " ".join(map(quote, (str(page + 1), _start(query), rows[offset + size - 1])))
        shown = rows[offset : offset + size]
        if fault == "repeat-keys":
            shown = rows[max(0, offset - size) : offset]
        elif fault == "unsorted":
            shown = shown[::-1]
        elif fault == "repeat-token":
            token = query.get("continuation-token", "1")
        truncated = bool(token) or fault == "no-token"
        token = "" if fault == "no-token" else token
        return self._xml(200, self._listing(query, shown, prefixes, token=token, truncated=truncated))

    def _listing(
        self, query: dict[str, str], shown: list[str], prefixes: set[str], *, token: str, truncated: bool
    ) -> str:
        house = self.server.house
        encode = quote if query.get("encoding-type") == "url" else _text
        out = [
            f"<ListBucketResult><Name>{BUCKET}</Name><Prefix>{encode(query.get('prefix', ''))}</Prefix>",
            f"<KeyCount>{len(shown)}</KeyCount><IsTruncated>{str(truncated).lower()}</IsTruncated>",
        ]
        if token:
            out.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
        for key in shown:
            if key in prefixes:
                out.append(f"<CommonPrefixes><Prefix>{encode(key)}</Prefix></CommonPrefixes>")
                continue
            with house.lock:
                content = house.objects.get(key, b"")
                moment = house.modified(key).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            etag = hashlib.md5(content).hexdigest()
            out.append(
                f"<Contents><Key>{encode(key)}</Key><LastModified>{moment}</LastModified>"
                f"<ETag>&quot;{etag}&quot;</ETag><Size>{len(content)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        return "".join(out) + "</ListBucketResult>"

    def _rows(self, query: dict[str, str]) -> tuple[list[str], set[str]]:
        """Keys and common prefixes in byte order, after `start-after`, and which of them are prefixes."""
        prefix, delimiter, after = query.get("prefix", ""), query.get("delimiter", ""), _start(query)
        order = self.server.house.faults.order
        if not self.server.house.faults.starts:
            after = ""
        found: set[str] = set()
        prefixes: set[str] = set()
        for key in self.server.house.objects:
            if not key.startswith(prefix) or (after and order(key) <= order(after)):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folder = prefix + rest.partition(delimiter)[0] + delimiter
                prefixes.add(folder)
                found.add(folder)
            else:
                found.add(key)
        return sorted(found, key=order), prefixes

    def _page_fault(self, request: Request) -> str:
        faults = self.server.house.faults
        fault = faults.spoil(request) if faults.spoil else faults.pages.get(request.page, "")
        assert not fault or fault in PAGES, f"no such page fault: {fault}"
        if fault and faults.page_times is not None:
            if not faults.page_times:
                return ""
            faults.page_times -= 1
        return fault

    # ----- objects -----

    def _read(self, request: Request) -> None:
        house = self.server.house
        if request.key not in house.objects:
            return self._error(404, "NoSuchKey")
        content, etag = house.objects[request.key], f'"{house.etag(request.key)}"'
        if request.headers.get("if-match", etag) not in {etag, "*"}:
            return self._error(412, "PreconditionFailed")
        headers = {
            "ETag": etag,
            "Last-Modified": format_datetime(house.modified(request.key), usegmt=True),
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            **house.metadata.get(request.key, {}),
        }
        status, part = 200, content
        if found := re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", "")):
            first = int(found[1]) if found[1] else max(0, len(content) - int(found[2]))
            last = min(int(found[2]), len(content) - 1) if found[1] and found[2] else len(content) - 1
            if first >= len(content):
                return self._error(416, "InvalidRange")
            status, part = 206, content[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        limit = house.faults.truncate.get(request.key)
        if limit is not None and limit < len(part) and request.method == "GET":
            self.close_connection = True
            return self._reply(status, part[:limit], headers, length=len(part))
        return self._reply(status, part, headers)

    def _write(self, request: Request, body: bytes) -> None:
        house = self.server.house
        if not self._allowed(request):
            return None
        if source := request.headers.get("x-amz-copy-source"):
            origin = unquote(source).lstrip("/").partition("/")[2]
            if origin not in house.objects:
                return self._error(404, "NoSuchKey")
            self._store(request.key, house.objects[origin])
            return self._xml(
                200, f"<CopyObjectResult><ETag>&quot;{house.etag(request.key)}&quot;</ETag></CopyObjectResult>"
            )
        self._store(request.key, body)
        house.metadata[request.key] = {
            name: value for name, value in request.headers.items() if name.startswith("x-amz-meta-")
        }
        return self._reply(200, b"", {"ETag": f'"{house.etag(request.key)}"'})

    def _part(self, request: Request, body: bytes) -> None:
        parts = self.server.house.uploads.get(request.query["uploadId"])
        if parts is None:
            return self._error(404, "NoSuchUpload")
        parts[int(request.query["partNumber"])] = body
        return self._reply(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})

    def _complete(self, request: Request, body: bytes) -> None:
        house = self.server.house
        parts = house.uploads.get(request.query["uploadId"])
        wanted = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        if parts is None:
            return self._error(404, "NoSuchUpload")
        if not self._allowed(request):
            return None
        self._store(request.key, b"".join(parts[number] for number in wanted))
        del house.uploads[request.query["uploadId"]]
        return self._xml(
            200,
            f"<CompleteMultipartUploadResult><ETag>&quot;{house.etag(request.key)}&quot;</ETag></CompleteMultipartUploadResult>",
        )

    def _delete(self, request: Request) -> None:
        house = self.server.house
        wanted = request.headers.get("if-match")
        if wanted and (request.key not in house.objects or wanted.strip('"') != house.etag(request.key)):
            return self._error(412, "PreconditionFailed")
        house.objects.pop(request.key, None)
        house.times.pop(request.key, None)
        return self._reply(204, b"")

    def _allowed(self, request: Request) -> bool:
        """Whether the conditions of a write hold; answers itself when they do not."""
        house = self.server.house
        there = request.key in house.objects
        if request.headers.get("if-none-match") == "*" and there:
            self._error(412, "PreconditionFailed")
            return False
        wanted = request.headers.get("if-match")
        if wanted and not (there and wanted.strip('"') == house.etag(request.key)):
            self._error(412 if there else 404, "PreconditionFailed" if there else "NoSuchKey")
            return False
        return True

    def _store(self, key: str, content: bytes) -> None:
        self.server.house.objects[key] = content
        self.server.house.times[key] = datetime.now(UTC)

    # ----- HTTP -----

    def _failure(self, request: Request) -> Failure | None:
        house = self.server.house
        with house.lock:
            failure = next((each for each in house.faults.failures if each.fits(request)), None)
            if failure and failure.times is not None:
                failure.times -= 1
        return failure

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def _error(self, status: int, code: str) -> None:
        self._xml(status, f"<Error><Code>{code}</Code><Message>{code} as the test wished</Message></Error>")

    def _xml(self, status: int, text: str) -> None:
        body = f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode("utf-8", "surrogatepass")
        self._reply(status, body, {"Content-Type": "application/xml"})

    def _reply(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, *, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("x-amz-request-id", "TEST")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Nothing: `requests` is the log."""


def _page(query: dict[str, str]) -> int:
    return int(_token(query)[0])


def _token(query: dict[str, str]) -> tuple[str, str, str]:
    """The number of a page, the key after which its listing began, and the last key of the page before it."""
    number, start, last, *_ = *map(unquote, query.get("continuation-token", "1").split(" ")), "", ""
    return number, start, last


def _start(query: dict[str, str]) -> str:
    """The key after which a listing began: as on real servers, `start-after` counts on its first page only."""
    return _token(query)[1] or query.get("start-after", "")


def _text(key: str) -> str:
    """XML text; control characters as the references S3 uses."""
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"&#x{ord(found[0]):x};", escape(key))
