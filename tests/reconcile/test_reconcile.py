"""Books against what is there, through the public face: the right verdict, never a wrong fix."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import trueup
from tests.servers import Bucket
from trueup.catalog.base import Reservation, now
from trueup.cli import main
from trueup.errors import Busy, UsageError
from trueup.pool import Pool
from trueup.reconcile.fix import Fixing
from trueup.reconcile.report import ReconcileRun

SETTINGS = """
[pool]
quota = "10MiB"
placement = "most-free"
[pool.providers.a]
url = "a"
[pool.providers.b]
url = "b"
[reconcile]
grace = "0s"
"""


class World:
    """A pool over two folders, behind whose back a test can go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("a", "b"):
            (folder / name).mkdir()
        self.settings(SETTINGS)

    def settings(self, text: str) -> None:
        (self.folder / "trueup.toml").write_text(text)

    def put(self, *keys: str, size: int = 1000) -> dict[str, Path]:
        """Put objects, and tell where each lies."""
        source = self.folder / "source"
        with trueup.Pool.from_config() as pool:
            for number, key in enumerate(keys):
                source.write_bytes(bytes([number % 256]) * size)
                pool.put(source, key)
            found = {stored.key: self.folder / stored.provider / stored.key for stored in pool.ls()}
        return {key: found[key] for key in keys}

    def pool(self) -> Pool:
        return trueup.Pool.from_config()

    def states(self) -> dict[str, tuple[str, int]]:
        """State and size of each row."""
        with self.pool() as pool:
            return {f"{row.provider}/{row.key}": (row.state, row.size) for row in pool.ls()}

    def database(self) -> list[str]:
        """All that is in the database, but the history and the backups."""
        with sqlite3.connect(self.folder / "trueup.db") as db:
            dump = [
                line for line in db.iterdump() if not line.startswith(('INSERT INTO "runs"', 'INSERT INTO "backup'))
            ]
        db.close()
        return dump

    def check(self) -> None:
        """The books say what lies there."""
        with self.pool() as pool:
            stats = {row.provider: (row.file_count, row.total_size_bytes) for row in pool.stats().providers}
        for name, told in stats.items():
            files = [path for path in (self.folder / name).rglob("*") if path.is_file()]
            assert told == (len(files), sum(path.stat().st_size for path in files))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def verdicts(run: ReconcileRun) -> dict[str, str]:
    return {f"{item['provider']}/{item['key']}": str(item["verdict"]) for item in run.items}


def provider(run: ReconcileRun, name: str):
    return next(report for report in run.providers if report.provider == name)


# What it finds, and what it does about it


def test_books_that_are_true_are_left_alone(world: World):
    world.put("x", "y", "z")
    before = world.database()
    run = trueup.reconcile()
    assert (run.status, run.exit_code, run.findings, run.items) == ("ok", 0, False, ())
    assert not any(report.mismatch or report.fixed for report in run.providers)
    assert sum(report.verdicts["ok"] for report in run.providers) == 3
    assert world.database() == before


def test_one_file_believed_and_none_there_is_fixed_without_ceremony(world: World):
    [path] = world.put("x").values()
    path.unlink()
    run = trueup.reconcile()
    report = provider(run, path.parent.name)
    assert (run.status, report.ledger, report.actual) == ("ok", (1, 1000), (0, 0))
    assert (report.mismatch, report.fixed, report.verdicts) == (True, True, {"missing": 1})
    assert world.states() == {f"{path.parent.name}/x": ("missing", 1000)}
    world.check()
    again = trueup.reconcile()
    assert (again.status, again.findings, again.items) == ("ok", False, ())


