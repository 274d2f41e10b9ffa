"""`kill -9` at each step of an upload: a sweep makes the books exact again, and nothing is lost or counted twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trueup.config import load
from trueup.pool.pool import Pool
from trueup.stores.base import CHUNK

ROOT = Path(__file__).parents[2]
STEPS = ("before reserve", "after reserve", "in the body", "after write", "after commit")
SETTINGS = """
[database]
url = "{url}"
[pool]
quota = "10MiB"
[pool.providers.a]
url = "a"
"""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def upload(folder: Path, step: str) -> None:
    """In a process of its own: put `k`, and die at a step."""
    with Pool.from_config(load(folder / "trueup.toml")) as pool:
        ledger, store = pool._ledger, pool._providers["a"].store
        reserve, commit, write = ledger.reserve, ledger.commit, store.write

        def reserving(wanted):
            if step == "before reserve":
                die()
            assert reserve(wanted)
            if step == "after reserve":
                die()
            return True

        def writing(key, body, **more):
            written = write(key, dying(body) if step == "in the body" else body, **more)
            if step == "after write":
                die()
            return written

        def committing(*arguments):
            done = commit(*arguments)
            die()
            return done

        def dying(body: Iterator[bytes]) -> Iterator[bytes]:
            yield next(iter(body))
            die()

        ledger.reserve, ledger.commit, store.write = reserving, committing, writing
        pool.upload(folder / "file", "k")


@pytest.mark.parametrize("database_url", ["sqlite", "mongo"], indirect=True)
@pytest.mark.parametrize("before", [None, 5])
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_upload_leaves_books_that_a_sweep_makes_exact(
    tmp_path: Path, database_url: str, step: str, before: int | None
):
    (tmp_path / "a").mkdir()
    (tmp_path / "trueup.toml").write_text(SETTINGS.format(url=database_url))
    (tmp_path / "file").write_bytes(b"x" * (3 * CHUNK))
    settings = load(tmp_path / "trueup.toml")
    if before is not None:
        (tmp_path / "old").write_bytes(b"old" * before)
        with Pool.from_config(settings) as pool:
            pool.upload(tmp_path / "old", "k")
    code = (
        f"from tests.pool.test_kill import upload; from pathlib import Path; upload(Path({str(tmp_path)!r}), {step!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with Pool.from_config(settings) as pool:
        late = pool._ledger.overdue(datetime.now(UTC) + timedelta(days=1))
        assert len(late) == (step not in {"before reserve", "after commit"})
        pool._ledger.renew([found.token for found in late], datetime.now(UTC) - timedelta(seconds=1))
        swept = pool.sweep()
        assert swept.problems == []
        arrived = step in {"after write", "after commit"}
        expected = 3 * CHUNK if arrived else 3 * before if before is not None else None
        [row] = pool._ledger.usage()
        assert (row.total_size_bytes, row.file_count, row.reserved_bytes) == (
            expected or 0,
            0 if expected is None else 1,
            0,
        )
        assert {path.name: path.stat().st_size for path in (tmp_path / "a").iterdir()} == (
            {} if expected is None else {"k": expected}
        )
        assert [stored.size for stored in pool.ls()] == ([] if expected is None else [expected])
