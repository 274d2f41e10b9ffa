from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import trueup
from tests.records.world import World
from trueup import records
from trueup.errors import ConfigError, TrueupError, UsageError
from trueup.records.cells import LARGEST
from trueup.runs import run_lock


def kinds(result: dict[str, object]) -> list[tuple[object, ...]]:
    return [(issue["kind"], issue.get("key"), issue.get("field")) for issue in result["issues"]]  # type: ignore[attr-defined]


# ----- what a sync does


def test_the_greater_number_of_each_field_is_kept(world: World):
    world.sheet(("https://x.com/a", 100, 5), ("https://x.com/b", "1,000", ""))
    world.fresh(("https://twitter.com/A", 90, 7), ("x.com/b", 2000, 8), ("x.com/stranger", 1, 1))
    done = trueup.sync_records(at="2026-10-01T10:00:00Z")
    assert world.accounts == {"x.com/a": (100, 7), "x.com/b": (2000, 8)}
    assert (done.status, done.exit_code) == ("ok", 0)
    result = done.to_json()["results"][0]
    assert result == {
        "success": True,
        "project_id": "p-A",
        "project_name": "A",
        "status": "ok",
        "degraded": False,
        "error": None,
        "attempts": 1,
        "total_accounts": 2,
        "updated_count": 2,
        "changed_count": 2,
        "snapshot_count": 2,
        "timestamp": "2026-10-01T10:00:00Z",
        "issues": [],
        "changes": [
            {"key": key, "field": field, "old": None, "new": new}
            for key, field, new in (
                ("x.com/a", "followers", 100),
                ("x.com/a", "views", 7),
                ("x.com/b", "followers", 2000),
                ("x.com/b", "views", 8),
            )
        ],
    }


def test_an_unchanged_run_writes_nothing_but_its_line_of_history(world: World):
    world.sheet(("x.com/a", 100, 5), ("x.com/b", "", ""))
    world.sync()
    before = [world.rows(f"select * from {table}") for table in ("accounts", "field_provenance", "account_snapshots")]
    result = world.result("2026-10-01T10:30:00Z")
    assert (result["updated_count"], result["changed_count"], result["snapshot_count"]) == (2, 0, 0)
    assert result["changes"] == []
    after = [world.rows(f"select * from {table}") for table in ("accounts", "field_provenance", "account_snapshots")]
    assert after == before
    assert world.rows("select status, changed_count from sync_history order by timestamp") == [("ok", 2), ("ok", 0)]


def test_the_next_day_gets_its_snapshots_in_the_zone_of_the_settings(world: World):
    world.settings('timezone = "America/New_York"')
    world.sheet(("x.com/a", 1, 1))
    assert world.result("2026-10-01T03:59:59Z")["snapshot_count"] == 1
    assert world.result("2026-10-01T04:00:00Z")["snapshot_count"] == 1
    assert world.result("2026-10-01T22:00")["snapshot_count"] == 0
    assert world.rows("select snapshot_time, local_date from account_snapshots order by 1") == [
        ("2026-09-30 23:59:59", "2026-09-30"),
        ("2026-10-01 00:00:00", "2026-10-01"),
    ]


def test_only_the_account_that_changed_is_written(world: World):
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 1, 1))
    world.sync()
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 2, 1))
    result = world.result()
    assert result["changed_count"] == 1
    assert result["changes"] == [{"key": "x.com/b", "field": "followers", "old": 1, "new": 2}]


def test_a_dry_run_says_what_would_change_and_makes_nothing(world: World):
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 1, 1))
    result = world.result(dry_run=True)
    assert (result["status"], result["updated_count"], len(result["changes"])) == ("dry-run", 0, 4)
    assert not (world.folder / "accounts.db").exists()
    assert not Path(trueup.config.load().home).exists()
    world.sync()
    world.sheet(("x.com/a", 2, 1), ("x.com/b", 1, 1))
    result = world.result(dry_run=True)
    assert (result["updated_count"], len(result["changes"]), result["changed_count"]) == (1, 1, 0)
    assert world.accounts["x.com/a"] == (1, 1)


# ----- rows that go and come


