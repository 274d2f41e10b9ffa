"""A database that an application used before, made its own way: its totals count, and nothing of it is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from trueup.catalog import database, open_catalog
from trueup.catalog.base import Catalog, Limits, Reservation
from trueup.errors import TrueupError
from trueup.testing.ledger import LIMITS

BARE = "create table storage_stats (provider varchar(20) primary key, total_size_bytes integer, file_count integer)"
ROWS = "insert into storage_stats (provider, total_size_bytes, file_count) values ('a', 900, 3), ('b', null, null)"
UNIQUE = "provider varchar(20) not null unique, total_size_bytes int, file_count int"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'theirs.db'}"
    make: Callable[[], str] = request.getfixturevalue("new_database")
    return make()


@contextmanager
def theirs(url: str) -> Iterator[sa.Connection]:
    """The database as the application sees it."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as db:
        yield db
    engine.dispose()


def run(url: str, *statements: str) -> None:
    with theirs(url) as db:
        for statement in statements:
            db.execute(sa.text(statement))


@contextmanager
def opened(url: str) -> Iterator[Catalog]:
    database.upgrade(url)
    with closing(open_catalog(url, LIMITS)) as catalog:
        yield catalog


def wanted(size: int, key: str = "k") -> Reservation:
    ends = datetime.now(UTC) + timedelta(minutes=1)
    return Reservation(f"token-{key}", "a", key, size, size, "", ends)


def put(catalog: Catalog, size: int, key: str = "k") -> bool:
    ledger = catalog.ledger
    return ledger.reserve(wanted(size, key)) and ledger.commit(f"token-{key}", size, "", datetime.now(UTC))


@pytest.mark.parametrize(
    "made",
    [
        BARE,
        f"create table storage_stats (id integer generated always as identity primary key, {UNIQUE})",
        f"create table storage_stats (id serial primary key, {UNIQUE})",
        f"create table storage_stats ({UNIQUE}, last_updated timestamp with time zone, is_full boolean, note text)",
        f"create table storage_stats ({UNIQUE}, last_updated timestamp, reserved_bytes bigint default 7)",
        "create table storage_stats (provider text, total_size_bytes bigint, file_count smallint, alert_sent boolean)",
    ],
)
def test_totals_of_an_application_count_against_the_quota(url: str, made: str) -> None:
    if url.startswith("sqlite"):  # which has its own words for a number that counts up
        made = made.replace("integer generated always as identity", "integer").replace("serial", "integer")
    run(url, made, ROWS)
    with opened(url) as catalog:
        first, second = catalog.ledger.usage()
        assert first[:6] == ("a", 900, 3, 0, 3, 900)
        assert second[:6] == ("b", 0, 0, 0, 0, 0)
        assert abs(first.last_updated - datetime.now(UTC)) < timedelta(minutes=1)
        assert not put(catalog, 101)
        assert put(catalog, 100)
        first = catalog.ledger.usage()[0]
        assert first[:7] == ("a", 1000, 4, 0, 3, 900, True)
        assert abs(first.last_updated - datetime.now(UTC)) < timedelta(minutes=1)
        assert [message.payload["provider"] for message in catalog.outbox.due(datetime.now(UTC))] == ["a"]


def test_columns_and_rows_of_an_application_stay(url: str) -> None:
    run(
        url,
        "create table storage_stats (provider text primary key, total_size_bytes integer, owner text default 'them')",
        "insert into storage_stats values ('a', 1, 'me'), ('elsewhere', 2, 'you')",
    )
    with opened(url) as catalog:
        assert put(catalog, 3 << 8)
    with theirs(url) as db:
        rows = db.execute(sa.text("select provider, total_size_bytes, owner from storage_stats order by provider"))
        assert [tuple(row) for row in rows] == [("a", 769, "me"), ("b", 0, "them"), ("elsewhere", 2, "you")]


def test_numbers_grow_beyond_what_their_columns_held(url: str) -> None:
    run(url, BARE, ROWS)
    database.upgrade(url)
    with closing(open_catalog(url, {"a": Limits(quota=9 << 40, full_below=0)})) as catalog:
        assert put(catalog, 8 << 40)
        assert catalog.ledger.usage()[0].total_size_bytes == (8 << 40) + 900


def test_a_time_is_the_same_moment_whatever_their_column_and_server_make_of_zones(url: str) -> None:
    run(
        url,
        f"create table storage_stats ({UNIQUE}, last_updated timestamp with time zone)",
        "insert into storage_stats values ('a', 1, 1, '2026-01-01 12:00:00+00:00')",
    )
    if url.startswith("postgresql"):
        run(url, "do $$ begin execute format('alter role %I set timezone to ''Asia/Tokyo''', current_user); end $$")
    with opened(url) as catalog:
        assert catalog.ledger.usage()[0].last_updated == datetime(2026, 1, 1, 12, tzinfo=UTC)
        assert put(catalog, 1)
        assert abs(catalog.ledger.usage()[0].last_updated - datetime.now(UTC)) < timedelta(minutes=1)
    if url.startswith("postgresql"):
        run(url, "do $$ begin execute format('alter role %I reset timezone', current_user); end $$")


def test_flags_kept_as_numbers_are_flags_in_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'theirs.db'}"
    run(
        url,
        f"create table storage_stats ({UNIQUE}, is_full integer, alert_sent integer not null)",
        "insert into storage_stats values ('a', 1000, 3, 1, 1), ('b', 0, 0, null, 0)",
    )
    with opened(url) as catalog:
        assert [usage.is_full for usage in catalog.ledger.usage()] == [True, False]
        assert not put(catalog, 1)
        assert catalog.outbox.due(datetime.now(UTC)) == []


NO_DEFAULT = f"create table storage_stats ({UNIQUE}, region text not null)"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([NO_DEFAULT], "'region' of the table 'storage_stats' must have a value"),
        (["create table storage_stats (name text)"], "has no column 'provider'"),
        (["create table storage_stats (provider text, total_size_bytes real)"], "'total_size_bytes' .* cannot be used"),
        (["create table storage_stats (provider text)", "insert into storage_stats values ('a'), ('a'), (null), ('b')"],
         "has not exactly one row for each of: .*'a'"),
        (["create table objects (id integer)"], "a table 'objects' that is not trueup's.*Name another database"),
        (["create table locks (id integer)"], "a table 'locks' that is not trueup's.*Name another database"),
        (["create table downloads (id integer)"], "a table 'downloads' that is not trueup's.*Name another database"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_named_and_nothing_is_half_done(url: str, made: list[str], said: str) -> None:
    run(url, *made)
    before = _schema(url)
    with pytest.raises(TrueupError, match=said):
        database.upgrade(url)
    assert _schema(url) == before


def _schema(url: str) -> dict[str, list[str]]:
    with theirs(url) as db:
        there = sa.inspect(db)
        return {name: [str(column["name"]) for column in there.get_columns(name)] for name in there.get_table_names()}