def test_every_kind_of_difference_gets_its_verdict_and_its_fix(world: World):
    there = world.put("kept", "lost", "cut", "moved", "twice")
    other = {"a": "b", "b": "a"}
    there["lost"].unlink()
    there["cut"].write_bytes(b"short")
    elsewhere = world.folder / other[there["moved"].parent.name]
    there["moved"].rename(elsewhere / "moved")
    shutil.copy(there["twice"], world.folder / other[there["twice"].parent.name] / "twice")
    (world.folder / "a" / "deep").mkdir()
    (world.folder / "a" / "deep" / "foreign").write_bytes(bytes(77))
    run = trueup.reconcile()
    found = {key.partition("/")[2]: verdict for key, verdict in verdicts(run).items()}
    assert found == {
        "lost": "missing",
        "cut": "size_mismatch",
        "moved": "misplaced",
        "twice": "duplicate",
        "deep/foreign": "orphan",
    }
    assert (run.status, run.exit_code) == ("partial", 1)  # somebody must say which of the two is wanted
    rows = {key.partition("/")[2]: state for key, state in world.states().items()}
    assert rows == {
        "kept": ("stored", 1000),
        "lost": ("missing", 1000),
        "cut": ("stored", 5),
        "moved": ("stored", 1000),
        "twice": ("stored", 1000),
    }
    assert f"{elsewhere.name}/moved" in world.states()
    world.check()
    assert (elsewhere / "moved").exists()
    assert (world.folder / "a" / "deep" / "foreign").exists()
    with world.pool() as pool:
        assert pool.get("moved", world.folder / "back")[1].stat().st_size == 1000
    before = world.database()
    again = trueup.reconcile()
    assert set(verdicts(again).values()) == {"duplicate", "orphan"}
    assert not any(report.fixed or report.mismatch for report in again.providers)
    assert world.database() == before


def test_what_comes_back_is_stored_again(world: World):
    [path] = world.put("x").values()
    kept = path.read_bytes()
    path.unlink()
    trueup.reconcile()
    path.write_bytes(kept)
    assert trueup.reconcile().status == "ok"
    assert world.states() == {f"{path.parent.name}/x": ("stored", 1000)}
    world.check()


def test_a_missing_object_can_be_put_again_and_removed(world: World):
    there = world.put("x", "y")
    for path in there.values():
        path.unlink()
    trueup.reconcile()
    world.put("x", size=50)
    with world.pool() as pool:
        pool.delete("y")
    assert list(world.states().values()) == [("stored", 50)]
    world.check()


def test_orphans_can_be_taken_into_the_books(world: World):
    (world.folder / "a" / "foreign").write_bytes(bytes(77))
    trueup.reconcile()
    with world.pool() as pool:
        assert (list(pool.ls()), pool.stats().total_size_bytes) == ([], 77)
    run = trueup.reconcile(adopt_orphans=True)
    assert run.status == "ok"
    assert world.states() == {"a/foreign": ("stored", 77)}
    world.check()


def test_a_dry_run_changes_nothing(world: World):
    there = world.put("x", "y")
    there["x"].unlink()
    before = world.database()
    run = trueup.reconcile(dry_run=True)
    assert (run.status, run.exit_code, run.findings) == ("dry-run", 0, True)
    assert [item["fix"] for item in run.items] == ["planned"]
    assert world.database() == before


def test_orphans_can_be_moved_aside_and_back(world: World):
    world.put("x")
    foreign = world.folder / "a" / "deep" / "foreign"
    foreign.parent.mkdir()
    foreign.write_bytes(bytes(77))
    run = trueup.reconcile(quarantine_orphans=True)
    aside = world.folder / "a" / ".trueup" / "quarantine" / run.run / "deep" / "foreign"
    assert (run.status, foreign.exists(), aside.read_bytes()) == ("ok", False, bytes(77))
    assert [(item["key"], item["fix"]) for item in run.items] == [("deep/foreign", "done")]
    assert trueup.reconcile().items == ()
    assert main(["undo", run.run]) == 0
    assert (foreign.read_bytes(), aside.exists()) == (bytes(77), False)
    assert main(["undo", run.run]) == 2
    assert verdicts(trueup.reconcile()) == {"a/deep/foreign": "orphan"}


def test_an_orphan_whose_place_was_taken_stays_aside(world: World, capsys: pytest.CaptureFixture[str]):
    (world.folder / "a" / "foreign").write_bytes(b"first")
    run = trueup.reconcile(quarantine_orphans=True)
    (world.folder / "a" / "foreign").write_bytes(b"second")
    assert main(["undo", run.run]) == 1
    assert "stays in quarantine" in capsys.readouterr().err
    assert (world.folder / "a" / "foreign").read_bytes() == b"second"
    (world.folder / "a" / "foreign").unlink()
    assert main(["undo", run.run]) == 0
    assert (world.folder / "a" / "foreign").read_bytes() == b"first"


