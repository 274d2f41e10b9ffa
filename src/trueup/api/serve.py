"""The server: its socket, and stopping it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from trueup.api.app import create_app
from trueup.api.gate import is_loopback
from trueup.api.service import Service
from trueup.config import Settings
from trueup.errors import TrueupError, UsageError
from trueup.jobs.config import ServerConfig, service_url

_TURN = 0.0005
"""Seconds."""
PATIENCE = 10
"""Seconds that a request may still take when the server is to stop."""


def serve(settings: Settings, config: ServerConfig, told: Callable[[str], None]) -> int:
    """Serve until SIGINT or SIGTERM. `told` gets the URL once requests are answered. The exit code: 130 after Ctrl-C,
    else 0. Raises `UsageError` for a host that only a key may open, `ConfigError`, `Busy`, and `TrueupError`."""
    if not config.api_key and not is_loopback(config.host):
        raise UsageError(
            f"without an API key only this machine is served, and {config.host} is more than that",
            cure="Set TRUEUP_API_KEY, or use --host 127.0.0.1",
        )
    # Threads that hear what jobs say would hold up the answers for Python's 5 ms, each time.
    sys.setswitchinterval(_TURN)
    with _socket(config) as listening:
        service = Service(settings, config)
        service.open()
        options: dict[str, Any] = {
            "log_config": None, "access_log": False, "server_header": False, "lifespan": "on",
            "proxy_headers": bool(config.proxies), "forwarded_allow_ips": list(config.proxies),
            "timeout_graceful_shutdown": PATIENCE,
        }  # fmt: skip
        server = _Server(uvicorn.Config(create_app(service), **options), service, lambda: told(_url(listening)))
        server.run(sockets=[listening])
        return 130 if server.asked == signal.SIGINT else 0


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._ready = ready
        self.asked = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.asked and sig == signal.SIGINT:
            os._exit(130)  # its jobs stop by themselves
        self.asked = self.asked or sig
        self._service.closing.set()  # streams end, which would be waited for
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Not raised again afterwards: a server that was stopped has done what it was asked."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _socket(config: ServerConfig) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        said = error.strerror or str(error)
        raise TrueupError(
            f"nobody can listen at {config.host}:{config.port}: {said}", cure="Choose another --host or --port"
        ) from error
    # Connections inherit it. An answer is sent in two parts, and the second would wait 40 ms for the client to have
    # acknowledged the first.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return service_url(host, port)