def test_a_row_that_goes_is_deleted_softly_and_has_its_id_when_it_comes_back(world: World):
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 2, 2))
    world.sync()
    (first,) = world.rows("select id from accounts where key = 'x.com/b'")
    world.sheet(("x.com/a", 1, 1))
    gone = world.result("2026-10-02T10:00:00Z")
    assert gone["changes"] == [{"key": "x.com/b", "field": "deleted_at", "old": None, "new": "2026-10-02T10:00:00Z"}]
    assert list(world.accounts) == ["x.com/a"]
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 3, 1))
    back = world.result("2026-10-03T10:00:00Z")
    assert {change["field"] for change in back["changes"]} == {"deleted_at", "followers"}
    assert world.accounts["x.com/b"] == (3, 2)
    assert world.rows("select id from accounts where key = 'x.com/b'") == [first]
    assert len(world.rows("select 1 from account_snapshots where account_id = ?", *first)) == 2


def test_rows_that_go_stay_when_the_settings_say_keep(world: World):
    world.settings('on_missing = "keep"')
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 2, 2))
    world.sync()
    world.sheet(("x.com/a", 1, 1))
    result = world.result("2026-10-02T10:00:00Z")
    assert (result["changes"], result["snapshot_count"]) == ([], 2)
    assert world.accounts["x.com/b"] == (2, 2)


def test_a_sheet_that_lost_more_than_half_of_its_rows_changes_nothing(world: World):
    world.sheet(*((f"x.com/a{number}", number, 0) for number in range(400)))
    world.sync()
    world.sheet(("x.com/a0", 99, 0))
    done = world.sync("2026-10-02T10:00:00Z")
    assert (done.status, done.exit_code, done.to_json()["success"]) == ("refused", 3, False)
    assert done.results[0].error
    assert done.results[0].error["code"] == "rows_vanished"
    assert len(world.accounts) == 400
    assert world.accounts["x.com/a0"] == (0, 0)
    assert world.result("2026-10-02T10:00:00Z", force=True)["changed_count"] == 400
    assert world.accounts == {"x.com/a0": (99, 0)}


def test_half_of_the_rows_may_go(world: World):
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 2, 2))
    world.sync()
    world.sheet(("x.com/a", 1, 1))
    assert world.result()["status"] == "ok"


def test_the_accounts_of_a_project_are_listed_without_those_that_are_gone(world: World):
    world.settings(projects=("A", "B"))
    assert records.accounts("A").rows == []
    world.sheet(("https://x.com/A", 1, ""), ("x.com/b", 2, 2))
    world.sheet(("x.com/c", 3, 3), name="B")
    world.sync()
    world.sheet(("https://x.com/A", 1, ""))
    world.sync()
    listed = [{"id": 1, "key": "x.com/a", "profile_url": "https://x.com/A", "followers": 1, "views": None}]
    assert records.accounts("A").to_json() == records.accounts("p-A").to_json() == listed
    with pytest.raises(UsageError, match="there is no project 'C'"):
        records.accounts("C")


# ----- what is told


def test_what_a_person_should_look_at_is_told_and_is_no_failure(world: World):
    world.sheet(("x.com/a", 100, 100), ("x.com/b", 1, 1), ("Total", 101, 101))
    world.sync()
    world.fresh(("x.com/a", 200, 10_001), ("x.com/b", "n/a", 5))
    world.sheet(("x.com/a", 90, 100), ("x.com/b", "#REF!", 1), ("https://x.com/B", 7, 7))
    done = world.sync()
    assert done.exit_code == 0
    result = done.results[0].to_json()
    assert kinds(result) == [
        ("bad_cell", "x.com/b", "followers"),
        ("duplicate_key", "x.com/b", None),
        ("bad_cell", "x.com/b", "followers"),
        ("suppressed_decrease", "x.com/a", "followers"),
        ("spike", "x.com/a", "views"),
    ]
    assert result["issues"][0]["cell"] == "B3"
    assert result["issues"][1]["rows"] == [3, 4]
    assert world.accounts == {"x.com/a": (200, 100), "x.com/b": (1, 5)}


@pytest.mark.parametrize(
    ("header", "code"),
    [(("url", "followers", "views"), "missing_key_column"), (("profile_url", "views", "Views "), "duplicate_header")],
)
def test_a_header_that_cannot_be_understood_fails_its_project_alone(world: World, header: tuple[str, ...], code: str):
    world.settings(projects=("A", "B"))
    world.sheet(("x.com/a", 1, 1), header=header)
    world.sheet(("x.com/b", 1, 1), name="B")
    done = world.sync()
    document = done.to_json()
    assert [result["status"] for result in document["results"]] == ["failed", "ok"]
    assert document["results"][0]["error"]["code"] == code
    assert (document["success_count"], document["error_count"], document["success"]) == (1, 1, False)
    assert (done.exit_code, list(world.accounts)) == (1, ["x.com/b"])