def test_a_bucket_full_of_orphans_is_not_moved(world: World):
    for number in range(120):
        (world.folder / "a" / f"foreign-{number}").write_bytes(b"?")
    run = trueup.reconcile(quarantine_orphans=True)
    assert (run.status, run.exit_code) == ("refused", 3)
    assert "would be moved" in str(run.reason)
    assert len(list((world.folder / "a").iterdir())) == 120


# What it must not conclude


def test_a_root_that_is_not_there_is_unknown_and_not_empty(world: World):
    there = world.put("x", "y")
    before = world.states()
    gone = next(iter(there.values())).parent
    shutil.move(gone, world.folder / "away")
    run = trueup.reconcile()
    report = provider(run, gone.name)
    assert (run.status, run.exit_code, report.state, report.actual) == ("partial", 1, "unknown", None)
    assert "is not there" in str(report.reason)
    assert not gone.exists()
    assert world.states() == before


def test_a_provider_that_left_the_settings_is_unknown_and_keeps_its_rows(world: World):
    world.put("x", "y")
    before = world.states()
    world.settings(SETTINGS.replace('[pool.providers.b]\nurl = "b"\n', ""))
    run = trueup.reconcile()
    report = provider(run, "b")
    assert (run.status, report.state) == ("partial", "unknown")
    assert "b is not in the settings. Write a [pool.providers.b]" in str(report.reason)
    world.settings(SETTINGS)
    assert world.states() == before


def test_a_check_that_cannot_look_does_not_say_that_all_is_well(world: World):
    world.put("x")
    (world.folder / "a").rename(world.folder / "away")
    assert [main(["reconcile", "--check"]), main(["reconcile", "--dry-run"])] == [1, 1]
    (world.folder / "away").rename(world.folder / "a")
    assert main(["reconcile", "--check"]) == 0


def test_what_is_young_is_in_flight(world: World):
    there = world.put("x", "y")
    there["x"].unlink()
    (world.folder / "a" / "new").write_bytes(b"new")
    world.settings(SETTINGS.replace("0s", "1h"))
    before = world.database()
    run = trueup.reconcile()
    assert (run.status, run.exit_code, run.findings) == ("ok", 0, False)
    assert set(verdicts(run).values()) == {"in_flight"}
    assert world.database() == before


def test_an_upload_under_way_is_in_flight(world: World):
    later = datetime.now(UTC) + timedelta(hours=1)
    with world.pool() as pool:
        assert pool._ledger.reserve(Reservation("t", "b", "late", 8, 8, "", later))
        (world.folder / "b" / "late").write_bytes(b"halfhalf")
        run = trueup.reconcile()
        assert (verdicts(run), run.findings) == ({"b/late": "in_flight"}, False)
        assert pool._ledger.commit("t", 8, "", now())
    assert trueup.reconcile().items == ()
    world.check()


def test_a_folder_that_cannot_be_read_hides_what_is_in_it(world: World, monkeypatch: pytest.MonkeyPatch):
    there = world.put("deep/x", "y")
    (there["deep/x"].parent / "x").rename(world.folder / "x")
    there["deep/x"].parent.rmdir()
    there["deep/x"].parent.symlink_to(world.folder)
    run = trueup.reconcile()
    assert set(verdicts(run).values()) == {"unverifiable"}
    assert run.status == "partial"
    assert {state for state, _ in world.states().values()} == {"stored"}


def test_a_change_of_very_much_is_refused_and_explained(world: World):
    there = world.put(*(f"k{number:03}" for number in range(204)), size=1)
    gone = next(iter(there.values())).parent
    before = world.states()
    shutil.rmtree(gone)
    gone.mkdir()
    run = trueup.reconcile()
    assert (run.status, run.exit_code) == ("refused", 3)
    assert "wrong bucket" in str(run.reason)
    assert world.states() == before
    assert trueup.reconcile(max_change="100%").status == "ok"
    world.check()


