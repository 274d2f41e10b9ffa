"""`trueup pool`, as typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli


@pytest.fixture(autouse=True)
def pool_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "trueup.toml").write_text('[pool.providers.a]\nurl = "a"\n')


@pytest.mark.parametrize(
    "words",
    [
        ("get", "k\udcff", "."),
        ("rm", "k\udcff"),
        ("url", "k\udcff"),
        ("put", "trueup.toml", "k\udcff"),
        ("put", "trueup.toml", "k", "--idempotency-key", "k\udcff"),
    ],
    ids=" ".join,
)
def test_a_word_that_is_no_text_is_refused(cli: Cli, words: tuple[str, ...]):
    result = cli("pool", *words)
    assert (result.code, "is not valid Unicode" in result.err) == (2, True), result.err


def test_a_url_that_is_to_work_for_ever_is_refused(cli: Cli):
    result = cli("pool", "url", "k", "--ttl", "99999999999d")
    assert (result.code, "--ttl = '99999999999d' is too long" in result.err) == (2, True), result.err


@pytest.mark.parametrize("name", ["keep", "reservation_ttl", "signed_url_ttl"])
def test_an_age_that_no_calendar_holds_is_refused(cli: Cli, tmp_path: Path, name: str):
    (tmp_path / "trueup.toml").write_text(f'[pool]\n{name} = "9999999d"\n[pool.providers.a]\nurl = "a"\n')
    result = cli("pool", "sweep")
    assert (result.code, f"[pool] {name} = '9999999d' is too long" in result.err) == (2, True), result.err
