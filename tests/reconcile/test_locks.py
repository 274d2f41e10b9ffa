"""Several machines with one database: one reconciles, and what a crash leaves ends by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

import trueup
from tests.reconcile.test_reconcile import SETTINGS, World
from trueup.catalog import database, open_catalog
from trueup.catalog.held import held
from trueup.config import load
from trueup.errors import Busy

MACHINE = """
import sys, time
from datetime import timedelta
from pathlib import Path
import trueup
from trueup.errors import TrueupError

def heard(provider):
    if provider == "b":
        Path("begun").touch()
        while not Path("go").exists():
            time.sleep(0.02)

try:
    run = trueup.reconcile(heard=heard, lease=timedelta(seconds=float(sys.argv[1])))
except TrueupError as error:
    print(error)
    sys.exit(error.exit_code)
print(run.run)
sys.exit(run.exit_code)
"""
"""A run that waits in the middle of its work until there is a file `go`."""


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A pool whose database several machines share, and a row on it that is not true. `LocksContract` holds each
    database to the same; here it is seen from outside."""
    names = {"sqlite": None, "postgresql": "postgres_url", "mongodb": "mongo_url"}
    world = World(tmp_path)
    if (name := names[request.param]) is not None:
        url = request.getfixturevalue(name)
        database.upgrade(url)
        world.settings(f'[database]\nurl = "{url}"\n{SETTINGS}')
    [path] = world.put("x").values()
    path.unlink()
    return world


@contextmanager
def machine(world: World, name: str, length: float) -> Iterator[subprocess.Popen[str]]:
    """Another machine, in the middle of a run: nothing but the database and the clouds is shared with it."""
    environ = os.environ | {"TRUEUP_HOME": str(world.folder / f"home-{name}")}
    command = [sys.executable, "-c", MACHINE, str(length)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            while not (world.folder / "begun").exists():
                assert process.poll() is None
                time.sleep(0.02)
            (world.folder / "begun").unlink()
            yield process
        finally:
            process.kill()


def command(world: World, name: str) -> subprocess.CompletedProcess[str]:
    """`trueup reconcile` on a machine."""
    environ = os.environ | {"TRUEUP_HOME": str(world.folder / f"home-{name}")}
    return subprocess.run(
        [sys.executable, "-m", "trueup", "reconcile"], env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("world", ["sqlite", "postgresql", "mongodb"], indirect=True)
def test_of_two_machines_one_runs_and_the_other_says_which(world: World):
    with machine(world, "one", length=3) as one:
        began = time.monotonic()
        while time.monotonic() - began < 4.5:  # its lock would have ended by now
            other = command(world, "two")
            assert other.returncode == 4
        with pytest.raises(Busy) as caught:
            trueup.reconcile()
        assert f"run {caught.value.run}" in other.stderr
        assert "if it crashed, its lock ends at" in other.stderr
        (world.folder / "go").touch()
        said, _ = one.communicate(timeout=30)
        assert (one.returncode, said.strip()) == (0, caught.value.run)
    assert [state for state, _ in world.states().values()] == ["missing"]
    assert command(world, "two").returncode == 0


@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_what_a_killed_run_held_is_free_at_once_here_and_elsewhere_when_its_lease_ends(world: World):
    with machine(world, "one", length=60) as one:
        one.kill()
    assert command(world, "two").returncode == 4
    assert command(world, "one").returncode == 0
    assert command(world, "two").returncode == 0
    with machine(world, "one", length=6) as one:
        one.kill()
        killed = time.monotonic()
    assert command(world, "two").returncode == 4
    while command(world, "two").returncode == 4:
        assert time.monotonic() - killed < 20
    assert time.monotonic() - killed > 3  # a third of it may have gone by when it was killed


@pytest.mark.parametrize("world", ["sqlite", "postgresql", "mongodb"], indirect=True)
def test_a_run_that_was_replaced_stops_before_it_changes_something(world: World):
    with machine(world, "one", length=1) as one:
        one.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        with closing(open_catalog(database.database_of(load()), {})) as catalog:
            with held(catalog.locks, "reconcile", "the other", "these books are being reconciled") as hold:
                (world.folder / "go").touch()
                one.send_signal(signal.SIGCONT)
                said, _ = one.communicate(timeout=30)
                assert (one.returncode, "by somebody else by now" in said) == (4, True)
                hold.check()
            assert catalog.runs.latest() == []
    assert [state for state, _ in world.states().values()] == ["stored"]
    assert trueup.reconcile(lease=timedelta(seconds=5)).status == "ok"
