"""Two runs at once, pins in the middle of one, and runs that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.records.world import World
from trueup import records

ROOT = Path(__file__).parents[2]
PARSED = '[records.parsed]\nkind = "python"\nfunction = "fresh_numbers_{}:numbers"\n'


def start(world: World, *arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, "-m", "trueup", "records", *arguments], cwd=world.folder, env=environment)


def parser(world: World, name: str, body: str) -> None:
    (world.folder / f"fresh_numbers_{name}.py").write_text(
        f"import os, time, signal\ndef numbers(key, project):\n{body}"
    )
    world.settings(parsed=PARSED.format(name))


def test_of_two_runs_at_once_one_is_busy_and_nothing_is_there_twice(world: World):
    world.sheet(*((f"x.com/a{number}", number, 0) for number in range(5)))
    parser(world, "slow", "    time.sleep(0.3)\n    return {'views': 9}\n")
    codes = sorted(process.wait(60) for process in [start(world, "sync"), start(world, "sync")])
    assert codes in ([0, 4], [0, 0])  # 0, 0: the second began after the first
    assert len(world.accounts) == 5
    assert world.rows("select count(*), count(distinct account_id) from account_snapshots") == [(5, 5)]


def test_a_run_that_is_killed_leaves_nothing_half_and_the_next_one_goes_on(world: World):
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 1, 1))
    world.sync()
    world.sheet(("x.com/a", 5, 5), ("x.com/b", 5, 5))
    parser(world, "deadly", "    os.kill(os.getpid(), signal.SIGKILL)\n")
    assert start(world, "sync").wait(60) == -signal.SIGKILL
    assert world.accounts == {"x.com/a": (1, 1), "x.com/b": (1, 1)}
    world.settings()
    assert world.result()["status"] == "ok"
    assert world.accounts == {"x.com/a": (5, 5), "x.com/b": (5, 5)}


def test_a_run_that_is_killed_while_it_writes_has_written_nothing(world: World):
    world.sheet(("x.com/a", 1, 1), ("x.com/b", 1, 1))
    world.sync()
    world.sheet(("x.com/a", 5, 5), ("x.com/c", 5, 5))
    killed = (
        "import os, signal, trueup\n"
        "from trueup.records.readmodel import ReadModel\n"
        "ReadModel.take_snapshots = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "trueup.sync_records()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", killed], cwd=world.folder, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert world.accounts == {"x.com/a": (1, 1), "x.com/b": (1, 1)}
    assert world.rows("select count(*) from field_provenance") == [(4,)]
    assert world.result()["changed_count"] == 3
    assert world.accounts == {"x.com/a": (5, 5), "x.com/c": (5, 5)}


def test_what_is_pinned_while_a_run_asks_for_numbers_counts(world: World):
    world.sheet(("x.com/a", 1, 1))
    world.sync()
    world.sheet(("x.com/a", 500, 1))
    body = "    from trueup import records\n    records.pin(key, 'followers', '7')\n    return None\n"
    parser(world, "pinning", body)
    assert world.result()["status"] == "ok"
    assert world.accounts == {"x.com/a": (7, 1)}
    assert records.unpin("x.com/a", "followers")["account"]["followers"] == 500  # type: ignore[index]
