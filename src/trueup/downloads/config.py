"""What `[downloads]` means: what a fetch may cost, where it may lead, how long its file is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from trueup.config import Settings, parse_boolean, parse_seconds, parse_size
from trueup.errors import ConfigError

_DEFAULTS: Final = {"keep": "24h", "max_size": "2GiB", "timeout": "1h", "allow_private_addresses": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What one fetch may do."""

    max_size: int
    """Bytes of the file."""
    timeout: timedelta
    """For the whole fetch: looking up, redirects, waits and tries included."""
    allow_private: bool = False
    """Whether it may reach loopback, the local network and the like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadsConfig:
    """The whole section."""

    keep: timedelta
    """The age at which a fetched file is removed."""
    rules: Rules


def downloads_config(settings: Settings) -> DownloadsConfig:
    """Raises `ConfigError`."""
    section = settings.sections.get("downloads", {})
    if not isinstance(section, dict):
        raise ConfigError("[downloads] must be a table")
    for name in section:
        if name not in _DEFAULTS:
            raise ConfigError(f"[downloads] {name} is unknown", cure=f"Known: {', '.join(sorted(_DEFAULTS))}")
    values = _DEFAULTS | section
    max_size = parse_size(str(values["max_size"]))
    if not max_size:
        raise ConfigError("[downloads] max_size = 0 lets nothing through", cure="Write it like 2GiB")
    return DownloadsConfig(
        keep=_length(values, "keep"),
        rules=Rules(
            max_size=max_size,
            timeout=_length(values, "timeout"),
            allow_private=parse_boolean(values["allow_private_addresses"], where="[downloads] allow_private_addresses"),
        ),
    )


def _length(values: Mapping[str, Any], name: str) -> timedelta:
    return timedelta(seconds=parse_seconds(str(values[name]), where=f"[downloads] {name}"))
