"""The memory of a pair in the shared database: who may write there, and what parts hand to each other."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from trueup.catalog.database import upgrade
from trueup.errors import Busy, TrueupError
from trueup.sync.pair import Agreed
from trueup.sync.shared import SharedState
from trueup.sync.state import JournalRow, PairState

ROW = JournalRow("run", 1, "a", "copy_right", "new", "intent", "b", "a", "", 0, "", 1, "", 1, "", "[]")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shared.db"
    found: str = request.getfixturevalue("postgres_url")
    upgrade(found)
    return found


def agree(state: SharedState, key: str) -> None:
    with state.transaction():
        state.agree([Agreed(key, key, key, 1, "md5", "left", "right")])


def test_who_lost_the_pair_or_the_part_writes_nothing_more(url: str):
    with closing(SharedState(url, "pair")) as leader, closing(SharedState(url, "pair")) as worker:
        with leader.locked("first"):
            with pytest.raises(Busy), worker.locked("second"):
                pass
            worker.serve("first")
            worker.claim("copy 0")
            agree(worker, "a")
            with closing(SharedState(url, "pair")) as again:
                again.serve("first")
                again.claim("copy 0")
                with pytest.raises(sqlite3.OperationalError, match="another worker has this part"):
                    agree(worker, "b")
                agree(again, "c")
                agree(leader, "d")
                again.claim("copy 1")
        with leader.locked("second"):
            agree(leader, "e")
            with pytest.raises(sqlite3.OperationalError, match="another run has these two places"):
                agree(worker, "f")
        assert [row.key for row in leader.baseline()] == ["a", "c", "d", "e"]
        assert [row.key for row in leader.baseline("b", "e")] == ["c", "d"]


def test_an_intent_of_another_part_or_run_is_left_alone(url: str):
    with closing(SharedState(url, "pair")) as state:
        state.write_journal(ROW._replace(run=run, seq=seq) for run in ("run", "other") for seq in (1, 2, 3))
        assert len(state.open_intents()) == 6
        state.only("run", 2, 3)
        assert [(row.run, row.seq) for row in state.open_intents()] == [("run", 2), ("run", 3)]


def test_what_was_handed_on_is_whole_or_an_error(url: str):
    with closing(SharedState(url, "pair")) as state, closing(SharedState(url, "other")) as other:
        rows = [[number, "é\n"] for number in range(2500)]
        state.heaps.keep("todo run 1", rows)
        state.heaps.keep("nothing run 1", [])
        other.heaps.keep("todo run 1", [1])
        assert list(state.heaps.kept("todo run 1")) == rows
        assert list(state.heaps.kept("nothing run 1")) == []
        state.heaps.keep("todo run 1", rows[:1])
        assert (state.heaps.first("todo run 1"), state.heaps.first("nothing run 1")) == (rows[0], None)
        state.heaps.keep("todo later 1", rows)
        state.heaps.drop_of("run")
        with pytest.raises(TrueupError, match="is gone"):
            list(state.heaps.kept("todo run 1"))
        assert list(state.heaps.kept("todo later 1")) == rows
        assert list(other.heaps.kept("todo run 1")) == [1]


def test_a_state_file_moves_in_once_and_whole(url: str, tmp_path: Path):
    with closing(PairState.at(tmp_path, "z", "a")) as local, closing(SharedState.of(url, "z", "a", tmp_path)) as state:
        with local.transaction():
            local.agree([Agreed("k", "K", "k", 1, "md5", "left", "right")])
            local.cache_md5s([("left", "k", "print", 1, "md5")])
            local.hold([("h", "left", "right", "run")])
            local.write_journal([ROW])
            local.set_note("a fact", "known")
        state.move_in(local)
        assert list(state.baseline()) == list(local.baseline())
        assert (state.cached_md5("left", "k", "print", 1), state.held()) == ("md5", local.held())
        assert state.note("a fact") == "known"
        local.agree([Agreed("later", "l", "l", 1, "", "", "")])
        state.move_in(local)
        assert [row.key for row in state.baseline()] == ["k"]
