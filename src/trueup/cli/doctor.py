"""The checks of `trueup doctor`."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from trueup.cli import words
from trueup.cli.attending import looks
from trueup.cli.looking import Check, failed, together
from trueup.cli.ui import Ui, described
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from pathlib import Path

    from trueup.config import Settings, StoreConfig
    from trueup.stores.base import Entry, Store

LOOKED_AT: Final = 100
"""Entries of a listing that are looked at."""
CLOCK_TOLERANCE: Final = 2.0
"""Seconds: what a sync takes for no difference."""


def checks(ui: Ui, places: list[str]) -> Iterator[Check]:
    """Look at everything, the next thing when the caller asks for it."""
    try:
        settings = ui.settings()
    except TrueupError as error:
        yield failed("settings", error)
        return
    yield _settings(settings)
    yield from _state(settings)
    for name in places or settings.stores:
        # A word on the command line may be a store's name; a name out of the settings always is.
        yield from _place(name, settings.store(name), settings, ui)
    if places:
        return
    if {"pool", "database"} & settings.sections.keys():
        yield from _pool(settings, ui)
    for name in _takers(settings):
        yield from _ingest(name, settings, ui)
    yield from together(looks(settings))


def _pool(settings: Settings, ui: Ui) -> Iterator[Check]:
    """The database, and the providers that were not looked at by the name of their store."""
    from trueup.catalog.database import check, database_of
    from trueup.pool.config import pool_config

    yield from together(
        {"database": lambda: [Check(name="database", status="ok", detail=check(database_of(settings)))]}
    )
    try:
        providers = pool_config(settings).providers
    except TrueupError as error:
        if "pool" in settings.sections:
            yield failed("pool", error)
        return
    seen = [settings.store(name) for name in settings.stores]
    for name, provider in providers.items():
        if provider.store not in seen:
            seen.append(provider.store)
            yield from _place(f"pool {name}", provider.store, settings, ui)


def _ingest(name: str, settings: Settings, ui: Ui) -> Iterator[Check]:
    """A job that takes files: its handler, its places, its database."""
    from trueup.catalog.database import check_processed
    from trueup.ingest.config import ingest_config
    from trueup.ingest.handler import load_handler

    job = f"ingest {name}"
    try:
        config = ingest_config(name, settings)
        load_handler(config)
    except TrueupError as error:
        yield failed(job, error)
        return
    yield _taken_into(job, config.into, config.handler)
    if config.source not in map(settings.store, settings.stores):
        yield from _place(f"{job} source", config.source, settings, ui)
    try:
        yield Check(name=f"{job} database", status="ok", detail=check_processed(config.database))
    except TrueupError as error:
        yield failed(f"{job} database", error)


def _taken_into(job: str, folder: Path, handler: str) -> Check:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Check(name=job, status="fail", detail=f"{there} cannot be written to", cure="Let this user write there")
    what = f"{folder} is writable" if there == folder else f"{folder} is made when it is first used"
    return Check(name=job, status="ok", detail=f"{what}; {f'{handler} is found' if handler else 'no handler'}")


def _takers(settings: Settings) -> list[str]:
    section = settings.sections.get("ingest")
    return list(section) if isinstance(section, dict) else []


def _settings(settings: Settings) -> Check:
    jobs = len(settings.jobs) + len(_takers(settings))
    found = f"{words.number(len(settings.stores), 'store')}, {words.number(jobs, 'job')}"
    if settings.path is not None:
        detail = f"{settings.path}: {found}"
    elif settings.stores or jobs:
        detail = f"no settings file; from the environment: {found}"
    else:
        detail = "no settings file; trueup init writes one"
    return Check(name="settings", status="ok", detail=detail)


def _state(settings: Settings) -> Iterator[Check]:
    from trueup.sync.pairs import state_files

    home = settings.home
    files = [*state_files(home), *home.glob("runs.db")]
    damaged = [check for path in files if (check := _damage(path)) is not None]
    yield _folder(home, len(files) - len(damaged))
    yield from damaged


def _folder(home: Path, sound: int) -> Check:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(b"trueup")
    except OSError as error:
        return Check(
            name="state",
            status="fail",
            detail=f"{home} cannot be written: {error.strerror}",
            cure="Name another folder with TRUEUP_HOME",
        )
    free = os.statvfs(home) if hasattr(os, "statvfs") else None
    room = f", {words.size(free.f_bavail * free.f_frsize)} free" if free else ""
    files = f"; {words.number(sound, 'state file')} {'is' if sound == 1 else 'are'} sound" if sound else ""
    return Check(name="state", status="ok", detail=f"{home} is writable{room}{files}")


def _damage(path: Path) -> Check | None:
    """What is wrong with a state file or the history, which are read through and not changed."""
    from trueup.runs import unusable_history
    from trueup.sync.state import SCHEMA_VERSION, unusable

    is_history = path.name == "runs.db"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            why = str(db.execute("pragma quick_check(1)").fetchone()[0])
            if why == "ok" and path.stat().st_size:
                db.execute("select run from runs limit 1")
            newer = not is_history and db.execute("pragma user_version").fetchone()[0] > SCHEMA_VERSION
    except (sqlite3.Error, OSError) as error:
        why, newer = str(error), False
    if newer:
        detail, cure = f"the state file {path} was written by a newer trueup", "Update trueup, or move the file away"
        return Check(name=path.name, status="fail", detail=detail, cure=cure)
    if why == "ok":
        return None
    return failed(path.name, unusable_history(path, why) if is_history else TrueupError(unusable(path, why)))


def _place(name: str, config: StoreConfig, settings: Settings, ui: Ui) -> Iterator[Check]:
    from trueup.stores import open_store

    try:
        with closing(open_store(config, settings.environ)) as store:
            found = _listed(name, store)
            yield found
            if found.status != "fail":
                clock = _clock(name, store)
                if clock.status != "ok" or ("://" in store.url and not store.url.startswith("file:")):
                    yield clock
    except Exception as error:  # noqa: BLE001 - a check that breaks is a failed check, and the others go on
        yield replace(failed(name, error), detail=ui.clean(described(error).message))


def _listed(name: str, store: Store) -> Check:
    from trueup.stores.base import OutOfOrder

    began = time.monotonic()
    if not store.exists():
        return Check(
            name=name,
            status="fail",
            detail=f"{store.url} is not there",
            cure="A sync creates a missing target folder; a source must be there"
            if store.features.tree
            else "Create the bucket first",
        )
    entries: list[Entry] = []
    with closing(store.list()) as listing, suppress(OutOfOrder):  # a sync would sort; what came first will do here
        entries.extend(islice(listing, LOOKED_AT + 1))
    took = time.monotonic() - began
    more = len(entries) > LOOKED_AT
    amount = f"at least {LOOKED_AT:,} files" if more else words.number(len(entries), "file") if entries else "empty"
    detail = f"{store.url}: {amount}, answered in {words.duration(took)}"
    unseen = [entry for entry in entries if entry.fault in {"unreadable", "unaddressable"}]
    if unseen:
        return Check(name=name, status="warn", detail=f"{detail}; {unseen[0].key}: {unseen[0].detail}")
    return Check(name=name, status="ok", detail=detail)


def _clock(name: str, store: Store) -> Check:
    ahead = store.clock_ahead_ns() / 1e9
    where = f"{name} clock"
    if abs(ahead) < CLOCK_TOLERANCE:
        return Check(name=where, status="ok", detail="no difference that matters")
    side = "ahead of" if ahead > 0 else "behind"
    return Check(
        name=where,
        status="warn",
        detail=f"{words.duration(abs(ahead))} {side} this machine; --prefer newer corrects it",
        cure="Set the clocks by NTP if both are yours",
    )
