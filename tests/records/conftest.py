from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.records.world import GoogleWorld, World
from trueup.testing.sheets import SheetsServer


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def server() -> Iterator[SheetsServer]:
    with SheetsServer() as server:
        yield server


@pytest.fixture
def google(tmp_path: Path, server: SheetsServer) -> GoogleWorld:
    return GoogleWorld(tmp_path, server)
