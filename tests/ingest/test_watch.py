"""Pass after pass: what ends a watch, and what does not."""

from __future__ import annotations

from tests.ingest.world import World, done
from trueup.ingest.verbs import Wish
from trueup.ingest.watch import watch


def test_a_watch_outlives_a_server_and_a_database_that_are_away(world: World):
    world.set(poll="50ms")
    names = world.fill(1)
    file, away = world.base / "bot.db", world.base / "away.db"
    drop = world.drop.with_name("drop away")
    told = []

    def tell(run):
        told.append(run)
        if len(told) == 1:
            world.drop.rename(drop)
        elif len(told) == 2:
            file.rename(away)
            file.mkdir()
        elif len(told) == 3:
            file.rmdir()
            away.rename(file)
            drop.rename(world.drop)
            world.put("more.txt", "round")

    code = watch("stats", world.settings, Wish(), told=tell, stopped=lambda: len(told) >= 4)
    assert code == 0
    assert [run.status for run in told[:3]] == ["ok", "failed", "failed"]
    assert "is not there" in told[1].reason
    assert "cannot be used" in told[2].reason
    assert done(told[3]) == {"already": 1, "downloaded": 1, "processed": 1}
    assert world.once(names | {"more.txt"})
