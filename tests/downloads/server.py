"""An HTTP server whose pages misbehave as a test tells them to."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Site:
    """`pages` by path; each gets the request's handler. `seen` are the headers of the requests that came, with the
    path as `:path`."""

    port: int
    scheme: str = "http"
    pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    seen: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0

    def url(self, path: str = "/file.bin", host: str = "127.0.0.1", user: str = "") -> str:
        return f"{self.scheme}://{user}{host}:{self.port}{path}"

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.seen]


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            site.seen.append({":path": self.path, **dict(self.headers)})
            self.close_connection = True
            page = site.pages.get(self.path.partition("?")[0])
            try:
                if page is None:
                    answer(self, 404)
                else:
                    page(self)
            except OSError:
                pass  # whoever asked has gone

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self):
            site.connections += 1
            return super().get_request()

        def handle_error(self, *_):
            pass  # a client that does not trust the certificate

    server = Server(("127.0.0.1", 0), Handler)
    site = Site(server.server_address[1], "https" if certificate else "http")
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(request: BaseHTTPRequestHandler, code: int, body: bytes = b"", **headers: str) -> None:
    """An answer of a few words. Underscores in the names of headers are dashes."""
    request.send_response(code)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def redirect(to: str, code: int = 302):
    return lambda request: answer(request, code, Location=to)


def reset(request: BaseHTTPRequestHandler) -> None:
    """Break the connection off as a machine does that went down: what is still on its way may get lost."""
    request.wfile.flush()
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()


class Held:
    """What keeps a request waiting until whoever asked has gone."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.gone = threading.Event()

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        self.reached.set()
        request.wfile.flush()
        request.connection.settimeout(30)
        try:
            if request.connection.recv(1) == b"":
                self.gone.set()
        except ConnectionError:
            self.gone.set()


@dataclass
class File:
    """A page that is a file: it honours `Range`, `If-Range`, `If-None-Match` and `If-Modified-Since`, and breaks off
    where `cuts` say, one a request."""

    data: bytes
    etag: str = '"v1"'
    modified: str = ""
    cuts: list[int] = field(default_factory=list)
    ranged: bool = True
    proof: bool = True
    """Whether a part is given only to who says of what."""
    headers: dict[str, str] = field(default_factory=dict)
    breaking: Callable[[BaseHTTPRequestHandler], None] = lambda _: None

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        known = request.headers.get("If-None-Match") or request.headers.get("If-Modified-Since")
        if known in {self.etag, self.modified} - {""}:
            answer(request, 304)
            return
        start, size = 0, len(self.data)
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        proven = not self.proof or request.headers.get("If-Range") in {self.etag, self.modified} - {""}
        if wanted and self.ranged and proven:
            start = int(wanted[1])
        headers = {"Content-Length": str(size - start), **self.headers}
        if self.etag:
            headers["ETag"] = self.etag
        if self.modified:
            headers["Last-Modified"] = self.modified
        if start:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        request.send_response(206 if start else 200)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        stop = self.cuts.pop(0) if self.cuts else size
        request.wfile.write(self.data[start:stop])
        if stop < size:
            self.breaking(request)
