from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.cli.conftest import cli, spawn  # noqa: F401 - fixtures are found by name
from tests.jobs.pairs import Pairs
from tests.jobs.world import make
from trueup.catalog.base import Catalog
from trueup.config import load
from trueup.jobs import spread
from trueup.jobs.queue import open_queue


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with jobs."""
    return make(tmp_path)


@pytest.fixture
def catalog(work: Path) -> Iterator[Catalog]:
    """The database of their queue."""
    with closing(open_queue(load())) as opened:
        yield opened


@pytest.fixture
def pairs(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pairs]:
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", redis_url)
    monkeypatch.setattr(spread, "cut", lambda _store, _parts: ["k/5", "s"])
    monkeypatch.setattr(spread, "_ITEMS", 20)
    with ExitStack() as stack:
        made = Pairs(stack)
        made.write(tmp_path / "trueup.toml")
        yield made
