"""What `[alerts]` and the environment mean: where messages go."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes, urlsplit, urlunsplit

from trueup.config import Settings, resolve_secret
from trueup.errors import ConfigError

_TLS: Final = ("starttls", "tls", "none")
_EMAIL: Final = frozenset({"host", "port", "tls", "user", "password", "from", "to"})
_WEBHOOK: Final = frozenset({"url", "secret"})
_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"
"""What stands in a URL as it is (RFC 3986), the `%` of what is escaped already included."""
# The names that Mailgun's own examples use, and ours for the rest.
_VARIABLES: Final = {
    "host": "MAILGUN_SMTP_HOST",
    "port": "MAILGUN_SMTP_PORT",
    "user": "MAILGUN_SMTP_USER",
    "password": "MAILGUN_SMTP_PASSWORD",
    "from": "ALERT_EMAIL_FROM",
    "to": "ALERT_EMAIL_TO",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """An SMTP server, and who writes to whom over it."""

    host: str
    port: int
    tls: str
    user: str
    password: str = field(repr=False)
    sender: str
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A URL that is told, and the key its messages are signed with."""

    url: str = field(repr=False)
    """As it is asked for, without user and password. Its path and query may hold a secret."""
    host: str
    """With the port where one is named: all that is shown of the URL."""
    authorization: str = field(repr=False)
    """The value of the header of that name, or empty."""
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Everybody who is told."""

    email: Email | None = None
    webhooks: tuple[Webhook, ...] = ()


def alerts(settings: Settings) -> Alerts:
    """Raises `ConfigError`."""
    section = settings.sections.get("alerts", {})
    if not isinstance(section, dict) or section.keys() - {"email", "webhooks"}:
        raise ConfigError("[alerts] holds [alerts.email] and [[alerts.webhooks]], and nothing else")
    hooks = section.get("webhooks", [])
    if not isinstance(hooks, list):
        raise ConfigError("webhooks are written [[alerts.webhooks]], one for each")
    return Alerts(
        email=_email(section.get("email", {}), settings),
        webhooks=tuple(_webhook(hook, settings) for hook in hooks),
    )


def _email(table: object, settings: Settings) -> Email | None:
    where = "[alerts.email]"
    given = _checked(table, _EMAIL, where)
    for name, variable in _VARIABLES.items():
        if settings.environ.get(variable):
            given[name] = settings.environ[variable]
    to = given.get("to", ())
    if not isinstance(to, str | list | tuple):
        raise ConfigError(f"{where} to = {to!r} is no list of addresses", cure='Write to = ["me@example.com"]')
    listed = to.split(",") if isinstance(to, str) else map(str, to)
    receivers = tuple(dict.fromkeys(address for part in listed if (address := part.strip())))
    if not given.get("host") or not receivers:
        if table:
            raise ConfigError(
                f"{where} needs host and to", cure='Write host = "smtp.example.com", to = ["me@example.com"]'
            )
        return None
    tls = str(given.get("tls", "starttls"))
    if tls not in _TLS:
        raise ConfigError(f"{where} tls = {tls!r} is unknown", cure=f"Use one of: {', '.join(_TLS)}")
    port = str(given.get("port", {"tls": 465, "starttls": 587, "none": 25}[tls]))
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{where} port = {port!r} is none")
    sender = str(given.get("from") or given.get("user") or "")
    for address in (sender, *receivers):
        if "@" not in address or any(char in address for char in "\r\n"):
            raise ConfigError(f"{where}: {address!r} is no address", cure="Write it like alerts@example.com")
    return Email(
        host=str(given["host"]),
        port=int(port),
        tls=tls,
        user=str(given.get("user", "")),
        password=_secret(given.get("password", ""), settings),
        sender=sender,
        to=receivers,
    )


def _webhook(table: object, settings: Settings) -> Webhook:
    given = _checked(table, _WEBHOOK, "[[alerts.webhooks]]")
    try:
        url, host, authorization = _place(str(given.get("url", "")))
    except ValueError:
        # Not shown: it may hold a password.
        raise ConfigError(
            "the url of one of [[alerts.webhooks]] is none", cure="Write it like https://hooks.example.com/x"
        ) from None
    secret = _secret(given.get("secret", ""), settings)
    if not secret:
        raise ConfigError(f"the webhook at {host} has no secret", cure='Write secret = "env:HOOK_SECRET"')
    try:
        # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = secret.encode()
    return Webhook(url=url, host=host, authorization=authorization, secret=key)


def _place(url: str) -> tuple[str, str, str]:
    """The URL as it is asked for, its host, and its user and password as they are sent. Raises `ValueError` for what no
    request can be made of."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError
    name = parts.hostname.encode("idna").decode()
    host = f"[{name}]" if ":" in name else name
    host = host if parts.port is None else f"{host}:{parts.port}"
    path, query = (quote(part, safe=_SAFE) for part in (parts.path or "/", parts.query))
    user = b":".join((unquote_to_bytes(parts.username or ""), unquote_to_bytes(parts.password or "")))
    authorization = "" if user == b":" else f"Basic {base64.b64encode(user).decode()}"
    return urlunsplit((parts.scheme, host, path, query, "")), host, authorization


def _secret(value: object, settings: Settings) -> str:
    base = settings.path.resolve().parent if settings.path is not None else Path.cwd()
    return resolve_secret(str(value), settings.environ, base)


def _checked(table: object, known: frozenset[str], where: str) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a table")
    for name in table:
        if name not in known:
            raise ConfigError(f"{where} {name} is unknown", cure=f"Known: {', '.join(sorted(known))}")
    return dict(table)