def test_each_step_is_logged(world: World, caplog: pytest.LogCaptureFixture):
    world.sheet(("x.com/a", 1, 1), ("x.com/b", "N/A", 1))
    with caplog.at_level(logging.INFO, "trueup.records"):
        world.sync()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.INFO] == [
        "[SmartSync] Starting sync for project p-A",
        "[SmartSync] Project: A",
        "[SmartSync] Found 2 accounts to sync",
        "[SmartSync] Read 2 accounts from Sheets",
        "[SmartSync] Loaded 0 accounts",
        "[SmartSync] Merged 2 accounts using MAX() strategy",
        "[SmartSync] Updated 2 accounts in SQLite",
        "[SmartSync] Created 2 snapshots",
        "[SmartSync] Completed for A: 2 accounts updated",
    ]
    caplog.clear()
    (world.folder / "sheets/A.csv").unlink()
    world.sync()
    assert any(
        record.levelname == "ERROR" and record.getMessage().startswith("[SmartSync]") for record in caplog.records
    )


# ----- when a source is down


def test_without_its_sheet_a_project_goes_on_and_the_edits_come_later(world: World):
    sheet = world.sheet(("x.com/a", 100, 5))
    world.fresh(("x.com/a", 50, 6))
    world.sync()
    sheet.unlink()
    world.fresh(("x.com/a", 60, 9))
    done = world.sync("2026-10-02T10:00:00Z")
    result = done.results[0].to_json()
    assert (result["success"], result["degraded"], result["status"]) == (True, True, "degraded")
    assert result["error"]["code"] == "sheets_unavailable"
    assert (done.exit_code, result["snapshot_count"]) == (1, 1)
    assert world.accounts == {"x.com/a": (100, 9)}
    world.sheet(("x.com/a", 300, 5), ("x.com/b", 1, 1))
    assert world.result("2026-10-03T10:00:00Z")["status"] == "ok"
    assert world.accounts == {"x.com/a": (300, 9), "x.com/b": (1, 1)}


@pytest.mark.parametrize("content", [b"profile_url,followers\nx.com/a,\xff\xfe", b'profile_url\n"x.com/a'])
def test_a_broken_sheet_is_as_good_as_none(world: World, content: bytes):
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    (world.folder / "sheets/A.csv").write_bytes(content)
    result = world.result()
    assert (result["status"], result["error"]["code"]) == ("degraded", "sheets_bad_answer")
    assert world.accounts == {"x.com/a": (1, 1)}


def test_a_function_that_is_not_there_is_wrong_configuration(world: World):
    for function, said in (("nowhere.numbers:f", "there is no such module"), ("json:numbers", "json has no function")):
        world.settings(parsed=f'[records.parsed]\nkind = "python"\nfunction = "{function}"\n')
        with pytest.raises(ConfigError, match=said):
            world.sync()


def test_without_its_fresh_numbers_a_project_fails_and_stays_as_it_was(world: World):
    world.sheet(("x.com/a", 100, 5))
    world.fresh(("x.com/a", 500, 6))
    world.sync()
    (world.folder / "fresh.csv").unlink()
    result = world.result("2026-10-02T10:00:00Z")
    assert (result["status"], result["error"]["code"]) == ("failed", "parsed_unavailable")
    assert world.accounts == {"x.com/a": (500, 6)}


# ----- fresh numbers


def test_fresh_numbers_come_from_a_query(world: World):
    world.sheet(("x.com/a", 1, 1))
    parsed = '[records.parsed]\nkind = "sql"\ndatabase = "sqlite:///{}"\nquery = "{}"\n'
    query = "select 'https://x.com/A' as profile_url, 5 as followers, 6.0 as views where :name = 'A' and :id = 'p-A';"
    world.settings(parsed=parsed.format("fresh.db", query))
    assert world.result()["error"]["code"] == "parsed_unavailable"
    assert not (world.folder / "fresh.db").exists()
    (world.folder / "fresh.db").touch()
    assert world.result()["status"] == "ok"
    assert world.accounts == {"x.com/a": (5, 6)}


