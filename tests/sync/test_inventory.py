"""`sync --check --inventory`: the same answer as a live check, out of a report, and never a reason to write."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import trueup
from tests.servers import Bucket
from tests.stores import reports
from trueup.cli import main
from trueup.config import SyncConfig, load
from trueup.errors import UsageError
from trueup.stores import open_store
from trueup.stores.base import Store
from trueup.sync.outputs import Outputs
from trueup.testing.looking import listing

Answer = tuple[int, dict[str, Any]]


class Site:
    """A folder, a bucket that is the same after a sync, and a report of the bucket from before what comes then."""

    def __init__(self, folder: Path, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.bucket = bucket
        self.capsys = capsys
        (folder / "here").mkdir()
        options = "\n".join(f'{name} = "{value}"' for name, value in bucket.options.items())
        (folder / "trueup.toml").write_text(
            f'[stores.here]\nurl = "here"\n[stores.there]\nurl = "{bucket.url}/p"\ninventory = "reports"\n{options}\n'
            '[sync.site]\nleft = "here"\nright = "there"\n'
        )
        self.store: Store = open_store(load().store("there"), {})

    def write(self, key: str, text: str = "x") -> None:
        path = self.folder / "here" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (time.time() - 100, time.time() - 100))

    def report(self, age: timedelta = reports.DAY_OLD) -> Path:
        found = [entry._replace(key=f"p/{entry.key}") for entry in listing(self.store)]
        return reports.s3(self.folder / "reports", self.bucket.name, found, at=reports.ago(age))

    def run(self, *arguments: str) -> Answer:
        self.capsys.readouterr()
        code = main(["sync", "site", "--json", *arguments])
        return code, json.loads(self.capsys.readouterr().out)

    def live(self, *arguments: str) -> Answer:
        return self.run("--check", *arguments)

    def reported(self, *arguments: str) -> Answer:
        """By the report; and it answers as the bucket itself does."""
        code, document = self.run("--check", "--inventory", *arguments)
        live_code, live = self.live(*arguments)
        assert set(document.pop("inventory")) == {"right"}
        for one in (document, live):
            del one["run"], one["seconds"]
        assert (code, document) == (live_code, live)
        return code, document


@pytest.fixture
def site(tmp_path: Path, seaweed_bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, seaweed_bucket, capsys)


def items(answer: Answer) -> dict[str, str]:
    return {item["key"]: item["action"] for item in answer[1]["items"]}


def test_a_check_by_a_report_says_what_a_live_one_says(site: Site) -> None:
    for key in ("same", "edited here", "edited there", "gone here", "gone there", "a/deep/one"):
        site.write(key)
    site.report()  # of an empty bucket: a first sync is all differences
    assert set(items(site.reported()).values()) == {"copy_right"}
    trueup.sync("here", "there", settings=load())
    for key in ("new here", "edited here"):
        site.write(key, key)
    for key in ("edited there", "new there", "another"):
        site.store.write(key, [key.encode()])
    (site.folder / "here" / "gone here").unlink()
    site.store.delete("gone there")
    site.report(timedelta(hours=2))
    code, document = site.reported()
    assert code == 5
    assert items((code, document)) == {
        "edited here": "copy_right",
        "edited there": "copy_left",
        "gone here": "copy_left",
        "gone there": "copy_right",
        "new here": "copy_right",
        "new there": "copy_left",
        "another": "copy_left",
    }
    deleting = items(site.reported("--delete"))
    assert (deleting["gone here"], deleting["gone there"]) == ("delete_right", "delete_left")
    assert items(site.reported("--push", "--delete"))["new there"] == "delete_right"
    assert items(site.reported("--pull", "--exclude", "* here"))["edited there"] == "copy_left"


def test_what_was_synced_since_the_report_is_no_difference(site: Site) -> None:
    for key in ("kept", "changed", "removed"):
        site.write(key)
    trueup.sync("here", "there", settings=load())
    site.report()
    site.write("changed", "since")
    site.write("new")
    (site.folder / "here" / "removed").unlink()
    trueup.sync("here", "there", config=SyncConfig(delete=True), settings=load())
    code, document = site.reported()
    assert (code, document["items"]) == (0, [])
    assert document["counts"]["unchanged"] == 3


def test_a_report_that_shows_nothing_does_not_make_a_side_empty(site: Site) -> None:
    for key in ("a", "b", "c"):
        site.write(key)
    site.report()  # before the first sync
    trueup.sync("here", "there", settings=load())
    code, document = site.reported()
    assert (code, document["counts"]["unchanged"]) == (0, 3)


def test_the_answer_says_which_report_and_how_old_it_is(site: Site) -> None:
    site.write("a")
    trueup.sync("here", "there", settings=load())
    manifest = site.report()
    code, document = site.run("--dry-run", "--inventory")
    report = document["inventory"]["right"]
    assert (code, document["status"]) == (0, "dry-run")
    assert report["created_at"][:16] == f"{manifest.parent.name[:13]}:{manifest.parent.name[14:16]}"
    assert report["url"] == f"file://{manifest}"
    assert 0 <= report["age_seconds"] - reports.DAY_OLD.total_seconds() < 100
    assert main(["sync", "site", "--check", "--inventory"]) == 0
    out = site.capsys.readouterr().out
    assert f"the right as an inventory report of {report['created_at']} has it, 30 h 0 min old" in out
    assert "inventory" not in site.live()[1]


def test_nothing_is_remembered_of_a_report(site: Site) -> None:
    for key in ("a", "b"):
        site.write(key)
    trueup.sync("here", "there", settings=load())
    site.report()
    site.store.write("b", [b"another"])
    before = {path: path.read_bytes() for path in sorted((load().home / "pairs").glob("*.db"))}
    assert before
    assert items(site.run("--check", "--inventory")) == {}
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "--inventory is for --check and --dry-run"),
        (["--watch"], "--inventory is for --check and --dry-run"),
        (["--explain", "a", "--check"], "--inventory is for --check and --dry-run"),
        (["--check", "--plan-out", "plan"], "cannot be saved"),
    ],
)
def test_an_old_listing_never_leads_to_a_write(site: Site, flags: list[str], told: str) -> None:
    site.write("a")
    site.report()
    assert main(["sync", "site", "--inventory", *flags]) == 2
    assert told in site.capsys.readouterr().err
    assert listing(site.store) == []
    assert not (site.folder / "plan").exists()


def test_nor_does_it_from_python(site: Site, tmp_path: Path) -> None:
    site.write("a")
    site.report()
    with pytest.raises(UsageError, match="no ground to change anything"):
        trueup.sync("here", "there", settings=load(), inventory=True)
    with (tmp_path / "plan").open("w") as file, pytest.raises(UsageError, match="no ground to change anything"):
        trueup.sync("here", "there", settings=load(), inventory=True, dry_run=True, outputs=Outputs(plan_out=file))


def test_one_side_at_least_has_reports(site: Site) -> None:
    (site.folder / "other").mkdir()
    assert main(["sync", "here", "./other", "--check", "--inventory"]) == 2
    assert "neither side has inventory reports" in site.capsys.readouterr().err


def lost(manifest: Path) -> None:
    [file] = (manifest.parent.parent / "data").iterdir()
    file.unlink()


def cut(manifest: Path) -> None:
    manifest.write_bytes(manifest.read_bytes()[:-1])


@pytest.mark.parametrize("spoil", [lost, cut])
def test_nothing_is_concluded_from_a_damaged_report(site: Site, spoil: Callable[[Path], None]) -> None:
    site.write("a")
    trueup.sync("here", "there", settings=load())
    spoil(site.report())
    code, document = site.run("--check", "--inventory")
    assert (code, document["status"], document["items"]) == (3, "refused", [])
    assert "Nothing was concluded from it" in document["reason"]


def test_both_sides_may_have_reports(site: Site, tmp_path: Path, azurite_container: Bucket) -> None:
    options = "\n".join(f'{name} = "{value}"' for name, value in azurite_container.options.items())
    text = (tmp_path / "trueup.toml").read_text()
    (tmp_path / "trueup.toml").write_text(
        f'{text}[stores.azure]\nurl = "{azurite_container.url}"\ninventory = "blobs"\n{options}\n'
        '[sync.clouds]\nleft = "there"\nright = "azure"\n'
    )
    azure = open_store(load().store("azure"), {})
    for store in (site.store, azure):
        store.write("same", [b"x"])
    site.store.write("only there", [b"x"])
    site.report(timedelta(hours=9))
    reports.azure(tmp_path / "blobs", azurite_container.name, listing(azure))
    azure.write("same", [b"x, since"])
    azure.write("since", [b"x"])
    assert main(["sync", "clouds", "--json", "--push", "--check", "--inventory"]) == 5
    document = json.loads(site.capsys.readouterr().out)
    assert set(document["inventory"]) == {"left", "right"}
    assert items((5, document)) == {"only there": "copy_right", "same": "adopt"}
