"""What the catalog keeps, against real databases: every suite on each."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from trueup.catalog import database, open_catalog
from trueup.catalog.base import Catalog, Downloads, Ledger, RunLog, now
from trueup.catalog.sql import migrate
from trueup.catalog.sql.tables import metadata
from trueup.cli import main
from trueup.errors import ConfigError, DatabaseUnavailable, TrueupError
from trueup.testing import corrections
from trueup.testing.corrections import CorrectionsContract
from trueup.testing.downloads import DownloadsContract
from trueup.testing.ledger import LIMITS, LedgerContract
from trueup.testing.locks import LocksContract
from trueup.testing.outbox import ALERTED, OutboxContract
from trueup.testing.runlog import RunLogContract
from trueup.testing.tasks import TasksContract


class Ledgers(LedgerContract):
    @pytest.fixture
    def ledger(self, database_url: str) -> Iterator[Ledger]:
        self.url = database_url
        self.opened: list[Catalog] = []
        yield self.again()
        for catalog in self.opened:
            catalog.close()

    def again(self) -> Ledger:
        self.opened.append(open_catalog(self.url, LIMITS))
        return self.opened[-1].ledger


class Corrected(CorrectionsContract):
    @pytest.fixture
    def catalog(self, database_url: str) -> Iterator[Catalog]:
        self.url = database_url
        self.opened: list[Catalog] = []
        yield self.again()
        for catalog in self.opened:
            catalog.close()

    def again(self) -> Catalog:
        self.opened.append(open_catalog(self.url, corrections.LIMITS))
        return self.opened[-1]


class Outboxes(OutboxContract):
    @pytest.fixture
    def catalog(self, database_url: str) -> Iterator[Catalog]:
        with closing(open_catalog(database_url, ALERTED)) as catalog:
            yield catalog


class Records(DownloadsContract):
    @pytest.fixture
    def downloads(self, database_url: str) -> Iterator[Downloads]:
        with closing(open_catalog(database_url, {})) as catalog:
            yield catalog.downloads


class Histories(RunLogContract):
    @pytest.fixture
    def runs(self, database_url: str) -> Iterator[RunLog]:
        with closing(open_catalog(database_url, {})) as catalog:
            yield catalog.runs


class Locked(LocksContract):
    @pytest.fixture
    def catalog(self, database_url: str) -> Iterator[Catalog]:
        with closing(open_catalog(database_url, {})) as catalog:
            yield catalog


class Queued(TasksContract):
    @pytest.fixture
    def catalog(self, database_url: str) -> Iterator[Catalog]:
        with closing(open_catalog(database_url, {})) as catalog:
            yield catalog


class Versions:
    def test_whoever_writes_makes_another_version_where_there_are_any(self, database_url: str) -> None:
        with closing(open_catalog(database_url, LIMITS)) as one, closing(open_catalog(database_url, LIMITS)) as other:
            for number, writer in enumerate((one, other, one)):
                before = one.version()
                assert one.ledger.usage()
                assert one.version() == before
                writer.downloads.begin(f"https://example.com/{number}", abandoned_before=now())
                assert (one.version() == before) == (before is None)
            assert (before is None) == (not database_url.startswith("sqlite"))


class Sqlite:
    @pytest.fixture
    def database_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'pool.db'}"


class Postgres:
    @pytest.fixture
    def database_url(self, postgres_url: str) -> str:
        with pytest.raises(TrueupError, match="trueup db upgrade"):
            open_catalog(postgres_url, LIMITS)
        assert database.upgrade(postgres_url) == database.upgrade(postgres_url) == migrate.HEAD
        return postgres_url


class Mongo:
    @pytest.fixture
    def database_url(self, mongo_url: str) -> str:
        return mongo_url


class TestSqliteLedger(Sqlite, Ledgers):
    pass


class TestSqliteCorrections(Sqlite, Corrected):
    pass


class TestSqliteOutbox(Sqlite, Outboxes):
    pass


class TestSqliteDownloads(Sqlite, Records):
    pass


class TestSqliteRunLog(Sqlite, Histories):
    pass


class TestSqliteLocks(Sqlite, Locked):
    pass


class TestSqliteTasks(Sqlite, Queued):
    pass


class TestSqliteVersions(Sqlite, Versions):
    pass


class TestPostgresLedger(Postgres, Ledgers):
    pass


class TestPostgresCorrections(Postgres, Corrected):
    pass


class TestPostgresOutbox(Postgres, Outboxes):
    pass


class TestPostgresDownloads(Postgres, Records):
    pass


class TestPostgresRunLog(Postgres, Histories):
    pass


class TestPostgresLocks(Postgres, Locked):
    pass


class TestPostgresTasks(Postgres, Queued):
    pass


class TestPostgresVersions(Postgres, Versions):
    pass


class TestMongoLedger(Mongo, Ledgers):
    pass


class TestMongoCorrections(Mongo, Corrected):
    many = 520  # what speaks its protocol here takes its time


class TestMongoOutbox(Mongo, Outboxes):
    pass


class TestMongoDownloads(Mongo, Records):
    pass


class TestMongoRunLog(Mongo, Histories):
    pass


class TestMongoLocks(Mongo, Locked):
    pass


class TestMongoTasks(Mongo, Queued):
    pass


class TestMongoVersions(Mongo, Versions):
    pass


def test_a_server_that_was_restarted_meanwhile_is_found_again(postgres_url: str) -> None:
    database.upgrade(postgres_url)
    with closing(open_catalog(postgres_url, LIMITS)) as catalog:
        before = catalog.ledger.usage()
        engine = sa.create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
        others = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        with engine.connect() as db:
            assert db.scalar(sa.text(f"select count(pg_terminate_backend(pid)) {others}"))
        engine.dispose()
        time.sleep(1.1)
        assert catalog.ledger.usage() == before


def test_doctor_says_what_a_shared_database_needs(
    postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trueup.toml").write_text(f'[database]\nurl = "{postgres_url}"\n')
    settings = ("--config", str(tmp_path / "trueup.toml"))
    assert main(["doctor", *settings]) == 1
    said = capsys.readouterr().out
    assert "has no tables of trueup yet" in said
    assert "Run: trueup db upgrade" in said
    assert main(["db", "upgrade", *settings]) == main(["doctor", *settings]) == 0
    assert "is up to date, at revision" in capsys.readouterr().out


def test_the_migrations_make_the_tables_that_the_code_names(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'pool.db'}"
    database.upgrade(url)
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = sa.create_engine(url)
    with engine.connect() as db:
        assert compare_metadata(MigrationContext.configure(db), metadata) == []
    engine.dispose()


def test_totals_of_an_application_that_had_books_are_taken_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'pool.db'}"
    engine = sa.create_engine(url)
    metadata.tables["storage_stats"].create(engine)
    with engine.begin() as db:
        db.execute(
            sa.text(
                "insert into storage_stats (provider, total_size_bytes, file_count, unowned_count, unowned_bytes, "
                "last_updated) values ('a', 900, 3, 3, 900, '2026-01-01 00:00:00.000000')"
            )
        )
    engine.dispose()
    catalog = open_catalog(url, LIMITS)
    [first, _] = catalog.ledger.usage()
    assert (first.total_size_bytes, first.file_count, first.unowned_bytes) == (900, 3, 900)
    assert first.room(1000) == 100
    catalog.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "no database URL"),
        ("sqlite://p.db", "no database URL"),
        ("mysql://h/d", "names mysql"),
        ("sqlite:////nowhere/at/all.db", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_said_so(url: str, said: str) -> None:
    with pytest.raises((ConfigError, TrueupError), match=said):
        open_catalog(url, LIMITS)


def test_what_may_pass_by_itself_is_worth_a_retry(tmp_path: Path) -> None:
    file = tmp_path / "pool.db"
    with closing(open_catalog(f"sqlite:///{file}", LIMITS, patience=0.05)) as catalog:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("begin immediate")
            with pytest.raises(DatabaseUnavailable, match="database is locked"):
                catalog.tasks.put("t1", "job", {}, "alone")
            other.execute("drop table job_runs")
            other.execute("commit")
        with pytest.raises(TrueupError, match="no such table") as caught:
            catalog.tasks.put("t1", "job", {}, "alone")
        assert not caught.value.retryable


@pytest.mark.parametrize("port", ["1", "abc"])
def test_a_password_is_not_shown(port: str) -> None:
    with pytest.raises(TrueupError) as caught:
        open_catalog(f"postgresql://me:hunter2@127.0.0.1:{port}/d", LIMITS)
    assert "hunter2" not in str(caught.value)


def test_a_database_of_a_newer_version_is_said_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'pool.db'}"
    database.upgrade(url)
    with sa.create_engine(url).begin() as db:
        db.execute(sa.text("update alembic_version set version_num = '9999'"))
    for ask in (lambda: open_catalog(url, LIMITS), lambda: database.upgrade(url), lambda: database.check(url)):
        with pytest.raises(TrueupError, match=r"is of a newer trueup.*Update trueup"):
            ask()