@pytest.mark.parametrize(
    "query",
    [
        "create table t (x)",
        "create temp table t (x)",
        "insert into numbers values ('x.com/a', 9)",
        "with nine as (select 9) update numbers set views = 9",
        "delete from numbers returning *",
        "attach database 'other.db' as y",
        "vacuum into 'copy.db'",
        "vacuum",
        "pragma journal_mode = wal",
        "pragma user_version = 7",
        "begin exclusive",
        "select 1 as profile_url; drop table numbers",
    ],
)
def test_a_query_cannot_write(world: World, query: str):
    world.sheet(("x.com/a", 1, 1))
    fresh = world.folder / "fresh.db"
    with closing(sqlite3.connect(fresh)) as db, db:
        db.execute("create table numbers (profile_url text, views integer)")
        db.execute("insert into numbers values ('x.com/a', 7)")
    before = fresh.read_bytes()
    parsed = '[records.parsed]\nkind = "sql"\ndatabase = "sqlite:///fresh.db"\nquery = "{}"\n'
    world.settings(parsed=parsed.format(query))
    result = world.result()
    assert (result["status"], result["error"]["code"]) == ("failed", "parsed_unavailable")
    files = {path.name for path in world.folder.iterdir() if path.suffix == ".db"}
    assert (fresh.read_bytes(), files) == (before, {"accounts.db", "fresh.db"})
    recursive = "with recursive few(n) as (select 1 union all select n + 1 from few where n < 3) "
    query = recursive + "select lower(profile_url) as profile_url, max(n, views) as views from numbers, few"
    world.settings(parsed=parsed.format(query))
    assert world.sync().results[0].success
    assert world.accounts == {"x.com/a": (1, 7)}


def test_fresh_numbers_come_from_a_function_and_one_that_fails_fails_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(world.folder)
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 1, 1), ("x.com/c", 1, 1))
    (world.folder / "fresh_numbers.py").write_text(
        "def numbers(key, project):\n"
        "    if key == 'x.com/b': raise OSError('no answer')\n"
        "    return {'followers': len(project.name) + 4, 'views': '7'} if key == 'x.com/a' else None\n"
    )
    world.settings(parsed='[records.parsed]\nkind = "python"\nfunction = "fresh_numbers:numbers"\n')
    done = world.sync()
    result = done.results[0].to_json()
    assert (done.exit_code, result["status"], result["success"]) == (1, "partial", True)
    assert (result["total_accounts"], result["updated_count"], result["snapshot_count"]) == (3, 2, 2)
    assert result["issues"] == [{"kind": "failed_row", "key": "x.com/b", "reason": "OSError: no answer"}]
    assert world.accounts == {"x.com/a": (5, 7), "x.com/c": (1, 1)}
    world.settings(parsed='[records.parsed]\nkind = "python"\nfunction = "fresh_numbers:others"\n')
    with pytest.raises(ConfigError, match="has no function others"):
        world.sync()


@pytest.mark.parametrize(
    "body",
    [
        "import sys; sys.exit(0)",
        "import asyncio; raise asyncio.CancelledError",
        "from decimal import Decimal; return {'views': Decimal('sNaN')}",
        "return {'bio': 10**5000}",
        "return {'views': type('Odd', (), {'__str__': lambda self: 1 / 0})()}",
        "return 5",
    ],
)
def test_one_answer_of_a_function_never_ends_a_run(world: World, monkeypatch: pytest.MonkeyPatch, body: str):
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 1, 1))
    name = f"fresh_numbers_{abs(hash(body))}"
    code = f"def numbers(key, project):\n    if key == 'x.com/b':\n        {body}\n    return {{'views': 7}}\n"
    (world.folder / f"{name}.py").write_text(code)
    parsed = f'[records.parsed]\nkind = "python"\nfunction = "{name}:numbers"\n'
    world.settings(parsed='[records.fields.bio]\nrule = "parsed"\ntype = "text"\n' + parsed)
    monkeypatch.syspath_prepend(world.folder)
    result = world.result()
    assert result["status"] == "partial"
    assert [issue["key"] for issue in result["issues"] if issue["kind"] == "failed_row"] == ["x.com/b"]
    assert world.accounts == {"x.com/a": (1, 7)}


