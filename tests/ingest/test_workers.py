"""Several workers on one job: they share the files, and fence each other off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.world import ROOT, World, done, outcomes
from trueup.catalog.database import open_processed
from trueup.config import load


def start(world: World, home: Path) -> subprocess.Popen[str]:
    assert world.settings
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ingest.worker", str(world.base / "trueup.toml")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths, "TRUEUP_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def together(world: World, homes: list[Path]) -> list[dict[str, Any]]:
    """What workers say that begin at the same time."""
    workers = [start(world, home) for home in homes]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.close()
        worker.stdin = None
    told = [worker.communicate(timeout=100) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(homes), told
    return [json.loads(out) for out, _ in told]


@pytest.mark.parametrize("homes", [1, 2], ids=["one machine", "two machines"])
def test_workers_that_begin_together_take_each_file_once(either: World, tmp_path: Path, homes: int):
    names = either.fill(200)
    either.set(lease="2s")
    results = together(either, [tmp_path / f"home{number % homes}" for number in range(2)])
    assert [result["exit"] for result in results] == [0, 0], results
    assert sum(result["counts"]["processed"] for result in results) == 200
    assert either.once(names)
    either.restart()
    assert done(either.ingest()) == {"already": 200}


def test_workers_give_the_same_bytes_one_effect(either: World, tmp_path: Path):
    """Each has the first of its files in the hands of a handler that takes its time."""
    either.set(on_duplicate="skip")
    for number in range(200):
        either.put(f"{number}.txt", "sleeps")
    together(either, [tmp_path / "home"] * 2)
    assert len(either.effects()) == 1
    either.restart()
    either.ingest()
    assert len(either.effects()) == 1


def test_workers_that_begin_together_make_an_index_once(either: World):
    with ExitStack() as stack:
        workers = [stack.enter_context(closing(open_processed(either.database, "stats"))) for _ in range(6)]
        with ThreadPoolExecutor(len(workers)) as pool:
            list(pool.map(lambda worker: worker.index_bytes(), workers))


def held(world: World, lease: str) -> None:
    """A worker of another machine has a claim."""
    world.ingest()
    world.put("a.txt", "round")
    world.run(
        "insert into processed_files (source, filename, success, state, version, attempts, owner, token, lease_until)"
        f" values ('stats', 'a.txt', false, 'claimed', 0, 1, 'far:away', 'theirs', '{lease}')"
    )


def test_a_live_lease_of_another_machine_is_respected(either: World):
    held(either, "2999-01-01 00:00:00")
    run = either.ingest()
    assert (run.exit_code, outcomes(run)) == (0, {"a.txt": "waiting"})
    assert run.counts["waiting"] == 1
    assert either.ingest(requeue="*").exit_code == 0
    assert either.effects() == {}


def test_a_lease_that_ended_is_taken_over_at_once(either: World):
    held(either, "2020-01-01 00:00:00")
    assert outcomes(either.ingest()) == {"a.txt": "processed"}
    assert either.once({"a.txt"})


def test_a_worker_that_lost_its_claim_can_commit_nothing(
    either: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It hangs while it reads; another machine sees its lease end, and is faster."""
    either.put("a.txt", "round")
    either.put("b.txt", "other")
    store = either.faulty(monkeypatch)
    gate = store.hang("read", key="a.txt", nth=1)
    runs = []
    slow = threading.Thread(target=lambda: runs.append(either.ingest()))
    slow.start()
    assert gate.reached.wait(20)
    either.run("update processed_files set lease_until = '2020-01-01 00:00:00'")
    either.restart()
    other = either.ingest(home=tmp_path / "elsewhere")
    assert outcomes(other) == {"a.txt": "processed", "b.txt": "processed"}
    gate.open.set()
    slow.join(60)
    (run,) = runs
    assert (run.status, run.exit_code) == ("ok", 0)
    assert outcomes(run) == {"a.txt": "waiting", "b.txt": "waiting"}
    assert either.once({"a.txt", "b.txt"})
    either.restart()
    assert done(either.ingest()) == {"already": 2}


def test_a_living_owner_keeps_its_lease(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    world.set(lease="2s")
    world.put("a.txt", "round")
    store = world.faulty(monkeypatch)
    gate = store.hang("read", key="a.txt", nth=1)
    runs = []
    slow = threading.Thread(target=lambda: runs.append(world.ingest()))
    slow.start()
    assert gate.reached.wait(20)
    assert not threading.Event().wait(2.5)
    world.restart()
    assert outcomes(world.ingest(home=tmp_path / "elsewhere")) == {"a.txt": "waiting"}
    gate.open.set()
    slow.join(60)
    assert outcomes(runs[0]) == {"a.txt": "processed"}
    assert world.once({"a.txt"})


def test_two_jobs_of_one_database_share_nothing(world: World):
    names = world.fill(2)
    world.ingest()
    path = world.base / "trueup.toml"
    text = path.read_text().replace("[ingest.stats]", "[ingest.other]").replace('"local"', '"local2"')
    path.write_text(text)
    import trueup

    run = trueup.ingest("other", settings=load(path))
    assert run.counts["processed"] == 2
    assert {(source, name) for source, name in world.query("select source, filename from processed_files")} == {
        (source, name) for source in ("stats", "other") for name in names
    }
