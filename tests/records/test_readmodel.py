from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from zoneinfo import ZoneInfo

import pytest

from trueup.errors import ConfigError, TrueupError, UsageError
from trueup.records.config import Field, Project
from trueup.records.merge import Heard, Kept
from trueup.records.readmodel import Account, ReadModel

FIELDS = {name: Field(name=name) for name in ("followers", "views", "order")}
BERLIN = ZoneInfo("Europe/Berlin")
NOBODY = 65534
A = Project(id="a", name="Project A")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "accounts.db"


@pytest.fixture
def model(file: Path) -> Iterator[ReadModel]:
    with closing(ReadModel(file, FIELDS)) as made:
        with made.begin():
            made.put_project(A)
        yield made


def put(model: ReadModel, key: str = "x.com/nasa", **values: int) -> Account:
    account = Account(id=0, project_id="a", key=key, profile_url=f"https://{key}", values=dict(values))
    account.kept = {
        name: Kept(value=value, winner="sheet", candidates={"sheet": value}, heard={"sheet": Heard(value, "t")})
        for name, value in values.items()
    }
    with model.begin():
        model.put(account)
    return account


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(BERLIN)


def test_tables_are_strict_and_readers_do_not_wait_for_the_writer(model: ReadModel, file: Path):
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("pragma journal_mode").fetchone()[0] == "wal"
        strict = dict(db.execute("select name, strict from pragma_table_list where schema = 'main'"))
        assert [name for name, value in strict.items() if not value and name != "sqlite_schema"] == []
        with pytest.raises(sqlite3.IntegrityError), db:
            db.execute("insert into projects values ('b', 'B', 'yes')")
        with model.begin():
            assert db.execute("select count(*) from projects").fetchone()[0] == 1


def test_an_account_is_read_as_it_was_written(model: ReadModel):
    account = put(model, followers=5, order=7)
    assert account.id
    found = model.accounts("a")["x.com/nasa"]
    assert found.values == {"followers": 5, "views": None, "order": 7}
    assert found.kept == account.kept
    assert model.find("https://twitter.com/NASA").id == model.find(str(account.id)).id == account.id


def test_the_query_of_the_front_end_works_as_written(model: ReadModel, file: Path):
    account = put(model, followers=5, views=9)
    for day in range(1, 32):
        with model.begin():
            assert model.take_snapshots([account], at(f"2026-10-{day:02}T10:00:00+00:00")) == 1
    with closing(sqlite3.connect(file)) as db:
        rows = db.execute(
            "SELECT DATE(snapshot_time) as date, followers, views FROM account_snapshots WHERE account_id = ?"
            " ORDER BY snapshot_time DESC LIMIT 30",
            (account.id,),
        ).fetchall()
    assert len(rows) == 30
    assert rows[0] == ("2026-10-31", 5, 9)


@pytest.mark.parametrize(
    ("first", "second", "new"),
    [
        ("2026-10-01T00:00:00+02:00", "2026-10-01T23:59:59+02:00", 0),
        ("2026-09-30T21:59:59+00:00", "2026-09-30T22:00:00+00:00", 1),  # midnight in Berlin
        ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", 0),  # one wall-clock time, twice
        ("2026-10-25T00:00:00+02:00", "2026-10-25T23:59:59+01:00", 0),  # a day of 25 hours
        ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00", 1),  # a day of 23 hours
    ],
)
def test_a_local_day_has_one_snapshot(model: ReadModel, first: str, second: str, new: int):
    account = put(model, views=1)
    with model.begin():
        assert model.take_snapshots([account], at(first)) == 1
        assert model.take_snapshots([account], at(second)) == new


def test_the_first_snapshot_of_a_day_stays(model: ReadModel):
    account = put(model, views=1)
    with model.begin():
        model.take_snapshots([account], at("2026-10-01T08:00:00+02:00"))
        account.values["views"] = 2
        model.take_snapshots([account], at("2026-10-01T09:00:00+02:00"))
    assert [(one.time.hour, one.fields["views"]) for one in model.snapshots(account.id, 9)] == [(8, 1)]


def test_a_pin_is_seen_and_taking_it_away_brings_back_what_was_merged(model: ReadModel):
    account = put(model, views=5)
    with model.begin():
        model.pin(account, "views", 3, "t")
    found = model.find("x.com/nasa")
    assert (found.values["views"], found.before("views").value) == (3, 5)
    assert found.provenance()["views"] == {"value": 3, "winner": "pin", "candidates": {"sheet": 5}}
    with model.begin():
        model.pin(found, "views", None, "t")
    assert model.find("x.com/nasa").values["views"] == 5


def test_what_a_parser_wrote_into_the_table_counts_as_stored(model: ReadModel, file: Path):
    put(model, views=5)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("update accounts set views = 8")
    assert model.find("x.com/nasa").before("views").value == 8


def test_an_account_of_two_projects_is_named_by_its_id(model: ReadModel):
    put(model)
    with model.begin():
        model.put_project(Project(id="b", name="B"))
        model.put(Account(id=0, project_id="b", key="x.com/nasa", profile_url="x.com/nasa", values={}))
    with pytest.raises(UsageError, match=r"1 \(a\), 2 \(b\)"):
        model.find("x.com/nasa")
    with pytest.raises(UsageError, match="there is no account"):
        model.find("9")