def test_what_was_put_again_after_it_was_judged_is_not_marked(world: World, monkeypatch: pytest.MonkeyPatch):
    [path] = world.put("x").values()
    path.unlink()
    plan = Fixing.plan

    def late(self: Fixing, provider: str, usage: object) -> bool:
        planned = plan(self, provider, usage)
        if provider == path.parent.name:
            world.put("x", size=70)
        return planned

    monkeypatch.setattr(Fixing, "plan", late)
    run = trueup.reconcile()
    assert [item["fix"] for item in run.items] == ["skipped"]
    assert list(world.states().values()) == [("stored", 70)]
    world.check()


def test_two_at_once_are_one_and_a_busy_one(world: World):
    world.put("x")
    seen: list[type] = []

    def heard(_: str) -> None:
        try:
            trueup.reconcile()
        except Busy as error:
            seen.append(type(error))

    assert trueup.reconcile(heard=heard).status == "ok"
    assert seen == [Busy, Busy]


# Backups


def test_a_backup_puts_everything_back_bit_for_bit(world: World):
    there = world.put("kept", "lost", "cut")
    before = world.database()
    there["lost"].unlink()
    there["cut"].write_bytes(b"short")
    (world.folder / "a" / "foreign").write_bytes(b"foreign")
    run = trueup.reconcile()
    assert world.database() != before
    backups = [report.backup for report in run.providers if report.backup]
    with world.pool() as pool:
        for backup in backups:
            _, stay = pool._catalog.corrections.restore(backup)
            assert stay == []
            with pytest.raises(UsageError, match="restored already"):
                pool._catalog.corrections.restore(backup)
    assert world.database() == before
    with world.pool() as pool, pytest.raises(UsageError, match="no backup"):
        pool._catalog.corrections.restore("nonsense")


def test_what_was_changed_since_stays(world: World):
    there = world.put("x", "y")
    for path in there.values():
        path.write_bytes(b"cut")
    run = trueup.reconcile()
    world.put("x", size=300)
    with world.pool() as pool:
        backups = [report.backup for report in run.providers if report.backup]
        stay = [key for backup in backups for key in pool._catalog.corrections.restore(backup)[1]]
    assert stay == ["x"]
    rows = {key.partition("/")[2]: size for key, (_, size) in world.states().items()}
    assert rows == {"x": 300, "y": 1000}


# Real clouds


NAMES = ("a b", "a+b", "a%20b", "images/x", "images2/x", "é", "e\u0301", "ü/ö", "-", "tab\tx")


@pytest.mark.parametrize("kind", ["seaweed_bucket", "azurite_container", "gcs_bucket"])
def test_a_cloud_is_looked_at_with_all_its_odd_names(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    bucket: Bucket = request.getfixturevalue(kind)
    options = "".join(f'{name} = "{value}"\n' for name, value in bucket.options.items())
    (tmp_path / "trueup.toml").write_text(
        f'[stores.cloud]\nurl = "{bucket.url}"\n{options}[pool.providers.cloud]\nurl = "cloud"\n'
        '[reconcile]\ngrace = "0s"\n'
    )
    names = [name for name in NAMES if kind != "seaweed_bucket" or name != "tab\tx"]
    with trueup.Pool.from_config() as pool:
        store = pool._providers["cloud"].store
        for name in names:
            pool.put([name.encode()], name)
        run = trueup.reconcile()
        assert (run.status, run.items, run.providers[0].verdicts) == ("ok", (), {"ok": len(names)})
        store.delete("é")
        store.delete("images/x")
        store.write("images2/x", [b"longer than before"])
        store.write("images3/x", [b"foreign"])
        run = trueup.reconcile()
        assert verdicts(run) == {
            "cloud/é": "missing",
            "cloud/images/x": "missing",
            "cloud/images2/x": "size_mismatch",
            "cloud/images3/x": "orphan",
        }
        [usage] = pool._ledger.usage()
        assert usage.file_count == len(names) - 1
        assert trueup.reconcile().findings is False
