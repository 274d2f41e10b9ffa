"""What one fetch may cost and where it may lead, in the words of every section that has a URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from trueup.config import parse_boolean, parse_seconds, parse_size
from trueup.errors import AddressRefused, ConfigError, FetchError

WORDS: Final = frozenset({"max_size", "timeout", "allow_private_addresses"})
"""The settings that `parse_rules` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What one fetch may do."""

    max_size: int
    """Bytes of the file."""
    timeout: timedelta
    """For the whole fetch: looking up, redirects, waits and tries included."""
    allow_private: bool = False
    """Whether it may reach loopback, the local network and the like."""
    section: str = "[downloads]"
    """Where all of this is set, for messages."""

    def refused(self, message: str) -> AddressRefused:
        """The error of a URL that leads where it must not."""
        return AddressRefused(message, cure=f"If that is meant, set {self.section} allow_private_addresses = true")

    def too_large(self, shown: str, size: int | None) -> FetchError:
        """The error of a body above the limit; `size` None where only that is known."""
        holds = f"holds {size} bytes" if size is not None else "goes on"
        return FetchError(
            f"{shown} {holds}, more than the {self.max_size} bytes of {self.section} max_size", cure="Raise max_size"
        )


def parse_rules(values: Mapping[str, object], section: str, *, max_size: str, timeout: str) -> Rules:
    """The rules that a section sets, with its defaults for the two. Raises `ConfigError`."""
    size = parse_size(str(values.get("max_size", max_size)))
    if not size:
        raise ConfigError(f"{section} max_size = 0 lets nothing through", cure="Write it like 2GiB")
    seconds = parse_seconds(str(values.get("timeout", timeout)), where=f"{section} timeout")
    where = f"{section} allow_private_addresses"
    return Rules(
        max_size=size,
        timeout=timedelta(seconds=seconds),
        allow_private=parse_boolean(values.get("allow_private_addresses", False), where=where),
        section=section,
    )
