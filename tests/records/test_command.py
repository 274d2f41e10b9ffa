from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.records.world import World
from trueup.cli import main
from trueup.config import load

Run = Callable[..., tuple[int, dict[str, object]]]


@pytest.fixture
def run(world: World, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str) -> tuple[int, dict[str, object]]:
        capsys.readouterr()
        code = main(["records", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return command


@pytest.fixture
def text(world: World, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def command(*arguments: str) -> str:
        capsys.readouterr()
        main(["records", *arguments])
        said = capsys.readouterr()
        return said.out + said.err

    return command


def days(world: World, *numbers: object) -> None:
    for day, number in enumerate(numbers, 1):
        if number is not None:
            world.sheet(("https://x.com/a", number, 0))
            world.sync(f"2026-10-{day:02}T10:00:00Z")


def test_a_sync_prints_the_documented_document(world: World, run: Run):
    world.sheet(("x.com/a", 1, 1))
    code, document = run("sync", "--at", "2026-10-01T10:00:00Z")
    assert code == 0
    assert set(document) >= {"success", "total_projects", "success_count", "error_count", "results", "timestamp"}
    assert document["timestamp"] == "2026-10-01T10:00:00Z"
    assert document["results"][0]["updated_count"] == 1  # type: ignore[index]
    assert run("sync", "A", "--dry-run")[1]["results"][0]["status"] == "dry-run"  # type: ignore[index]


@pytest.mark.parametrize(
    "arguments",
    [
        ("sync", "nobody"),
        ("sync", "--at", "soon"),
        ("show", "x.com/nobody"),
        ("show", "\udcff"),
        ("history", "x.com/nobody"),
        ("history", "\udcff"),
        ("history", "1", "--days", "99999999999999999999"),
        ("pin", "\udcff", "views", "1"),
        ("growth", "nobody"),
        ("growth", "--hours", "nan"),
        ("growth", "--hours", "1e300"),
        ("pin", "x.com/a", "likes", "1"),
        ("pin", "x.com/a", "views", "many"),
        ("unpin", "x.com/nobody", "views"),
    ],
)
def test_what_is_not_known_is_wrong_usage(world: World, run: Run, arguments: tuple[str, ...]):
    days(world, 1)
    code, document = run(*arguments)
    assert code == 2
    assert document["status"] == "failed"


def test_exit_codes_say_how_it_went(world: World, run: Run):
    assert run("sync")[0] == 1  # no sheet
    days(world, 1)
    world.sheet(("x.com/other", 1, 1))
    assert run("sync")[0] == 3
    assert run("sync", "--force")[0] == 0


def test_an_account_is_shown_with_the_reasons_for_its_values(world: World, run: Run):
    world.sheet(("https://x.com/A", 100, 5))
    world.fresh(("x.com/a", 90, 7))
    world.sync()
    code, document = run("show", "https://twitter.com/a")
    assert code == 0
    assert document == {
        "account": {
            "id": 1,
            "project_id": "p-A",
            "key": "x.com/a",
            "profile_url": "https://x.com/A",
            "followers": 100,
            "views": 7,
            "deleted_at": None,
        },
        "provenance": {
            "followers": {"value": 100, "winner": "sheet", "candidates": {"sheet": 100, "parsed": 90}},
            "views": {"value": 7, "winner": "parsed", "candidates": {"sheet": 5, "parsed": 7}},
        },
        "pins": {},
    }
    assert run("pin", "x.com/a", "views", "3")[1]["pins"] == {"views": 3}
    assert run("show", "1")[1]["provenance"]["views"]["winner"] == "pin"  # type: ignore[index]
    assert run("unpin", "1", "views")[1]["pins"] == {}


def test_history_and_growth_come_from_the_snapshots(world: World, run: Run):
    days(world, 100, 110, None, None, 121)
    _, document = run("history", "x.com/a", "--days", "2")
    assert [(one["date"], one["followers"]) for one in document["snapshots"]] == [  # type: ignore[attr-defined]
        ("2026-10-05", 121),
        ("2026-10-02", 110),
    ]
    _, document = run("growth")
    assert document["accounts"] == [
        {
            "project_id": "p-A",
            "key": "x.com/a",
            "days": 3,
            "gaps": ["2026-10-03", "2026-10-04"],
            "fields": {
                "followers": {"from": 110, "to": 121, "delta": 11, "percent": 10.0},
                "views": {"from": 0, "to": 0, "delta": 0, "percent": None},
            },
        }
    ]
    _, document = run("growth", "A", "--hours", "96")
    assert document["accounts"][0]["fields"]["followers"]["from"] == 100  # type: ignore[index]


def test_a_sync_some_seconds_earlier_than_yesterdays_is_a_day_later(world: World, run: Run):
    for at, number in (("01T10:00:30", 1), ("02T10:00:20", 5), ("03T10:00:10", 7)):
        world.sheet(("x.com/a", number, 0))
        world.sync(f"2026-10-{at}Z")
    [account] = run("growth")[1]["accounts"]  # type: ignore[misc]
    assert (account["days"], account["fields"]["followers"]["delta"]) == (1, 2)


def test_status_tells_of_the_last_run_of_each_project(world: World, run: Run):
    code, document = run("status")
    assert (code, document["last_run"], document["total_projects"], document["active_projects"]) == (0, None, 1, 1)
    assert document["cache_enabled"] is False
    days(world, 1)
    _, document = run("status")
    assert document["last_run"] == "2026-10-01T10:00:00Z"
    assert document["projects"][0]["last"]["status"] == "ok"  # type: ignore[index]


def test_a_sync_tells_its_events(world: World, capsys: pytest.CaptureFixture[str]):
    world.settings(projects=("A", "B"))
    world.sheet(("x.com/a", 1, "n/a"))
    assert main(["records", "sync", "--log-format", "json"]) == 1
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(event["event"], event.get("outcome"), event.get("reason")) for event in said] == [
        ("run_started", None, None),
        ("item_finished", "ok", ""),
        ("item_finished", "degraded", "sheets_unavailable"),
        ("run_finished", None, None),
    ]
    assert said[0]["job"] == said[0]["mode"] == "records"
    assert said[2]["key"] == "B"
    assert said[3]["status"] == "partial"
    assert said[3]["counts"] == {"accounts": 1, "changed": 1, "snapshots": 1, "issues": 1, "failed": 0}


def test_a_history_that_cannot_be_written_is_told_beside_what_was_merged(world: World, run: Run):
    world.sheet(("x.com/a", 1, 1))
    home = load().home
    home.mkdir(parents=True, exist_ok=True)
    (home / "runs.db").write_bytes(b"no database" * 500)
    code, document = run("sync")
    assert (code, document["status"]) == (0, "ok")
    assert document["results"][0]["changed_count"] == 1  # type: ignore[index]
    [warning] = document["warnings"]  # type: ignore[misc]
    assert warning.startswith(f"this run is not in the history: the history {home / 'runs.db'} cannot be used")


def test_what_a_parser_prints_is_no_part_of_the_document(world: World, run: Run):
    (world.folder / "fresh_numbers_chatty.py").write_text("def numbers(key, project):\n    print('hello')\n")
    world.settings(parsed='[records.parsed]\nkind = "python"\nfunction = "fresh_numbers_chatty:numbers"\n')
    world.sheet(("x.com/a", 1, 1))
    assert run("sync")[1]["status"] == "ok"


def test_history_and_growth_are_drawn(world: World, text: Callable[..., str]):
    days(world, 100, None, 150, 114)
    world.sheet(("x.com/a", 114, 0), ("x.com/b", 5, 1))
    world.sync("2026-10-05T10:00:00Z")
    said = text("history", "1").splitlines()
    assert said[0].split() == ["followers", "views"]
    assert said[1].split() == ["2026-10-05", "150", "0"]
    assert said[-2].strip() == "followers  ▁ ███  100 -> 150"
    said = text("growth", "--hours", "96").splitlines()
    assert "  x.com/a  4 days, 1 day without a snapshot" in said
    assert f"    followers              150           +50     +50.0%  {'█' * 20}" in said
    assert "    views                    0            +0" in said


def test_people_read_the_same_in_words(world: World, text: Callable[..., str]):
    world.sheet(("x.com/a", 1000, "#REF!"))
    assert "1 account, 1 change planned" in text("sync", "--dry-run")
    said = text("sync", "--at", "2026-10-01T10:00:00Z")
    assert "bad_cell  C2 x.com/a views" in said
    assert "ok  A: 1 account, 1 changed, 1 snapshot" in said
    assert "1,000  sheet" in text("show", "1")
    assert "2026-10-01      1,000      -" in text("history", "1")
    assert "no earlier snapshot" in text("growth")
    assert "pin" in text("pin", "1", "views", "5")
    assert "1 account" in text("status")
    (world.folder / "sheets/A.csv").unlink()
    assert "degraded: A: " in text("sync")
