"""A URL as a fetch needs it: where to connect, what to ask for, what to show (no I/O)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self
from urllib.parse import SplitResult, quote, unquote_to_bytes, urljoin, urlsplit

from trueup.errors import FetchError, UsageError

_PORTS: Final = {"http": 80, "https": 443}
_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"
"""What stands in a URL as it is (RFC 3986), the `%` of what is escaped already included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One http or https URL."""

    scheme: str
    host: str
    """In ASCII, an IPv6 address without brackets."""
    port: int
    path: str
    selector: str = field(repr=False)
    """Path and query, as the request asks for them. A query may hold a secret."""
    private: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers for this origin alone, such as `Authorization`."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises `UsageError`, which shows no more of the URL than its scheme."""
        try:
            url.encode()  # a byte that is no UTF-8, on a command line, is half a character here
            parts = urlsplit(url)
            port = parts.port
            host = _ascii(parts)
        except (ValueError, UnicodeError):
            raise UsageError("this is not a URL that can be fetched", cure="Write it like https://host/path") from None
        if parts.scheme not in _PORTS:
            raise UsageError(
                f"a URL of the scheme '{parts.scheme}' is not fetched" if parts.scheme else "this URL has no scheme",
                cure="Name one that begins with https:// or http://",
            )
        if not host or port == 0:
            raise UsageError(f"this {parts.scheme} URL names no host", cure="Write it like https://host/path")
        path = quote(parts.path or "/", safe=_SAFE)
        user = b":".join((unquote_to_bytes(parts.username or ""), unquote_to_bytes(parts.password or "")))
        return cls(
            scheme=parts.scheme,
            host=host,
            port=port or _PORTS[parts.scheme],
            path=path,
            selector=f"{path}?{quote(parts.query, safe=_SAFE)}" if parts.query else path,
            private={} if user == b":" else {"Authorization": "Basic " + base64.b64encode(user).decode()},
        )

    @property
    def authority(self) -> str:
        """Host, and port where it is not the scheme's own: the value of `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL for messages: neither user, password nor query."""
        return f"{self.scheme}://{self.authority}{self.path}"

    def redirected(self, location: str) -> Target:
        """Where a `Location` leads. Raises `FetchError` for what is not followed."""
        # A header is read as Latin-1; its bytes, whatever they mean, are the URL's.
        reference = quote(location.strip().encode("latin-1"), safe=_SAFE)
        try:
            to = Target.parse(urljoin(f"{self.scheme}://{self.authority}{self.selector}", reference))
        except UsageError as error:
            raise FetchError(f"{self.shown} redirects to where nothing is fetched: {error.message}") from None
        except ValueError:
            raise FetchError(f"{self.shown} redirects to what is no URL") from None
        if self.scheme == "https" and to.scheme == "http":
            raise FetchError(f"{self.shown} redirects from https to http, where anybody can read and change it")
        return replace(to, private={**self.private, **to.private}) if self._trusts(to) else to

    def _trusts(self, to: Target) -> bool:
        """Whether it is the same origin, or the same host made safer."""
        if (self.scheme, self.host, self.port) == (to.scheme, to.host, to.port):
            return True
        return self.host == to.host and (self.port, to.port) == (80, 443) and to.scheme == "https"


def _ascii(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return host if host.isascii() else host.encode("idna").decode()
