from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import cli, spawn  # noqa: F401 - fixtures are found by name
from tests.jobs.world import make
from trueup.catalog.base import Catalog
from trueup.config import load
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