def test_a_number_of_a_class_of_its_own_is_kept_as_the_number_it_is(world: World, monkeypatch: pytest.MonkeyPatch):
    world.sheet(("x.com/a", 1, 1))
    (world.folder / "fresh_numbers_odd.py").write_text(
        "class Odd(int):\n    __str__ = lambda self: 'many'\ndef numbers(key, project): return {'views': Odd(7)}\n"
    )
    world.settings(parsed='[records.parsed]\nkind = "python"\nfunction = "fresh_numbers_odd:numbers"\n')
    monkeypatch.syspath_prepend(world.folder)
    world.sync()
    assert records.show("x.com/a")["provenance"]["views"]["candidates"] == {"sheet": 1, "parsed": 7}  # type: ignore[index]


def test_a_function_is_stopped_by_whoever_stops_the_run(world: World, monkeypatch: pytest.MonkeyPatch):
    world.sheet(("x.com/a", 1, 1))
    (world.folder / "fresh_numbers_stopped.py").write_text("def numbers(key, project): raise KeyboardInterrupt\n")
    world.settings(parsed='[records.parsed]\nkind = "python"\nfunction = "fresh_numbers_stopped:numbers"\n')
    monkeypatch.syspath_prepend(world.folder)
    with pytest.raises(KeyboardInterrupt):
        world.sync()
    assert world.accounts == {}


def test_a_module_that_exits_when_it_is_imported_is_wrong_configuration(world: World, monkeypatch: pytest.MonkeyPatch):
    world.sheet(("x.com/a", 1, 1))
    (world.folder / "fresh_numbers_leaving.py").write_text("import sys\nsys.exit(0)\n")
    world.settings(parsed='[records.parsed]\nkind = "python"\nfunction = "fresh_numbers_leaving:numbers"\n')
    monkeypatch.syspath_prepend(world.folder)
    with pytest.raises(ConfigError, match="importing it fails: SystemExit: 0"):
        world.sync()


def test_a_parser_may_write_into_the_read_model_itself(world: World):
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    world.rows("select 1")
    with closing(sqlite3.connect(world.folder / "accounts.db")) as db, db:
        db.execute("update accounts set followers = 9")
    assert world.result("2026-10-02T10:00:00Z")["changed_count"] == 1
    assert world.accounts == {"x.com/a": (9, 1)}
    assert records.show("x.com/a")["provenance"]["followers"]["winner"] == "stored"


def test_the_greatest_numbers_have_a_sum(world: World):
    world.sheet(("x.com/a", LARGEST, 1), ("x.com/b", LARGEST + 1, 1))
    world.fresh(("x.com/a", LARGEST, 1))
    world.settings(parsed='[records.parsed]\nkind = "csv"\npath = "fresh.csv"\n', rule="sum")
    assert kinds(world.result()) == [("bad_cell", "x.com/b", "followers")]
    assert world.accounts == {"x.com/a": (2 * LARGEST, 2), "x.com/b": (None, 1)}


# ----- pins


def test_a_pin_beats_every_rule_until_it_is_taken_away(world: World):
    world.sheet(("x.com/a", 100, 5))
    world.sync()
    shown = records.pin("https://x.com/A", "followers", "70")
    assert shown["pins"] == {"followers": 70}
    world.sheet(("x.com/a", 200, 5))
    world.sync("2026-10-02T10:00:00Z")
    assert world.accounts == {"x.com/a": (70, 5)}
    assert records.show("x.com/a")["provenance"]["followers"] == {
        "value": 70,
        "winner": "pin",
        "candidates": {"sheet": 200},
    }
    assert records.unpin("x.com/a", "followers")["pins"] == {}
    assert world.accounts == {"x.com/a": (200, 5)}


def test_a_pin_of_nothing_known_is_refused(world: World):
    world.sheet(("x.com/a", 100, 5))
    with pytest.raises(UsageError, match="there is no account"):
        records.pin("x.com/a", "followers", "1")
    world.sync()
    for arguments, said in (
        (("x.com/b", "followers", "1"), "there is no account"),
        (("x.com/a", "likes", "1"), "there is no field"),
        (("x.com/a", "views", "1.2K"), "is no value"),
        (("x.com/a", "views", "-1"), "is no value"),
        (("x.com/a", "views", "9" * 19), "is no value"),
        (("x.com/a", "views", "9" * 5000), "is no value"),
    ):
        with pytest.raises(UsageError, match=said):
            records.pin(*arguments)


