"""The last line of defence: what is known to be secret is replaced in whatever the command line prints.

Whoever holds a secret keeps it out of messages; this holds even where a library puts one into an exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from trueup.config import Settings, resolve_secret
from trueup.errors import ConfigError

_NAMES: Final = re.compile(
    r"secret|password|passphrase|token|credential$|connection_string|account_key|encryption_key|storage_key",
    re.IGNORECASE,
)
_IN_JSON: Final = ("private_key", "private_key_id", "client_secret", "refresh_token")
"""Of the credentials that Google hands out."""
_SHORTEST: Final = 6
"""Shorter values would hide ordinary text."""
_EXACT: Final = frozenset({
    *("key", "from", "current", "missing", "field", "provider", "id", "run", "undoes", "backup", "task"),
    *("event", "job", "mode", "status", "state", "stage", "action", "outcome", "verdict", "fix", "kind"),
    *("cause", "code", "level", "logger", "time"),
})  # fmt: skip
"""Members of a document that name a thing, or hold one of our own words: programs compare them."""
_OF_AN_ITEM: Final = _EXACT | {"reason", "source", "path"}
"""The same in an item: elsewhere a reason is a sentence, and a source or a path may be what somebody sent."""


class Veil:
    """Replaces known secrets, and passwords inside URLs, by `***`."""

    def __init__(self, environ: Mapping[str, str], settings: Settings | None = None) -> None:
        found = {
            secret
            for named in (environ, *(store.options for store in (settings.stores.values() if settings else ())))
            for name, value in named.items()
            if _NAMES.search(name) and not value.startswith(("env:", "file:"))
            for secret in _secrets(value)
        }
        found.update(_in_settings(settings) if settings else ())
        spelled = {spelling for secret in found for spelling in (secret, json.dumps(secret)[1:-1])}
        # Longest first: a secret may contain another.
        self._secrets = sorted((one for one in spelled if len(one) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return re.sub(r"(://[^/\s:@]*):[^/\s@]+@", r"\1:***@", text)

    def json(self, document: Mapping[str, object]) -> str:
        """A document as JSON, without them in its texts. A secret may be an ordinary word, so what programs go by stays
        as it is: the names of members, and members that name a thing."""
        plain = json.dumps(document)
        return plain if self(plain) == plain else json.dumps(self._shown(document))  # mostly there is none in it

    def _shown(self, value: object) -> object:
        match value:
            case str():
                return self(value)
            case Mapping():
                exact = _OF_AN_ITEM if value.keys() & {"action", "outcome", "cause"} else _EXACT
                return {name: inner if name in exact else self._shown(inner) for name, inner in value.items()}
            case list() | tuple():
                return [self._shown(inner) for inner in value]
        return value


def _in_settings(settings: Settings) -> Iterator[str]:
    base = settings.path.resolve().parent if settings.path is not None else Path.cwd()
    for name, written in _leaves("", settings.sections):
        if name not in {"headers", "credentials", "database", "url"} and not _NAMES.search(name):
            continue
        try:
            value = written if written.startswith("file://") else resolve_secret(written, settings.environ, base)
        except ConfigError:  # whoever needs it says so
            continue
        match name:
            case "database" | "url":
                yield from _in_url(value)
            case "credentials":
                yield from _in_json(value)
            case _:
                yield from _secrets(value)


def _leaves(name: str, value: object) -> Iterator[tuple[str, str]]:
    """The texts in a document, each with its name; all headers are called so."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(name if name == "headers" else key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(name, inner)
    elif isinstance(value, str):
        yield name, value


def _secrets(value: str) -> Iterator[str]:
    """A secret, and what of it could stand alone."""
    value = value.strip()
    if not value.startswith(("/", "./", "~")):
        yield value
        yield from re.findall(r"(?:AccountKey|SharedAccessSignature)=([^;]+)", value)
        yield from re.findall(r"\A(?:Bearer|Basic|Token) +(.+)", value, re.IGNORECASE)


def _in_url(value: str) -> Iterator[str]:
    try:
        parts = urlsplit(value)
        password = parts.password or ""
    except ValueError:
        return
    queried = [text for name, text in parse_qsl(parts.query) if _NAMES.search(name)]
    yield from (password, unquote(password), *queried)


def _in_json(value: str) -> Iterator[str]:
    if not value.startswith("{"):  # a path
        return
    try:
        document = json.loads(value)
    except ValueError:
        yield from value.splitlines()
        return
    for name in _IN_JSON:
        secret = str(document.get(name) or "")
        yield from (secret, *secret.splitlines())  # a key has many lines, and one of them is too much