def test_a_transaction_that_fails_leaves_nothing(model: ReadModel):
    def half() -> None:
        with model.begin():
            model.put(Account(id=0, project_id="a", key="k", profile_url="k", values={}))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert model.accounts("a") == {}


def test_a_new_field_gets_its_column_and_an_old_one_keeps_its_own(model: ReadModel, file: Path):
    put(model, followers=5)
    model.close()
    with closing(ReadModel(file, {"shares": Field(name="shares")})) as other:
        assert other.find("x.com/nasa").values == {"shares": None}
    with closing(ReadModel(file, FIELDS)) as again:
        assert again.find("x.com/nasa").values["followers"] == 5
    for read_only in (False, True):
        with pytest.raises(ConfigError, match="another type"):
            ReadModel(file, {"followers": Field(name="followers", rule="sheet", text=True)}, read_only=read_only)


def test_any_number_may_make_the_file_at_once(tmp_path: Path):
    def make(path: Path) -> bool:
        together.wait(30)
        ReadModel(path, FIELDS).close()
        return True

    for number in range(30):
        together = Barrier(4)
        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(make, [tmp_path / f"{number}.db"] * 4))


def test_reading_only_neither_makes_nor_changes_the_file(model: ReadModel, file: Path, tmp_path: Path):
    put(model, followers=5)
    absent = tmp_path / "absent.db"
    with closing(ReadModel(absent, FIELDS, read_only=True)) as empty:
        assert empty.accounts("a") == {}
    assert not absent.exists()
    fields = FIELDS | {"shares": Field(name="shares")}
    with closing(ReadModel(file, fields, read_only=True)) as reader:
        assert reader.find("1").values == {"followers": 5, "views": None, "order": None}
        with pytest.raises(TrueupError, match="readonly"), reader.begin():
            reader.put_project(Project(id="b", name="B"))


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, read_only: bool):
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("create table accounts (id integer)")
    for version in (0, 1, 2):
        with closing(sqlite3.connect(file)) as db, db:
            db.execute(f"pragma user_version = {version}")
        before = file.read_bytes()
        with pytest.raises(ConfigError, match="something else"):
            ReadModel(file, FIELDS, read_only=read_only)
        assert file.read_bytes() == before
    file.write_text("no database at all, and long enough to tell")
    with pytest.raises(TrueupError, match="cannot be used"):
        ReadModel(file, FIELDS, read_only=read_only)


def test_an_empty_file_has_no_accounts_and_becomes_the_read_model(file: Path):
    file.parent.mkdir()
    file.touch()
    with closing(ReadModel(file, FIELDS, read_only=True)) as empty:
        assert empty.accounts("a") == {}
    assert file.read_bytes() == b""
    ReadModel(file, FIELDS).close()
    with closing(ReadModel(file, FIELDS, read_only=True)) as made:
        assert made.accounts("a") == {}
    assert file.read_bytes() != b""


def test_a_file_of_a_newer_trueup_is_left_alone(model: ReadModel, file: Path):
    with closing(sqlite3.connect(file)) as db:
        db.execute("pragma user_version = 2")
    for read_only in (False, True):
        with pytest.raises(ConfigError, match="newer"):
            ReadModel(file, FIELDS, read_only=read_only)


@contextmanager
def only_reading(file: Path) -> Iterator[None]:
    """As somebody who may read the file, and write nothing at all."""
    file.parent.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        file.parent.chmod(0o755)


@pytest.fixture
def public() -> Iterator[Path]:
    """A file in a folder that everybody gets to; those that pytest makes are one user's."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "accounts.db"


def test_who_may_only_read_reads(public: Path):
    with closing(ReadModel(public, FIELDS)) as model:
        with model.begin():
            model.put_project(A)
        put(model, followers=5)
        with only_reading(public), closing(ReadModel(public, FIELDS, read_only=True)) as reader:
            assert reader.living("a") == ["x.com/nasa"]
    assert [file.name for file in public.parent.iterdir()] == [public.name]
    with only_reading(public):
        with pytest.raises(TrueupError):
            ReadModel(public, FIELDS)
        with closing(ReadModel(public, FIELDS, read_only=True)) as reader:
            assert reader.find("1").values == {"followers": 5, "views": None, "order": None}
            assert list(reader.recent("a", 24)) == []


def test_what_is_written_while_somebody_reads_without_a_lock_is_not_half_read(public: Path):
    with closing(ReadModel(public, FIELDS)) as model, model.begin():
        model.put_project(A)
    with only_reading(public):
        reader = ReadModel(public, FIELDS, read_only=True)
    with closing(reader):
        with closing(ReadModel(public, FIELDS)) as writer:
            put(writer, followers=5)
        with pytest.raises(TrueupError, match="while it was read"):
            reader.living("a")


@pytest.mark.parametrize("instead", [False, True])
def test_what_would_go_into_a_file_that_is_gone_is_an_error(model: ReadModel, file: Path, instead: bool):
    def gone() -> None:
        with model.begin():
            model.put_project(Project(id="b", name="B"))
            for part in file.parent.iterdir():
                part.unlink()
            if instead:
                file.touch()

    with pytest.raises(TrueupError, match="moved or deleted"):
        gone()
