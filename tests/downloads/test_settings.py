"""The section `[downloads]`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from trueup.config import load
from trueup.downloads.config import DownloadsConfig, downloads_config
from trueup.errors import ConfigError
from trueup.urls.rules import Rules


def read(text: str) -> DownloadsConfig:
    Path("trueup.toml").write_text(text, "utf-8")
    return downloads_config(load())


def test_without_a_section_the_defaults_hold():
    rules = Rules(max_size=2 << 30, timeout=timedelta(hours=1), allow_private=False)
    assert read("") == DownloadsConfig(keep=timedelta(hours=24), rules=rules)


def test_the_file_and_the_environment_say_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRUEUP_DOWNLOADS__ALLOW_PRIVATE_ADDRESSES", "yes")
    monkeypatch.setenv("TRUEUP_DOWNLOADS__MAX_SIZE", "10M")
    rules = Rules(max_size=10 << 20, timeout=timedelta(minutes=5), allow_private=True)
    found = read('[downloads]\nkeep = "7d"\ntimeout = "5m"\nmax_size = 1')
    assert found == DownloadsConfig(keep=timedelta(days=7), rules=rules)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("downloads = 1", "must be a table"),
        ("[downloads]\nkep = 1", "kep is unknown"),
        ("[downloads]\nmax_size = 0", "lets nothing through"),
        ('[downloads]\nmax_size = "much"', "not a size"),
        ("[downloads]\ntimeout = 0", "timeout"),
        ('[downloads]\nkeep = "36501d"', "keep = '36501d' is too long.*Write 36500d"),
        ('[downloads]\nkeep = "999999d"', "too long"),
        (f'[downloads]\ntimeout = "{"9" * 400}d"', "too long"),
        ('[downloads]\nallow_private_addresses = "perhaps"', "neither true nor false"),
    ],
)
def test_what_makes_no_sense_is_said(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        read(text)
