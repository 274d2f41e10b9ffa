"""What `[server]` and `[schedule]` mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from trueup.config import Settings, check_names, resolve_secret, table_of
from trueup.errors import ConfigError
from trueup.jobs.cron import Cron, parse_cron
from trueup.jobs.registry import JOBS

_SERVER: Final = frozenset({"host", "port", "api_key", "broker", "rate_limit", "proxies"})
_HOST: Final = "127.0.0.1"
_PORT: Final = 8000
_RATE: Final = "600/minute"
_BROKERS: Final = ("redis", "rediss", "redis+socket", "amqp", "amqps", "sentinel")
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600}
OFF: Final = "off"
SCHEDULE: Final[Mapping[str, str]] = {
    "sync-storage-stats": "0 3 * * *",
    "cleanup-old-downloads": "*/30 * * * *",
    "cleanup-failed-downloads": "0 */12 * * *",
    "smart-sync-all-projects": "*/30 * * * *",
}
"""What runs when, unless the settings say otherwise."""
_NAMED: Final = {"sync": "sync_files", "ingest": "ingest_files"}
"""Sections whose names may have a line, `sync-NAME`, and their jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many requests in so many seconds."""

    requests: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The section `[server]`."""

    host: str
    port: int
    api_key: str = field(repr=False)
    """Empty: none is asked for, and only this machine is served."""
    broker: str = field(repr=False)
    """The URL of the queue's broker; empty: jobs run inside the server."""
    rate: Rate | None
    """What one key from one address may ask; None: anything."""
    proxies: tuple[str, ...]
    """Addresses and networks of those who are believed when they say for whom they ask."""


def server_config(settings: Settings, *, host: str = "", port: int | None = None) -> ServerConfig:
    """Of the settings; a host and a port that are given beat them, and so do the variables `HOST` and `PORT`. Raises
    `ConfigError`."""
    section = table_of(settings.sections.get("server", {}), "[server]")
    check_names(section, _SERVER, "[server]")
    return ServerConfig(
        host=host or str(_said(section, settings, "host", _HOST)),
        port=_port(port if port is not None else _said(section, settings, "port", _PORT)),
        api_key=_api_key(section, settings),
        broker=_broker(section, settings),
        rate=_rate(str(section.get("rate_limit", _RATE))),
        proxies=_proxies(section.get("proxies", ())),
    )


def service_url(host: str, port: int) -> str:
    """Where a service that listens there is found."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def schedule_config(settings: Settings) -> dict[str, Cron | None]:
    """When what runs, in UTC; None: never by itself. The names are those of `SCHEDULE`, and `sync-NAME` and
    `ingest-NAME` where there is a line for one. Raises `ConfigError` and `MissingExtra`."""
    section = table_of(settings.sections.get("schedule", {}), "[schedule]")
    # A variable has no dashes.
    known = {_dashed(name): name for name in (*_lines(settings), *SCHEDULE)}
    given = {known.get(_dashed(name), _dashed(name)): line for name, line in section.items()}
    check_names(given, known.values(), "[schedule]")
    found: dict[str, Cron | None] = {}
    for name, line in {**SCHEDULE, **given}.items():
        where = f"[schedule] {name}"
        if not isinstance(line, str):
            raise ConfigError(f"{where} = {line!r} is no cron line", cure='Write it like "0 3 * * *", or "off"')
        found[name] = None if line.strip().lower() == OFF else parse_cron(line, where=where)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """What a clock starts, by name."""

    jobs: Mapping[str, Cron]
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Jobs with a line for which the settings have nothing to do, and why."""


def timetable(settings: Settings) -> Timetable:
    """The schedule without what is off or has nothing to do. Raises as `schedule_config` does."""
    jobs: dict[str, Cron] = {}
    left_out: dict[str, str] = {}
    for name, cron in schedule_config(settings).items():
        if cron is None:
            continue
        try:
            JOBS[scheduled(name)[0]].needs(settings)
        except ConfigError as error:
            left_out[name] = error.message
        else:
            jobs[name] = cron
    return Timetable(jobs=jobs, left_out=left_out)


def scheduled(name: str) -> tuple[str, dict[str, Any]]:
    """The job of a name of the schedule, and its arguments."""
    if name in SCHEDULE:
        return name.replace("-", "_"), {}
    section, _, rest = name.partition("-")
    return _NAMED[section], {"name": rest}


def _lines(settings: Settings) -> Iterator[str]:
    """Lines that the settings may have besides: each is a file's name and a part of a URL as well."""
    for section in _NAMED:
        for name in settings.sections.get(section, {}):
            if re.fullmatch(r"[\w-]+", name, re.ASCII):
                yield f"{section}-{name}"


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _said(section: Mapping[str, Any], settings: Settings, name: str, default: object) -> object:
    """The variable that names the setting beats the bare one, which beats the file."""
    if f"TRUEUP_SERVER__{name.upper()}" in settings.environ:
        return section[name]
    return settings.environ.get(name.upper()) or section.get(name, default)


def _port(given: object) -> int:
    text = str(given)
    if not text.isdecimal() or not int(text) < 1 << 16:
        raise ConfigError(f"port = {given!r} is unusable", cure="Use 1 to 65535, or 0 for any that is free")
    return int(text)


def _api_key(section: Mapping[str, Any], settings: Settings) -> str:
    if "api_key" not in section and "TRUEUP_API_KEY" not in settings.environ:
        return ""
    key = _secret(section.get("api_key", "env:TRUEUP_API_KEY"), settings)
    if not key:
        # Who names a key wants one: an empty variable must not open the door.
        raise ConfigError("the API key is empty", cure="Set TRUEUP_API_KEY, or take api_key out of [server]")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("the API key cannot be sent in a header", cure="Use letters, digits and punctuation only")
    return key


def _broker(section: Mapping[str, Any], settings: Settings) -> str:
    url = _secret(section.get("broker", ""), settings)
    if url and not _is_broker(url):
        # Without its words: they may hold a password.
        raise ConfigError("[server] broker is no URL of a broker", cure="Write it like redis://localhost:6379/0")
    return url


def _is_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises
    except ValueError:
        return False
    numbered = parts.scheme not in {"redis", "rediss"} or re.fullmatch("/?[0-9]*", parts.path)
    return parts.scheme in _BROKERS and bool(numbered)


def _proxies(given: object) -> tuple[str, ...]:
    listed = given.split(",") if isinstance(given, str) else given
    if not isinstance(listed, list | tuple):
        raise ConfigError(f"[server] proxies = {given!r} is no list", cure='Write it like ["127.0.0.1"]')
    try:
        return tuple(str(ip_network(str(one).strip())) for one in listed)
    except ValueError as error:
        cure = 'Write it like ["127.0.0.1", "10.0.0.0/8"]'
        raise ConfigError(f"[server] proxies: {error}", cure=cure) from error


def _secret(given: object, settings: Settings) -> str:
    base = settings.path.resolve().parent if settings.path is not None else Path.cwd()
    return resolve_secret(str(given), settings.environ, base)


def _rate(given: str) -> Rate | None:
    if given.strip().lower() == OFF:
        return None
    found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(second|minute|hour)\s*", given)
    if not found or not int(found[1]):
        raise ConfigError(f"[server] rate_limit = '{given}' is unusable", cure='Write it like "600/minute", or "off"')
    return Rate(requests=int(found[1]), seconds=_SECONDS[found[2]])
