"""A URL into the pool: its bytes to a file, the file into the pool, and a record of it all.

A record that is `running` shuts out everybody else who would fetch the same URL. While somebody is at work it shows a
sign of life each minute. What a killed process leaves, the next fetch of the URL on the same machine goes on with:
the bytes it has, or the object that it had already put.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import urldefrag, urlsplit, urlunsplit

from trueup.catalog.base import Download, Downloads, Stored, now
from trueup.downloads import http, site
from trueup.downloads.base import Fetched as File
from trueup.downloads.config import DownloadsConfig
from trueup.errors import StoreError
from trueup.runs import run_lock
from trueup.urls.target import Target
from trueup.urls.watch import Heard

ABANDONED: Final = timedelta(minutes=10)
"""Without a sign of life for this long nobody is at work any more."""
_SIGNS: Final = 60.0
"""Seconds between two signs of life."""
_WORTH_SIGNING: Final = timedelta(minutes=1)
"""What is removed sooner than this is fetched again."""


class Holder(Protocol):
    """Where the bytes go: the pool."""

    def require_room(self, size: int) -> None:
        """Raises `PoolFull` when nobody has room for so many bytes."""
        ...

    def put(self, source: Path, key: str, *, idempotency: str) -> Stored:
        """Store a file; once more with the same `idempotency` is the same object."""
        ...

    def known(self, idempotency: str) -> Stored | None:
        """The object of an earlier `put`."""
        ...

    def held(self, key: str, provider: str) -> Stored | None:
        """An object that is on the books and in its cloud; None where nobody could hand it out. Raises `StoreError`
        when the cloud does not say."""
        ...

    def delete(self, key: str, provider: str | None = None) -> None:
        """Remove an object. Raises `NotFound`."""
        ...


class Fetched(NamedTuple):
    """What a URL came to."""

    download: Download
    stored: Stored
    new: bool
    """False where it had been fetched before, and is still there."""

    @property
    def source(self) -> str:
        """The URL it came from, without user and password."""
        return urldefrag(self.download.url).url

    def left(self, keep: timedelta) -> timedelta:
        """How long it stays, when it is kept for `keep`."""
        return self.download.updated_at + keep - now()


class Fetcher:
    """Fetches URLs into a pool. Safe to use from many threads and processes at once."""

    def __init__(self, downloads: Downloads, holder: Holder, config: DownloadsConfig, home: Path) -> None:
        self._downloads = downloads
        self._holder = holder
        self._config = config
        self._home = home

    def fetch(self, url: str, heard: Heard = lambda _done, _total: None) -> Fetched:
        """Fetch a URL, or find it among what was fetched. Raises `FetchError`, `AddressRefused`, `Busy` when somebody
        is at it, `UsageError` for what is no URL, `PoolFull` and `StoreError`."""
        named = recorded_name(url)
        if found := self._before(named):
            return found
        folder = folder_of(self._home, named)
        with run_lock(folder / "lock", run="", what="this URL is being fetched already"):
            fetched = self._over(folder) or self._now(url, named, folder, heard)
            shutil.rmtree(folder, ignore_errors=True)
            return fetched

    def check(self, url: str) -> None:
        """Raise `UsageError` for what is no URL that could be fetched. Nothing is asked."""
        Target.parse(url)

    def ls(self) -> list[Download]:
        """The newest records."""
        return self._downloads.ls()

    def get(self, download: str) -> Download | None:
        """One record."""
        return self._downloads.get(download)

    def forget(self, download: str) -> None:
        """Remove a record; its object stays."""
        self._downloads.remove(download)

    def _before(self, url: str) -> Fetched | None:
        """The object of an earlier fetch, where it is still there and stays for a while."""
        found = self._downloads.latest(url)
        if found is None:
            return None
        stored = self._holder.held(found.key, found.provider)
        if stored is None:
            return None
        fetched = Fetched(found, stored, new=False)
        return fetched if fetched.left(self._config.keep) > _WORTH_SIGNING else None

    def _over(self, folder: Path) -> Fetched | None:
        """What a fetch of this URL came to whose process died here: it holds the lock no more."""
        note = folder / "record"
        if not note.exists():
            return None
        died = note.read_text("utf-8")
        stored = self._holder.known(died)
        if stored is not None and self._complete(died, stored):
            found = self._downloads.get(died)
            if found is not None:
                return Fetched(found, stored, new=True)
        self._downloads.fail(died, "its process died")
        note.unlink()
        return None

    def _now(self, url: str, named: str, folder: Path, heard: Heard) -> Fetched:
        record = self._downloads.begin(named, abandoned_before=now() - ABANDONED)
        (folder / "record").write_text(record.id, "utf-8")
        try:
            with self._alive(record):
                file = self._get(url, folder, heard)
                stored = self._holder.put(file.path, f"downloads/{record.id}/{file.name}", idempotency=record.id)
                if not self._complete(record.id, stored):
                    self._holder.delete(stored.key, stored.provider)
                    raise StoreError("somebody took this fetch for abandoned, and its object was removed again")
        except BaseException as error:
            self._downloads.fail(record.id, str(error) or type(error).__name__)
            (folder / "record").unlink(missing_ok=True)
            raise
        return Fetched(self._downloads.get(record.id) or record, stored, new=True)

    def _complete(self, record: str, stored: Stored) -> bool:
        return self._downloads.complete(record, provider=stored.provider, key=stored.key, size=stored.size)

    def _get(self, url: str, folder: Path, heard: Heard) -> File:
        promised = False

        def hear(done: int, total: int | None) -> None:
            nonlocal promised
            if total is not None and not promised:  # sooner said than when all of it is here
                self._holder.require_room(total)
                promised = True
            heard(done, total)

        fetch = site.fetch if site.knows(url) else http.fetch
        return fetch(url, folder, self._config.rules, heard=hear)

    @contextmanager
    def _alive(self, record: Download) -> Iterator[None]:
        over = threading.Event()

        def tell() -> None:
            while not over.wait(_SIGNS):
                self._downloads.alive(record.id)

        thread = threading.Thread(target=tell, name="download", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def recorded_name(url: str) -> str:
    """What a URL is called in its record: without what stands before its host. Who logs in may get what nobody else
    does, so the same URL with a user is another name. Raises `UsageError` for what is no URL."""
    credentials = Target.parse(url).private.get("Authorization", "")
    parts = urlsplit(url)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    if not credentials:
        return plain
    # Slow on purpose: whoever reads the database must not find a weak password by trying many.
    digest = hashlib.scrypt(credentials.encode(), salt=plain.encode(), n=1 << 14, r=8, p=1, dklen=8)
    return f"{plain}#user-{digest.hex()}"


def folder_of(home: Path, url: str) -> Path:
    """Where the bytes of a URL lie until they are in the pool."""
    return home / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:32]
