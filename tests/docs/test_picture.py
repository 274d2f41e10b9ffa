"""The picture on the first page shows what the command prints today."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.docs import picture
from tests.docs.session import forgiving


@pytest.mark.skipif(sys.platform == "win32", reason="the session is written for a POSIX shell")
def test_the_picture_shows_what_is_printed(tmp_path: Path):
    now = picture.draw(picture.play(tmp_path))
    kept = picture.PICTURE.read_text("utf-8")
    assert forgiving(picture.words(kept)) == forgiving(picture.words(now)), "draw it anew: python -m tests.docs.picture"


def test_the_picture_is_small_and_fetches_nothing():
    kept = picture.PICTURE.read_text("utf-8")
    assert len(kept) < 200_000
    assert "http" not in kept.replace("http://www.w3.org/2000/svg", "")
