"""What the options of a `[stores.NAME]` with `service` mean."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from trueup.config import StoreConfig, parse_seconds
from trueup.errors import ConfigError
from trueup.stores.place import Place
from trueup.stores.secrecy import mark, secrets_of

_OURS: Final = ("service", "root", "timeout", "retries", "concurrency")
FLAT: Final = frozenset(
    "b2 cacache cos dashmap gcs-grpc ghac gridfs memcached mini-moka moka mongodb mysql obs oss persy postgresql redb"
    " redis sled sqlite swift tos upyun vercel-artifacts".split()
)
"""Services without folders: `x` and `x/y` can both exist. Everything else is taken for folders and files."""
_ELSEWHERE: Final = {
    "s3": "s3://bucket",
    "gcs": "gs://bucket",
    "azblob": "az://container",
    "fs": "/the/folder",
    "memory": "memory://name",
}
"""Services that have a store of their own here, and how that is written."""
_SOME: Final = "webdav, ftp, azdls, azfile, b2, cos, dropbox, gdrive, hdfs-native, onedrive, oss, swift, webhdfs"


def service_place(config: StoreConfig) -> Place:
    """The place. Raises `ConfigError`."""
    where = f"[stores.{config.name}]"
    given = {name: value for name, value in config.options.items() if value}
    service = given.get("service", "").lower()
    if service in _ELSEWHERE:
        raise ConfigError(f"{where}: {service} has a store of its own", cure=f'Write url = "{_ELSEWHERE[service]}"')
    allowed = _allowed(service)
    if allowed is None:
        raise ConfigError(f"{where}: the service {service!r} is unknown", cure=f"Some that are known: {_SOME}")
    for name in given:
        if name not in allowed and name not in _OURS:
            raise ConfigError(
                f"{where}: {service} has no option '{name}'",
                cure=f"Known: {', '.join(sorted({*_OURS, *allowed}))}",
            )
    tree = service not in FLAT
    root = given.get("root", "").strip("/")
    if any(part in {"", ".", ".."} for part in root.split("/") if root) or root != root.strip() or "\0" in root:
        raise ConfigError(f"{where}: the root {root!r} cannot be addressed", cure="Use a plain folder name")
    prefix = f"{root}/" if root else ""
    options = {name: value for name, value in given.items() if name not in _OURS}
    secrets = secrets_of(given)
    return Place(
        scheme=service,
        service=service,
        bucket=config.name,
        prefix=prefix,
        url=_canonical(config.name, service, root, options, where),
        options=options | {"root": "/" if tree else f"/{prefix}"},
        secrets=secrets,
        timeout=parse_seconds(given.get("timeout", "30s"), where=f"{where} timeout"),
        retries=_whole(given.get("retries", "3"), "retries", range(21), where),
        concurrency=_whole(given["concurrency"], "concurrency", range(1, 257), where) if "concurrency" in given else 0,
        tree=tree,
    )


def _allowed(service: str) -> frozenset[str] | None:
    """The options OpenDAL documents for a service, or None for a service it does not have. OpenDAL itself passes over
    an option it does not know, and a misspelt password would be none."""
    from opendal import config

    for name, options in vars(config).items():
        if name.endswith("Config") and hasattr(options, "__annotations__"):
            known = dict(options.__annotations__)
            found = re.search(r"""Literal\[["']([\w-]+)["']\]""", str(known.pop("scheme", "")))
            if found and found[1] == service:
                return frozenset(known)
    return None


def _canonical(name: str, service: str, root: str, options: dict[str, str], where: str) -> str:
    """`SERVICE://user@host/root`, and a short digest of what else tells two places apart. A service without an endpoint
    is known by the name the settings give it: what it is may be told by its credentials only."""
    endpoint = options.get("endpoint", "")
    unusable = ConfigError(f"{where}: the endpoint is unusable", cure="Write it like https://host or http://host:9000")
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        if endpoint and (not parts.hostname or parts.port == 0):
            raise unusable
    except ValueError:
        raise unusable from None
    if parts.username or parts.password or parts.query:
        raise ConfigError(f"{where}: the endpoint holds credentials", cure="Give them as options")
    host = parts.netloc.lower().removesuffix(":443" if parts.scheme == "https" else ":80") if endpoint else name
    user = options.get("username") or options.get("user")
    path = "/".join(filter(None, (parts.path.strip("/") if endpoint else "", root)))
    shown = {"endpoint", "username", "user"}
    return f"{service}://{f'{user}@' if user else ''}{host}/{path}{mark(options, shown)}"


def _whole(text: str, name: str, allowed: range, where: str) -> int:
    if not text.isdecimal() or int(text) not in allowed:
        raise ConfigError(f"{where} {name} = {text!r} is unusable", cure=f"Use {allowed[0]} to {allowed[-1]}")
    return int(text)
