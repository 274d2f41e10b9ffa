"""Faults of listings and databases, and crashes: never a wrong fix."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import trueup
from tests.reconcile.test_reconcile import World, provider, verdicts
from tests.servers import faulty_s3 as faulty_s3_server
from tests.servers.faulty_s3 import FaultyS3
from trueup.catalog.base import Reservation, now
from trueup.errors import TrueupError
from trueup.pool.upload import TOKEN
from trueup.stores.base import Metadata


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def cloud(tmp_path: Path, faulty_s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> FaultyS3:
    """A pool of a bucket that misbehaves and a folder that does not; both hold what the books say."""
    (tmp_path / "b").mkdir()
    options = "".join(f'{name} = "{value}"\n' for name, value in faulty_s3.options.items())
    (tmp_path / "trueup.toml").write_text(
        f'[stores.s3]\nurl = "{faulty_s3.url}"\n{options}retries = "0"\n[pool]\nplacement = "round-robin"\n'
        '[pool.providers.s3]\nurl = "s3"\n[pool.providers.b]\nurl = "b"\n[reconcile]\ngrace = "0s"\n'
    )
    with trueup.Pool.from_config() as pool:
        for number in range(20):
            pool.put([b"x"], f"k{number:02}")
        assert {usage.file_count for usage in pool._ledger.usage()} == {10}
    return faulty_s3


@pytest.mark.parametrize("fault", ["500", "repeat-token", "no-token", "reset", "repeat-keys"])
def test_a_listing_that_breaks_on_page_three_says_nothing(cloud: FaultyS3, tmp_path: Path, fault: str):
    cloud.faults.page_size = 2
    cloud.faults.pages[3] = fault
    (tmp_path / "b" / "foreign").write_bytes(b"!")
    run = trueup.reconcile()
    assert (run.status, provider(run, "s3").state, provider(run, "s3").actual) == ("partial", "unknown", None)
    assert verdicts(run) == {"b/foreign": "orphan"}  # the others go on
    cloud.faults.pages.clear()
    assert trueup.reconcile().status == "ok"
    with trueup.Pool.from_config() as pool:
        assert {row.state for row in pool.ls()} == {"stored"}


def test_a_page_that_is_none_does_not_end_a_listing(cloud: FaultyS3):
    cloud.faults.page_size = 2
    cloud.faults.pages[3] = "html"  # asked again, from where it ended, the server shows the rest
    run = trueup.reconcile()
    assert (run.status, provider(run, "s3").actual) == ("ok", (10, 10))


def test_a_listing_out_of_order_is_sorted(cloud: FaultyS3):
    cloud.faults.page_size = 2
    cloud.faults.pages[3] = "unsorted"
    assert trueup.reconcile().items == ()


@pytest.mark.parametrize(("code", "status"), [("AccessDenied", 403), ("NoSuchBucket", 404), ("SlowDown", 503)])
def test_a_cloud_that_refuses_us_is_unknown(cloud: FaultyS3, code: str, status: int):
    cloud.faults.fail(code, status)
    run = trueup.reconcile()
    assert (run.status, provider(run, "s3").state, provider(run, "b").state) == ("partial", "unknown", "known")
    cloud.faults.failures.clear()
    assert trueup.reconcile().items == ()


def test_a_short_listing_that_looks_whole_is_not_believed(cloud: FaultyS3):
    """The second look asks for each key that the listing does not have."""
    hidden = {key: cloud.objects.pop(key) for key in list(cloud.objects)[:4]}
    asked = []

    def before(request: object) -> None:
        if request.method == "HEAD" and not asked:
            asked.append(1)
            cloud.objects.update(hidden)

    cloud.faults.before = before
    run = trueup.reconcile()
    assert (run.status, run.items) == ("ok", ())


@pytest.fixture
def encrypted(cloud: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> FaultyS3:
    """The bucket encrypts with KMS from now on: its ETags look like MD5s, and are none."""
    monkeypatch.setattr(faulty_s3_server, "hashlib", Encrypting)
    return cloud


class Encrypting:
    @staticmethod
    def md5(data: bytes = b"") -> object:
        return hashlib.md5(b"encrypted" + data)


def test_etags_of_a_bucket_that_encrypts_are_no_evidence(encrypted: FaultyS3, tmp_path: Path):
    run = trueup.reconcile()
    assert (run.status, run.items, provider(run, "s3").verdicts) == ("ok", (), {"ok": 10})
    same, longer, kept = sorted(encrypted.objects)[:3]
    encrypted.objects[same] = b"y"  # as long as what was there
    encrypted.objects[longer] = b"longer"
    encrypted.objects["foreign"] = b"foreign"
    run = trueup.reconcile(adopt_orphans=True)
    assert verdicts(run) == {
        f"s3/{same}": "hash_mismatch",
        f"s3/{longer}": "size_mismatch",
        "s3/foreign": "orphan",
    }
    with trueup.Pool.from_config() as pool:
        for key in (same, longer, "foreign", kept):  # whose MD5s are compared with the books
            pool.get(key, tmp_path / "got")
            assert (tmp_path / "got").read_bytes() == encrypted.objects[key]
    assert trueup.reconcile().items == ()


def test_what_a_sweep_books_after_a_crash_is_booked_by_its_bytes(encrypted: FaultyS3, tmp_path: Path):
    with trueup.Pool.from_config() as pool:
        late = now() - timedelta(hours=1)
        assert pool._ledger.reserve(Reservation("token", "s3", "died", 5, 5, "", late))
        pool._providers["s3"].store.write("died", [b"bytes"], metadata=Metadata(user={TOKEN: "token"}))
        assert pool.sweep().committed == 1
        pool.get("died", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"bytes"
    assert trueup.reconcile().items == ()


def test_a_bucket_that_encrypts_is_not_read_whole(encrypted: FaultyS3):
    with trueup.Pool.from_config() as pool:
        for number in range(40, 120):
            pool.put([b"x"], f"k{number}")
    reads = 0

    def count(request: object) -> None:
        nonlocal reads
        reads += request.method == "GET" and bool(request.key)

    encrypted.faults.before = count
    assert trueup.reconcile().items == ()
    assert 0 < reads < 40


def test_a_database_that_fails_in_mid_read_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch):
    there = world.put(*(f"k{number}" for number in range(6)))
    for path in there.values():
        path.unlink()
    before = world.states()
    from trueup.catalog.sql.corrections import SqlCorrections

    def broken(*_: object) -> dict[str, object]:
        raise TrueupError("the database cannot be used: it went away")

    with monkeypatch.context() as patch:
        patch.setattr(SqlCorrections, "again", broken)
        run = trueup.reconcile()
    assert run.status == "failed"
    assert "went away" in str(run.reason)
    assert world.states() == before


def test_where_the_backup_cannot_be_written_nothing_is_changed(world: World):
    there = world.put("x", "y")
    there["x"].unlink()
    with sqlite3.connect(world.folder / "trueup.db") as db:
        db.execute("drop table backup_rows")
    db.close()
    before = world.states()
    with pytest.raises(TrueupError, match="no such table: backup_rows"):
        trueup.reconcile()
    assert world.states() == before


def test_a_database_out_of_yesterdays_backup_is_made_true(world: World):
    world.put("old", "both")
    kept = (world.folder / "trueup.db").read_bytes()
    world.put("new")
    with world.pool() as pool:
        pool.delete("old")
    for leftover in world.folder.glob("trueup.db*"):
        leftover.unlink()
    (world.folder / "trueup.db").write_bytes(kept)
    run = trueup.reconcile(adopt_orphans=True)
    assert {key.partition("/")[2]: verdict for key, verdict in verdicts(run).items()} == {
        "old": "missing",
        "new": "orphan",
    }
    world.check()


KILLED = """
import os, signal, sys, trueup
from trueup.catalog.sql import corrections

number, seen = int(sys.argv[1]), 0
for name in ("_keep", "_count"):
    real = getattr(corrections.SqlCorrections, name)
    def step(*arguments, real=real, **options):
        global seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **options)
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    kind = corrections.SqlCorrections.__dict__[name]
    setattr(corrections.SqlCorrections, name, staticmethod(step) if isinstance(kind, staticmethod) else step)
trueup.reconcile()
"""


@pytest.mark.parametrize("step", range(1, 6))
def test_a_killed_fix_is_finished_by_the_next_run(world: World, step: int):
    there = world.put("kept", "lost", "cut")
    there["lost"].unlink()
    there["cut"].write_bytes(b"short")
    for name in ("a", "b"):
        (world.folder / name / "foreign").write_bytes(b"foreign")
    done = subprocess.run([sys.executable, "-c", KILLED, str(step)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with world.pool() as pool:
        for usage in pool._ledger.usage():
            rows = [row.size for row in pool.ls() if row.provider == usage.provider and row.state == "stored"]
            assert usage.total_size_bytes == sum(rows) + usage.unowned_bytes
            assert usage.file_count == len(rows) + usage.unowned_count
    assert trueup.reconcile().status == "ok"
    world.check()
    assert trueup.reconcile().findings is False
