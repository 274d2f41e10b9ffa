"""An application's own table against what is there: read, told, never written."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from pymongo import MongoClient

import trueup
from trueup.cli import main
from trueup.config import StoreConfig
from trueup.errors import ConfigError, MissingExtra, TrueupError, UsageError
from trueup.reconcile import Source
from trueup.reconcile.report import ReconcileRun

HERE = """
[stores.media]
url = "media"
[reconcile]
grace = "{grace}"
[reconcile.references.shop]
{reference}
"""
QUERY = 'query = "select provider, key, size, md5 from uploads;"'


class Shop:
    """An application with a table `uploads` and a folder `media`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "media").mkdir()
        self.database = folder / "shop.db"
        self.execute("create table uploads (provider text, key text, size integer, md5 text, at text)")
        self.settings(f'database = "sqlite:///{self.database}"\n{QUERY}')

    def settings(self, reference: str, grace: str = "0s") -> None:
        (self.folder / "trueup.toml").write_text(HERE.format(reference=reference, grace=grace))

    def execute(self, statement: str, *values: object) -> None:
        with sqlite3.connect(self.database) as db:
            db.execute(statement, values)
        db.close()

    def upload(self, key: str, data: bytes = b"data", *, provider: str = "media", at: str | None = None) -> Path:
        path = self.folder / "media" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        md5 = hashlib.md5(data).hexdigest()
        self.execute("insert into uploads values (?, ?, ?, ?, ?)", provider, key, len(data), md5, at)
        return path


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def verdicts(run: ReconcileRun) -> dict[str, object]:
    return {str(item["key"]): item["verdict"] for item in run.items}


def test_every_difference_is_told_and_nothing_is_written(shop: Shop):
    paths = {key: shop.upload(key) for key in ("kept", "lost", "cut", "e\u0301", "é", "z z")}
    paths["lost"].unlink()
    paths["cut"].write_bytes(b"cu")
    (shop.folder / "media" / "foreign").write_bytes(b"?")
    before = shop.database.read_bytes()
    run = trueup.reconcile("shop")
    assert verdicts(run) == {"lost": "missing", "cut": "size_mismatch", "foreign": "orphan"}
    [report] = run.providers
    assert (run.status, run.exit_code, report.ledger, report.actual) == ("partial", 1, (6, 24), (6, 19))
    assert report.mismatch
    assert {item["fix"] for item in run.items} == {None}
    assert shop.database.read_bytes() == before
    assert not (shop.folder / "trueup.db").exists()


def test_rows_whose_upload_never_came_believe_in_nothing(shop: Shop):
    shop.upload("a")
    for key in (None, ""):
        shop.execute("insert into uploads values ('media', ?, null, null, null)", key)
    run = trueup.reconcile("shop")
    assert (run.status, run.items, run.providers[0].ledger.file_count) == ("ok", (), 1)


def test_what_agrees_is_told_as_well_and_orphans_alone_are_no_trouble(shop: Shop):
    shop.upload("a")
    (shop.folder / "media" / "thumbnail").write_bytes(b"?")
    run = trueup.reconcile("shop")
    assert (run.status, run.findings, verdicts(run)) == ("ok", False, {"thumbnail": "orphan"})


def test_rows_without_sizes_are_compared_by_their_number(shop: Shop):
    query = 'query = "select provider, key, nullif(size, 4) as size from uploads"'
    shop.settings(f'database = "sqlite:///{shop.database}"\n{query}')
    shop.upload("a")
    shop.upload("b", b"known")
    [report] = trueup.reconcile("shop").providers
    assert (report.ledger, report.actual, report.mismatch) == ((2, None), (2, 9), False)
    (shop.folder / "media" / "b").unlink()
    [report] = trueup.reconcile("shop").providers
    assert report.mismatch


