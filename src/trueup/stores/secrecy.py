"""Which options of a place are secret, and what of the others tells two places apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Mapping
from typing import Final

SECRET: Final = re.compile(
    r"pass|pwd|secret|token|auth|cred|key|cookie|acct|sas|pin$|connection_string|dsn", re.IGNORECASE
)
"""Names of options whose values are never shown. Better one too many: a value that is shown cannot be called back."""
_TUNING: Final = frozenset("timeout retries connections block_size blocksize max_concurrency tls".split())
"""Options that say how a place is reached, not which it is."""
_SHORTEST: Final = 3
"""Shorter values would hide ordinary text."""


def secrets_of(options: Mapping[str, str]) -> tuple[str, ...]:
    """The secret values, longest first, so that a secret inside another leaves no remainder."""
    found = {value for name, value in options.items() if SECRET.search(name) and len(value) >= _SHORTEST}
    return tuple(sorted(found, key=len, reverse=True))


def scrubbed(text: str, secrets: tuple[str, ...]) -> str:
    """The text without any secret in it, nor a password in a URL."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return re.sub(r"(://[^/\s:@]*):[^/\s@]+@", r"\1:***@", text)


def mark(options: Mapping[str, str], shown: Container[str]) -> str:
    """`#` and a short digest of what else tells two places apart, but for what is `shown` already; empty where that is
    nothing. Not the values themselves: what is secret cannot always be seen from its name."""
    others = sorted(
        (name, value)
        for name, value in options.items()
        if name not in shown and name not in _TUNING and not SECRET.search(name)
    )
    return f"#{hashlib.sha256(repr(others).encode()).hexdigest()[:8]}" if others else ""
