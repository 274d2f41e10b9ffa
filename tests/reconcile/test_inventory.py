"""Books against an inventory report: what the report cannot know is asked of the cloud, or left in flight."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import trueup
from tests.servers import Bucket
from tests.stores import reports
from trueup.catalog import open_catalog
from trueup.catalog.base import STORED, Correction, Stored
from trueup.cli import main
from trueup.config import load
from trueup.errors import ConfigError, UsageError
from trueup.reconcile import clocks
from trueup.reconcile.report import ReconcileRun
from trueup.stores import open_store
from trueup.testing.looking import listing

LONG_AGO = timedelta(days=30)


class Shop:
    """An application's table of uploads, and the bucket they should be in."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self.folder = folder
        self.bucket = bucket
        options = "\n".join(f'{name} = "{value}"' for name, value in bucket.options.items())
        (folder / "trueup.toml").write_text(
            f'[stores.cloud]\nurl = "{bucket.url}"\ninventory = "reports"\n{options}\n'
            '[reconcile]\ngrace = "0s"\n[reconcile.references.shop]\n'
            f'database = "sqlite:///{folder}/shop.db"\n'
            "query = \"select 'cloud' as provider, key, size, at as created_at from uploads\"\n"
        )
        self.store = open_store(load().store("cloud"), {})
        with closing(sqlite3.connect(folder / "shop.db")) as db, db:
            db.execute("create table uploads (key text, size integer, at text)")

    def row(self, key: str, size: int = 4, age: timedelta = LONG_AGO) -> None:
        with closing(sqlite3.connect(self.folder / "shop.db")) as db, db:
            db.execute(
                "insert into uploads values (?, ?, ?)", (key, size, f"{datetime.now(UTC) - age:%Y-%m-%dT%H:%M:%SZ}")
            )

    def upload(self, key: str, data: bytes = b"data", age: timedelta = LONG_AGO) -> None:
        self.store.write(key, [data])
        self.row(key, len(data), age)

    def report(self, age: timedelta = reports.DAY_OLD) -> None:
        """What lies there now, as if it had lain there for long."""
        reports.s3(self.folder / "reports", self.bucket.name, self.old(), at=reports.ago(age))

    def old(self) -> list[Any]:
        then = round((datetime.now(UTC) - LONG_AGO).timestamp()) * 10**9
        return [entry._replace(mtime_ns=then) for entry in listing(self.store)]


@pytest.fixture
def shop(tmp_path: Path, seaweed_bucket: Bucket) -> Shop:
    return Shop(tmp_path, seaweed_bucket)


def verdicts(run: ReconcileRun) -> dict[str, object]:
    return {str(item["key"]): item["verdict"] for item in run.items}


def test_a_report_that_says_what_the_table_says_needs_no_listing(shop: Shop) -> None:
    for key in ("a", "b/c", "ü"):
        shop.upload(key)
    shop.report()
    run = trueup.reconcile("shop", inventory=True)
    [report] = run.providers
    assert (run.status, report.verdicts, report.actual, report.mismatch) == ("ok", {"ok": 3}, (3, 12), False)
    assert report.inventory is not None
    assert set(report.to_json()["inventory"]) == {"created_at", "age_seconds", "url"}
    assert run.summary()["providers"][0]["inventory"]["age_seconds"] >= reports.DAY_OLD.total_seconds()
    assert trueup.reconcile("shop").summary()["providers"][0]["inventory"] is None


def test_what_the_report_lacks_is_missing_only_if_the_cloud_lacks_it_too(shop: Shop) -> None:
    shop.upload("kept")
    shop.row("lost")
    shop.report()
    shop.upload("came since, by its row long ago")
    shop.upload("came since", age=timedelta(minutes=5))
    run = trueup.reconcile("shop", inventory=True)
    assert verdicts(run) == {"lost": "missing"}
    [report] = run.providers
    assert (report.verdicts, report.actual) == ({"ok": 3, "missing": 1}, (3, 12))


def test_what_changed_since_the_report_is_in_flight(shop: Shop) -> None:
    shop.upload("a")
    shop.row("young row", age=timedelta(hours=20))
    shop.row("old row", age=timedelta(hours=40))
    shop.report()
    shop.store.write("young orphan", [b"x"])
    shop.upload("overwritten", b"long ago")
    reports.s3(shop.folder / "reports", shop.bucket.name, shop.old(), at=reports.ago(timedelta(hours=29)))
    shop.store.write("overwritten", [b"since"])
    found = verdicts(trueup.reconcile("shop", inventory=True))
    # What was written since is young to the cloud itself; a row of 20 hours ago is younger than a report of 29.
    assert found == {"young row": "in_flight", "old row": "missing", "young orphan": "in_flight"}
    assert verdicts(trueup.reconcile("shop")) != found


