"""One job, opened: its places, its database, what it knows."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from trueup.catalog.database import open_processed
from trueup.catalog.sql.processed import Processed
from trueup.config import Settings
from trueup.errors import ConfigError, StoreError
from trueup.filters import Scope
from trueup.ingest.config import IngestConfig, ingest_config
from trueup.ingest.handler import Handler, load_handler
from trueup.ingest.memory import Memory
from trueup.stores import open_store
from trueup.stores.base import Store
from trueup.stores.local import LocalStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything a pass works with."""

    config: IngestConfig
    settings: Settings
    scope: Scope
    source: Store
    local: LocalStore
    processed: Processed
    handler: Handler
    memory: Memory


@contextmanager
def opened(name: str, settings: Settings, memory: Memory, *, copy: bool = False) -> Iterator[Job]:
    """Open a job. With `copy` nothing that is written to its database lasts. Raises `ConfigError`, `MissingExtra` and
    `TrueupError`."""
    config = ingest_config(name, settings)
    scope = Scope(config.include, config.exclude, where=f"[ingest.{name}] {{}}")
    handler = load_handler(config)
    with ExitStack() as stack:
        local = stack.enter_context(closing(LocalStore(config.into)))
        source = stack.enter_context(closing(open_store(config.source, settings.environ)))
        _refuse_overlap(source.url, local.url, name)
        url = stack.enter_context(_copied(config.database)) if copy else config.database
        processed = stack.enter_context(closing(open_processed(url, name)))
        if config.skip_duplicates and not copy:
            processed.index_bytes()
        yield Job(
            config=config,
            settings=settings,
            scope=scope,
            source=source,
            local=local,
            processed=processed,
            handler=handler,
            memory=memory,
        )


def make_folder(job: Job) -> None:
    """Make the local folder, and see that it can be written to: else each file would fail for it. Raises
    `StoreError`."""
    job.local.create()
    if not os.access(job.local.root, os.W_OK | os.X_OK):
        raise StoreError(f"the folder {job.local.root} cannot be written to", cure="Let this user write there")


def _refuse_overlap(source: str, local: str, name: str) -> None:
    here, there = (f"{url.rstrip('/')}/" for url in (local, source))
    if here.startswith(there) or there.startswith(here):
        raise ConfigError(
            f"[ingest.{name}] source and into overlap: {source} and {local}", cure="Take files into another folder"
        )


@contextmanager
def _copied(url: str) -> Iterator[str]:
    """A database of the same content that goes at the end; only of a file, whose tables may have to be brought up to
    date before they can be read. Elsewhere nothing is written anyway."""
    path = url.removeprefix("sqlite:///")
    if path == url:
        yield url
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="trueup-") as folder:
        copy = Path(folder) / "copy.db"
        if Path(path).exists():
            read_only = f"{Path(path).absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(read_only, uri=True)) as origin, closing(sqlite3.connect(copy)) as target:
                origin.backup(target)
        yield f"sqlite:///{copy}"
