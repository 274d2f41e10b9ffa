"""Each file has its effect once; which layer knows it; what a run reports."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest

import trueup
from tests.ingest.world import OLD, World, done, layers, outcomes


@pytest.mark.parametrize("kind", ["world", "remote"])
def test_a_second_pass_finds_nothing_to_do(kind: str, request: pytest.FixtureRequest):
    world: World = request.getfixturevalue(kind)
    names = world.fill(70)
    world.put("deep/er/below.txt", "round below")
    world.put("2024-03-24-000000-supply_ws.txt", "weapons")
    world.put("readme.md", "no match")
    world.set(exclude=["*_ws.txt"])
    first = world.ingest()
    assert (first.status, first.exit_code, first.reason) == ("ok", 0, None)
    assert done(first) == {"filtered": 2, "downloaded": 71, "processed": 71}
    assert world.once(names | {"deep/er/below.txt"})
    assert done(world.ingest()) == {"filtered": 2, "already": 71}
    world.restart()
    again = world.ingest()
    assert (done(again), layers(again)) == ({"filtered": 2, "already": 71}, {"memory": 71})
    assert again.items == ()
    assert world.once(names | {"deep/er/below.txt"})


def test_a_handler_is_told_what_it_was_given(remote: World):
    path = remote.put("deep/a.txt", "one", mtime=OLD + 7)
    remote.ingest()
    ((name, content, size, md5, version),) = remote.query("select * from effects")
    assert (name, content, size, version) == ("deep/a.txt", "one", 3, 1)
    assert md5 == "f97c5d29941bfb1b2fdab0874906ab82"
    assert (remote.local / name).stat().st_mtime == path.stat().st_mtime == OLD + 7
    row = remote.rows()[name]
    assert (row["source"], row["success"], row["md5"], row["size"]) == ("stats", 1, md5, 3)
    assert str(row["processed_at"])[:10] == f"{datetime.now(UTC):%Y-%m-%d}"


def test_the_fastest_layer_that_knows_a_file_is_named(world: World):
    names = world.fill(3)
    world.ingest()
    assert layers(world.ingest()) == {"memory": 3}
    (world.local / min(names)).unlink()
    world.restart()
    first, *others = sorted(names)
    assert trueup.should_process("stats", first, settings=world.settings) == (False, "processed")
    assert trueup.should_process("stats", others[0], settings=world.settings) == (False, "local")
    world.ingest()
    assert trueup.should_process("stats", first, settings=world.settings) == (False, "memory")
    assert trueup.should_process("stats", "never seen.txt", settings=world.settings) == (True, None)


def test_the_application_s_own_table_is_the_last_to_be_asked(world: World):
    world.set(handler="tests.ingest.knowing:import_file")
    world.put("old.txt", "imported by hand")
    world.put("new.txt", "round")
    world.run("insert into effects (name, content) values ('old.txt', 'imported by hand')")
    assert trueup.should_process("stats", "old.txt", settings=world.settings) == (False, "domain")
    run = world.ingest()
    assert layers(run) == {"domain": 1}
    assert outcomes(run) == {"new.txt": "processed"}
    assert world.once({"old.txt", "new.txt"})


def test_the_document_has_the_shape_that_is_promised(world: World):
    world.fill(2)
    world.put("bad.txt", "poison")
    process = world.command()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    document = json.loads(out)
    assert document["status"] == "partial"
    assert document["counts"] == {
        "listed": 3, "filtered": 0, "unstable": 0, "already": 0,
        "already_by_layer": {"memory": 0, "local": 0, "processed": 0, "domain": 0},
        "downloaded": 3, "processed": 2, "failed": 1, "quarantined": 0, "rewritten": 0, "refused": 0, "waiting": 0,
    }  # fmt: skip
    assert [set(item) for item in document["items"]] == [{"path", "outcome", "error", "attempts"}] * 3
    assert document["items"][-1] == {
        "path": "bad.txt", "outcome": "failed", "error": "ValueError: it cannot be read", "attempts": 1,
    }  # fmt: skip


def test_what_was_written_a_moment_ago_waits(world: World):
    world.set(stable_for="1h")
    world.put("old.txt", "round")
    young = world.put("young.txt", "round, not all of it", mtime=datetime.now(UTC).timestamp())
    run = world.ingest()
    assert (run.exit_code, done(run)) == (0, {"unstable": 1, "downloaded": 1, "processed": 1})
    young.write_text("round, and all of it")
    os.utime(young, (OLD, OLD))
    assert done(world.ingest()) == {"already": 1, "downloaded": 1, "processed": 1}
    assert world.effects()["young.txt"] == ["round, and all of it"]


def test_the_same_name_in_two_folders_is_two_files(remote: World):
    remote.put("a/x.txt", "one")
    remote.put("b/x.txt", "two")
    remote.put("x.txt", "three")
    remote.ingest()
    remote.restart()
    remote.ingest()
    assert remote.effects() == {"a/x.txt": ["one"], "b/x.txt": ["two"], "x.txt": ["three"]}


@pytest.mark.parametrize(("policy", "taken"), [("process", 3), ("skip", 2)])
def test_the_same_bytes_under_another_name(world: World, policy: str, taken: int):
    world.set(on_duplicate=policy)
    for name, content in (("a.txt", "same"), ("b.txt", "same"), ("c.txt", "else")):
        world.put(name, content)
    assert world.ingest().counts["processed"] == taken
    assert len(world.effects()) == taken
    world.restart()
    run = world.ingest()
    assert (run.exit_code, done(run)) == (0, {"already": 3})
    assert len(world.effects()) == taken


def test_one_file_is_reprocessed_once(world: World):
    names = world.fill(3)
    world.ingest()
    run = world.ingest(reprocess=f"*{max(names)[10:]}")
    assert outcomes(run) == {max(names): "processed"}
    world.ingest()
    assert [len(world.effects()[name]) for name in sorted(names)] == [1, 1, 2]
    assert {version for (version,) in world.query("select version from effects")} == {1}


def test_a_dry_run_says_what_would_be_taken_again(world: World):
    names = world.fill(3)
    world.put("bad.txt", "poison")
    world.ingest()
    before = world.rows()
    assert outcomes(world.ingest(reprocess="*.txt", requeue="*", dry_run=True)) == dict.fromkeys(
        names | {"bad.txt"}, "planned"
    )
    assert world.rows() == before


def test_what_is_not_on_the_server_any_more_is_not_asked_for_again(world: World):
    first, second = sorted(world.fill(2))
    world.ingest()
    (world.drop / first).unlink()
    assert outcomes(world.ingest(reprocess="*")) == {second: "processed"}
    assert {name: row["state"] for name, row in world.rows().items()} == {first: "done", second: "done"}