def test_what_changed_since_the_report_is_in_flight_however_long_its_listing_takes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.row("written since", age=timedelta(hours=29))
    shop.row("written before", age=timedelta(hours=31))
    shop.report()

    def take_hours(_: str) -> None:
        monkeypatch.setattr(clocks, "here", lambda: datetime.now(UTC) + timedelta(hours=2))

    run = trueup.reconcile("shop", inventory=True, heard=take_hours)
    assert verdicts(run) == {"written since": "in_flight", "written before": "missing"}


def test_an_orphan_that_is_gone_by_now_is_none(shop: Shop) -> None:
    shop.upload("kept")
    shop.store.write("foreign", [b"?"])
    shop.store.write("removed", [b"?"])
    shop.report()
    shop.store.delete("removed")
    run = trueup.reconcile("shop", inventory=True)
    assert "removed" not in verdicts(run)
    assert set(verdicts(run)) == {"foreign"}
    [report] = run.providers
    assert report.actual == (2, 5)


def test_a_damaged_report_leaves_its_provider_unknown(shop: Shop) -> None:
    shop.upload("a")
    shop.report()
    for file in (shop.folder / "reports" / "data").iterdir():
        file.write_bytes(b"no")
    run = trueup.reconcile("shop", inventory=True)
    [report] = run.providers
    assert (run.status, run.exit_code, report.state, run.items) == ("failed", 1, "unknown", ())
    assert "Nothing was concluded from it" in str(report.reason)


def test_a_report_is_asked_for_only_where_there_are_some(shop: Shop, tmp_path: Path) -> None:
    shop.upload("a")
    path = tmp_path / "trueup.toml"
    path.write_text(path.read_text().replace('inventory = "reports"\n', ""))
    with pytest.raises(ConfigError, match="no provider has inventory reports"):
        trueup.reconcile("shop", inventory=True)


# The pool's own books


@pytest.fixture
def pool(tmp_path: Path, seaweed_bucket: Bucket) -> Shop:
    """A pool over a bucket with reports and a folder without."""
    made = Shop(tmp_path, seaweed_bucket)
    path = tmp_path / "trueup.toml"
    (tmp_path / "plain").mkdir()
    path.write_text(
        path.read_text() + '[pool]\nquota = "1MiB"\n[pool.providers.cloud]\nurl = "cloud"\n'
        '[pool.providers.plain]\nurl = "plain"\n'
    )
    return made


def book(pool: Shop, *rows: tuple[str, str]) -> None:
    """Rows of long ago."""
    settings = load()
    from trueup.pool.config import pool_config

    config = pool_config(settings)
    limits = {provider.name: provider.limits for provider in config.providers.values()}
    with closing(open_catalog(config.database, limits)) as catalog:
        for provider, key in rows:
            stored = Stored(provider, key, 4, "", datetime.now(UTC) - LONG_AGO)
            assert catalog.corrections.correct("b", "r", provider, [Correction(None, stored._replace(state=STORED))])


def books() -> list[Any]:
    with trueup.Pool.from_config() as held:
        return [*held.ls(), *held.stats().providers]


def test_the_pools_books_are_looked_at_by_reports_and_listings(
    pool: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.store.write("ok", [b"data"])
    (tmp_path / "plain" / "ok too").write_bytes(b"data")
    book(pool, ("cloud", "ok"), ("cloud", "lost"), ("plain", "ok too"))
    pool.report()
    before = books()
    assert main(["reconcile", "--check", "--inventory", "--json"]) == 5
    document = json.loads(capsys.readouterr().out)
    assert [(item["provider"], item["key"], item["verdict"]) for item in document["items"]] == [
        ("cloud", "lost", "missing")
    ]
    found = {provider["provider"]: provider["inventory"] for provider in document["providers"]}
    assert found["plain"] is None
    assert found["cloud"]["url"].endswith("/manifest.json")
    assert books() == before
    assert main(["reconcile", "--dry-run", "--inventory"]) == 0
    assert "as an inventory report of" in capsys.readouterr().out


def test_the_pools_books_are_never_changed_by_a_report(pool: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    pool.report()
    assert main(["reconcile", "--inventory"]) == 2
    assert "an old listing is no ground to change the books" in capsys.readouterr().err
    with pytest.raises(UsageError):
        trueup.reconcile(inventory=True, adopt_orphans=True)
