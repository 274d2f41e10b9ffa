"""Layers that are lost: no effect comes twice, and nothing is missed."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import pytest

import trueup
from tests.ingest.world import OLD, World, done, layers, outcomes

LOSSES = {
    "memory": World.restart,
    "local": lambda world: shutil.rmtree(world.local),
    "rows": lambda world: world.run("delete from processed_files"),
}
PAIRS = [(one,) for one in LOSSES] + list(combinations(LOSSES, 2))


def lose(world: World, *what: str) -> None:
    for name in what:
        LOSSES[name](world) if name != "memory" else world.restart()


@pytest.mark.parametrize("lost", [pair for pair in PAIRS if pair != ("local", "rows")], ids="+".join)
def test_any_one_or_two_layers_may_be_lost(remote: World, lost: tuple[str, ...]):
    names = remote.fill(20)
    remote.put("deep/a.txt", "round")
    remote.ingest()
    lose(remote, *lost)
    run = remote.ingest()
    assert (run.exit_code, done(run)) == (0, {"already": 21})
    assert remote.once(names | {"deep/a.txt"})
    remote.put("new.txt", "round")
    lose(remote, "memory")
    assert outcomes(remote.ingest()) == {"new.txt": "processed"}
    assert remote.once(names | {"deep/a.txt", "new.txt"})


def test_memory_alone_is_enough(world: World):
    names = world.fill(20)
    world.ingest()
    assert world.ingest().counts["already"] == 20
    lose(world, "local", "rows")
    assert layers(world.ingest()) == {"memory": 20}
    assert world.once(names)


def test_the_application_s_table_alone_is_enough(remote: World):
    remote.set(handler="tests.ingest.knowing:import_file")
    names = remote.fill(300)
    remote.ingest()
    lose(remote, "memory", "local", "rows")
    run = remote.ingest()
    assert (run.exit_code, done(run), layers(run)) == (0, {"already": 300, "downloaded": 300}, {"domain": 300})
    assert run.items == ()
    assert remote.once(names)
    assert set(remote.files()) == names
    lose(remote, "memory")
    assert done(remote.ingest()) == {"already": 300}


def test_local_files_without_a_row_are_taken_for_taken(world: World):
    names = world.fill(3)
    world.local.mkdir()
    for name in names:
        shutil.copy2(world.drop / name, world.local / name)
    world.put("new.txt", "round")
    run = world.ingest()
    assert layers(run) == {"local": 3}
    assert world.once({"new.txt"})
    states = {name: row["state"] for name, row in world.rows().items()}
    assert states == dict.fromkeys(names, "assumed") | {"new.txt": "done"}


def test_of_local_files_without_a_row_the_hook_is_asked(world: World):
    world.set(handler="tests.ingest.knowing:import_file")
    first, second = sorted(world.fill(2))
    world.local.mkdir()
    for name in (first, second):
        shutil.copy2(world.drop / name, world.local / name)
    world.run(f"insert into effects (name, content) values ('{first}', 'by hand')")
    run = world.ingest()
    assert (run.exit_code, done(run)) == (0, {"already": 2})
    assert {name: row["state"] for name, row in world.rows().items()} == {first: "done", second: "assumed"}
    assert world.once({first})
    assert outcomes(world.ingest(repair=True)) == {second: "processed"}
    assert world.once({first, second})


def test_what_a_link_leads_to_is_not_in_the_local_folder(world: World, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("sub/a.txt", "b.txt"):
        path = world.put(name, "round")
        shutil.copy2(path, outside / path.name)
    world.local.mkdir()
    (world.local / "sub").symlink_to(outside)
    (world.local / "b.txt").symlink_to(outside / "b.txt")
    for name in ("sub/a.txt", "b.txt"):
        assert trueup.should_process("stats", name, settings=world.settings) == (True, None)
    assert set(outcomes(world.ingest()).values()) == {"failed"}


def test_what_can_never_be_taken_is_not_to_be_taken(world: World):
    for name in ("a_ws.csv", "../a.txt", "/a.txt", "bad\udcff.txt", "a\0.txt", "a" * 5000 + ".txt"):
        assert trueup.should_process("stats", name, settings=world.settings) == (False, None)


def test_a_local_file_that_is_not_whole_is_taken(world: World):
    """What another program left half-way has another size than the server's."""
    world.put("a.txt", "all of it")
    world.local.mkdir()
    (world.local / "a.txt").write_text("half")
    assert outcomes(world.ingest()) == {"a.txt": "processed"}
    assert world.effects() == {"a.txt": ["all of it"]}


