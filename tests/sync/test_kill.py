"""kill -9 before every effect of a run over all of the decision table's cases, and what the next run makes of it.

Each effect (a system call that changes a file, a statement sent to SQLite) is one experiment in a process of its own;
the experiments of one scenario are dealt to several tests, so that they run beside each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.sync.cases import prepared
from tests.sync.world import World, done, nothing_to_do, scratch
from trueup import events
from trueup.errors import Busy, Interrupted, Unreachable
from trueup.stores.local import LocalStore
from trueup.sync.outputs import Outputs

ROOT = Path(__file__).parents[2]


def experiments(folder: Path, *, first: int = 0, step: int = 1, **job: object) -> list[dict]:
    """What `killer` found, the last one being the run nobody killed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    found = subprocess.run(
        [sys.executable, "-m", "tests.sync.killer", str(folder), json.dumps({**job, "first": first, "step": step})],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert found.returncode == 0, found.stderr
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [row["killed"] for row in rows] == [True] * (len(rows) - 1) + [False]
    return rows


SCENARIOS = {
    "delete": (1, {"delete": True}),
    "restore": (2, {}),
    "keep-loser": (1, {"delete": True, "keep_loser": True, "prefer": "newer"}),
    "no-trash": (3, {"delete": True, "trash": False, "prefer": "left"}),
    "push": (3, {"delete": True, "mode": "push", "force": True}),
    "pull": (3, {"delete": True, "mode": "pull", "force": True}),
}
"""How far apart the effects tried are, and the options."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_after_a_kill_gives_the_trees_of_a_run_without_one(name: str):
    step, options = SCENARIOS[name]
    options |= {"workers": 1}
    with scratch() as folder:
        *killed, undisturbed = experiments(Path(folder), options=options, kill="sync", then="sync", step=step)
    assert len(killed) > 20
    assert sum(map(len, (row["plans"] for row in killed))) <= 1, "a plan's file loses its name as soon as it is open"
    for row in killed:
        where = f"killed after {row['survived']} effects"
        assert row["trees"] == undisturbed["trees"], where
        assert row["baseline"] is not None, where
        assert not row["temporaries"], where
        assert row["further"] == undisturbed["further"], where
        assert row["statuses"] == [undisturbed["further"][0]], where
        if options.get("trash", True):
            assert not row["lost"], where


def test_a_run_with_many_workers_survives_a_kill_too():
    with scratch() as folder:
        *killed, undisturbed = experiments(
            Path(folder), options={"delete": True, "workers": 8}, kill="sync", then="sync", step=4
        )
    assert len(killed) > 10
    for row in killed:
        assert row["trees"] == undisturbed["trees"], row["survived"]
        assert not row["temporaries"] + row["lost"], row["survived"]
        assert row["further"] == ["ok"]


@pytest.mark.parametrize("keep_loser", [False, True])
def test_what_a_killed_run_did_can_be_undone(keep_loser: bool):
    """What the killed run committed or still recognises goes back; the rest stays and is said. Nothing is lost."""
    options = {"delete": True, "keep_loser": keep_loser, "workers": 1}
    with scratch() as folder:
        *killed, undisturbed = experiments(Path(folder), options=options, kill="sync", then="undo", step=2)
    assert undisturbed["trees"] == undisturbed["started"]
    assert len(killed) > 20
    for row in killed:
        where = f"killed after {row['survived']} effects"
        assert not row["lost"], where
        assert not row["temporaries"], where
        (status,) = row["statuses"]
        assert status in {"ok", "none"} or status.startswith("usage:"), (where, status)
        extra = (
            {} if not keep_loser else {key: tree[key] for tree in row["trees"] for key in tree if ".conflict-" in key}
        )
        shown = [{key: data for key, data in tree.items() if key not in extra} for tree in row["trees"]]
        assert shown == row["started"], where


def test_an_undo_that_was_killed_is_finished_by_another():
    options = {"delete": True, "keep_loser": True, "workers": 1}
    with scratch() as folder:
        *killed, undisturbed = experiments(Path(folder), options=options, kill="undo", then="undo", step=3)
    assert undisturbed["trees"] == undisturbed["started"]
    assert len(killed) > 20
    for row in killed:
        where = f"killed after {row['survived']} effects"
        assert row["trees"] == row["started"], where
        assert row["held"] == undisturbed["held"], where
        assert row["baseline"] == undisturbed["baseline"], where
        assert row["statuses"] in (["ok"], ["usage: " + row["statuses"][0].removeprefix("usage: ")]), where
        assert not row["lost"] + row["temporaries"], where


def test_a_lock_dies_with_its_process(world: World):
    world.put("left", "a", "1")
    code = (
        "import os, signal, sys; from pathlib import Path; from trueup.runs import run_lock\n"
        "lock = run_lock(Path(sys.argv[1]), run='r'); lock.__enter__(); print('held', flush=True); sys.stdin.read()"
    )
    world.sync()
    (lock,) = (world.settings.home / "pairs").glob("*.lock")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match="run r"):
            world.sync()
        assert world.sync(dry_run=True).status == "dry-run", "looking is allowed"
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    assert nothing_to_do(world.sync())


# Interrupted runs: the user asks, the run ends by itself


@pytest.mark.parametrize("allowed", [0, 1, 2, 5, 9])
def test_an_interrupted_run_reports_and_the_next_one_finishes(tmp_path: Path, allowed: int):
    undisturbed = prepared(World(tmp_path / "undisturbed"))
    undisturbed.sync(delete=True)
    world = prepared(World(tmp_path / "world"))
    finished: list[str] = []
    asked = threading.Event()

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Planned) and allowed == 0:
            asked.set()
        if isinstance(event, events.ItemFinished):
            finished.append(event.key)
            if len(finished) >= allowed:
                asked.set()

    run = world.sync(delete=True, workers=1, outputs=Outputs(listener=listen, stopped=asked.is_set))
    if run.status == "interrupted":
        assert run.exit_code == 130
        skipped = [item for item in run.items if item["outcome"] == "skipped"]
        assert skipped
        assert all("interrupted" in str(item["error"]) for item in skipped)
    assert not world.temporaries()
    assert not {item["outcome"] for item in run.items} & {"failed", "drifted"}
    world.sync(delete=True)
    assert world.trees() == undisturbed.trees()
    assert nothing_to_do(world.sync(delete=True))


def test_a_run_interrupted_while_planning_did_nothing(world: World):
    world.put("left", "a", "1")
    with pytest.raises(Interrupted, match="nothing was done"):
        world.sync(outputs=Outputs(stopped=lambda: True))
    assert world.tree("right") == {}
    assert done(world.sync()) == {"copy_right": 1}


def test_an_interrupted_run_can_be_undone(world: World):
    world = prepared(world)
    before = world.trees()
    asked = threading.Event()
    count = iter(range(100))

    def listen(event: events.Event) -> None:
        if isinstance(event, events.ItemFinished) and next(count) >= 3:
            asked.set()

    run = world.sync(delete=True, workers=1, outputs=Outputs(listener=listen, stopped=asked.is_set))
    assert world.undo(run).status == "ok"
    assert world.trees() == before


def test_what_a_lost_connection_left_behind_is_removed_by_the_run_that_can(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """As on a server whose connection broke in the middle of a write, so that nothing could be cleaned up either."""
    world.put("left", "a/b", "one")
    world.put("left", "c", "two")
    world.put("right", "d", "so that the side is there")

    def cut(self: LocalStore, key: str, *_: object, temporary: str = "", **__: object):
        path = self.root / key
        path.parent.mkdir(exist_ok=True)
        (path.parent / f".trueup-{temporary}").write_bytes(b"half")
        raise Unreachable("the connection broke off")

    def away(self: LocalStore, key: str, temporary: str):
        tried.append(key)
        raise Unreachable("no route")

    tried: list[str] = []
    with monkeypatch.context() as broken:
        broken.setattr(LocalStore, "write", cut)
        assert world.sync(mode="push").counts["failed"] == 2
    assert len(world.temporaries()) == 2
    with monkeypatch.context() as broken:
        broken.setattr(LocalStore, "write", cut)
        broken.setattr(LocalStore, "discard", away)
        assert world.sync(mode="push").counts["failed"] == 2
    assert len(tried) == 1, "a place that is away is asked once"
    assert len(world.temporaries()) == 4
    assert world.sync(mode="push").counts["copy_right"] == 2
    assert world.temporaries() == []
    assert world.tree("right") == world.tree("left") | {"d": b"so that the side is there"}
    assert nothing_to_do(world.sync(mode="push"))
