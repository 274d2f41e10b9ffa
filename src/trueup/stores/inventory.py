"""A bucket whose listing comes out of its cloud's inventory report. Everything else is asked of the bucket itself."""

from __future__ import annotations

import posixpath
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

from trueup import keys
from trueup.config import Settings, StoreConfig
from trueup.errors import ListingUnfinished
from trueup.stores import open_store
from trueup.stores.base import Entry, Store, storable_ns, storable_size
from trueup.stores.credentials import place
from trueup.stores.inventory_find import Found, fetch, folder_of, newest
from trueup.stores.inventory_folder import own_folder
from trueup.stores.inventory_manifest import AGAIN
from trueup.stores.inventory_rows import Row, Rows, TooMuch
from trueup.stores.place import Place
from trueup.stores.rows import listed
from trueup.stores.sort import sorted_entries

_AHEAD: Final = timedelta(hours=1)
"""How far a report may be dated in the future: its cloud's clock is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Which report a listing came from."""

    url: str
    """Of its manifest, without credentials."""
    created_at: datetime
    """When the cloud began to write it. UTC."""
    age: timedelta
    """By the clock of the bucket, when it was found."""

    def to_json(self) -> dict[str, object]:
        """As documented."""
        return {
            "created_at": self.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "age_seconds": round(self.age.total_seconds()),
            "url": self.url,
        }


@contextmanager
def by_report(store: Store, config: StoreConfig, settings: Settings) -> Iterator[tuple[Store, Inventory]]:
    """The open store of a bucket as if it listed what the newest report in `config.inventory` says, and that report.

    Raises `ConfigError` where there is no report of this bucket, `ListingUnfinished` for one that is damaged, and what
    reading raises; listing raises the same, and `MissingExtra`.
    """
    here = place(config, settings.environ)
    where = settings.store(config.inventory)
    if not where.name and where.url.partition("://")[0].lower() == here.scheme:
        where = replace(where, options=config.options)  # a cloud writes them to a bucket beside its own
    folder, manifest = folder_of(where)
    with closing(open_store(folder, settings.environ)) as reports:
        now = datetime.now(UTC) + timedelta(microseconds=store.clock_ahead_ns() // 1000)
        found = newest(reports, manifest, here, until=now + _AHEAD)
        at = found.report.created_at
        age = now - at
        if age < -_AHEAD:
            raise ListingUnfinished(
                f"the inventory report {found.url} is dated in the future: {at:%Y-%m-%d %H:%M} UTC",
                cure="Set this machine's clock if it is that; else remove the report, or name the manifest of another",
            )
        inventory = Inventory(url=found.url, created_at=at, age=max(age, timedelta()))
        yield cast("Store", _Reported(store, found, here, settings.home / "inventory")), inventory


class _Reported:
    """Everything else is the store's own, whatever methods it has."""

    def __init__(self, store: Store, found: Found, place: Place, unpacked: Path) -> None:
        self._store = store
        self._found = found
        self._place = place
        self._unpacked = unpacked

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry]:
        entries = self._entries(ordered=ordered)
        if not ordered:
            entries = sorted_entries(entries, where=self._found.url)
        with closing(entries):
            for entry in entries:
                if not start or keys.normal(entry.key) >= start:
                    yield entry

    def _entries(self, *, ordered: bool) -> Generator[Entry]:
        report = self._found.report
        with (
            own_folder(self._unpacked) as folder,
            Rows(report, self._place, folder) as rows,
        ):
            for file in report.files:
                here = folder / "file"
                fetch(self._found, file, here)
                rows.add(here, posixpath.basename(file.key))
                here.unlink()  # so that only one at a time takes room
            rows.check()
            try:
                shown = rows.rows(ordered=ordered)
            except TooMuch:
                yield from sorted_entries(self._shown(rows.rows(ordered=False)), where=self._found.url)
            else:
                yield from self._shown(shown)

    def _shown(self, rows: Generator[Row]) -> Generator[Entry]:
        last = None
        with closing(rows):
            for row in rows:
                if row.key == last:
                    raise ListingUnfinished(
                        f"the inventory report {self._found.url} shows '{keys.display(row.key)}' twice",
                        cure="Let it list the current versions only, or tell which they are",
                    )
                last = row.key
                if (entry := self._entry(row)) is not None:
                    yield entry

    def _entry(self, row: Row) -> Entry | None:
        """As the bucket's own listing would show it."""
        if not row.key:  # the folder itself, where the place is one in its bucket
            return None
        size, mtime_ns = storable_size(row.size), storable_ns(row.mtime_us * 1000)
        try:
            made = listed(
                *(row.key, size, mtime_ns, row.etag, row.md5),
                service=self._found.report.service,
                prefix=self._place.prefix,
            )
        except ValueError:
            raise ListingUnfinished(
                f"the inventory report tells an MD5 of '{keys.display(row.key)}' that is none", cure=AGAIN
            ) from None
        return Entry._make(made) if made is not None else None
