"""What a diagnosis says of files that are in a state of their own."""

from __future__ import annotations

import os
import time

import trueup
from tests.ingest.world import World
from trueup.ingest import Diagnosis


def diagnosed(world: World) -> Diagnosis:
    return trueup.diagnose("stats", settings=world.settings)


def test_what_cannot_be_taken_for_its_name_is_not_healthy(world: World):
    world.put("a.txt", "round")
    (world.drop / os.fsdecode(b"bad\xff.txt")).touch()
    (world.drop / "link.txt").symlink_to("a.txt")
    world.ingest()
    found = diagnosed(world)
    assert found.status == "attention"
    assert {(file.path, file.cause, file.matters) for file in found.files} == {
        ("bad\\udcff.txt", "refused", True),
        ("link.txt", "refused", True),
    }
    assert found.counts["server"] == 1
    assert "exclude them" in found.advice[0]


def test_a_duplicate_has_lost_nothing(world: World):
    world.set(handler="tests.ingest.knowing:import_file", on_duplicate="skip")
    world.put("a.txt", "same")
    world.put("b.txt", "same")
    world.ingest()
    found = diagnosed(world)
    assert (found.status, found.files) == ("healthy", [])


def test_a_rewrite_that_is_ignored_is_told_as_it_is_and_does_not_matter(world: World):
    world.set(on_rewrite="ignore")
    world.put("a.txt", "round")
    world.ingest()
    world.put("a.txt", "another round")
    for _ in range(2):
        world.restart()
        assert world.ingest().exit_code == 0
    found = diagnosed(world)
    assert found.status == "healthy"
    (file,) = found.files
    assert (file.cause, file.matters) == ("size_differs", False)
    assert file.detail == "5 bytes here, and 13 on the server, which is ignored"


def test_a_time_that_is_still_to_come_is_not_healthy(world: World):
    world.put("a.txt", "round", mtime=time.time() + 864_000)
    assert world.ingest().counts["unstable"] == 1
    found = diagnosed(world)
    assert found.status == "attention"
    assert [file.cause for file in found.files] == ["ahead"]
    assert "clock" in found.advice[0]


def test_what_failed_and_is_gone_is_not_said_to_be_tried_again(world: World):
    world.put("a.txt", "poison")
    world.ingest()
    (world.drop / "a.txt").unlink()
    (file,) = diagnosed(world).files
    assert file.detail == "it is not on the server any more; ValueError: it cannot be read"


def test_a_query_that_writes_changes_nothing(world: World):
    names = world.fill(2)
    world.ingest()
    world.set(domain_count="delete from processed_files returning 7")
    assert diagnosed(world).counts["domain"] == 7
    assert set(world.rows()) == names
