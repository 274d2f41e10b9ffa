"""Stopping a server while a job of its works, and going on afterwards."""

from __future__ import annotations

import time
from pathlib import Path

from tests.api.server import serving, world
from tests.jobs.world import wait_for
from trueup.api.serve import PATIENCE
from trueup.jobs.work import GRACE

SETTINGS = """
[sync.site]
left = "left"
right = "right"
workers = 1
bwlimit = "2MiB"
"""
FILES = {f"{number}.bin": bytes([number]) * (1 << 20) for number in range(12)}


def copied(folder: Path) -> dict[str, bytes]:
    """Every file below, whatever its name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sync_that_is_interrupted_by_the_end_of_its_server_leaves_whole_files_and_the_next_goes_on(tmp_path: Path):
    world(tmp_path, SETTINGS)
    for name, content in FILES.items():
        (tmp_path / "left" / name).write_bytes(content)
    with serving(tmp_path) as first:
        task = first.post("/api/sync/site").json["task_id"]
        wait_for(lambda: any((tmp_path / "right").glob("*.bin")))
        began = time.monotonic()
        assert first.stop() == 0
        assert time.monotonic() - began < PATIENCE + GRACE
    there = copied(tmp_path / "right")
    assert 0 < len(there) < len(FILES)
    assert there.items() <= FILES.items()
    with serving(tmp_path) as second:
        run = second.over(task)
        assert (run["state"], run["status"], run["error"]) == ("FAILURE", "interrupted", "the server was stopped")
        again = second.post("/api/sync/site").json["task_id"]
        done = second.over(again)
    assert (done["state"], done["status"]) == ("SUCCESS", "ok")
    assert done["result"]["counts"]["copy_right"] == len(FILES) - len(there)
    assert copied(tmp_path / "right") == FILES
