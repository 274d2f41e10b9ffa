"""`trueup pool` and `trueup db`: several clouds as one place, and the database that keeps its books."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup import keys
from trueup.cli import words
from trueup.cli.command import command, shared
from trueup.cli.help import HelpfulGroup
from trueup.cli.ui import Ui

if TYPE_CHECKING:
    from trueup.catalog.base import Stored
    from trueup.pool import Pool

_Key = Annotated[str, typer.Argument(metavar="KEY", help="The object's name in the pool.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    pool = typer.Typer(
        help="Several clouds as one place, each under its quota.", epilog="trueup pool put video.mp4", cls=HelpfulGroup
    )
    shared(pool)
    command(pool, "trueup pool put video.mp4", "pg_dump app | trueup pool put - dumps/today.sql")(put)
    command(pool, "trueup pool get video.mp4 .")(get)
    command(pool, "trueup pool rm video.mp4", name="rm")(remove)
    command(pool, "trueup pool url video.mp4 --ttl 1h")(url)
    command(pool, "trueup pool ls --json", name="ls")(list_objects)
    command(pool, "trueup pool stats")(stats)
    command(pool, "trueup pool sweep")(sweep)
    app.add_typer(pool, name="pool")
    db = typer.Typer(help="The database.", epilog="trueup db upgrade", cls=HelpfulGroup)
    shared(db)
    command(db, "trueup db upgrade")(upgrade)
    app.add_typer(db, name="db")


def put(
    ui: Ui,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A file, or - for standard input.", show_default=False)],
    key: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="Its name in the pool; the file's own by default.", show_default=False),
    ] = None,
    *,
    idempotency_key: Annotated[
        str,
        typer.Option(
            "--idempotency-key",
            metavar="T",
            help="A name of your own for this upload: once more with it is the same object.",
            show_default=False,
        ),
    ] = "",
) -> int:
    """Upload a file to a provider that has room, and print its URL."""
    from trueup.errors import UsageError

    if file == "-" and not key:
        raise UsageError("standard input has no name", cure="Give a KEY: trueup pool put - dumps/today.sql")
    for text in (key or "", idempotency_key):
        _require_text(text)
    with open_pool(ui) as pool:
        stored = pool.put(sys.stdin.buffer if file == "-" else file, key or "", idempotency=idempotency_key)
        url, ends = pool.signed(stored)
    ui.out(f"{keys.display(stored.key)}  {words.size(stored.size)}  at {stored.provider}")
    if url:
        ui.out(url)
    ui.document(
        {
            "key": stored.key,
            "provider": stored.provider,
            "url": url or None,
            "size": stored.size,
            "md5": stored.md5,
            "expires_at": time_of(ends) if ends is not None else None,
        }
    )
    return 0


def get(
    ui: Ui,
    key: _Key,
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="A file, or a folder.", show_default=False)],
) -> int:
    """Download an object."""
    _require_text(key)
    with open_pool(ui) as pool:
        stored, path = pool.get(key, dest)
    ui.out(f"{keys.display(str(path))}  {words.size(stored.size)}  from {stored.provider}")
    ui.document(_document(stored) | {"path": str(path)})
    return 0


def remove(ui: Ui, key: _Key) -> int:
    """Remove an object from its cloud and from the books."""
    _require_text(key)
    with open_pool(ui) as pool:
        pool.delete(key)
    ui.out(f"removed {keys.display(key)}")
    ui.document({"key": key, "removed": True})
    return 0


def url(
    ui: Ui,
    key: _Key,
    *,
    ttl: Annotated[
        str | None,
        typer.Option("--ttl", metavar="TIME", help="How long it works, like 1h [24h].", show_default=False),
    ] = None,
) -> int:
    """Print a URL that reads one object for a while, and can do nothing else."""
    from trueup.config import parse_seconds

    _require_text(key)
    age = timedelta(seconds=parse_seconds(ttl, where="--ttl")) if ttl is not None else None
    with open_pool(ui) as pool:
        found, ends = pool.link(key, ttl=age)
    ui.out(found)
    ui.document({"key": key, "url": found, "expires_at": time_of(ends) if ends is not None else None})
    return 0


def list_objects(ui: Ui) -> int:
    """List every object by its name."""
    from trueup.catalog.base import MISSING

    listed = []
    with open_pool(ui) as pool:
        for stored in pool.ls():
            missing = ("  missing", "yellow") if stored.state == MISSING else ""
            ui.out(f"{keys.display(stored.key)}  {words.size(stored.size)}  ", (stored.provider, "dim"), missing)
            if ui.common.json:
                listed.append(_document(stored))
    ui.document({"objects": listed})
    return 0


def stats(ui: Ui) -> int:
    """Print what each provider holds, from the books."""
    with open_pool(ui) as pool:
        found = pool.stats()
    width = max(len(row.provider) for row in found.providers)
    for row in found.providers:
        held = f"{words.size(row.total_size_bytes):>10}  {words.number(row.file_count, 'file'):>10}"
        ui.out(
            f"{row.provider:<{width}}  {held}  {row.used_percentage:5.1f} %  {words.size(row.available_bytes)} free",
            ("  full" if row.is_full else "", "yellow"),
        )
    ui.document(found.model_dump())
    return 0


def sweep(ui: Ui) -> int:
    """Settle what crashed uploads left, remove what is past its age (downloads too), and send alerts."""
    with open_pool(ui) as pool:
        swept = pool.sweep()
    for problem in swept.problems:
        ui.say(f"warning: {problem}")
    removed, downloads = words.number(swept.removed, "object"), words.number(swept.downloads, "download")
    aborted, told = words.number(swept.aborted, "leftover"), words.number(swept.told, "alert")
    ui.out(
        f"{swept.committed} uploads finished, {swept.released} given up, {removed} removed, "
        f"{aborted} thrown away, {downloads} tidied up, {told} sent"
    )
    ui.document(asdict(swept))
    return 1 if swept.problems else 0


def upgrade(ui: Ui) -> int:
    """Bring the tables of the database up to date, and of those that jobs have of their own. A SQLite file is brought
    up to date by itself."""
    from trueup.catalog.database import database_of, upgrade
    from trueup.ingest.config import databases

    settings = ui.settings()
    shared = database_of(settings)
    for own in {*databases(settings)} - {shared}:
        upgrade(own)
    revision = upgrade(shared)
    ui.out(f"the database is at revision {revision}")
    ui.document({"revision": revision})
    return 0


def open_pool(ui: Ui) -> Pool:
    """The pool of the settings, with a warning for each provider that cannot be used."""
    from trueup.pool import Pool

    pool = Pool.from_config(ui.settings())
    for name, problem in pool.problems.items():
        ui.warn(f"the provider {name} cannot be used: {problem}")
    return pool


def _require_text(word: str) -> None:
    """Raise `UsageError` for a word that no database can keep: a byte that is no UTF-8 arrives as half a character."""
    from trueup.errors import UsageError

    if any("\ud800" <= char <= "\udfff" for char in word):
        raise UsageError(f"'{keys.display(word)}' is not valid Unicode", cure="Write it in UTF-8")


def _document(stored: Stored) -> dict[str, object]:
    return {
        "key": stored.key,
        "provider": stored.provider,
        "size": stored.size,
        "md5": stored.md5,
        "created_at": time_of(stored.created_at),
        "state": stored.state,
    }


def time_of(at: datetime) -> str:
    """RFC 3339, UTC."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
