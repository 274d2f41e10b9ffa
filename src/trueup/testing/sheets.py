"""Google Sheets in this process, for tests: stateful, strict, and out of order when told so.

    with SheetsServer() as server:
        book = server.add("Numbers", {"Project A": [["profile_url", "views"], ["https://x.com/a", 5]]})
        Path("key.json").write_text(json.dumps(server.key))
        trueup.sync_records(...)                    # [records.sheets] endpoint = server.endpoint
        book["Project A"]["B2"] = 6                 # somebody edits

    server.fail(429, times=2, retry_after=1)        # Google's own error, twice
    server.fail(503)                                # until server.heal()
    server.fail("html")                             # or "truncated", "empty", "list", "blocked", "hang", "drip", "drop"
    server.fail(503, on="oauth2")                   # the place that gives out tokens
    server.revoke()                                 # the key is good no more
    server.stop(), server.start()                   # nobody listens; open connections are closed
    server.after("values.batchGet", action)         # once, when the next such request was answered

It serves what reading and correcting a sheet needs: `spreadsheets.get`, `values.batchGet` and `values.batchUpdate` of
Sheets v4, `files.list` of Drive v3 for names, and the token endpoint of a service account, which checks signature and
claims. Requests and answers are held to Google's published descriptions of them. One that is not as described is
answered with an error, noted in `violations`, and the end of the `with` raises `AssertionError`.

Needs the packages google-api-python-client (for the descriptions), jsonschema and cryptography.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from trueup.errors import UsageError

try:
    from trueup.testing import sheets_api as api
    from trueup.testing import sheets_described as described
    from trueup.testing import sheets_tokens as tokens
except ModuleNotFoundError as error:
    raise UsageError(
        f"SheetsServer needs the package {error.name}",
        cure="Install: pip install google-api-python-client jsonschema cryptography",
    ) from error
from trueup.testing.sheets_book import Book, Cell, Value

__all__ = ["Book", "Cell", "SheetsServer"]

FAULTS: Final = ("html", "truncated", "empty", "list", "blocked", "hang", "drip", "drop")
_TOKEN: Final = "/token"  # noqa: S105 - a path
_TOKEN_CALL: Final = "oauth2.token"  # noqa: S105 - the name of a request
_DRIP: Final = 0.002
"""Seconds."""
_PAGE: Final = b"<!DOCTYPE html><html><body><h1>Sorry, unable to open the file at present.</h1></body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, as it was answered."""

    call: str
    """`sheets.spreadsheets.get`, `drive.files.list`, `oauth2.token`; empty for one that nobody knows."""
    status: int
    """0 where nothing was answered."""


@dataclass(slots=True, kw_only=True)
class _Fault:
    kind: int | str
    on: str
    left: int | None
    retry_after: float | str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int = 200
    body: bytes = b""
    kind: str = "application/json; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    drips: bool = False


