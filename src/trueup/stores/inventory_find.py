"""The newest whole inventory report in a place where a cloud puts them, and its files."""

from __future__ import annotations

import hashlib
import logging
import posixpath
import re
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from trueup import keys
from trueup.config import StoreConfig
from trueup.errors import ConfigError, ListingUnfinished, NotFound
from trueup.stores.base import Store
from trueup.stores.inventory_manifest import AGAIN, DataFile, Report, began, checksum_key, parse
from trueup.stores.oserror import translated
from trueup.stores.place import Place
from trueup.stores.stopping import heed

log = logging.getLogger("trueup.stores")

_LARGEST: Final = 64 << 20
"""Bytes of a manifest: one of a billion objects has some hundred kilobytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A report, and where it lies."""

    store: Store
    key: str
    """Of its manifest."""
    report: Report

    @property
    def url(self) -> str:
        """Of the manifest, without credentials."""
        return f"{self.store.url.rstrip('/')}/{self.key}"


def folder_of(config: StoreConfig) -> tuple[StoreConfig, str]:
    """The place of the reports that a setting means, and the key of the one manifest that it may name."""
    head, _, name = config.url.rpartition("/")
    if not name.endswith("manifest.json"):
        return config, ""
    if name != "manifest.json":
        return replace(config, url=head), name
    head, _, folder = head.rpartition("/")  # S3's data lies beside the folder of the manifest
    return replace(config, url=head), f"{folder}/{name}"


def newest(store: Store, manifest: str, place: Place, *, until: datetime) -> Found:
    """The newest report of a place that its cloud has finished, or the one of `manifest`. What says that it was begun
    after `until` comes last.

    Raises `ConfigError` where there is none of this place, `ListingUnfinished` for one that is damaged, and what
    listing and reading raise.
    """
    why = ""
    for key in [manifest] if manifest else _finished(store, until):
        report = _read(store, key)
        missed = report.misses(place)
        if not missed:
            return Found(store=store, key=key, report=report)
        why = why or f"{keys.display(key)} is not: {missed}"
    if why:
        raise ConfigError(f"no report in {store.url} is a listing of {place.url}; {why}", cure="Name where its own lie")
    raise ConfigError(
        f"there is no finished inventory report in {store.url}",
        cure="Name the folder the cloud writes them to; the first one takes up to two days",
    )


def _finished(store: Store, until: datetime) -> list[str]:
    """The manifests of finished reports, the newest first, but those of the future last."""
    begun: dict[str, str] = {}
    there: set[str] = set()
    try:
        with closing(store.list(ordered=False)) as entries:
            for entry in entries:
                if at := began(entry.key):
                    begun[entry.key] = at
                elif entry.key.endswith(".checksum"):
                    there.add(entry.key)
    except NotFound:
        raise ConfigError(f"{store.url} is not there", cure="Name the folder of the inventory reports") from None
    done = [key for key in begun if not checksum_key(key) or checksum_key(key) in there]
    now = f"{until.astimezone(UTC):%Y%m%d%H%M%S}"  # as `began` tells it
    done.sort(key=lambda key: (begun[key] <= now, begun[key], key), reverse=True)
    if done and begun[done[-1]] > now >= begun[done[0]]:
        log.warning("%s, which is dated in the future, is passed over", keys.display(done[-1]))
    return done


def _read(store: Store, key: str) -> Report:
    text = _small(store, key)
    if beside := checksum_key(key):
        told = _small(store, beside).decode("ascii", "replace").strip().strip('"').lower()
        if not re.fullmatch(r"[0-9a-f]{32}", told) or told != hashlib.md5(text, usedforsecurity=False).hexdigest():
            raise ListingUnfinished(f"the manifest {keys.display(key)} is not what its checksum says", cure=AGAIN)
    return parse(text, key)


def _small(store: Store, key: str) -> bytes:
    try:
        with store.read(key, length=_LARGEST) as body:
            return b"".join(body)
    except NotFound:
        raise ListingUnfinished(
            f"the inventory report lacks {keys.display(key)}: it is not finished, or part of it is gone", cure=AGAIN
        ) from None


def fetch(found: Found, file: DataFile, target: Path) -> None:
    """Bring a file of the report to this machine. Raises `ListingUnfinished` for one that is missing or is not what the
    manifest says, and what reading raises."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    try:
        with found.store.read(file.key) as body, target.open("wb") as out:
            for piece in body:
                heed()
                digest.update(piece)
                size += len(piece)
                out.write(piece)
    except OSError as error:  # a store raises none
        raise translated(error, str(target), "written") from error
    except NotFound:
        raise ListingUnfinished(f"the inventory report lacks its file {keys.display(file.key)}", cure=AGAIN) from None
    if file.size not in {None, size} or file.md5 not in {"", digest.hexdigest()}:
        raise ListingUnfinished(
            f"{keys.display(posixpath.basename(file.key))} of the inventory report is not what its manifest says",
            cure=AGAIN,
        )
