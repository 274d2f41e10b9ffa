"""How results read."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from trueup.cli import render, words
from trueup.cli.secrecy import Veil
from trueup.cli.ui import Common, Ui
from trueup.config import Settings, StoreConfig
from trueup.sync.report import SyncRun


def shown(capsys: pytest.CaptureFixture[str], **values: Any) -> list[str]:
    values = {"run": "R", "status": "ok", "left": "l", "right": "r", "mode": "two-way"} | values
    render.show(Ui(Common()), SyncRun(**values), undoable=values["status"] == "ok")
    return capsys.readouterr().out.splitlines()


def row(key: str, action: str, **values: Any) -> dict[str, Any]:
    return {"key": key, "action": action, "reason": "new", "bytes": 1, "outcome": "done", "error": None} | values


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_258_291, "1.2 MiB"),
        (1023 << 20, "1023 MiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        ((1 << 30) - 1, "1.0 GiB"),
        (1_023_999, "1000 KiB"),
        (5 << 50, "5.0 PiB"),
    ],
)
def test_sizes(amount: int, text: str) -> None:
    assert words.size(amount) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.02, "0.02 s"), (4.12, "4.1 s"), (59.2, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_plurals() -> None:
    assert words.number(1, "file") == "1 file"
    assert words.number(1234, "file") == "1,234 files"
    assert words.number(2, "entry", "entries") == "2 entries"
    assert [words.listed(list("abc"[:n])) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_nothing_to_do_says_so_for_each_mode(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"unchanged": 9_999, "adopt": 1}
    assert shown(capsys, counts=counts) == ["nothing to do: both sides agree (10,000 files)"]
    assert shown(capsys, counts=counts, mode="push") == ["nothing to do: the right is up to date (10,000 files)"]
    assert shown(capsys, counts=counts, mode="pull") == ["nothing to do: the left is up to date (10,000 files)"]
    assert shown(capsys) == ["nothing to do: there are no files"]


def test_what_was_left_is_said_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capsys,
        counts={"unchanged": 3, "link": 1, "marker": 4, "held": 2},
        items=(row("ln", "link", outcome="skipped", error="it is a link"), row("d", "marker", outcome="skipped")),
    )
    assert lines == [
        "  link           ln   it is a link",
        "  … and 2 more",
        "nothing to do: 3 files agree",
        (
            "left alone: 1 link or special file (put the files themselves there, or --exclude), "
            "4 folder markers and 2 keys held by an undo"
        ),
    ]


def test_what_people_can_mend_has_its_cure_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, status="partial", counts={"unaddressable": 2, "unknown": 1, "link": 1})
    assert lines[-1] == (
        "left alone: 2 names a side cannot hold (rename, or --exclude), "
        "1 item that cannot be seen (check the permissions, or --exclude) and "
        "1 link or special file (put the files themselves there, or --exclude)"
    )


def test_a_long_result_shows_the_beginning_and_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    items = tuple(row(f"k{number}", "copy_right") for number in range(100))
    lines = shown(capsys, counts={"copy_right": 1_254}, bytes_right=5 << 20, seconds=2.0, items=items)
    assert len(lines) == render.DONE_SHOWN + 3
    assert lines[render.DONE_SHOWN :] == [
        "  … and 1,234 more",
        "copied 1,254 files to the right (5.0 MiB) in 2.0 s, 2.5 MiB/s",
        "run R; take it back with: trueup undo R",
    ]
    planned = shown(capsys, status="dry-run", counts={"copy_right": 1_254}, items=items)
    assert planned[render.PLANNED_SHOWN] == "  … and 1,204 more"


def test_every_kind_of_change_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {
        "copy_right": 1,
        "copy_left": 2,
        "move_left": 1,
        "delete_right": 3,
        "unchanged": 1,
        "failed": 1,
        "drifted": 2,
    }
    lines = shown(
        capsys,
        status="partial",
        counts=counts,
        bytes_right=1,
        bytes_left=2048,
        items=(
            row("new", "move_left", **{"from": "old"}),
            row("x", "copy_right", outcome="failed", error="the disk is full\nreally"),
        ),
    )
    summary = (
        "copied 1 file to the right (1 B), 2 to the left (2.0 KiB), moved 1 file on the left "
        "and deleted 3 files on the right in 0.00 s"
    )
    assert lines == [
        "  move left      old -> new      new",
        "  … and 6 more",
        "  failed (copy right)   x   the disk is full really",
        "  … and 2 more",
        summary,
        "1 file needed nothing",
        "not done: 1 failed, 2 no longer as planned",
        "run R",
    ]


def test_an_interrupted_run_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert "interrupted: what was done is recorded; run it again to go on from here" in shown(
        capsys, status="interrupted"
    )


def test_secrets_are_replaced_wherever_they_appear() -> None:
    settings = Settings(
        home=None,  # type: ignore[arg-type]
        environ={},
        stores={"x": StoreConfig(url="s3://b", options={"secret_access_key": "s3cr3t/key", "region": "us-east-1"})},
    )
    connection = "AccountName=a;AccountKey=Zm9vYmFy;EndpointSuffix=core"
    veil = Veil(
        {"AZURE_STORAGE_CONNECTION_STRING": connection, "PATH": "/usr/bin", "AWS_SESSION_TOKEN": "tok-en-1"}, settings
    )

    assert veil("s3cr3t/key in us-east-1") == "*** in us-east-1"
    assert veil(f"x {connection} y Zm9vYmFy tok-en-1 /usr/bin") == "x *** y *** *** /usr/bin"
    assert veil("sftp://bot:hunter2@host/x") == "sftp://bot:***@host/x"
    assert veil("s3://bucket/a:b@c") == "s3://bucket/a:b@c"
    assert json.loads(veil.json({"tok-en-1": "tok-en-1", "told": [{"why": ["at s3cr3t/key", 1, None, True]}]})) == {
        "tok-en-1": "***",
        "told": [{"why": ["at ***", 1, None, True]}],
    }


def test_a_secret_that_is_an_ordinary_word_leaves_names_and_keys_alone(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "DB_PASSWORD": "status",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "A_TOKEN": "copy_right",
        "B_TOKEN": "skipped",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
    (tmp_path / "left" / "status").write_text("one")
    (tmp_path / "left" / "testing").symlink_to("status")
    (tmp_path / "right" / "testing").mkdir()
    (tmp_path / "right" / "testing" / "a").write_text("two")

    result = cli("sync", "./left", "./right", "--json", "--log-format", "json", "--items-out", "items")
    assert result.document["status"] == "ok"
    assert result.document["counts"]["copy_right"] == 1
    copied, _, below = result.document["items"]
    assert [*copied.values()] == ["status", "copy_right", "new", 3, "done", None]
    assert (below["key"], below["outcome"]) == ("testing/a", "skipped")
    assert below["error"].startswith("it lies below ***: ")
    assert [json.loads(line) for line in (tmp_path / "items").read_text().splitlines()] == result.document["items"]
    assert [event["key"] for event in result.events if event["event"] == "item_finished"] == ["status"]
    assert result.events[-1]["status"] == "ok"
    assert cli("runs", "--json").document["runs"][0]["status"] == "ok"

    failed = cli("sync", "./right/testing/a", "./left", "--json", "--log-format", "json")
    assert failed.document["status"] == failed.events[-1]["status"] == "failed"
    assert "right/***/a" in failed.document["reason"]
    assert "testing" not in failed.out + failed.err


def test_the_log_holds_no_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from trueup.cli import log

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "swordfish")
    log.configure(Ui(Common(verbose=2)))
    try:
        raise ValueError("wrong: swordfish")
    except ValueError:
        logging.getLogger("trueup.test").debug("with swordfish", exc_info=True)
    log.configure(Ui(Common()))

    text = capsys.readouterr().err
    assert "wrong: ***" in text
    assert "swordfish" not in text


def test_quiet_still_says_which_items_failed(cli: Cli, tmp_path: Path) -> None:
    for side, text in (("left", "one"), ("right", "two")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.txt").write_text(text)
    result = cli("sync", "./left", "./right", "--prefer", "none", "--quiet")
    assert result.code == 1
    assert not result.out
    assert result.err == "conflict: a.txt: both sides changed and no rule prefers one\n"


def test_a_local_store_has_no_options_so_that_a_typing_error_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "trueup.toml").write_text('[stores.here]\nurl = "here"\nendpont = "x"\n')
    result = cli("sync", "here", "./there")
    assert result.code == 2
    assert "[stores.here] endpont is unknown" in result.err
