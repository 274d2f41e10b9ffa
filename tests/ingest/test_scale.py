"""What many files cost: memory, disk."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.ingest.world import ROOT
from tests.sync.world import scratch
from trueup.catalog.sql.processed import open_sql


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells how much memory a process had")
def test_memory_stays_flat_over_many_known_names(tmp_path: Path):
    files = 200_000
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    found = subprocess.run(
        [sys.executable, "-m", "tests.ingest.crowd", str(tmp_path), str(files)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["counts"] == [{"already": files}] * 2
    assert told["after"] - told["before"] < 60_000_000
    assert told["after"] < 150_000_000


def test_a_file_costs_at_most_300_bytes_on_disk():
    files = 3_253
    with scratch() as folder:
        path = Path(folder, "ingest.db")
        with closing(open_sql(f"sqlite:///{path}", "stats")) as processed:
            began = datetime(2024, 3, 24, tzinfo=UTC)
            names = [f"{began + timedelta(minutes=11 * n):%Y-%m-%d-%H%M%S}-supply-round-1.txt" for n in range(files)]
            for start in range(0, files, 64):
                wanted = [(name, None, False) for name in names[start : start + 64]]
                claims = processed.claim(wanted, f"{'f' * 16}:{'e' * 16}", datetime.now(UTC))
                with processed.begin() as db:
                    for claim in claims:
                        facts = {"size": 31_415, "md5": "d" * 32, "seen": "1711314630000000000:31415", "version": 1}
                        assert processed.finish(db, claim, **facts)
        assert sum(file.stat().st_size for file in Path(folder).iterdir()) / files <= 300


def test_names_that_were_looked_up_are_let_go_of_at_once(tmp_path: Path):
    """Commands look for cycles seldom: names held by some would add up over a listing."""
    names = [f"2024-03-24-{number:06}.txt" for number in range(1_000)]
    with closing(open_sql(f"sqlite:///{tmp_path / 'ingest.db'}", "stats")) as processed:
        processed.assume((name, 1) for name in names)
        processed.looks(["another"])  # what is made at the first call only stays
        processed.rows(["another"])
        gc.collect()
        gc.disable()
        try:
            before = sys.getrefcount(names[0])
            for _ in range(10):
                assert names[0] in processed.looks(names) or names[0] in processed.rows(names)
            assert sys.getrefcount(names[0]) < before + 10, "each time holds the names"
        finally:
            gc.enable()
