from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.sync.world import World

# The same examples in every run, and a failure at once as it was met, because each example is many runs.
# HYPOTHESIS_PROFILE=search looks for new ones and makes them small.
settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.register_profile("search", settings.get_profile("steady"), derandomize=False, phases=list(Phase))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")