def test_rows_may_come_from_anywhere_and_a_provider_without_any_is_looked_at(shop: Shop):
    rows = {"kept": "here", "lost": "here", "refused": "there"}

    def place(provider: str) -> StoreConfig:
        if provider == "there":
            raise TrueupError("nobody knows where that is")
        return StoreConfig(url="media" if provider == "here" else "empty")

    source = Source(
        name="photos",
        where="the photos",
        identity="photos",
        read=lambda: ({"provider": provider, "key": key} for key, provider in rows.items()),
        again=lambda _, keys: ({"provider": rows[key], "key": key} for key in keys if key in rows),
        place=place,
        providers=("nothing",),
    )
    (shop.folder / "empty").mkdir()
    for name in ("media/kept", "empty/foreign"):
        (shop.folder / name).write_bytes(b"data")
    run = trueup.reconcile(source)
    assert (run.name, run.status, verdicts(run)) == ("photos", "partial", {"lost": "missing", "foreign": "orphan"})
    assert [(report.provider, report.state) for report in run.providers] == [
        ("here", "known"),
        ("nothing", "known"),
        ("there", "unknown"),
    ]
    assert run.check_code == 1, "a check has not seen what is unknown"
    with pytest.raises(UsageError, match="rows of photos are an application's own"):
        trueup.reconcile(source, adopt_orphans=True)


def test_without_times_missing_needs_two_runs_one_grace_apart(shop: Shop):
    shop.settings(f'database = "sqlite:///{shop.database}"\n{QUERY}', grace="1s")
    path = shop.upload("a")
    path.unlink()
    assert verdicts(trueup.reconcile("shop", dry_run=True)) == {"a": "in_flight"}
    assert verdicts(trueup.reconcile("shop")) == {"a": "in_flight"}
    first = datetime.now(UTC)
    while datetime.now(UTC) - first < timedelta(seconds=1.1):
        pass
    assert verdicts(trueup.reconcile("shop")) == {"a": "missing"}
    path.write_bytes(b"data")  # it was only late
    trueup.reconcile("shop")
    path.unlink()
    assert verdicts(trueup.reconcile("shop")) == {"a": "in_flight"}


def test_with_times_a_young_row_is_in_flight(shop: Shop):
    query = 'query = "select provider, key, size, at as created_at from uploads"'
    shop.settings(f'database = "sqlite:///{shop.database}"\n{query}', grace="1h")
    shop.upload("young", at=datetime.now(UTC).isoformat()).unlink()
    shop.upload("old", at=(datetime.now(UTC) - timedelta(hours=2)).isoformat()).unlink()
    assert verdicts(trueup.reconcile("shop")) == {"young": "in_flight", "old": "missing"}


def test_a_row_that_was_removed_meanwhile_is_no_finding(shop: Shop):
    shop.upload("a").unlink()
    run = trueup.reconcile("shop", heard=lambda _: shop.execute("delete from uploads"))
    assert (run.status, run.items) == ("ok", ())


def test_one_place_may_be_named_for_all_rows(shop: Shop):
    shop.settings(
        f'database = "sqlite:///{shop.database}"\nprovider = "media"\nquery = "select key, size from uploads"'
    )
    shop.upload("a").unlink()
    assert verdicts(trueup.reconcile("shop")) == {"a": "missing"}


def test_the_uploads_of_rails_are_known(shop: Shop):
    shop.execute(
        "create table active_storage_blobs (id integer, key text, filename text, byte_size integer, checksum text,"
        " service_name text, created_at text)"
    )
    shop.settings(f'database = "sqlite:///{shop.database}"\npreset = "active-storage"')
    for key, data in (("good", b"data"), ("bad", b"DATA")):
        (shop.folder / "media" / key).write_bytes(data)
        checksum = base64.b64encode(hashlib.md5(b"data").digest()).decode()
        shop.execute(
            "insert into active_storage_blobs values (1, ?, 'f', 4, ?, 'media', '2026-01-01 00:00:00')", key, checksum
        )
    (shop.folder / "media" / "bad").write_bytes(b"data!")
    assert verdicts(trueup.reconcile("shop")) == {"bad": "size_mismatch"}