# ----- projects


def test_one_project_is_named_and_inactive_ones_are_only_counted(world: World):
    world.settings(projects=("A", "B"))
    with (world.folder / "trueup.toml").open("a") as file:
        file.write("active = false\n")
    world.sheet(("x.com/a", 1, 1))
    done = world.sync()
    assert (done.total_projects, len(done.results)) == (2, 1)
    assert world.sync(project="p-A").total_projects == 1
    with pytest.raises(UsageError, match="is not active"):
        world.sync(project="B")
    with pytest.raises(UsageError, match="there is no project 'C'"):
        world.sync(project="C")


def test_a_project_that_is_being_synced_is_busy_and_the_others_go_on(world: World, tmp_path: Path):
    world.settings(projects=("A", "B"))
    for name in "AB":
        world.sheet((f"x.com/{name}", 1, 1), name=name)
    world.sync(project="A")
    (lock,) = (trueup.config.load().home / "records").iterdir()
    with run_lock(lock, run="other"):
        done = world.sync()
    assert [result.status for result in done.results] == ["busy", "ok"]
    assert done.exit_code == 4


def test_one_account_of_two_projects_is_two_accounts(world: World):
    world.settings(projects=("A", "B"))
    for number, name in enumerate("AB", 1):
        world.sheet(("x.com/a", number, number), name=name)
    world.sync()
    assert world.rows("select project_id, followers from accounts order by 1") == [("p-A", 1), ("p-B", 2)]


@pytest.mark.parametrize(
    "at",
    [
        "yesterday",
        "\udcff",
        "2026-13-01",
        "0001-01-01T00:00:00+10:00",
        "0001-01-01T00:00Z",
        "0500-01-01T00:00Z",
        "1969-12-31T23:59:59Z",
        "9999-01-01T00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_a_time_that_is_none_is_refused(world: World, at: str):
    world.sheet(("x.com/a", 1, 1))
    with pytest.raises(UsageError, match="is no time"):
        world.sync(at)


@pytest.mark.parametrize("cell", ["#REF!", "", "https:/x.com/b"])
def test_a_row_whose_account_cannot_be_read_is_no_account_that_went(world: World, cell: str):
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 2, 2), ("x.com/c", 3, 3))
    world.sync()
    world.sheet(("x.com/a", 9, 1), (cell, 2, 2), ("x.com/c", 3, 3), ("Total", 3, 3))
    assert [issue["kind"] for issue in world.result()["issues"]] == ["bad_cell"]
    assert world.accounts == {"x.com/a": (9, 1), "x.com/b": (2, 2), "x.com/c": (3, 3)}
    world.sheet(("x.com/a", 9, 1), ("x.com/c", 3, 3), ("Total", 3, 3), ("", "", ""), ("by Bob", "", ""))
    world.sync()
    assert [*world.accounts] == ["x.com/a", "x.com/c"]


def test_a_sheet_that_lost_most_rows_changes_nothing_where_accounts_are_kept_either(world: World):
    world.settings('on_missing = "keep"')
    names = [f"x.com/{name}" for name in "abcd"]
    world.sheet(*((name, 1, 1) for name in names))
    world.sync()
    world.sheet((names[0], 5, 5))
    assert world.result()["error"]["code"] == "rows_vanished"
    assert world.accounts[names[0]] == (1, 1)
    for turn in range(1, 4):  # one after the other is no accident
        world.sheet(*((name, 1, 1) for name in [*names[turn:], *(f"x.com/new{new}" for new in range(turn))]))
        assert world.result()["status"] == "ok"
    assert len(world.accounts) == 7


def test_a_spike_that_a_parser_wrote_into_the_read_model_is_set_aside(world: World):
    world.sheet(("x.com/a", 1000, 1))
    world.sync()
    world.rows("update accounts set followers = 999999999")
    [spike] = world.result()["issues"]
    assert (spike["kind"], spike["value"]) == ("spike", 999999999)
    assert world.accounts == {"x.com/a": (1000, 1)}
    world.rows("update accounts set followers = 999999999")
    world.sync(force=True)
    assert world.accounts == {"x.com/a": (999999999, 1)}


