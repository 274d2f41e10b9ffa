"""SSH connections to one server, kept by an event loop in a thread of its own: blocking callers, one loop.

A job is a coroutine over one connection's SFTP client. Several jobs share a connection, because SFTP answers many
requests at once; several connections serve one store, because a server works off each one's requests in turn.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from trueup import keys
from trueup.config import StoreConfig, local_path, parse_seconds
from trueup.errors import ConfigError, TrueupError, Unreachable
from trueup.stores import sftp_error
from trueup.stores.stopping import awaited

if TYPE_CHECKING:
    from asyncssh import SFTPClient, SSHClientConnection

    from trueup.stores.sftp_quick import QuickSession

_Result = TypeVar("_Result")
Job = Callable[["SFTPClient"], Awaitable[_Result]]
Question = Callable[["QuickSession"], Awaitable[_Result]]

_OPTIONS: Final = ("connections", "key_file", "known_hosts", "passphrase", "password", "retries", "timeout")
_URL: Final = re.compile(r"sftp://(?:([^/@]*)@)?(\[[^\]]+\]|[^/:@]+)(?::(\d+))?(/.*)", re.DOTALL | re.IGNORECASE)
_FIRST_CIPHERS: Final = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
"""Before asyncssh's own choice, whose first one takes three times the processor time per packet."""
_ALIVE_SECONDS: Final = 15
"""A connection that answers nothing for three times this long is dead."""
_GOODBYE_SECONDS: Final = 2.0
"""So long closing waits for what is on its way out to a server that may take nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One folder on one SSH server, and how to get in. What is not given is found as `ssh` finds it: the user's keys,
    an agent, `~/.ssh/config`, `~/.ssh/known_hosts`."""

    host: str
    port: int
    user: str
    root: str
    """Absolute on the server, without a slash at its end; empty for the root folder itself."""
    password: str = field(default="", repr=False)
    key_file: str = ""
    passphrase: str = field(default="", repr=False)
    known_hosts: str = ""
    """A file; empty for the user's own."""
    connections: int = 4
    timeout: float = 30.0
    """Seconds that connecting may take; a connection that went dead later is noticed by its silence."""
    retries: int = 3

    @property
    def url(self) -> str:
        """Canonical, without a password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sftp://{self.user}@{host}{'' if self.port == 22 else f':{self.port}'}{self.root or '/'}"

    def scrub(self, text: str) -> str:
        """The text without any secret in it."""
        for secret in filter(None, (self.password, self.passphrase)):
            text = text.replace(secret, "***")
        return text


def server(config: StoreConfig) -> Server:
    """The server a `[stores.NAME]`, or a bare URL, means. Raises `ConfigError`; nothing is contacted."""
    where = f"[stores.{config.name}]" if config.name else "the place"
    found = _URL.fullmatch(config.url)
    if not found or ":" in (found[1] or ""):
        raise ConfigError(
            f"{where} is no SFTP address" if not found else f"{where} has a password in its URL",
            cure="Write it like sftp://user@host:22/folder; the folder is absolute on the server, and a password is an "
            'option: password = "env:NAME"',
        )
    root = found[4].rstrip("/")
    if any(segment in {"", ".", ".."} for segment in root.split("/")[1:]) or "\0" in root:
        raise ConfigError(f"{where}: the folder {keys.display(root)!r} cannot be addressed", cure="Use a plain path")
    for name in config.options:
        if name not in _OPTIONS:
            raise ConfigError(f"{where}: the option '{name}' is unknown", cure=f"Known: url, {', '.join(_OPTIONS)}")
    given = {name: value for name, value in config.options.items() if value}
    for name in ("key_file", "known_hosts"):
        if name in given:
            file = local_path(given[name], where=f"{where} {name} = ")
            if not file.is_file():
                raise ConfigError(f"{where} {name} = {given[name]!r} is not there", cure="Name a file")
            given[name] = str(file)
    port = int(found[3] or 22)
    if not 0 < port < 65536:
        raise ConfigError(f"{where}: there is no port {port}", cure="Ports end at 65535")
    return Server(
        host=found[2].strip("[]").lower(),
        port=port,
        user=found[1] or getpass.getuser(),
        root=root,
        password=given.get("password", ""),
        key_file=given.get("key_file", ""),
        passphrase=given.get("passphrase", ""),
        known_hosts=given.get("known_hosts", ""),
        connections=_whole(given.get("connections", "4"), range(1, 65), f"{where} connections"),
        timeout=parse_seconds(given.get("timeout", "30s"), where=f"{where} timeout"),
        retries=_whole(given.get("retries", "3"), range(21), f"{where} retries"),
    )


def _whole(text: str, allowed: range, where: str) -> int:
    if not text.isdecimal() or int(text) not in allowed:
        raise ConfigError(f"{where} = {text!r} is unusable", cure=f"Use {allowed[0]} to {allowed[-1]}")
    return int(text)


class Pending(Generic[_Result]):
    """A job under way. Calling it waits for its end, unless a stop comes first."""

    def __init__(self, future: Future[_Result], translated: Callable[[BaseException], BaseException]) -> None:
        self._future = future
        self._translated = translated

    def __call__(self) -> _Result:
        try:
            return awaited(self._future)
        except BaseException as error:
            self._future.cancel()
            raise self._translated(error) from error

    def cancel(self) -> bool:
        """End the job, wherever it is; False when it has come to its end by itself."""
        return self._future.cancel()


class Link:
    """The connections to one server. Safe to use from many threads; the first job connects."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._lock = threading.Lock()
        self._turn = count()
        self._process = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lines: list[Line] = []
        self._jobs: set[asyncio.Task[Any]] = set()
        """Those under way, known to the loop's thread only."""

    def run(self, job: Job[_Result], key: str = "", verb: str = "reached", *, again: bool = False) -> _Result:
        """What the job returns, with errors of SSH and SFTP as ours: `key` could not be *verb*. `again`: the job may
        run once more after a lost connection, because it changes nothing or the same thing."""
        return self.start_on(self.line(), job, key, verb, again=again)()

    def start_on(self, line: Line, job: Job[_Result], key: str, verb: str, *, again: bool = False) -> Pending[_Result]:
        """Begin a job on one connection, as the one that an earlier job opened a file on."""

        async def once() -> _Result:
            return await job(await line.client())

        return self._start(once, key, verb, again=again)

    def ask(self, question: Question[_Result], key: str = "", verb: str = "reached") -> _Result:
        """What the question learns; it changes nothing, and is asked once more after a lost connection."""
        return self.start_asking(self.line(), question, key, verb)()

    def start_asking(
        self, line: Line, question: Question[_Result], key: str, verb: str, *, again: bool = True
    ) -> Pending[_Result]:
        """Begin to ask on one connection."""

        async def once() -> _Result:
            return await question(await line.quick())

        return self._start(once, key, verb, again=again)

    def _start(self, once: Callable[[], Awaitable[_Result]], key: str, verb: str, *, again: bool) -> Pending[_Result]:
        loop = self._loop
        if loop is None:
            raise Unreachable(f"the connection to {self.server.url} is closed")
        future = asyncio.run_coroutine_threadsafe(self._noted(once, again=again), loop)
        return Pending(future, partial(self._translated, key=key, verb=verb))

    def line(self) -> Line:
        """One of the connections, for jobs that belong together."""
        lines = self._lines_now()
        line = lines[next(self._turn) % self.server.connections]
        return line if line.was_tried else lines[0]

    def close(self) -> None:
        with self._lock:
            loop, thread, lines = self._loop, self._thread, self._lines
            self._loop, self._thread, self._lines = None, None, []
        if loop is None or thread is None or self._process != os.getpid():
            return
        with suppress(TimeoutError):  # nobody at the other end to say goodbye to
            asyncio.run_coroutine_threadsafe(self._hang_up(lines), loop).result(_GOODBYE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _hang_up(self, lines: list[Line]) -> None:
        jobs = list(self._jobs)
        for job in jobs:  # nobody waits for it any more, and it would connect again
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await asyncio.gather(*(line.hang_up() for line in lines), return_exceptions=True)

    def _lines_now(self) -> list[Line]:
        """The connections, in this process: a thread does not survive a fork."""
        if self._lines and self._process == os.getpid():
            return self._lines
        with self._lock:
            if not self._lines or self._process != os.getpid():
                self._process = os.getpid()
                self._loop = asyncio.new_event_loop()
                self._jobs = set()
                self._thread = threading.Thread(target=self._loop.run_forever, name="ssh", daemon=True)
                self._thread.start()
                others = [Line(self.server) for _ in range(self.server.connections - 1)]
                self._lines = [Line(self.server, others), *others]
        return self._lines

    async def _noted(self, once: Callable[[], Awaitable[_Result]], *, again: bool) -> _Result:
        jobs, job = self._jobs, asyncio.current_task()
        assert job is not None
        jobs.add(job)
        try:
            return await self._guarded(once, again=again)
        finally:
            jobs.discard(job)

    async def _guarded(self, once: Callable[[], Awaitable[_Result]], *, again: bool) -> _Result:
        """A job; after a lost connection a new one is made, and the job done once more if it may."""
        try:
            return await once()
        except Exception as error:
            if not (again and self.server.retries and sftp_error.is_lost(error)):
                raise
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        async for attempt in AsyncRetrying(
            retry=retry_if_exception(sftp_error.is_lost),
            stop=stop_after_attempt(self.server.retries),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            reraise=True,
        ):
            with attempt:
                return await once()
        raise AssertionError("tenacity ends with a result or an error")

    def _translated(self, error: BaseException, key: str, verb: str) -> BaseException:
        if isinstance(error, TrueupError) or not isinstance(error, Exception):
            return error
        return sftp_error.translated(error, key, verb, self.server.url, self.server.scrub)


class Line:
    """One connection, made when it is needed and again when it was lost. As soon as it was made for the first time, the
    `others` are made beside it: to a server far away, one takes as long as a dozen files."""

    def __init__(self, server: Server, others: Sequence[Line] = ()) -> None:
        self._server = server
        self._others = others
        self._lock = asyncio.Lock()
        self._connection: SSHClientConnection | None = None
        self._client: SFTPClient | None = None
        self._quick: QuickSession | None = None
        self._beginning: asyncio.Task[None] | None = None
        self.was_tried = False
        """Before, a job is better off on a connection that is there."""

    async def client(self) -> SFTPClient:
        """For whatever changes something, and for large files."""
        async with self._lock:
            connection = await self._connected()
            if self._client is None:
                self._client = await connection.start_sftp_client(path_encoding=None)
            return self._client

    async def quick(self) -> QuickSession:
        """For looking, listing, and reading small files."""
        from trueup.stores.sftp_quick import QuickSession

        async with self._lock:
            connection = await self._connected()
            if self._quick is None or not self._quick.is_open:
                self._quick = await QuickSession.begun(connection)
            return self._quick

    async def _connected(self) -> SSHClientConnection:
        if self._connection is None or self._connection.is_closed():
            self._client = self._quick = None
            self._connection = await self._connect()
            self.was_tried = True
            for other in self._others:
                other.begin()
            self._others = ()
        return self._connection

    def begin(self) -> None:
        """Make the connection before it is needed."""
        self._beginning = asyncio.ensure_future(self._begin())

    async def _begin(self) -> None:
        with suppress(Exception):  # who needs this connection will make it, and hear of the trouble
            await self.quick()
        self.was_tried = True

    async def _connect(self) -> SSHClientConnection:
        import asyncssh

        server = self._server
        options: dict[str, Any] = {}
        if server.known_hosts:
            options["known_hosts"] = server.known_hosts
        if server.key_file:
            options["client_keys"] = [server.key_file]
        if server.password:
            options["password"] = server.password
        if server.passphrase:
            options["passphrase"] = server.passphrase
        return await asyncssh.connect(
            server.host,
            server.port,
            username=server.user,
            connect_timeout=server.timeout,
            login_timeout=server.timeout,
            keepalive_interval=_ALIVE_SECONDS,
            encryption_algs=_FIRST_CIPHERS,
            **options,
        )

    async def hang_up(self) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.wait([self._beginning])
        if self._connection is not None:
            self._connection.close()
            await self._connection.wait_closed()