def test_a_table_in_postgresql_is_read_and_cannot_be_written(shop: Shop, new_database: Callable[[], str]):
    url = new_database()
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as db:
        db.execute(sa.text("create table uploads (provider text, key text, size bigint, md5 text, at timestamptz)"))
        for number in (1, 2, 3):
            values = f"'media', 'k{number}', 4, null, now() - interval '2 days'"
            db.execute(sa.text(f"insert into uploads values ({values})"))
    for name in ("k1", "k2"):
        (shop.folder / "media" / name).write_bytes(b"data")
    query = 'query = "select provider, key, size, at as created_at from uploads"'
    shop.settings(f'database = "{url}"\n{query}', grace="1h")
    assert verdicts(trueup.reconcile("shop")) == {"k3": "missing"}
    for hostile in ("delete from uploads returning provider, key, size", "select nextval('s') as size, 'a' as key"):
        with engine.begin() as db:
            db.execute(sa.text("create sequence if not exists s"))
        shop.settings(f'database = "{url}"\nquery = "{hostile}"')
        with pytest.raises(TrueupError, match="cannot be read"):
            trueup.reconcile("shop")
    with engine.connect() as db:
        assert db.scalar(sa.text("select count(*) from uploads")) == 3
    engine.dispose()


def test_a_collection_in_mongodb_is_read(shop: Shop, mongo_url: str):
    from pymongo import MongoClient

    with MongoClient(mongo_url) as client:
        client.get_default_database()["files"].insert_many(
            [{"storageProvider": "media", "path": name, "fileSize": 4} for name in ("a", "b")]
        )
    (shop.folder / "media" / "a").write_bytes(b"data")
    fields = '{ provider = "storageProvider", key = "path", size = "fileSize" }'
    shop.settings(f'database = "{mongo_url}"\ncollection = "files"\nfields = {fields}')
    assert verdicts(trueup.reconcile("shop")) == {"b": "missing"}


@pytest.mark.parametrize(
    ("reference", "error", "said"),
    [
        ('database = "sqlite:///nowhere/x.db"\n' + QUERY, TrueupError, "cannot be read"),
        ('database = "sqlite:///shop.db"\nquery = "select nonsense"', TrueupError, "no such column"),
        ('database = "sqlite:///shop.db"\nquery = "select 5 as key"', ConfigError, "without a usable key"),
        ('database = "sqlite:///shop.db"\nquery = "select \'a\' as key"', ConfigError, "where its objects are"),
        ('database = "sqlite:///shop.db"', ConfigError, "needs a query"),
        ('query = "select 1"', ConfigError, "has no database"),
        ('database = "x"\npreset = "nonsense"', ConfigError, "nonsense"),
        ('database = "mysql://u:hunter2@127.0.0.1:1/x"\n' + QUERY, (TrueupError, MissingExtra), "needs|cannot"),
    ],
)
def test_a_reference_that_cannot_be_used_is_said_so(shop: Shop, reference: str, error: type[TrueupError], said: str):
    shop.settings(reference)
    with pytest.raises(error, match=said) as caught:
        trueup.reconcile("shop")
    assert "hunter2" not in str(caught.value)


def test_an_unknown_reference_and_an_unknown_place_are_told(shop: Shop):
    with pytest.raises(ConfigError, match="Known: shop"):
        trueup.reconcile("nonsense")
    shop.upload("a", provider="elsewhere")
    run = trueup.reconcile("shop")
    assert (run.status, run.providers[0].state) == ("failed", "unknown")
    assert "elsewhere is not in the settings" in str(run.reason)


