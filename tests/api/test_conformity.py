"""The service does what its description says, whatever is asked: schemathesis asks it all that the description allows,
and much that it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server import KEY, SETTINGS, Server, serving, world

EXAMPLE = "539eaae0-6c17-4b38-8fee-6cc565836863"
# What a pattern cannot say: a host that is none, a port too high, a password.
CONFIG = """
[[operations]]
include-name = "POST /api/downloads"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "5xx"]
"""


@pytest.fixture(scope="module", params=["", KEY], ids=["without a key", "with a key"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With the names that stand in the examples, and no limit to how often somebody may ask."""
    settings = SETTINGS.replace('id = "p1"', f'id = "{EXAMPLE}"') + '[server]\nrate_limit = "off"\n'
    folder = world(tmp_path_factory.mktemp("asked"), settings)
    (folder / "go on").touch()
    with serving(folder, key=request.param) as running:
        yield running


def test_it_answers_as_described_whatever_is_asked(asked: Server, tmp_path: Path):
    assert asked.post("/api/admin/smart_sync").json["success"]
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    header = ["--header", f"Authorization: Bearer {asked.key}"] if asked.key else []
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{asked.url}/openapi.json", *header, "--no-color"),
            *("--max-examples", "3", "--generation-deterministic", "--no-shrink", "--warnings", "off"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "26 selected / 26 total" in done.stdout
    assert " 500 in " not in asked.log()
    assert "Traceback" not in asked.log()
