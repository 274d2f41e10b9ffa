"""Files that are written anew after they were taken."""

from __future__ import annotations

import shutil

import pytest

from tests.ingest.world import OLD, World, done, layers, outcomes


@pytest.mark.parametrize("content", ["two", "three"], ids=["same size", "other size"])
@pytest.mark.parametrize("mtime", [OLD + 10**6, OLD - 10**6], ids=["newer", "older"])
@pytest.mark.parametrize("policy", ["version", "ignore", "error"])
def test_other_bytes_under_a_name(world: World, policy: str, mtime: float, content: str):
    world.set(on_rewrite=policy)
    world.put("a.txt", "one")
    world.put("b.txt", "bee")
    world.ingest()
    world.put("a.txt", content, mtime=mtime)
    run = world.ingest()
    assert run.counts["rewritten"] == 1
    assert run.counts["already"] == (2 if policy == "ignore" else 1)
    if policy == "version":
        assert outcomes(run) == {"a.txt": "processed"}
        assert world.effects() == {"a.txt": ["one", content], "b.txt": ["bee"]}
        assert world.rows()["a.txt"]["version"] == 2
        assert world.files()["a.txt"] == content
    else:
        assert world.effects() == {"a.txt": ["one"], "b.txt": ["bee"]}
        assert world.files()["a.txt"] == "one"
    world.restart()
    again = world.ingest()
    if policy == "error":
        assert (run.exit_code, again.exit_code) == (1, 1)
        assert outcomes(again) == {"a.txt": "failed"}
        assert outcomes(world.ingest(reprocess="a.txt")) == {"a.txt": "processed"}
        assert world.effects()["a.txt"] == ["one", content]
        again = world.ingest()
    else:
        assert run.exit_code == 0
    assert (again.exit_code, done(again)) == (0, {"already": 2})


def test_a_server_that_is_moved_has_nothing_taken_again(remote: World):
    names = remote.fill(20)
    remote.ingest()
    for number, name in enumerate(sorted(names)):  # the same bytes, as a copy without times brings them
        remote.put(name, f"round {name}", mtime=OLD + 10**6 + number)
    remote.restart()
    run = remote.ingest()
    assert (run.exit_code, done(run)) == (0, {"already": 20})
    assert layers(remote.ingest()) == {"memory": 20}
    assert remote.once(names)


def test_a_server_that_empties_and_fills_again_has_nothing_taken_again(remote: World):
    names = remote.fill(12)
    remote.ingest()
    for path in remote.drop.iterdir():
        path.unlink()
    empty = remote.ingest()
    assert (empty.status, empty.counts["listed"]) == ("ok", 0)
    remote.fill(12)
    assert done(remote.ingest()) == {"already": 12}
    remote.restart()
    assert done(remote.ingest()) == {"already": 12}
    assert remote.once(names)


def test_a_server_without_its_folder_says_nothing(remote: World):
    names = remote.fill(3)
    remote.set(forget="0s")
    remote.ingest()
    shutil.rmtree(remote.drop)
    run = remote.ingest()
    assert (run.status, run.exit_code) == ("failed", 1)
    assert "is not there" in run.reason
    assert set(remote.rows()) == names


def test_a_rewrite_that_fails_keeps_the_first_effect(world: World):
    world.put("a.txt", "one")
    world.ingest()
    world.put("a.txt", "poison")
    assert outcomes(world.ingest()) == {"a.txt": "failed"}
    assert world.effects() == {"a.txt": ["one"]}
    world.put("a.txt", "three")
    assert outcomes(world.ingest()) == {"a.txt": "processed"}
    assert world.effects() == {"a.txt": ["one", "three"]}
    assert world.rows()["a.txt"]["version"] == 2
