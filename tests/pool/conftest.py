from __future__ import annotations

from pathlib import Path

import pytest

from trueup.catalog.database import upgrade


@pytest.fixture(params=["sqlite", "postgres", "mongo"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind, up to date."""
    url = f"sqlite:///{tmp_path / 'pool.db'}"
    if request.param != "sqlite":
        url = request.getfixturevalue(f"{request.param}_url")
    upgrade(url)
    return url
