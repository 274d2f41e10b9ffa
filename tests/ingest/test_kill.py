"""`kill -9` at each step of a pass: the next one goes on at once, and each file has one effect."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.ingest.killer import FILES
from tests.ingest.world import ROOT, World, done, outcomes
from tests.sync.world import scratch


@pytest.mark.parametrize("first", [0, 1])
def test_a_pass_after_a_kill_goes_on_where_the_other_was(first: int):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    with scratch() as folder:
        found = subprocess.run(
            [sys.executable, "-m", "tests.ingest.killer", folder, str(first), "2"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=170,
        )
    assert found.returncode == 0, found.stderr
    *killed, undisturbed = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(killed) >= 8
    assert not undisturbed["killed"]
    resumed = 0
    for row in (*killed, undisturbed):
        where = f"killed after {row['survived']} effects"
        assert row["status"] == "ok", where
        assert row["effects"] == {key: [content] for key, content in FILES.items()} | {
            "a.txt": ["old one", FILES["a.txt"]]
        }, where
        assert row["files"] == FILES, where
        assert row["then"] == {"already": 3}, where
        resumed += row["first"].get("processed", 0) > row["first"].get("downloaded", 0)
    assert resumed, "what was here already was not read again"


def test_a_file_that_kills_its_process_each_time_ends_in_quarantine_alone(world: World):
    names = world.fill(5)
    world.put("2024-03-24-000002-kills.txt", "kills")
    world.set(attempts=2)
    for _ in range(2):
        process = world.command()
        process.communicate(timeout=60)
        assert process.returncode == -9
    run = world.ingest()
    assert outcomes(run).pop("2024-03-24-000002-kills.txt") == "quarantined"
    assert run.exit_code == 1
    assert world.once(names)
    assert {row["attempts"] for name, row in world.rows().items() if name in names} == {0}
    later = world.ingest()
    assert (later.exit_code, done(later)) == (0, {"already": 5, "quarantined": 1})


def test_what_an_interrupted_pass_had_claimed_is_taken_by_the_next(world: World):
    names = world.fill(150)
    taken: list[str] = []

    def stopped() -> bool:
        taken[:] = world.effects()
        return len(taken) >= 3

    run = world.ingest(stopped=stopped)
    assert (run.status, run.exit_code, run.counts["processed"]) == ("interrupted", 130, 3)
    assert not [row for row in world.rows().values() if row["state"] == "claimed"]
    world.restart()
    assert done(world.ingest())["processed"] == 147
    assert world.once(names)
    assert set(world.files()) == names


def test_ctrl_c_gives_back_what_was_claimed(world: World):
    world.fill(60, "sleeps")
    process = world.command("--log-format", "json")
    for line in process.stderr:
        if json.loads(line)["event"] == "progress":
            break
    process.send_signal(2)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    document = json.loads(out)
    assert document["status"] == "interrupted"
    assert 0 < document["counts"]["processed"] < 60
    assert not [row for row in world.rows().values() if row["state"] == "claimed"]
    assert world.once({name for name, row in world.rows().items() if row["success"]})
