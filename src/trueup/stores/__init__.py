"""Places that hold bytes: `open_store` turns a URL into a `Store`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trueup.config import StoreConfig
    from trueup.stores.base import Entry, Features, OutOfOrder, Store

__all__ = ["Entry", "Features", "OutOfOrder", "Store", "open_store"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
"""Two letters at least, so that `C:\\x` is a path."""


BUCKETS = frozenset({"s3", "r2", "gs", "az"})


def open_store(config: StoreConfig | str, environ: Mapping[str, str]) -> Store:
    """The store a URL, a path or a `[stores.NAME]` means. `environ` is where credentials may come from.

    Nothing is contacted yet. Raises `UnknownScheme` or `ConfigError`.
    """
    from trueup.config import StoreConfig, local_path
    from trueup.errors import ConfigError, MissingExtra, UnknownScheme, UsageError

    if isinstance(config, str):
        config = StoreConfig(url=config)
    if not config.url and config.options.get("service"):
        from trueup.stores.service import open_service

        return open_service(config)
    found = _SCHEME.fullmatch(config.url)
    if not config.url:
        raise UsageError("an empty string names no place", cure="Write ./ for the present folder")
    scheme = found[1].lower() if found else "file"
    if config.options and scheme in {"file", "memory"}:
        raise ConfigError(
            f"[stores.{config.name}] {min(config.options)} is unknown", cure=f"A {scheme} store has no options but url"
        )
    if config.inventory and scheme not in BUCKETS:
        raise ConfigError(
            f"[stores.{config.name}] inventory is not for a {scheme} store", cure="Only buckets have such reports"
        )
    match scheme:
        case "file":
            from trueup.stores.local import LocalStore

            return LocalStore(local_path(found[2] if found else config.url))
        case "memory":
            from trueup.testing import MemoryStore

            return MemoryStore.named(config.url)
        case _ if scheme in BUCKETS:
            from trueup.stores.cloud import CloudStore

            return CloudStore.open(config, environ)
        case "sftp":
            try:
                from trueup.stores.sftp import SftpStore
            except ModuleNotFoundError:
                raise MissingExtra("an sftp:// place", "sftp") from None
            return SftpStore.open(config)
    if scheme.startswith("fsspec+"):
        from trueup.stores.fsspec import open_fsspec

        return open_fsspec(config)
    raise UnknownScheme(
        f"no store answers to {scheme}://",
        cure="Known: a path, file://, s3://, r2://, gs://, az://, sftp://, fsspec+…://, memory://",
    )


def __getattr__(name: str) -> object:
    """The rest, when it is asked for: each helper that lists a bucket imports this package, and needs nothing of it."""
    if name in __all__:
        from trueup.stores import base

        return getattr(base, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
