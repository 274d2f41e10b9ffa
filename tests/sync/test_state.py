"""The memory of a pair: who shares it, who may write it, and what a damaged one says."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.sync.world import World, done, nothing_to_do
from trueup import events
from trueup.errors import Busy, TrueupError, UsageError
from trueup.sync import sync
from trueup.sync.outputs import Outputs
from trueup.sync.state import JournalRow, PairState, pair_id

ROOT = Path(__file__).parents[2]


def test_swapped_arguments_are_the_same_pair(world: World):
    world.both({"a": "1", "b": "2"})
    swapped = world.swapped()
    assert nothing_to_do(swapped.sync())
    world.remove("left", "a")
    assert done(swapped.sync(delete=True)) == {"delete_left": 1, "unchanged": 1}
    assert world.tree("right") == {"b": b"2"}
    assert len(list((world.settings.home / "pairs").glob("*.db"))) == 1


def test_the_id_of_a_pair_does_not_depend_on_order_and_does_on_places():
    assert pair_id("file:///a", "file:///b") == pair_id("file:///b", "file:///a")
    assert pair_id("file:///a", "file:///b") != pair_id("file:///a", "file:///c")


@pytest.mark.parametrize(
    "spell", [lambda p: p + "/", lambda p: p + "//", lambda p: f"file://{p}", lambda p: f"{p}/../{Path(p).name}"]
)
def test_another_spelling_is_the_same_place(world: World, spell):
    world.both({"a": "1"})
    assert nothing_to_do(sync(spell(str(world.left)), str(world.right), settings=world.settings))


def test_a_link_to_the_root_is_the_root(world: World):
    world.both({"a": "1"})
    (world.base / "link").symlink_to(world.left)
    assert nothing_to_do(sync(str(world.base / "link"), str(world.right), settings=world.settings))


@pytest.mark.parametrize(("left", "right"), [(".", "."), (".", "sub"), ("sub/deeper", "sub"), ("link", ".")])
def test_places_that_overlap_are_refused(world: World, left: str, right: str):
    (world.left / "sub" / "deeper").mkdir(parents=True)
    (world.left / "link").symlink_to(world.left)
    world.put("left", "sub/a", "1")
    with pytest.raises(UsageError) as caught:
        sync(str(world.left / left), str(world.left / right), settings=world.settings)
    assert caught.value.exit_code == 2
    for means in ("fsspec+file", "fsspec+local"):
        with pytest.raises(UsageError, match=r"same place|inside the other"):
            sync(str(world.left / left), f"{means}://{world.left / right}", settings=world.settings)
    assert world.tree("left") == {"sub/a": b"1"}


def test_two_places_whose_names_begin_alike_do_not_overlap(world: World):
    for name in ("data", "data-2"):
        (world.base / name).mkdir()
    (world.base / "data" / "a").write_text("1")
    assert sync(str(world.base / "data"), str(world.base / "data-2"), settings=world.settings).status == "ok"


def held_in_the_middle(world: World, started: threading.Event, go_on: threading.Event) -> Outputs:
    def listen(event: events.Event) -> None:
        if isinstance(event, events.Planned):
            started.set()
            assert go_on.wait(30)

    return Outputs(listener=listen)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_second_run_in_a_thread_is_busy(world: World, swapped: bool):
    world.put("left", "a", "1")
    started, go_on = threading.Event(), threading.Event()
    results = []
    first = threading.Thread(
        target=lambda: results.append(world.sync(outputs=held_in_the_middle(world, started, go_on)))
    )
    first.start()
    assert started.wait(30)
    second = world.swapped() if swapped else world
    with pytest.raises(Busy) as caught:
        second.sync()
    assert caught.value.exit_code == 4
    with pytest.raises(Busy), world.plan() as planned:
        world.apply(planned)
    assert world.sync(dry_run=True).status == "dry-run"
    go_on.set()
    first.join()
    assert [run.status for run in results] == ["ok"]
    assert nothing_to_do(second.sync())


def test_a_second_process_is_busy_and_other_pairs_are_not(world: World, tmp_path: Path):
    world.put("left", "a", "1")
    other = World(tmp_path / "other")
    other.settings = world.settings
    started, go_on = threading.Event(), threading.Event()
    first = threading.Thread(target=lambda: world.sync(outputs=held_in_the_middle(world, started, go_on)))
    first.start()
    assert started.wait(30)
    code = (
        "import sys; from pathlib import Path; from trueup.config import Settings; from trueup.sync import sync\n"
        "from trueup.errors import Busy\n"
        "try: sync(sys.argv[2], sys.argv[1], settings=Settings(home=Path(sys.argv[3]), environ={}))\n"
        "except Busy: print('busy')"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *world.specs, str(world.settings.home)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "busy\n"
    other.put("left", "b", "2")
    assert other.sync().status == "ok"
    go_on.set()
    first.join()


def test_many_may_open_a_new_state_at_once(tmp_path: Path):
    barrier, problems = threading.Barrier(8), []

    def open_it(number: int) -> None:
        barrier.wait()
        try:
            PairState(tmp_path / f"{number // 8}.db", left_url="a", right_url="b").close()
        except TrueupError as error:
            problems.append(str(error))

    for attempt in range(6):
        threads = [threading.Thread(target=open_it, args=(attempt * 8 + n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []


def damage(path: Path, kind: str) -> None:
    for extra in ("-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)
    data = path.read_bytes()
    match kind:
        case "text":
            path.write_text("this is no database at all, but quite long enough to be looked at\n" * 100)
        case "truncated":
            path.write_bytes(data[: len(data) // 3])
        case "garbled":
            path.write_bytes(data[:4096] + bytes(byte ^ 0x5A for byte in data[4096:]))
        case "a folder":
            path.unlink()
            path.mkdir()


@pytest.mark.parametrize("kind", ["text", "truncated", "garbled", "a folder"])
def test_a_damaged_state_is_said_to_be_one_and_nothing_is_done(world: World, kind: str):
    world.both({f"f{number}": str(number) for number in range(200)})
    world.remove("left", "f1")
    (path,) = (world.settings.home / "pairs").glob("*.db")
    damage(path, kind)
    before = world.trees()
    with pytest.raises(TrueupError, match=path.name) as caught:
        world.sync(delete=True)
    assert ("see whether it is a file" if kind == "a folder" else "move it away") in str(caught.value)
    assert world.trees() == before
    if kind == "a folder":
        path.rmdir()
    else:
        path.unlink()
    assert world.sync(delete=True).counts["copy_left"] == 1, "starting afresh deletes nothing"


def test_a_state_from_the_future_is_left_alone(world: World):
    world.both({"a": "1"})
    (path,) = (world.settings.home / "pairs").glob("*.db")
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma user_version=99")
    with pytest.raises(TrueupError, match="newer trueup"):
        world.sync()


def test_the_state_is_private_to_no_tree(world: World):
    world.both({"a": "1"})
    assert {path.name for path in world.left.iterdir()} == {"a"}
    assert {path.name for path in world.right.iterdir()} == {"a"}


def test_the_history_knows_every_run_and_how_it_ended(world: World):
    from trueup.errors import Refused
    from trueup.runs import RunLog

    world.both({"a": "1", "b": "2"})
    for key in ("a", "b"):
        world.remove("left", key)
    with pytest.raises(Refused):
        world.sync(delete=True)
    world.undo(world.sync(delete=True, force=True))
    assert [(record.job, record.status) for record in RunLog(world.settings.home).latest()] == [
        ("undo", "ok"),
        ("sync", "ok"),
        ("sync", "refused"),
        ("sync", "ok"),
    ]


def test_a_history_that_cannot_be_written_takes_nothing_from_the_run(world: World):
    world.both({"a": "1"})
    world.put("left", "b", "2")
    path = world.settings.home / "runs.db"
    path.unlink()
    path.write_bytes(b"no database " * 1000)
    told: list[events.Event] = []
    run = world.sync(outputs=Outputs(listener=told.append))
    assert (run.status, done(run)) == ("ok", {"copy_right": 1, "unchanged": 1})
    (warning,) = [event.message for event in told if isinstance(event, events.Warned)]
    assert "not in the history" in warning
    assert "runs.db" in warning
    assert nothing_to_do(world.sync())


def test_a_state_that_fails_in_the_middle_ends_the_run_and_what_was_done_is_counted(world: World):
    many = 1200  # more than can be under way at once: a run that is slow to look writes them down in several steps
    for number in range(many):
        world.put("left", f"{number:04}", str(number))
    finished = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.ItemFinished):
            finished.append(event.key)
            if len(finished) == 1:
                (path,) = (world.settings.home / "pairs").glob("*.db")
                with closing(sqlite3.connect(path)) as db:
                    db.execute("drop table journal")

    run = world.sync(outputs=Outputs(listener=listen), workers=1)
    assert (run.status, run.exit_code) == ("failed", 1)
    assert "the state file" in run.reason
    assert run.counts["copy_right"] == len(finished) < many
    assert len(finished) <= len(world.tree("right"))
    assert not world.temporaries()


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_journal_is_read_in_pages_while_its_rows_are_settled(tmp_path: Path, newest_first: bool):
    seqs = range(-5, 2500)  # below zero: those of the losers of conflicts
    row = JournalRow("run", 0, "a", "copy_right", "new", "done", "b", "a", "", 0, "", 1, "", 1, "", "[]")
    with closing(PairState.at(tmp_path, "a", "b")) as state:
        with state.transaction():
            state.write_journal(row._replace(seq=seq, run=run) for seq in seqs for run in ("run", "other"))
        read = []
        with state.transaction():
            for found in state.journal("run", newest_first=newest_first, states=("done",)):
                state.write_journal([found._replace(state="undone")])
                state.write_journal([found._replace(run="undo", state="done")])
                read.append(found.seq)
        assert read == sorted(seqs, reverse=newest_first)
        assert list(state.journal("run", states=("done",))) == []
