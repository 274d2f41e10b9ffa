from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.server import KEY, Server, serving, world


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all: without a key."""
    with serving(world(tmp_path_factory.mktemp("server"))) as running:
        yield running


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with a key."""
    with serving(world(tmp_path_factory.mktemp("locked")), key=KEY) as running:
        yield running