class SheetsServer:
    """The server; it listens on loopback from the beginning of a `with` to its end. Safe to use from many threads."""

    def __init__(self) -> None:
        self.books: dict[str, Book] = {}
        """By id."""
        self.requests: list[Asked] = []
        """Every request so far."""
        self.violations: list[str] = []
        """What was not as Google describes it."""
        self.delay = 0.0
        """Seconds before each answer, as Google takes them."""
        self._tokens = tokens.Tokens()
        self._faults: list[_Fault] = []
        self._hooks: list[tuple[str, Callable[[], object]]] = []
        self._lock = threading.RLock()
        self._healed = threading.Event()
        self._port = 0
        self._server: _Server | None = None
        described.sheets()  # reading them would be time of the first request
        described.drive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is None and self.violations:
            raise AssertionError("\n".join(self.violations))

    # Who asks, and for what.

    @property
    def endpoint(self) -> str:
        """For `[records.sheets] endpoint`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def email(self) -> str:
        """Of the service account."""
        return tokens.EMAIL

    @property
    def key(self) -> dict[str, str]:
        """The service account's JSON file."""
        return self._tokens.key(self.endpoint + _TOKEN)

    @property
    def granted(self) -> frozenset[str]:
        """The scopes of the token that was given out last."""
        return self._tokens.granted

    def add(
        self,
        title: str,
        tabs: Mapping[str, Iterable[Sequence[Value | Cell]]],
        *,
        locale: str = "en_US",
        id: str = "",  # noqa: A002 - its name at Google
    ) -> Book:
        """A new spreadsheet that is shared with the service account: the rows of each tab."""
        book = Book(id or api.new_id(), title, tabs, locale)
        self.books[book.id] = book
        return book

    def count(self, on: str = "sheets.") -> int:
        """How many requests there were, of those whose name begins or ends so."""
        return sum(_named(asked.call, on) for asked in self.requests)

    # The script.

    def fail(
        self,
        kind: int | str,
        *,
        times: int | None = None,
        on: str = "sheets.",
        retry_after: float | str | None = None,
        reason: str = "",
    ) -> None:
        """Answer with an error: a status, or one of `FAULTS`. `times`: so often, else until `heal`. `on`: what the
        names of the requests begin or end with. `retry_after`: seconds, or a date. `reason`: Google's name for why."""
        if not isinstance(kind, int) and kind not in FAULTS:
            raise ValueError(f"no fault is called {kind!r}; there are {', '.join(FAULTS)}")
        with self._lock:
            self._healed.clear()
            self._faults.append(_Fault(kind=kind, on=on, left=times, retry_after=retry_after, reason=reason))

    def heal(self) -> None:
        """End all faults; what hangs is let go."""
        with self._lock:
            self._faults.clear()
            self._healed.set()

    def revoke(self) -> None:
        """The key gets no more tokens, and those that it got are taken back."""
        self._tokens.revoked = True
        self._tokens.expire()

    def expire(self) -> None:
        """Take back the tokens that were given out."""
        self._tokens.expire()

    def after(self, on: str, action: Callable[[], object]) -> None:
        """Do something once, between the next such request and its answer."""
        with self._lock:
            self._hooks.append((on, action))

    def start(self) -> None:
        """Listen; at the same port as before."""
        self._server = _Server(self._port, self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more, and close what is open, as a machine that goes down."""
        server, self._server = self._server, None
        self._healed.set()
        if server is not None:
            server.shutdown()
            server.server_close()
            server.cut()

    # Answering.

    def answer(self, verb: str, url: str, headers: Mapping[str, str], body: bytes) -> _Answer | None:
        """None where the connection is closed without an answer."""
        parts = urlsplit(url)
        found = described.sheets().call(verb, parts.path[1:]) or described.drive().call(verb, parts.path[1:])
        call = _TOKEN_CALL if (verb, parts.path) == ("POST", _TOKEN) else found.id if found else ""
        fault = self._due(call)
        time.sleep(self.delay)
        if fault is not None and fault.kind == "hang":
            self._healed.wait(60)
        if fault is not None and fault.kind in {"hang", "drop"}:
            self._note(call, 0)
            return None
        with self._lock:
            answer = self._broken(call, fault) if fault else None
            if answer is None:
                answer = self._right(found, call, parts.query, headers, body)
            if fault is not None and fault.kind == "truncated":
                answer = replace(answer, body=answer.body[: len(answer.body) // 2])
            if fault is not None and fault.kind == "drip":
                answer = replace(answer, drips=True)
            self._note(call, answer.status)
            for hook in [hook for hook in self._hooks if _named(call, hook[0])]:
                self._hooks.remove(hook)
                hook[1]()
        return answer

    def drip(self, write: Callable[[bytes], object], body: bytes) -> None:
        """Send a body byte by byte, until all is well again."""
        for place in range(len(body)):
            if self._healed.wait(_DRIP):
                write(body[place:])
                return
            write(body[place : place + 1])

    def _right(
        self, call: described.Call | None, name: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> _Answer:
        """The answer of a server in good health."""
        if name == _TOKEN_CALL:
            status, document = self._tokens.answer(body, self.endpoint + _TOKEN)
            return _json(status, document)
        try:
            if call is None:
                raise api.Violation("no method of Google Sheets or Drive", 404)
            scopes = self._tokens.scopes(headers.get("authorization", ""))
            if scopes is None:
                raise api.Refusal(401)
            if not scopes & call.scopes:
                said = "Request had insufficient authentication scopes."
                raise api.Refusal(403, said, reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT")
            return _json(200, api.answer(call, self.books, parse_qsl(query, keep_blank_values=True), body))
        except api.Refusal as refusal:
            if isinstance(refusal, api.Violation):
                self.violations.append(f"{name or 'unknown'}: {refusal}")
            return _json(refusal.status, api.error(refusal, drive=name.startswith("drive.")))

    def _due(self, call: str) -> _Fault | None:
        with self._lock:
            for fault in self._faults:
                if _named(call, fault.on) and fault.left != 0:
                    fault.left = None if fault.left is None else fault.left - 1
                    return fault
        return None

    def _broken(self, call: str, fault: _Fault) -> _Answer | None:
        """None where it is a right answer that does not arrive well."""
        match fault.kind:
            case "html":
                return _Answer(body=_PAGE, kind="text/html; charset=UTF-8")
            case "blocked":
                return _Answer(status=403, body=_PAGE, kind="text/html; charset=UTF-8")
            case "empty":
                return _Answer()
            case "list":
                return _json(200, [])
            case int(status):
                refusal = api.Refusal(status, reason=fault.reason)
                document = api.error(refusal, drive=call.startswith("drive."))
                headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
                headers |= {"location": self.endpoint + "/login"} if 300 <= status < 400 else {}
                return _json(status, {"error": "internal_failure"} if call == _TOKEN_CALL else document, headers)
        return None

    def _note(self, call: str, status: int) -> None:
        with self._lock:
            self.requests.append(Asked(call=call, status=status))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, sheets: SheetsServer) -> None:
        self.sheets = sheets
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's types
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - socketserver's types
        self._open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """Close every connection that is kept alive."""
        for request in list(self._open):
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:  # closed by the other side meanwhile
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.sheets.answer(self.command, self.path, headers, body)
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("content-type", answer.kind)
        self.send_header("content-length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.drips:
            self.server.sheets.drip(self.wfile.write, answer.body)
        else:
            self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 - http.server's names

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # who asked went away, or `cut` was called
            return

    def log_message(self, *_: object) -> None:
        """Nobody wants these lines."""


def _named(call: str, on: str) -> bool:
    return call.startswith(on) or call.endswith(on)


def _json(status: int, document: object, headers: Mapping[str, str] | None = None) -> _Answer:
    return _Answer(status=status, body=json.dumps(document).encode(), headers=headers or {})
