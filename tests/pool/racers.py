"""Many processes that want the last bytes of a pool, all at once.

Everything is imported before they part, and nothing is opened: each has a pool and connections of its own.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

from trueup.config import load
from trueup.errors import PoolFull
from trueup.pool.pool import Pool

for name in ("trueup.catalog.mongo", "trueup.catalog.sql", "sqlalchemy.dialects.postgresql.psycopg"):
    import_module(name)


def race(folder: Path, number: int, ready: int, start: int) -> int:
    """How many of two files one process could put."""
    put = 0
    with Pool.from_config(load(folder / "trueup.toml")) as pool:
        os.write(ready, b".")
        os.read(start, 1)  # there is never anything: it ends when all are ready
        for turn in range(2):
            try:
                pool.upload(folder / "f", f"k{number}-{turn}")
            except PoolFull:
                continue
            put += 1
    return put


def main(folder: Path, racers: int) -> None:
    """Print how many files all of them put."""
    (are_ready, ready), (start, starter) = os.pipe(), os.pipe()
    racing = []
    for number in range(racers):
        child = os.fork()
        if not child:
            os.close(starter)
            status = 99
            try:
                status = race(folder, number, ready, start)
            finally:
                sys.stderr.flush()
                os._exit(status)
        racing.append(child)
    os.close(ready)
    for _ in racing:
        os.read(are_ready, 1)
    os.close(starter)
    put = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in racing]
    assert max(put) <= 2, put
    print(sum(put))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