@pytest.mark.parametrize("database", ["postgresql://u:p@host:ge/heim@host/db", "mongodb://u:ge@heim:ge/heim@host/db"])
def test_a_url_that_is_none_is_refused_without_its_password(shop: Shop, database: str):
    rows = 'collection = "files"' if database.startswith("mongodb") else QUERY
    shop.settings(f'database = "{database}"\n{rows}')
    with pytest.raises(ConfigError, match="is no URL") as refused:
        trueup.reconcile("shop")
    assert "heim" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_a_file_that_is_not_there_is_not_made(shop: Shop):
    shop.settings(f'database = "sqlite:///typo.db"\n{QUERY}')
    with pytest.raises(TrueupError, match=r"typo\.db is not there"):
        trueup.reconcile("shop")
    assert not (shop.folder / "typo.db").exists()


def test_a_file_is_relative_to_the_settings_and_may_be_named_by_the_environment(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
):
    shop.upload("x")
    shop.settings(f'database = "sqlite:///shop.db"\nprovider = "media"\n{QUERY}')
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.setenv("TRUEUP_CONFIG", str(shop.folder / "trueup.toml"))
    monkeypatch.setenv("TRUEUP_STORES__MEDIA__URL", str(shop.folder / "media"))
    assert trueup.reconcile("shop").providers[0].verdicts == {"ok": 1}
    monkeypatch.delenv("TRUEUP_CONFIG")
    monkeypatch.setenv("SHOP", f"sqlite:///{shop.database}")
    monkeypatch.setenv("TRUEUP_RECONCILE__REFERENCES__SHOP__DATABASE", "env:SHOP")
    monkeypatch.setenv("TRUEUP_RECONCILE__REFERENCES__SHOP__QUERY", "select provider, key from uploads")
    assert trueup.reconcile("shop").providers[0].verdicts == {"ok": 1}


def test_a_table_without_rows_is_not_all_in_step(shop: Shop):
    with pytest.raises(TrueupError, match="gives no rows"):
        trueup.reconcile("shop")
    shop.settings(f'database = "sqlite:///{shop.database}"\nprovider = "media"\n{QUERY}')
    (shop.folder / "media" / "foreign").write_bytes(b"foreign")
    assert verdicts(trueup.reconcile("shop")) == {"foreign": "orphan"}


def test_a_query_may_end_in_a_comment(shop: Shop):
    shop.upload("x").unlink()
    shop.settings(
        f'database = "sqlite:///{shop.database}"\n'
        "query = \"select provider, key, size, '2020-01-01' as created_at from uploads -- all of them\""
    )
    assert verdicts(trueup.reconcile("shop")) == {"x": "missing"}


def test_whole_numbers_may_be_told_with_a_fraction_of_nothing(shop: Shop, mongo_url: str):
    shop.upload("x")
    shop.settings(f'database = "{mongo_url}"\ncollection = "files"')
    with MongoClient[dict[str, object]](mongo_url) as client:
        files = client.get_default_database()["files"]
        files.insert_one({"key": "x", "provider": "media", "size": 4.0})
        assert trueup.reconcile("shop").items == ()
        for wrong in (4.5, float("nan"), float("inf"), 1e300, True, "4"):
            files.update_one({}, {"$set": {"size": wrong}})
            with pytest.raises(ConfigError, match="usable key or size"):
                trueup.reconcile("shop")


def test_the_history_is_that_of_the_table(shop: Shop, capsys: pytest.CaptureFixture[str]):
    shop.upload("x").unlink()
    assert main(["reconcile", "shop", "--history"]) == 0
    assert capsys.readouterr().out == "no runs yet\n"
    for _ in range(3):
        assert main(["reconcile", "shop", "--quiet"]) == 1
    assert main(["reconcile", "shop", "--history"]) == 0
    told = capsys.readouterr()
    assert told.out.count("mismatch") == 3
    assert "media differed in each of its last three runs" in told.err


def test_a_history_of_no_table_is_refused(shop: Shop):
    assert main(["reconcile", "nobody", "--history"]) == 2
