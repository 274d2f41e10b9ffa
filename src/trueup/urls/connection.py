"""One request and its redirects, each to an address that was checked and over its own connection, under a watch."""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from trueup.errors import FetchError
from trueup.urls.address import refusal
from trueup.urls.rules import Rules
from trueup.urls.target import Target
from trueup.urls.watch import Watch

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CONNECT: Final = 10.0
"""Seconds for one address, and for the handshake."""
_STEP: Final = 0.2
"""Seconds of a wait, after which the watch is asked again."""
SILENCE: Final = 30.0
"""Seconds without a byte, after which a connection is given up."""
_REDIRECTS: Final = 10
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


@contextmanager
def answered(
    target: Target, sent: Mapping[str, str], rules: Rules, watch: Watch
) -> Iterator[tuple[Target, HTTPResponse]]:
    """The answer to a GET behind all redirects, its body not yet read, and who gave it. No proxy, no cookie.

    Raises `AddressRefused` before a packet is sent, `FetchError` where a retry cannot help, and `OSError` or
    `http.client.HTTPException` where it may.
    """
    at = target
    for _ in range(_REDIRECTS + 1):
        with _asked(at, sent, rules, watch) as answer:
            to = answer.headers.get("Location")
            if answer.status not in _MOVED or to is None:
                yield at, answer
                return
        at = at.redirected(to)
    raise FetchError(f"{target.shown} redirects more than {_REDIRECTS} times")


@contextmanager
def _asked(target: Target, sent: Mapping[str, str], rules: Rules, watch: Watch) -> Iterator[HTTPResponse]:
    with closing(_reached(target, rules, watch)) as plain, closing(_secured(target, plain, watch)) as wire:
        connection = HTTPConnection(target.host, target.port)
        connection.sock = _Wire(wire, watch)
        connection.request("GET", target.selector, headers={"Host": target.authority, **sent, **target.private})
        yield connection.getresponse()


def _reached(target: Target, rules: Rules, watch: Watch) -> socket.socket:
    """A connection to the very address that was checked: a second lookup could say something else.

    One refused address refuses the host: a name that means both the internet and this network is either an attack or
    a mistake, and which address answers first must not decide it.
    """
    found = _looked_up(target)
    if not rules.allow_private:
        for *_, address in found:
            if reason := refusal(ip_address(address[0])):
                raise rules.refused(f"{target.shown} leads to {address[0]}, which is {reason}")
    failed: OSError = OSError("it has no address")
    for family, kind, protocol, _, address in found:
        wire = socket.socket(family, kind, protocol)
        try:
            wire.settimeout(min(_CONNECT, watch.left()))
            wire.connect(address)
            return wire
        except OSError as error:
            wire.close()
            failed = error
        except BaseException:
            wire.close()
            raise
    raise failed


def _looked_up(target: Target) -> list[tuple[Any, Any, int, str, Any]]:
    # The system's resolver has time limits of its own, and no way to be told another.
    try:
        return socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}:
            raise FetchError(f"{target.shown} cannot be reached: there is no host of this name") from None
        raise
    except UnicodeError:
        raise FetchError(f"{target.shown} cannot be reached: no host can have this name") from None


def _secured(target: Target, plain: socket.socket, watch: Watch) -> socket.socket:
    if target.scheme == "http":
        return plain
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    plain.settimeout(min(_CONNECT, watch.left()))
    try:
        # An end without a farewell may be somebody cutting the body short.
        return context.wrap_socket(plain, server_hostname=target.host, suppress_ragged_eofs=False)
    except ssl.SSLCertVerificationError as error:
        raise FetchError(
            f"{target.shown} cannot be trusted: {error.verify_message.rstrip('.')}",
            cure="If its certificate is your own, name the authority's file in SSL_CERT_FILE",
        ) from None


class _Wire:
    """A socket as far as `http.client` needs one."""

    def __init__(self, wire: socket.socket, watch: Watch) -> None:
        self._wire = wire
        self._watch = watch

    def sendall(self, data: bytes) -> None:
        self._wire.settimeout(min(SILENCE, self._watch.left()))
        self._wire.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._wire.settimeout(_STEP)
        return io.BufferedReader(_Incoming(self._wire, self._watch))

    def close(self) -> None:
        """Nothing: `http.client` lets go of a connection while it reads the body. `answered` closes it."""


class _Incoming(io.RawIOBase):
    """What the server sends. Each wait is short, so that neither silence nor a drip, in the header as in the body,
    outlasts the watch."""

    def __init__(self, wire: socket.socket, watch: Watch) -> None:
        self._wire = wire
        self._watch = watch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        silent = time.monotonic() + SILENCE
        while True:
            self._watch.tick()
            try:
                return self._wire.recv_into(buffer)
            except TimeoutError:
                if time.monotonic() > silent:
                    raise TimeoutError(f"no byte came for {SILENCE:.0f} seconds") from None