def test_what_a_parser_wrote_outlives_a_pin(world: World):
    world.sheet(("x.com/a", 100, 1))
    world.sync()
    world.rows("update accounts set followers = 300")
    records.pin("x.com/a", "followers", "50")
    records.unpin("x.com/a", "followers")
    assert world.accounts == {"x.com/a": (300, 1)}
    records.pin("x.com/a", "followers", "50")
    world.rows("update accounts set followers = 700")
    records.unpin("x.com/a", "followers")
    assert world.accounts == {"x.com/a": (700, 1)}
    world.sync()
    assert world.accounts == {"x.com/a": (700, 1)}


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("at", ["1970-01-01T00:00Z", "9998-12-31T23:59:59Z"])
def test_the_first_and_the_last_instant_are_days_in_every_zone(world: World, zone: str, at: str):
    world.settings(f'timezone = "{zone}"')
    world.sheet(("x.com/a", 1, 1))
    assert world.result(at)["snapshot_count"] == 1
    assert len(records.history("x.com/a")["snapshots"]) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nonsense", "where"),
    [
        ("update field_provenance set candidates = '{'", "field_provenance"),
        ("update field_provenance set candidates = '1, 2', heard = '{}'", "field_provenance"),
        ("update field_provenance set candidates = '[]'", "field_provenance"),
        ("update field_provenance set candidates = '{\"sheet\": true}'", "field_provenance"),
        ("update field_provenance set heard = '{\"sheet\": 1}'", "field_provenance"),
        ("update field_provenance set heard = '{\"sheet\": [1]}'", "field_provenance"),
        ("update field_provenance set value = 'many'", "field_provenance"),
        ("insert into pins values (1, 'views', 1.5, 'now')", "pins"),
    ],
)
def test_a_row_of_another_program_that_makes_no_sense_fails_its_project_alone(world: World, nonsense: str, where: str):
    world.settings(projects=("A", "B"))
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 1, 1))
    world.sheet(("x.com/c", 1, 1), name="B")
    world.sync()
    narrow = " where account_id = 1" if nonsense.startswith("update") else ""
    world.rows(nonsense + narrow)
    first, second = (result.to_json() for result in world.sync().results)
    assert (first["status"], first["error"]["code"]) == ("failed", "project_failed")
    assert f"a row of {where} for account 1 (x.com/a) makes no sense" in first["error"]["message"]
    assert second["status"] == "ok"
    with pytest.raises(TrueupError, match=where):
        records.show("1")


@pytest.mark.parametrize("column", ["snapshot_time", "local_date"])
@pytest.mark.parametrize("nonsense", ["x", "2026-10-02T10:00:00Z"])
def test_a_snapshot_that_makes_no_sense_is_named(world: World, column: str, nonsense: str):
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    world.rows(f"update account_snapshots set {column} = ?", nonsense)
    for look in (records.grown, lambda: records.history("1")):
        with pytest.raises(TrueupError, match=r"account_snapshots for account 1 \(x.com/a\) makes no sense"):
            look()


def test_a_history_that_makes_no_sense_is_named(world: World):
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    world.rows("update sync_history set issues = '{'")
    with pytest.raises(TrueupError, match="sync_history for project p-A makes no sense"):
        records.status()


def test_a_read_model_that_is_deleted_meanwhile_fails_its_project(world: World):
    (world.folder / "numbers_deleting.py").write_text(
        "from pathlib import Path\n\ndef numbers(key, project):\n"
        "    for file in Path.cwd().glob('accounts.db*'):\n        file.unlink()\n"
    )
    world.settings(parsed='[records.parsed]\nkind = "python"\nfunction = "numbers_deleting:numbers"\n')
    world.sheet(("x.com/a", 1, 1))
    result = world.result()
    assert (result["status"], result["changed_count"]) == ("failed", 0)
    assert "moved or deleted" in result["error"]["message"]


def test_an_account_of_which_a_parser_says_sheet_was_not_in_the_sheet(world: World):
    world.write("fresh.csv", ("profile_url", "name"), ("x.com/b", "sheet"), ("x.com/c", "sheet"))
    world.settings(
        'on_missing = "keep"',
        parsed='name = { rule = "parsed", type = "text" }\n[records.parsed]\nkind = "csv"\npath = "fresh.csv"\n',
    )
    world.sheet(("x.com/a", 1, 1), ("x.com/b", "", ""), ("x.com/c", "", ""))
    world.sync()
    world.sheet(("x.com/a", 2, 2))
    assert world.result()["status"] == "ok"
    assert world.accounts["x.com/a"] == (2, 2)
