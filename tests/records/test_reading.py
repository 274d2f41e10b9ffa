"""The read model kept open: answers are remembered until somebody has written there."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from trueup.config import load
from trueup.records import Listing, Reader, sync_records

SETTINGS = """
[records.sheets]
kind = "csv"
path = "{name}.csv"
[[records.projects]]
id = "p1"
name = "A"
"""


@pytest.fixture(autouse=True)
def world(tmp_path: Path) -> Path:
    (tmp_path / "trueup.toml").write_text(SETTINGS)
    (tmp_path / "A.csv").write_text("profile_url,followers\nhttps://x.com/nasa,5\n")
    return tmp_path


def followers(found: Listing) -> dict[object, object]:
    return {account["key"]: account["followers"] for account in found.to_json()}


def test_a_form_is_made_once_until_somebody_writes(world: Path):
    made: list[int] = []

    def form(found: Listing) -> dict[object, object]:
        made.append(len(found.rows))
        return followers(found)

    with closing(Reader(load())) as reader:
        assert reader.projects == ["p1"]
        assert reader.accounts("p1", form) == {}  # there is no file yet
        sync_records()
        assert reader.accounts("p1", form) == reader.accounts("p1", form) == {"x.com/nasa": 5}
        assert made == [0, 1]
        (world / "A.csv").write_text("profile_url,followers\nhttps://x.com/nasa,6\nhttps://x.com/esa,1\n")
        sync_records()
        assert reader.accounts("p1", form) == {"x.com/nasa": 6, "x.com/esa": 1}
        assert reader.accounts("p2", form) == {}


def test_another_file_of_the_same_name_is_another_one(world: Path):
    with closing(Reader(load())) as reader:
        sync_records()
        assert reader.accounts("p1", followers) == {"x.com/nasa": 5}
        for path in world.glob("accounts.db*"):
            path.unlink()
        assert reader.accounts("p1", followers) == {}
        (world / "A.csv").write_text("profile_url,followers\nhttps://x.com/nasa,9\n")
        sync_records()
        assert reader.accounts("p1", followers) == {"x.com/nasa": 9}
