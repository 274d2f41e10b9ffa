"""Two passes over as many known names as it is told, in a process whose memory nothing else fills.

    python -m tests.ingest.crowd FOLDER FILES

Prints the most memory it had, in bytes, before and after, and what it counted.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.ingest.world import OLD, World, done
from trueup.catalog.sql.processed import open_sql
from trueup.ingest import job
from trueup.stores.base import Entry
from trueup.testing import MemoryStore


class Crowd(MemoryStore):
    """A server of many files, which are nowhere."""

    def __init__(self, files: int) -> None:
        super().__init__("memory://crowd")
        self.files = files

    def list(self, start: str = "", *, ordered: bool = True) -> Iterator[Entry]:
        for number in range(self.files):
            yield Entry(f"2024/03/{number:09}-supply-round-1.txt", 5_000, OLD * 10**9 + number, f"print-{number}")


def most() -> int:
    """Where Linux tells it: `ru_maxrss` counts the process that started this one, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on a Mac
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main(folder: Path, files: int) -> None:
    world = World(folder, source="memory://crowd")
    job.open_store = lambda *_: Crowd(1_000)
    world.ingest(dry_run=True)
    before = most()
    store = Crowd(files)
    job.open_store = lambda *_: store
    with closing(open_sql(world.database, "stats")):
        world.run(
            f"with recursive n(n) as (select 0 union all select n + 1 from n where n + 1 < {files})"
            " insert into processed_files (source, filename, success, state, size, md5, seen, version) select 'stats',"
            " printf('2024/03/%09d-supply-round-1.txt', n), true, 'done', 5000, '', 'print-' || n, 1 from n"
        )
    counts = [done(world.ingest()) for _ in range(2)]
    print(json.dumps({"before": before, "after": most(), "counts": counts}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
