"""What a reconcile of a million objects takes, beside merely listing them and merely reading their rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from bench import timing, tools
from bench.synthetic_s3 import etag_at, key_at, size_at

from trueup.catalog import database

KEYS = 1_000_000
SHARE = 1.5
MEMORY_MB = 150.0
_LISTING = (
    "import os, sys; from trueup.config import StoreConfig; from trueup.stores import open_store; "
    "print(sum(1 for _ in open_store(StoreConfig(url=sys.argv[1]), dict(os.environ)).list()))"
)
_ROWS = (
    "import sys; from trueup.catalog import open_catalog; "
    "print(sum(1 for _ in open_catalog(sys.argv[1], {}).corrections.rows('s3')))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """`listing` and `rows`: each alone; `both`: `trueup reconcile`, which finds nothing to do."""

    keys: int
    listing: timing.Timing
    rows: timing.Timing
    both: timing.Timing

    @property
    def share(self) -> float:
        """How much longer than one after the other."""
        return self.both.seconds / (self.listing.seconds + self.rows.seconds)


def measure(facts: Mapping[str, str], folder: Path, *, say: Callable[[str], None]) -> Reconciled:
    """One round, on SQLite."""
    say(f"reconciling {KEYS:,} objects …")
    home = folder / "reconciling"
    home.mkdir()
    url = f"sqlite:///{home / 'books.db'}"
    database.upgrade(url)
    _fill(url)
    (home / "trueup.toml").write_text(
        f'[database]\nurl = "{url}"\n[pool]\nquota = "1000TiB"\n[pool.providers.s3]\nurl = "s3://keys-{KEYS}-left"\n'
    )
    environ = tools.environ(facts, home)
    listing = timing.run([sys.executable, "-c", _LISTING, f"s3://keys-{KEYS}-left/"], environ, folder=home)
    rows = timing.run([sys.executable, "-c", _ROWS, url], environ, folder=home)
    both = timing.run(
        [str(tools.BIN / "trueup"), "reconcile", "--json", "--quiet", "--config", str(home / "trueup.toml")],
        environ,
        folder=home,
    )
    [told] = json.loads(both.output)["providers"]
    if told["verdicts"] != {"ok": KEYS} or told["mismatch"]:
        raise AssertionError(f"the reconcile found differences: {told}")
    return Reconciled(keys=KEYS, listing=listing, rows=rows, both=both)


def _fill(url: str) -> None:
    engine = sa.create_engine(url)
    at = datetime(2026, 1, 1)  # noqa: DTZ001 - all are UTC there
    with engine.begin() as db:
        rows = (
            {"key": key_at(number), "size": size_at(number), "md5": etag_at(number), "at": at} for number in range(KEYS)
        )
        with closing(db.connection.cursor()) as cursor:
            cursor.executemany(
                "insert into objects (key, provider, size, md5, created_at) values (:key, 's3', :size, :md5, :at)",
                ({**row, "at": str(row["at"])} for row in rows),
            )
        total = sum(map(size_at, range(KEYS)))
        db.execute(
            sa.text(
                "insert into storage_stats (provider, total_size_bytes, file_count, last_updated) "
                f"values ('s3', {total}, {KEYS}, '2026-01-01 00:00:00')"
            )
        )
    engine.dispose()
