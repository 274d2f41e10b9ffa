"""Flags, jobs, and what overrides what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from trueup.config import SyncConfig
from trueup.sync import verbs
from trueup.sync.report import SyncRun

Trees = tuple[Path, Path]
JOB = """
[stores.left]
url = "a"
[stores.right]
url = "b"
[sync.site]
left = "left"
right = "right"
mode = "push"
prefer = "left"
delete = true
exclude = ["*.tmp"]
workers = 4
max_delete = "7"
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command asked the library for."""
    calls: list[dict[str, Any]] = []

    def sync(left: str, right: str, **options: Any) -> SyncRun:
        calls.append({"left": left, "right": right, **options})
        return SyncRun(run="r", status="ok", left=left, right=right, mode=options["config"].mode)

    monkeypatch.setattr(verbs, "sync", sync)
    return calls


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {}),
        (["--two-way"], {"mode": "two-way"}),
        (["--push"], {"mode": "push"}),
        (["--upload-only"], {"mode": "push"}),
        (["--push", "--upload-only"], {"mode": "push"}),
        (["--pull"], {"mode": "pull"}),
        (["--download-only"], {"mode": "pull"}),
        (["--prefer", "newer"], {"prefer": "newer"}),
        (["--delete"], {"delete": True}),
        (["--keep-loser"], {"keep_loser": True}),
        (["--include", "*.a", "--include", "*.b"], {"include": ("*.a", "*.b")}),
        (["--exclude", "*.tmp"], {"exclude": ("*.tmp",)}),
        (["--compare", "size"], {"compare": "size"}),
        (["--max-delete", "12"], {"max_delete": "12"}),
        (["--max-delete", "5%"], {"max_delete": "5%"}),
        (["--force"], {"force": True}),
        (["--no-trash"], {"trash": False}),
        (["--workers", "3"], {"workers": 3}),
        (["--bwlimit", "2MiB"], {"bwlimit": 2 << 20}),
        (["--bwlimit", "500k/s"], {"bwlimit": 500 << 10}),
        (["--release"], {"release": True}),
    ],
)
def test_flags_become_the_configuration(
    cli: Cli, asked: list[dict[str, Any]], flags: list[str], expected: dict[str, Any]
) -> None:
    assert cli("sync", "x", "y", *flags).code == 0
    assert asked[0]["config"] == SyncConfig(**expected)
    assert (asked[0]["left"], asked[0]["right"], asked[0]["dry_run"]) == ("x", "y", False)


@pytest.mark.parametrize("flag", ["--dry-run", "-n", "--check"])
def test_what_looks_only(cli: Cli, asked: list[dict[str, Any]], flag: str) -> None:
    cli("sync", "x", "y", flag)
    assert asked[0]["dry_run"] is True


def test_a_job_keeps_what_no_flag_overrides(cli: Cli, asked: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "trueup.toml").write_text(JOB)

    cli("sync", "site", "--pull", "--exclude", "*.log")

    assert (asked[0]["left"], asked[0]["right"]) == ("left", "right")
    assert asked[0]["config"] == SyncConfig(
        mode="pull", prefer="left", delete=True, exclude=("*.log",), workers=4, max_delete="7"
    )


def test_a_job_syncs_its_stores(cli: Cli, trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "trueup.toml").write_text(JOB)
    (trees[0] / "scratch.tmp").write_text("never")

    assert cli("sync", "site").code == 0
    assert {path.name for path in trees[1].iterdir()} == {"one.txt", "two.txt"}


def test_one_word_that_is_no_job_names_the_jobs(cli: Cli, tmp_path: Path) -> None:
    assert cli("sync", "./a").err == (
        "error: there is no job './a', and one place alone cannot be synced. Name two places: trueup sync LEFT RIGHT\n"
    )
    (tmp_path / "trueup.toml").write_text(JOB)
    result = cli("sync", "sight")
    assert result.code == 2
    assert "Jobs in trueup.toml: site" in result.err


def test_jobs_of_the_environment_alone_are_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_SYNC__SITE__LEFT", "a")
    monkeypatch.setenv("TRUEUP_SYNC__SITE__RIGHT", "b")
    assert "Jobs in the environment: site" in cli("sync", "sight").err


def test_two_outputs_never_share_a_file(cli: Cli, trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("F")
    (tmp_path / "F").write_text("precious")
    (tmp_path / "hard").hardlink_to(tmp_path / "F")
    for other in ("F", "link", "hard"):
        result = cli("sync", "./a", "./b", "--plan-out", "F", "--items-out", other, "--json")
        assert (result.code, result.document["status"]) == (2, "failed")
        assert "Give each a file of its own" in result.err
    assert (tmp_path / "F").read_text() == "precious"
    assert not list(trees[1].iterdir())


FULL = "cannot be written to /dev/full: No space left on device"


def test_a_plan_that_cannot_be_written_stops_the_run_before_anything_is_done(cli: Cli, trees: Trees) -> None:
    result = cli("sync", "./a", "./b", "--plan-out", "/dev/full", "--json")
    assert (result.code, result.document["status"]) == (1, "failed")
    assert result.document["reason"] == f"the plan {FULL}; nothing was done. Make room for it, or name another file"
    assert not list(trees[1].iterdir())
    assert cli("runs", "--json").document["runs"][0]["status"] == "failed"

    looked = cli("sync", "./a", "./b", "--dry-run", "--plan-out", "/dev/full")
    assert (looked.code, looked.err) == (1, f"error: {result.document['reason']}\n")


def test_items_that_cannot_be_written_take_nothing_from_the_result(cli: Cli, trees: Trees) -> None:
    result = cli("sync", "./a", "./b", "--items-out", "/dev/full", "--json")
    assert (result.code, result.document["status"]) == (1, "partial")
    assert result.document["reason"] == f"the items {FULL}. Make room for it, or name another file"
    assert result.document["counts"]["copy_right"] == len(result.document["items"]) == 2
    assert len(list(trees[1].iterdir())) == 2
    recorded = cli("runs", "--json").document["runs"][0]
    assert (recorded["status"], recorded["counts"]["copy_right"]) == ("partial", 2)

    (trees[0] / "three.txt").write_text("three")
    said = cli("sync", "./a", "./b", "--items-out", "/dev/full")
    assert said.err == f"warning: {result.document['reason']}\n"
    assert "copied 1 file to the right" in said.out
    (trees[0] / "four.txt").write_text("four")
    assert cli("sync", "./a", "./b", "--items-out", "/dev/full", "--quiet").err == (
        f"error: {result.document['reason']}\n"
    )


def test_the_items_of_an_earlier_run_stay_when_new_ones_cannot_be_written(
    cli: Cli, trees: Trees, tmp_path: Path
) -> None:
    (tmp_path / "items").write_text("precious")
    # What is written first, to take the file's place, ends up on a disk without room.
    (tmp_path / f".trueup-{os.getpid()}-items").symlink_to("/dev/full")
    result = cli("sync", "./a", "./b", "--items-out", "items", "--json")
    assert (result.code, result.document["status"]) == (1, "partial")
    assert result.document["reason"].startswith("the items cannot be written to items: No space left on device")
    assert (tmp_path / "items").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir() if "items" in path.name) == ["items"]


@pytest.mark.parametrize("before", [True, False])
def test_shared_options_stand_before_or_after_the_command(cli: Cli, trees: Trees, before: bool) -> None:
    words = ("--json", "sync", "./a", "./b") if before else ("sync", "./a", "./b", "--json")
    assert cli(*words).document["status"] == "ok"
    assert cli(*(("--json", "trash", "ls") if before else ("trash", "ls", "--json"))).document == {"trash": []}
    assert cli("trash", "--json", "ls").document == {"trash": []}


def test_the_settings_file_and_the_environment_file_are_named(cli: Cli, trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(JOB.replace('"a"', '"env:X"').replace("env:X", "a"))
    (tmp_path / "other.env").write_text("TRUEUP_SYNC__SITE__MODE=pull\n")

    result = cli("--config", "other.toml", "--env-file", "other.env", "sync", "site", "--json")

    assert result.document["mode"] == "pull"
    assert cli("sync", "site", "--config", "absent.toml").code == 2


def test_quiet_prints_nothing_when_all_is_well(cli: Cli, trees: Trees) -> None:
    result = cli("sync", "./a", "./b", "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_explain_says_why(cli: Cli, trees: Trees) -> None:
    result = cli("sync", "./a", "./b", "--explain", "one.txt")
    assert result.code == 0
    assert "one.txt: it would be copied from left to right (new)" in result.out
    document = cli("sync", "./a", "./b", "--explain", "one.txt", "--exclude", "*.txt", "--json").document
    assert document["action"] == "excluded"
