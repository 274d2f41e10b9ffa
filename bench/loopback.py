"""The HTTP server under the benchmark's own S3 servers: a thread a connection, kept alive, nothing copied twice.

It speaks the part of HTTP/1.1 that S3 clients use, to clients we started ourselves.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

BLOCK = 1 << 20
DATE = b"Tue, 03 Jun 2025 10:00:00 GMT"
"""When every object was last changed."""
_Source: TypeAlias = "BufferedReader[socket.SocketIO]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    """Names in lower case."""
    body: Iterator[memoryview]
    """In blocks; a handler may leave it unread. Each block is valid until the next is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    """What Content-Length says when it is not the body's (an answer to HEAD)."""


def error(status: int, code: str) -> Answer:
    return Answer(status=status, body=f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())


def serve(port: int, handle: Callable[[Request], Answer]) -> None:
    """Answer on a loopback port for ever."""
    with socket.create_server(("127.0.0.1", port), backlog=256) as listener:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_talk, args=(connection, handle), daemon=True).start()


def _talk(connection: socket.socket, handle: Callable[[Request], Answer]) -> None:
    raw = connection.makefile("rb", buffering=0)
    with connection, BufferedReader(raw, 1 << 16) as source, suppress(ConnectionError):
        while _one(connection, source, handle):
            pass


def _one(connection: socket.socket, source: _Source, handle: Callable[[Request], Answer]) -> bool:
    """One request and its answer. False at the end of the connection."""
    first = source.readline()
    if not first.strip():
        return False
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[bytes, bytes] = {}
    while (line := source.readline()) not in {b"\r\n", b""}:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    if headers.get(b"expect", b"").lower() == b"100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    path, _, query = target.partition("?")
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    body = _body(source, int(headers.get(b"content-length", b"0")))
    answer = handle(
        Request(
            method=method,
            bucket=bucket,
            key=key,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers=headers,
            body=body,
        )
    )
    for _ in body:  # what the handler left
        pass
    length = len(answer.body) if answer.length is None else answer.length
    content = b"" if method == "HEAD" else answer.body
    lines = [
        f"HTTP/1.1 {answer.status} X",
        f"Content-Length: {length}",
        *(f"{k}: {v}" for k, v in answer.headers.items()),
    ]
    head = "\r\n".join(lines).encode() + b"\r\nDate: " + DATE + b"\r\nLast-Modified: " + DATE + b"\r\n\r\n"
    # Two sends for a large body, because joining would copy it.
    if len(content) > BLOCK >> 4:
        connection.sendall(head)
        connection.sendall(content)
    else:
        connection.sendall(head + content)
    return True


def _body(source: _Source, left: int) -> Iterator[memoryview]:
    block = memoryview(bytearray(min(left, BLOCK)))
    while left:
        count = source.readinto(block[: min(left, BLOCK)])
        if not count:
            raise ConnectionResetError
        left -= count
        yield block[:count]
