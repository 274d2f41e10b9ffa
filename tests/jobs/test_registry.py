"""Jobs by the names that schedules and queues know them by."""

from __future__ import annotations

from pathlib import Path

import pytest

import trueup
from trueup.errors import DatabaseUnavailable, UsageError
from trueup.jobs import JOBS

SETTINGS = """
[pool]
quota = "1MiB"
[pool.providers.a]
url = "a"
[reconcile]
grace = "0s"
[sync.site]
left = "left"
right = "right"
[ingest.stats]
source = "drop"
into = "taken"
stable_for = "0s"
[records.sheets]
kind = "csv"
path = "{name}.csv"
[[records.projects]]
id = "p"
name = "Project"
"""


@pytest.fixture(autouse=True)
def world(tmp_path: Path) -> Path:
    for name in ("a", "left", "right", "drop"):
        (tmp_path / name).mkdir()
    (tmp_path / "trueup.toml").write_text(SETTINGS)
    return tmp_path


def test_the_books_are_made_true_under_the_name_that_schedules_know(world: Path):
    (world / "file").write_bytes(b"x" * 100)
    with trueup.Pool.from_config() as pool:
        pool.put(world / "file", "gone")
    (world / "a" / "gone").unlink()
    done = trueup.run_job("sync_storage_stats")
    [provider] = done.result["providers"]
    assert (done.status, provider["fixed"], provider["verdicts"]) == ("ok", True, {"missing": 1})
    assert trueup.run_job("sync_storage_stats").result["providers"][0]["fixed"] is False


@pytest.mark.parametrize("job", [name for name, job in JOBS.items() if job.part])
def test_a_part_without_its_database_is_one_to_be_tried_again(monkeypatch: pytest.MonkeyPatch, job: str):
    monkeypatch.setenv("TRUEUP_DATABASE__URL", "postgresql://127.0.0.1:1/d")
    arguments = dict.fromkeys(JOBS[job].arguments, "x") | {"number": 0}
    with pytest.raises(DatabaseUnavailable, match="Connection refused"):
        trueup.run_job(job, **arguments)


def test_places_are_synced_and_files_taken_by_the_names_of_their_settings(world: Path):
    (world / "left" / "page").write_text("hello")
    (world / "drop" / "one.txt").write_text("one")
    assert trueup.run_job("sync_files", name="site").status == "ok"
    assert (world / "right" / "page").read_text() == "hello"
    assert trueup.run_job("ingest_files", name="stats").result["counts"]["processed"] == 1
    assert trueup.run_job("ingest_files", name="stats").result["counts"]["processed"] == 0
    (world / "drop" / "two.txt").write_text("two")
    found = trueup.run_job("diagnose_files", name="stats")
    assert (found.status, [file["cause"] for file in found.result["files"]]) == ("attention", ["never_seen"])


def test_cleaning_tells_what_it_did():
    for name in ("cleanup_old_downloads", "cleanup_failed_downloads"):
        done = trueup.run_job(name)
        assert (done.status, done.result["problems"], done.result["removed"]) == ("ok", [], 0)


@pytest.mark.parametrize(
    ("name", "arguments"), [("smart_sync_all_projects", {}), ("smart_sync_single_project", {"project": "Project"})]
)
def test_sheets_are_merged_under_the_names_that_schedules_know(world: Path, name: str, arguments: dict[str, str]):
    (world / "Project.csv").write_text("profile_url,followers\nx.com/a,5\n")
    done = trueup.run_job(name, **arguments)
    assert (done.status, done.result["success_count"], done.result["results"][0]["updated_count"]) == ("ok", 1, 1)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("no_such", {}, "there is no job 'no_such'. Known: sync_storage_stats,"),
        ("sync_files", {}, "missing a required argument: 'name'. It takes name"),
        ("sync_storage_stats", {"name": "x"}, "got an unexpected keyword argument 'name'. It takes no arguments"),
        ("sync_files", {"name": "nowhere"}, r"there is no \[sync.nowhere\]. Known: site"),
    ],
)
def test_what_cannot_be_called_is_said_so(name: str, arguments: dict[str, str], said: str):
    with pytest.raises(UsageError, match=said):
        trueup.run_job(name, **arguments)


def test_every_job_says_what_it_does():
    assert all(job.summary.endswith(".") for job in JOBS.values())
