"""Files that fail: what they leave, when they are tried again, how they end."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.ingest.world import OLD, World, done, outcomes
from trueup.catalog.sql import engine
from trueup.errors import NoSpace, Unreachable
from trueup.stores import files
from trueup.stores.oserror import translated


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("poison", "ValueError: it cannot be read"),
        ("exits", "SystemExit: 3"),
        ("commits", "a handler must not commit"),
        ("insists", "must not end the transaction"),
        ("says", "must not end the transaction"),
        ("undoes", "must not end the transaction"),
        ("refused", "IntegrityError"),
        ("cancelled", "CancelledError"),
        ("unspeakable", "Unspeakable"),
        ("mangled", r"ValueError: \x00 \udcff \x1b[31mxxx"),
    ],
)
def test_nothing_stays_of_what_a_failing_handler_wrote(either: World, content: str, said: str):
    either.put("bad.txt", content)
    either.put("good.txt", "round")
    run = either.ingest()
    assert (run.status, run.exit_code) == ("partial", 1)
    assert outcomes(run) == {"bad.txt": "failed", "good.txt": "processed"}
    assert said in run.items[0]["error"]
    assert len(run.items[0]["error"]) < 1100
    assert either.once({"good.txt"})
    assert either.rows()["bad.txt"]["success"] == 0


def test_a_poison_file_is_tried_ever_later_and_then_left_in_quarantine(world: World):
    world.set(backoff="1h", attempts=3)
    world.put("bad.txt", "poison")
    names = world.fill(2)
    first = world.ingest()
    assert (first.exit_code, outcomes(first)["bad.txt"]) == (1, "failed")
    for attempts, hours in ((2, 1), (3, 2)):
        waiting = world.ingest()
        assert (waiting.exit_code, outcomes(waiting)) == (0, {"bad.txt": "waiting"})
        again = datetime.fromisoformat(str(world.rows()["bad.txt"]["retry_at"])).replace(tzinfo=UTC)
        assert abs(again - datetime.now(UTC) - timedelta(hours=hours)) < timedelta(minutes=5)
        world.run("update processed_files set retry_at = '2020-01-01 00:00:00' where filename = 'bad.txt'")
        world.restart()
        tried = world.ingest()
        assert tried.exit_code == 1
        (item,) = tried.items
        assert item["attempts"] == attempts
    assert item["outcome"] == "quarantined"
    later = world.ingest()
    assert (later.exit_code, done(later)) == (0, {"already": 2, "quarantined": 1})
    assert later.items == ({"path": "bad.txt", "outcome": "quarantined", "error": item["error"], "attempts": 3},)
    assert world.once(names)


def test_a_bot_that_is_interrupted_blames_no_file(world: World):
    world.put("a.txt", "interrupted")
    names = world.fill(2)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            world.ingest()
        world.restart()
    world.put("a.txt", "mended")
    assert world.ingest().exit_code == 0
    assert world.once(names | {"a.txt"})


def test_not_even_the_driver_of_sqlite_commits_for_a_handler(world: World):
    world.put("bad.txt", "writes")
    assert "not authorized" in world.ingest().items[0]["error"]
    assert world.effects() == {}
    assert world.query("select name from sqlite_master where name = 'more'") == []


def test_a_database_that_is_locked_blames_no_file(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(engine.engine_of.__kwdefaults__, "patience", 1)
    names = world.fill(2)
    drop = world.faulty(monkeypatch)
    gate = drop.hang("read", key=min(names), nth=1)
    runs = []
    taking = threading.Thread(target=lambda: runs.append(world.ingest()))
    taking.start()
    assert gate.reached.wait(20)
    with closing(sqlite3.connect(world.base / "bot.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        gate.open.set()
        taking.join(60)
    (run,) = runs
    assert (run.status, run.exit_code) == ("failed", 1)
    assert "database is locked" in run.reason
    assert world.effects() == {}
    world.restart()
    assert world.ingest().status == "ok"
    assert world.once(names)


def test_what_a_handler_forked_holds_no_claim(world: World):
    world.put("a.txt", "forks")
    process = world.command(DIE="1")
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert outcomes(world.ingest()) == {"a.txt": "processed"}
    assert world.once({"a.txt"})


def test_a_kill_blames_no_file_that_never_was_tried(world: World):
    world.set(attempts=1)
    world.put("a.txt", "dies")
    names = world.fill(3)
    process = world.command(DIE="1")
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert world.ingest().exit_code == 0
    assert world.once(names | {"a.txt"})


def quarantined(world: World) -> None:
    world.set(attempts=1)
    world.put("bad.txt", "poison")
    world.put("worse.txt", "poison")
    world.put("good.txt", "round")
    assert set(outcomes(world.ingest()).values()) == {"processed", "quarantined"}


def test_what_is_requeued_is_tried_at_once(world: World):
    quarantined(world)
    run = world.ingest(requeue="bad*")
    assert (run.exit_code, outcomes(run)) == (1, {"bad.txt": "quarantined", "worse.txt": "quarantined"})
    assert world.rows()["bad.txt"]["attempts"] == 1
    path = world.drop / "bad.txt"
    stat = path.stat()
    path.write_text("mended")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert outcomes(world.ingest(requeue="*"))["bad.txt"] == "processed"
    assert world.once({"bad.txt", "good.txt"})


def test_a_good_file_in_place_of_a_poison_one_is_taken(world: World):
    quarantined(world)
    world.put("bad.txt", "mended", mtime=OLD - 1)
    run = world.ingest()
    assert outcomes(run) == {"bad.txt": "processed", "worse.txt": "quarantined"}
    assert run.exit_code == 0
    assert world.once({"bad.txt", "good.txt"})


def test_what_waits_for_another_try_is_requeued_too(world: World):
    world.set(backoff="1h")
    world.put("bad.txt", "poison")
    assert world.ingest().exit_code == 1
    run = world.ingest(requeue="bad.txt")
    assert run.items == (
        {"path": "bad.txt", "outcome": "failed", "error": "ValueError: it cannot be read", "attempts": 1},
    )


def test_a_full_disk_is_no_fault_of_a_file(world: World, monkeypatch: pytest.MonkeyPatch):
    names = world.fill(80)
    store = files.store

    def full(file: int, key: str, *rest: object):
        if key > sorted(names)[9]:
            raise translated(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), key, "written")
        return store(file, key, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(files, "store", full)
        run = world.ingest()
    assert (run.status, run.exit_code) == ("failed", 1)
    assert "no space left" in run.reason
    assert len(world.effects()) == 10
    assert not any(name.startswith(".trueup") for name in world.files())
    world.restart()
    after = world.ingest()
    assert after.status == "ok"
    assert world.once(names)
    assert {row["attempts"] for row in world.rows().values()} == {0}


@pytest.mark.parametrize("error", [NoSpace("the disk is full"), Unreachable("no route")])
def test_a_pass_ends_when_no_file_could_be_fetched(world: World, monkeypatch: pytest.MonkeyPatch, error: Exception):
    names = world.fill(100)
    drop = world.faulty(monkeypatch)
    drop.fail("read", error, key=sorted(names)[30])
    run = world.ingest()
    assert (run.status, run.reason, run.counts["failed"]) == ("failed", str(error), 1)
    assert set(world.effects()) == set(sorted(names)[:30])
    drop.heal()
    world.restart()
    assert world.ingest().status == "ok"
    assert world.once(names)


def test_what_cannot_be_read_fails_alone(remote: World):
    secret = remote.put("secret.txt", "round")
    secret.chmod(0)
    names = remote.fill(2)
    run = remote.ingest()
    if os.geteuid():
        assert outcomes(run)["secret.txt"] == "failed"
        assert remote.rows()["secret.txt"]["cause"] == "permission"
        assert remote.once(names)
    secret.chmod(0o600)
    assert remote.ingest(requeue="*").exit_code == 0
    assert remote.once(names | {"secret.txt"})


def test_what_stands_in_the_way_in_the_local_folder_is_said(world: World, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    world.local.mkdir()
    (world.local / "folder.txt").mkdir()
    (world.local / "folder.txt" / "in it").touch()
    (world.local / "link.txt").symlink_to(outside / "gone")
    (world.local / "sub").symlink_to(outside)
    for name in ("folder.txt", "link.txt", "sub/below.txt", "fine.txt"):
        world.put(name, "round")
    run = world.ingest()
    assert run.exit_code == 1
    assert outcomes(run) == {
        "fine.txt": "processed", "folder.txt": "failed", "link.txt": "failed", "sub/below.txt": "failed",
    }  # fmt: skip
    assert not list(outside.iterdir())
    assert world.once({"fine.txt"})


def test_a_local_folder_that_nobody_may_write_to_ends_the_pass(world: World):
    names = world.fill(2)
    world.local.write_text("no folder")
    run = world.ingest()
    assert (run.status, run.exit_code) == ("failed", 1)
    assert "local" in run.reason
    world.local.unlink()
    world.ingest()
    assert world.once(names)
