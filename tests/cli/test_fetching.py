"""`trueup fetch`, as typed."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from tests.cli.conftest import Cli
from tests.downloads.server import File, serving

DATA = Random(7).randbytes(3 << 20)
SETTINGS = """
[pool.providers.a]
url = "a"
[downloads]
allow_private_addresses = true
"""


@pytest.fixture(autouse=True)
def pool_of_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "trueup.toml").write_text(SETTINGS)


def test_the_command_prints_a_url_of_ours(cli: Cli):
    with serving() as site:
        site.pages["/video.mp4"] = File(DATA)
        first, again = (json.loads(cli("fetch", site.url("/video.mp4"), "--json").out) for _ in range(2))
        assert (first["new"], again["new"]) == (True, False)
        assert {**first, "new": False} == again
        assert first["source"] == site.url("/video.mp4")
        assert Path(first["url"].removeprefix("file://")).read_bytes() == DATA
        assert "3.0 MiB  already at a" in cli("fetch", site.url("/video.mp4")).out


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("nonsense", 2, "has no scheme"),
        ("http://example.com/\udcff", 2, "not a URL"),
        ("ftp://example.com/a", 2, "'ftp' is not fetched"),
        ("http://127.0.0.1:9/a", 1, "could not be fetched"),
        ("http://[::ffff:169.254.169.254]/latest", 3, "169.254.169.254"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, cli: Cli, url: str, code: int, said: str):
    if code == 3:
        (tmp_path / "trueup.toml").write_text(SETTINGS.replace("true", "false"))
    result = cli("fetch", url)
    assert (result.code, said in result.err) == (code, True), result.err
