"""The last line of defence: what is known to be secret is replaced in whatever the command line prints.

Stores keep secrets out of their messages themselves; this holds even where a library puts one into an exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from trueup.config import Settings

_NAMES = re.compile(
    r"secret|password|passphrase|token|credential$|connection_string|account_key|encryption_key|storage_key",
    re.IGNORECASE,
)
_SHORTEST = 6
"""Shorter values would hide ordinary text."""


class Veil:
    """Replaces known secrets, and passwords inside URLs, by `***`."""

    def __init__(self, environ: Mapping[str, str], settings: Settings | None = None) -> None:
        found = set(_secrets(environ))
        for store in settings.stores.values() if settings else ():
            found |= set(_secrets(store.options))
        # Longest first: a secret may contain another.
        self._secrets = sorted(found, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return re.sub(r"(://[^/\s:@]*):[^/\s@]+@", r"\1:***@", text)


def _secrets(named: Mapping[str, str]) -> Iterator[str]:
    for name, value in named.items():
        if not _NAMES.search(name) or value.startswith(("env:", "file:")):
            continue
        parts = re.findall(r"(?:AccountKey|SharedAccessSignature)=([^;]+)", value)
        for secret in (value.strip(), *parts):
            if len(secret) >= _SHORTEST and not secret.startswith(("/", "./", "~")):
                yield secret
                yield json.dumps(secret)[1:-1]
