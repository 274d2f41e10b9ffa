from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.world import World
from tests.servers import Bucket


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that one test's process knew, or made importable, reaches another."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    World.restart()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A drop folder on this machine."""
    made = World(tmp_path)
    made.empty_table()
    return made


@pytest.fixture
def remote(tmp_path: Path, sftp_folder: Bucket, sftp_server: dict[str, str]) -> World:
    """A drop folder behind an SFTP server."""
    drop = Path(sftp_server["folder"], "data", sftp_folder.url.rpartition("/")[2])
    made = World(tmp_path, server=sftp_folder, drop=drop)
    made.empty_table()
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A drop folder on this machine, and a database of each kind."""
    database = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    made = World(tmp_path, database=database)
    made.empty_table()
    return made