def test_a_hook_that_fails_stops_everything(world: World):
    world.set(handler="tests.ingest.knowing:import_file")
    names = world.fill(2)
    world.local.mkdir()
    shutil.copy2(world.drop / min(names), world.local / min(names))
    world.run("alter table effects rename to elsewhere")
    run = world.ingest()
    assert (run.status, run.exit_code) == ("failed", 1)
    assert "already_done fails" in run.reason
    world.run("alter table elsewhere rename to effects")
    world.ingest()
    assert world.once({max(names)})


def test_nothing_that_a_hook_does_lasts(either: World):
    either.set(handler="tests.ingest.meddling:import_file")
    names = either.fill(2)
    run = either.ingest()
    assert (run.exit_code, done(run)) == (0, {"downloaded": 2, "processed": 2})
    assert either.once(names)


# ----- repair -----


def test_repair_brings_back_files_without_the_handler(remote: World):
    names = remote.fill(30)
    remote.ingest()
    first, second, *_ = sorted(names)
    for name in (first, second):
        (remote.local / name).unlink()
    assert done(remote.ingest()) == {"already": 30}
    assert len(remote.files()) == 28
    run = remote.ingest(repair=True)
    assert (run.exit_code, done(run)) == (0, {"already": 30, "downloaded": 2})
    assert (remote.local / first).stat().st_mtime == (remote.drop / first).stat().st_mtime
    assert set(remote.files()) == names
    assert done(remote.ingest(repair=True)) == {"already": 30}
    assert remote.once(names)


def test_lost_effects_return_by_repair_only_and_once(world: World):
    world.set(handler="tests.ingest.knowing:import_file")
    names = world.fill(5)
    world.ingest()
    lost = min(names)
    world.run(f"delete from effects where name = '{lost}'")
    world.restart()
    assert done(world.ingest()) == {"already": 5}
    assert lost not in world.effects()
    planned = world.ingest(repair=True, dry_run=True)
    assert outcomes(planned) == {lost: "planned"}
    assert lost not in world.effects()
    run = world.ingest(repair=True)
    assert outcomes(run) == {lost: "processed"}
    assert done(world.ingest(repair=True)) == {"already": 5}
    assert world.once(names)


def test_repair_makes_no_second_effect_of_a_duplicate(world: World):
    world.set(handler="tests.ingest.knowing:import_file", on_duplicate="skip")
    world.put("a.txt", "same")
    world.put("b.txt", "same")
    world.ingest()
    run = world.ingest(repair=True)
    assert (run.exit_code, done(run)) == (0, {"already": 2})
    assert world.once({"a.txt"})


def test_what_is_lost_and_gone_cannot_come_back(world: World):
    names = world.fill(2)
    world.ingest()
    first, second = sorted(names)
    (world.local / first).unlink()
    (world.drop / first).unlink()
    run = world.ingest(repair=True)
    assert (run.exit_code, done(run)) == (0, {"already": 1})
    assert set(world.files()) == {second}


# ----- forgetting -----


def test_what_is_gone_from_the_server_for_long_is_forgotten(world: World):
    world.set(forget="1h")
    names = world.fill(3)
    world.ingest()
    first, second, third = sorted(names)
    for name in (first, second):
        (world.drop / name).unlink()
    world.ingest()
    assert set(world.rows()) == names
    world.put(second, f"round {second}", mtime=OLD)
    world.run("update processed_files set gone_since = '2020-01-01 00:00:00' where gone_since is not null")
    world.ingest()
    assert set(world.rows()) == {second, third}
    assert world.rows()[second]["gone_since"] is None
    world.restart()
    assert done(world.ingest()) == {"already": 2}
    assert world.once(names)


def test_nothing_is_forgotten_unless_somebody_asks(world: World):
    names = world.fill(3)
    world.ingest()
    (world.drop / min(names)).unlink()
    for _ in range(2):
        world.ingest()
    assert set(world.rows()) == names
    assert {row["gone_since"] for row in world.rows().values()} == {None}
