"""A bucket listed by its cloud's report: the same entries as its own listing, or a clear refusal."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Bucket
from tests.servers.kinds import make_azure_container, make_gcs_bucket, make_s3_bucket
from tests.stores import reports
from trueup.config import Settings, StoreConfig, load
from trueup.errors import (
    ConfigError,
    Interrupted,
    ListingUnfinished,
    MissingExtra,
    TrueupError,
    Unreachable,
)
from trueup.stores import inventory, inventory_rows, open_store
from trueup.stores.base import Entry, Store
from trueup.stores.inventory import Inventory, by_report
from trueup.stores.stopping import heeding
from trueup.testing import FaultyStore, MemoryStore
from trueup.testing.looking import listing

ODD = (
    *("a", "a b", "a+b", "a%2Fb", "a,b", 'a"b', "'a'", "ü", "日本語/x", "emoji-\U0001f600", "z=%$&;", "x/y/z.txt"),
    *("back`tick", "<tag>", "{json}", "NULL", "null", "true"),
)
CONTROL = ("line\nbreak", "line\r\nbreak", "tab\there", "bell\a", '"', '""', ",", "end\n")
KINDS = [("s3", "CSV"), ("s3", "Parquet"), ("azure", "csv"), ("azure", "parquet"), ("google", "csv")]
KINDS += [("google", "parquet")]
ROOT = Path(__file__).parents[2]
MADE = 1_700_000_000_000_000_000


def entry(key: str, number: int = 1, size: int = 3) -> Entry:
    md5 = f"{number:032x}"
    return Entry(key, size, MADE, md5, md5, md5)


class Place:
    """A bucket in memory beside a folder of reports: for what is decided before the bucket is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.url = "s3://bucket"

    def by_report(self, inventory: Path | str = "", **options: str) -> AbstractContextManager[tuple[Store, Inventory]]:
        config = StoreConfig(url=self.url, name="it", inventory=str(inventory or self.folder), options=options)
        return by_report(self.store, config, Settings(home=self.folder, environ={}))

    def listing(self, inventory: Path | str = "", *, ordered: bool = True, **options: str) -> list[Entry]:
        with self.by_report(inventory, **options) as (store, _):
            return list(store.list(ordered=ordered))

    def keys(self, inventory: Path | str = "", **options: str) -> list[str]:
        return [found.key for found in self.listing(inventory, **options)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "reports")


@pytest.fixture
def azure(place: Place) -> Place:
    place.url = "az://bucket"
    return place


@pytest.fixture
def google(place: Place) -> Place:
    place.url = "gs://bucket"
    return place


# As rules of accounts with a hierarchical namespace have them, and no others.
WITH_FOLDERS = ("Name", "Last-Modified", "Content-Length", "Content-MD5", "Etag", "Hdi_isfolder")
ACCOUNT = {"account_name": "devstoreaccount1"}


# The same as live


@pytest.mark.parametrize(("cloud", "kind"), KINDS)
def test_a_report_lists_what_the_bucket_lists(
    request: pytest.FixtureRequest, tmp_path: Path, cloud: str, kind: str
) -> None:
    server, make = {
        "s3": ("moto_server", make_s3_bucket),
        "azure": ("azurite_server", make_azure_container),
        "google": ("gcs_server", make_gcs_bucket),
    }[cloud]
    facts = request.getfixturevalue(server)
    bucket, beside = make(facts), make(facts)
    whole = open_store(StoreConfig(url=bucket.url, options=bucket.options), {})
    for number, key in enumerate(ODD):
        whole.write(f"p/{key}", [str(number).encode()])
    whole.write("other", [b"elsewhere"])
    getattr(reports, cloud)(tmp_path, bucket.name, listing(whole), kind=kind)
    upload(tmp_path, beside)
    for prefix in ("", "/p"):
        config = StoreConfig(
            url=f"{bucket.url}{prefix}",
            name="it",
            options=bucket.options,
            inventory=f"{beside.url}/daily",  # with the credentials of the bucket
        )
        store = open_store(config, {})
        with by_report(store, config, Settings(home=tmp_path, environ={})) as (reported, inventory):
            seen = [found._replace(mtime_ns=0) for found in reported.list()]
            assert seen == [found._replace(mtime_ns=0) for found in listing(store)]
            assert len(seen) == len(ODD) + (not prefix)
            for found in reported.list("p/z"):
                assert abs(found.mtime_ns - reported.stat(found.key).mtime_ns) < 10**9
        assert inventory.url.startswith(beside.url.partition("@")[0])
        assert 0 <= inventory.age.total_seconds() - reports.DAY_OLD.total_seconds() < 100


def upload(folder: Path, bucket: Bucket) -> None:
    store = open_store(StoreConfig(url=f"{bucket.url}/daily", options=bucket.options), {})
    for file in folder.rglob("*"):
        if file.is_file():
            store.write(file.relative_to(folder).as_posix(), [file.read_bytes()])


@pytest.mark.parametrize(("cloud", "kind"), KINDS)
def test_names_of_our_own_markers_and_names_nobody_can_use_are_told_as_a_listing_tells_them(
    place: Place, cloud: str, kind: str
) -> None:
    place.url = {"s3": "s3", "azure": "az", "google": "gs"}[cloud] + "://bucket/p"
    names = ["p/", "p/.trueup/trash/x", "p/d/", "p/../x", "p/a//b", "p/ b", "p/nul\0", "p/ok", "p" * 1100, "pq"]
    names += [f"p/{name}" for name in ("n" * 1100, *CONTROL)]
    getattr(reports, cloud)(place.folder, "bucket", [entry(name) for name in names], kind=kind)
    found = {seen.key: seen.fault for seen in place.listing(**ACCOUNT if cloud == "azure" else {})}
    odd = dict.fromkeys(["../x", "a//b", " b", "nul\0", "n" * 1100, "end\n"], "unaddressable")
    assert found == {"d/": "marker", "ok": "", **odd} | dict.fromkeys(CONTROL[:-1], "")


def test_names_that_only_look_alike_come_in_the_order_of_their_normal_form(place: Place) -> None:
    names = ["e\u0301", "é-b", "ez", "f", "e", "\U0001f600", "\uffff", "A\u030a", "Z", "Å"]
    reports.s3(place.folder, "bucket", [entry(name) for name in names])
    assert place.keys() == ["Z", "e", "ez", "f", "A\u030a", "Å", "e\u0301", "é-b", "\uffff", "\U0001f600"]
    assert [found.key for found in place.listing(ordered=False)] == place.keys()


def test_many_long_names_are_sorted_in_little_memory(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of what reading may take, less is left for sorting: so fewer names than it takes to fill all of it will do.
    monkeypatch.setattr(inventory_rows.Rows, "check", lambda rows: rows._db.execute("set memory_limit = '20MB'"))
    names = [f"{number:05d}" * 190 for number in range(30_000)]
    reports.s3(place.folder, "bucket", [entry(name) for name in reversed(names)])
    sorts: list[object] = []
    sort = inventory.sorted_entries
    monkeypatch.setattr(inventory, "sorted_entries", lambda *given, **named: sorts.append(0) or sort(*given, **named))
    assert place.keys() == names
    assert sorts


def test_parquet_that_takes_more_memory_than_there_may_be_is_refused_with_a_cure(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory_rows, "_MEMORY", "3MB")
    names = [f"{number:05d}" * 190 for number in range(5_000)]
    manifest = reports.s3(place.folder, "bucket", [entry(name) for name in names], kind="Parquet")
    told = f"takes more than the 3MB of memory that reading it may take ({data_of(manifest).name})"
    refused(place, ListingUnfinished, f"{told}. Let the inventory write CSV, or leave out --inventory")


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_many_files_are_one_listing(place: Place, kind: str, shards: int) -> None:
    names = [f"{number:05d}" for number in range(3000)]
    reports.s3(place.folder, "bucket", [entry(name) for name in reversed(names)], kind=kind, shards=shards)
    assert place.keys() == names


@pytest.mark.parametrize(("cloud", "kind"), KINDS)
def test_a_report_of_nothing_lists_nothing(place: Place, cloud: str, kind: str) -> None:
    place.url = {"s3": "s3", "azure": "az", "google": "gs"}[cloud] + "://bucket"
    getattr(reports, cloud)(place.folder, "bucket", [], kind=kind)
    assert place.keys(**ACCOUNT if cloud == "azure" else {}) == []


def test_a_report_without_files_lists_nothing(place: Place) -> None:
    reports.s3(place.folder, "bucket", [], shards=0)
    assert place.keys() == []


# What is there now


VERSIONS = ("Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size", "LastModifiedDate", "ETag")


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_older_versions_and_deleted_objects_of_s3_are_not_there(place: Place, kind: str) -> None:
    def row(key: str, version: int, *, latest: bool, marker: bool = False) -> dict[str, Any]:
        told = None if marker else version
        return {"Key": key, "VersionId": str(version), "IsLatest": latest, "IsDeleteMarker": marker, "Size": told} | {
            "LastModifiedDate": datetime(2026, 1, version, tzinfo=UTC),
            "ETag": None if marker else "e",
        }

    rows = [row("kept", 1, latest=False), row("kept", 2, latest=True), row("gone", 1, latest=False)]
    rows.append(row("gone", 3, latest=True, marker=True))
    reports.s3(place.folder, "bucket", [], extra=rows, fields=VERSIONS, kind=kind)
    assert [(found.key, found.size) for found in place.listing()] == [("kept", 2)]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_older_versions_snapshots_and_deleted_blobs_of_azure_are_not_there(azure: Place, kind: str) -> None:
    fields = ("Name", "Last-Modified", "Content-Length", "Content-MD5", "Etag")
    fields += ("Snapshot", "VersionId", "IsCurrentVersion", "Deleted")

    def row(key: str, size: int, **more: object) -> dict[str, Any]:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        told = {"Name": f"bucket/{key}", "Content-Length": size, "Last-Modified": at, "Etag": "0x1", "Deleted": False}
        return told | more

    rows = [
        row("plain", 1),
        row("plain", 2, Snapshot="2026-01-01T00:00:00.1Z"),
        row("versioned", 3, VersionId="v2", IsCurrentVersion=True),
        row("versioned", 4, VersionId="v1", IsCurrentVersion=False),
        row("versioned", 5, VersionId="v0"),
        row("gone", 6, Deleted=True),
    ]
    reports.azure(azure.folder, "bucket", [], extra=rows, fields=fields, kind=kind)
    assert [(found.key, found.size) for found in azure.listing(**ACCOUNT)] == [("plain", 1), ("versioned", 3)]


@pytest.mark.parametrize("told", ["1", "t", "yes", ""])
@pytest.mark.parametrize("field", ["IsLatest", "IsDeleteMarker"])
def test_a_flag_that_cannot_be_read_is_an_unfinished_listing(place: Place, field: str, told: str) -> None:
    flags = {"IsLatest": "TRUE", "IsDeleteMarker": "False", field: told}
    row = line("a", "v", flags["IsLatest"], flags["IsDeleteMarker"], "3", "2026-01-01T00:00:00Z", "e")
    with_data(reports.s3(place.folder, "bucket", [], fields=VERSIONS), row)
    if field == "IsDeleteMarker" and not told:
        assert place.keys() == ["a"]
    else:
        refused(place, ListingUnfinished, f"tells no {field} of 'a' that can be read")


def test_a_flag_that_is_a_number_is_an_unfinished_listing(place: Place) -> None:
    row = {"Key": "a", "VersionId": "v", "IsLatest": 1, "IsDeleteMarker": 0, "Size": 3, "ETag": "e"}
    row |= {"LastModifiedDate": datetime(2026, 1, 1, tzinfo=UTC)}
    reports.s3(place.folder, "bucket", [], extra=[row], fields=VERSIONS, kind="Parquet")
    refused(place, ListingUnfinished, "tells no IsDeleteMarker of 'a' that can be read")


def test_a_flag_of_azure_that_cannot_be_read_is_an_unfinished_listing(azure: Place) -> None:
    fields = ("Name", "Last-Modified", "Content-Length", "Content-MD5", "Etag", "VersionId", "IsCurrentVersion")
    row = {"Name": "bucket/a", "Last-Modified": datetime(2026, 1, 1, tzinfo=UTC), "Content-Length": 1, "Etag": "0x1"}
    reports.azure(
        azure.folder, "bucket", [], extra=[row | {"VersionId": "v", "IsCurrentVersion": "yes"}], fields=fields
    )
    refused(azure, ListingUnfinished, "tells no IsCurrentVersion of 'a' that can be read", **ACCOUNT)


@pytest.mark.parametrize("times", [1, 1000, 1_000_000])
def test_a_number_is_a_time_in_milliseconds_or_none(place: Place, times: int) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    row = {"Key": "a", "Size": 3, "LastModifiedDate": int(at.timestamp()) * 1000 * times, "ETag": "e"}
    reports.s3(place.folder, "bucket", [], extra=[row], kind="Parquet")
    if times == 1:
        assert [found.mtime_ns for found in place.listing()] == [int(at.timestamp()) * 10**9]
    else:
        refused(place, ListingUnfinished, "tells no time of 'a' that can be read")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_older_versions_of_google_are_not_there(google: Place, kind: str) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    old = {"name": "a", "size": 1, "updated": at, "etag": "e", "timeDeleted": at}
    fields = ("project", "bucket", "name", "size", "updated", "md5Hash", "etag", "timeDeleted")
    reports.google(google.folder, "bucket", [entry("a", size=9)], extra=[old], fields=fields, kind=kind)
    assert [(found.key, found.size) for found in google.listing()] == [("a", 9)]


def test_other_containers_of_the_account_are_others(azure: Place) -> None:
    reports.azure(azure.folder, "bucket", [entry("a")], extra=[{"Name": "bucket2/b"}, {"Name": "buck/c"}])
    assert azure.keys(**ACCOUNT) == ["a"]


def test_what_stands_between_the_columns_is_read_from_the_header(google: Place) -> None:
    for mark in ("|", "\t", ";"):
        shutil.rmtree(google.folder, ignore_errors=True)
        reports.google(google.folder, "bucket", [entry("a,b|c;\td")], mark=mark)
        assert google.keys() == ["a,b|c;\td"]


@pytest.mark.parametrize(
    "told", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.0000000Z", "Fri, 02 Jan 2026 03:04:05 GMT"]
)
def test_times_are_read_however_they_are_written(azure: Place, told: str) -> None:
    row = {"Name": "bucket/a", "Last-Modified": told, "Content-Length": 1, "Etag": "0x1"}
    reports.azure(azure.folder, "bucket", [], extra=[row])
    [found] = azure.listing(**ACCOUNT)
    assert datetime.fromtimestamp(found.mtime_ns / 1e9, UTC) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


# Which report


def test_the_newest_finished_report_is_taken(place: Place) -> None:
    for days, name in ((9, "old"), (2, "new"), (1, "begun"), (3, "older")):
        at = reports.ago(timedelta(days=days))
        manifest = reports.s3(place.folder, "bucket", [entry(name)], at=at)
        if name == "begun":
            manifest.with_suffix(".checksum").unlink()
    assert place.keys() == ["new"]


def test_an_azure_report_that_is_not_finished_has_no_checksum_yet(azure: Place) -> None:
    reports.azure(azure.folder, "bucket", [entry("old")], at=reports.ago(timedelta(days=2)))
    begun = reports.azure(azure.folder, "bucket", [entry("new")], status="Pending")
    begun.with_suffix(".checksum").unlink()
    assert azure.keys(**ACCOUNT) == ["old"]


def test_a_report_about_another_place_that_is_newer_does_not_hide_ours(azure: Place) -> None:
    at = reports.ago(timedelta(days=2))
    reports.azure(azure.folder, "bucket", [entry("ours")], at=at, filters={"prefixMatch": ["bucket/"]})
    reports.azure(azure.folder, "other", [entry("theirs")], filters={"prefixMatch": ["other"]}, rule="theirs")
    assert azure.keys(**ACCOUNT) == ["ours"]


@pytest.mark.parametrize("cloud", ["s3", "azure", "google"])
def test_one_report_can_be_named_by_its_manifest(place: Place, cloud: str) -> None:
    place.url = {"s3": "s3", "azure": "az", "google": "gs"}[cloud] + "://bucket"
    named = getattr(reports, cloud)(place.folder, "bucket", [entry("this")], at=reports.ago(timedelta(days=9)))
    getattr(reports, cloud)(place.folder, "bucket", [entry("newer")])
    assert place.keys(named, **ACCOUNT if cloud == "azure" else {}) == ["this"]


def test_a_store_of_the_settings_may_hold_the_reports(tmp_path: Path) -> None:
    manifest = reports.s3(tmp_path / "there", "bucket", [entry("a")])
    (tmp_path / "trueup.toml").write_text(
        '[stores.site]\nurl = "s3://bucket"\ninventory = "reports"\n[stores.reports]\nurl = "there"\n'
        '[stores.copy]\nurl = "s3://bucket"\ninventory = "there"\n'
        '[stores.reaching]\nurl = "az://bucket"\ninventory = "s3://elsewhere"\naccount_name = "x"\n'
    )
    settings = load()
    for name in ("site", "copy"):
        with by_report(MemoryStore(), settings.store(name), settings) as (store, inventory):
            assert [found.key for found in store.list()] == ["a"]
        assert inventory.url == f"file://{tmp_path}/there/{manifest.parent.name}/manifest.json"


def test_a_pools_provider_may_have_reports(tmp_path: Path) -> None:
    (tmp_path / "trueup.toml").write_text(
        '[stores.site]\nurl = "s3://bucket"\ninventory = "there"\n'
        '[pool.providers.a]\nurl = "site"\n[pool.providers.b]\nurl = "gs://bucket"\ninventory = "site"\n'
        '[pool.providers.c]\nurl = "gs://bucket"\ninventory = "here/manifest.json"\n'
    )
    from trueup.pool.config import pool_config

    providers = pool_config(load()).providers
    assert [providers[name].store.inventory for name in "abc"] == [
        f"{tmp_path}/there",
        "site",
        f"{tmp_path}/here/manifest.json",
    ]


# What is refused


def test_only_buckets_have_reports(tmp_path: Path) -> None:
    for url in (str(tmp_path), "memory://x", "sftp://u@h/p"):
        with pytest.raises(ConfigError, match="inventory is not for a"):
            open_store(StoreConfig(url=url, name="x", inventory="y"), {})


def refused(place: Place, error: type[TrueupError], told: str, **options: str) -> None:
    """Listing by the report fails so, and leaves nothing behind."""
    with pytest.raises(error) as caught:
        place.listing(**options)
    assert type(caught.value) is error
    assert told in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_no_report_at_all(place: Place) -> None:
    refused(place, ConfigError, "is not there")
    place.folder.mkdir()
    refused(place, ConfigError, "there is no finished inventory report")
    (place.folder / "manifest.json").write_text("{}")
    refused(place, ConfigError, "there is no finished inventory report")


def test_a_report_of_another_bucket_is_refused(place: Place) -> None:
    reports.s3(place.folder, "other", [entry("a")])
    refused(place, ConfigError, "it is about the bucket other")
    place.url = "gs://bucket"
    refused(place, ConfigError, "was not written for a place like gs://bucket")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_of_another_bucket_are_refused(google: Place, kind: str) -> None:
    extra = [{"bucket": "other", "name": "x", "size": 1, "updated": datetime(2026, 1, 1, tzinfo=UTC)}]
    reports.google(google.folder, "bucket", [entry("a")], extra=extra, kind=kind)
    refused(google, ConfigError, "is about the bucket other")
    google.url += "/elsewhere"  # where the other bucket has nothing
    refused(google, ConfigError, "is about the bucket other")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"filters": {"prefixMatch": ["bucket/photos", "buckets"]}}, "takes only what begins with 'bucket/photos'"),
        ({"filters": {"excludePrefix": ["bucket/logs"]}}, "leaves out what begins with 'bucket/logs'"),
        ({"filters": {"excludePrefix": ["buck"]}}, "leaves out what begins with 'buck'"),
        ({"filters": {"blobTypes": ["appendBlob", "pageBlob"]}}, "leaves out block blobs"),
        ({"filters": {"blobTypes": ["blockBlob"]}}, "leaves out append and page blobs"),
        ({"filters": {"blobTypes": ["blockBlob", "appendBlob"]}}, "leaves out page blobs, unless"),
        ({"filters": {"blobTypes": ["blockBlob"]}, "fields": WITH_FOLDERS}, "leaves out append blobs"),
        ({"filters": {"creationTime": {"lastNDays": 3}}}, "what was created lately"),
        ({"endpoint": "https://another.blob.core.windows.net"}, "the account at https://another"),
    ],
)
def test_an_azure_rule_that_does_not_take_all_of_the_place_is_refused(
    azure: Place, changes: dict[str, Any], told: str
) -> None:
    reports.azure(azure.folder, "bucket", [entry("a")], **changes)
    refused(azure, ConfigError, told, **ACCOUNT)


def test_an_azure_rule_may_leave_out_what_lies_elsewhere(azure: Place) -> None:
    azure.url = "az://bucket/photos"
    filters = {"prefixMatch": ["bucket/pho"], "excludePrefix": ["bucket/logs"]}
    reports.azure(azure.folder, "bucket", [entry("photos/a")], filters=filters)
    assert azure.keys(**ACCOUNT) == ["a"]


def test_an_account_with_folders_has_no_page_blobs(azure: Place) -> None:
    filters = {"blobTypes": ["blockBlob", "appendBlob"]}
    reports.azure(azure.folder, "bucket", [entry("a")], fields=WITH_FOLDERS, filters=filters)
    assert azure.keys(**ACCOUNT) == ["a"]


def test_orc_is_refused_with_what_to_choose_instead(place: Place) -> None:
    manifest = reports.s3(place.folder, "bucket", [entry("a")])
    reports.changed(manifest, fileFormat="ORC")
    refused(place, ConfigError, "written as ORC, which is not read here. Let the inventory write Parquet")


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
@pytest.mark.parametrize("field", ["Size", "LastModifiedDate", "ETag", "IsLatest"])
def test_a_field_that_is_missing_is_named_with_its_cure(place: Place, field: str, kind: str) -> None:
    fields = [name for name in VERSIONS if name != field]
    reports.s3(place.folder, "bucket", [entry("a")], fields=fields, kind=kind)
    refused(place, ConfigError, f"has no field {field}. Let the inventory write it")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_field_that_azure_was_not_asked_for_is_named(azure: Place, kind: str) -> None:
    reports.azure(azure.folder, "bucket", [entry("a")], fields=("Name", "Content-Length", "Last-Modified"), kind=kind)
    refused(azure, ConfigError, "has no field ETag. Let the rule write it", **ACCOUNT)


def test_a_csv_without_header_is_told_to_have_one(google: Place) -> None:
    manifest = reports.google(google.folder, "bucket", [entry("a")])
    [file] = [path for path in google.folder.iterdir() if path != manifest]
    file.write_bytes(file.read_bytes().partition(b"\n")[2])
    refused(google, ConfigError, "has no field name. Let the report have it: size, updated, md5Hash and etag")


@pytest.mark.parametrize("cloud", ["s3", "azure", "google"])
def test_a_report_from_the_future_is_passed_over_or_refused_where_it_is_the_only_one(
    place: Place, cloud: str, caplog: pytest.LogCaptureFixture
) -> None:
    place.url = {"s3": "s3", "azure": "az", "google": "gs"}[cloud] + "://bucket"
    options = ACCOUNT if cloud == "azure" else {}
    write = getattr(reports, cloud)
    ahead = write(place.folder, "bucket", [entry("ahead")], at=datetime.now(UTC) + timedelta(days=1))
    refused(place, ListingUnfinished, "is dated in the future", **options)
    write(place.folder, "bucket", [entry("older")], at=reports.ago(timedelta(days=5)))
    write(place.folder, "bucket", [entry("a")])
    caplog.clear()
    assert place.keys(**options) == ["a"]
    assert f"{ahead.relative_to(place.folder)}, which is dated in the future, is passed over" in caplog.text
    with pytest.raises(ListingUnfinished, match=r"dated in the future.* name the manifest of another"):
        place.keys(ahead, **options)


def test_a_report_of_a_moment_ago_may_be_a_little_ahead(place: Place) -> None:
    reports.s3(place.folder, "bucket", [entry("old")])
    reports.s3(place.folder, "bucket", [entry("new")], at=datetime.now(UTC) + timedelta(minutes=50))
    assert place.keys() == ["new"]


# What is damaged


def data_of(manifest: Path) -> Path:
    [file] = (manifest.parent.parent / "data").iterdir()
    return file


def spoil_checksum(manifest: Path) -> None:
    manifest.with_suffix(".checksum").write_text(reports.md5(b"another"))


def spoil_manifest(manifest: Path) -> None:
    manifest.write_text(manifest.read_text() + " ")


def lose_data(manifest: Path) -> None:
    data_of(manifest).unlink()


def cut_data(manifest: Path) -> None:
    data_of(manifest).write_bytes(data_of(manifest).read_bytes()[:-5])


def change_data(manifest: Path) -> None:
    data = bytearray(data_of(manifest).read_bytes())
    data[-1] ^= 1
    data_of(manifest).write_bytes(data)


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_checksum, "is not what its checksum says"),
        (spoil_manifest, "is not what its checksum says"),
        (lose_data, "lacks its file"),
        (cut_data, "is not what its manifest says"),
        (change_data, "is not what its manifest says"),
    ],
)
def test_a_damaged_report_is_an_unfinished_listing(
    place: Place, spoil: Callable[[Path], None], told: str, kind: str
) -> None:
    reports.s3(place.folder, "bucket", [entry("old")], at=reports.ago(timedelta(days=5)))
    shutil.rmtree(place.folder / "data")
    spoil(reports.s3(place.folder, "bucket", [entry("a")], kind=kind))
    refused(place, ListingUnfinished, told)


def with_data(manifest: Path, content: bytes) -> None:
    """The manifest agrees: whoever wrote the file wrote it so."""
    data_of(manifest).write_bytes(content)
    [file] = json.loads(manifest.read_text())["files"]
    reports.changed(manifest, files=[file | {"size": len(content), "MD5checksum": reports.md5(content)}])


def line(*cells: str) -> bytes:
    return (",".join(f'"{cell}"' for cell in ("bucket", *cells)) + "\n").encode()


GOOD = line("a", "1", "2026-01-01T00:00:00.000Z", "e")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gzip.compress(GOOD * 50)[:-12], "GZIP"),
        (gzip.compress(GOOD * 5)[:9], "end-of-stream"),
        (GOOD + b'"bucket","b', "unterminated"),
        (GOOD + b'"bucket","b"\n', "Columns"),
        (GOOD + line("b", "1", "2026-01-01T00:00:00Z", "e", "more"), "Columns"),
        (b'"bucket","\xff","1","2026-01-01T00:00:00Z","e"\n', "unicode"),
        (line("%FF", "1", "2026-01-01T00:00:00Z", "e"), "UTF8"),
        (GOOD + line("b", "", "2026-01-01T00:00:00Z", "e"), "no size of 'b'"),
        (GOOD + line("b", "-1", "2026-01-01T00:00:00Z", "e"), "no size of 'b'"),
        (GOOD + line("b", "1.5", "2026-01-01T00:00:00Z", "e"), "no size of 'b'"),
        (GOOD + line("b", "9" * 30, "2026-01-01T00:00:00Z", "e"), "no size of 'b'"),
        (GOOD + line("b", "1", "yesterday", "e"), "no time of 'b'"),
        (GOOD + line("b", "1", "", "e"), "no time of 'b'"),
        (GOOD + GOOD, "shows 'a' twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_that_cannot_be_read_are_an_unfinished_listing(place: Place, content: bytes, told: str) -> None:
    with_data(reports.s3(place.folder, "bucket", [entry("a")]), content)
    refused(place, ListingUnfinished, told)


def test_numbers_as_large_as_they_come_are_numbers(place: Place) -> None:
    rows = [
        line("a", str(2**63 - 1), "9999-12-31T23:59:59Z", "e"),
        line("b", str(2**64 - 1), "1601-01-01T00:00:00Z", "e"),
    ]
    with_data(reports.s3(place.folder, "bucket", [entry("a")]), b"".join(rows))
    assert [(found.size, found.mtime_ns) for found in place.listing()] == [
        (2**63 - 1, 2**63 - 1),
        (2**63 - 1, -(2**63) + 1),
    ]


def test_parquet_that_is_none_is_an_unfinished_listing(place: Place) -> None:
    with_data(reports.s3(place.folder, "bucket", [entry("a")], kind="Parquet"), b"PAR1 and nothing")
    refused(place, ListingUnfinished, "cannot be read")


def test_an_md5_that_is_none_is_an_unfinished_listing(azure: Place) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    row = {"Name": "bucket/a", "Last-Modified": at, "Content-Length": 1, "Content-MD5": "x", "Etag": "0x1"}
    reports.azure(azure.folder, "bucket", [], extra=[row])
    refused(azure, ListingUnfinished, "an MD5 of 'a' that is none", **ACCOUNT)


@pytest.mark.parametrize(
    "changes", [{"status": "Failed"}, {"status": "PartiallySucceeded"}, {"inventoryStartTime": "soon"}, {"files": None}]
)
def test_an_azure_report_that_failed_is_an_unfinished_listing(azure: Place, changes: dict[str, Any]) -> None:
    reports.azure(azure.folder, "bucket", [entry("a")], **changes)
    with pytest.raises(ListingUnfinished):
        azure.listing(**ACCOUNT)


def test_an_azure_file_of_another_size_is_an_unfinished_listing(azure: Place) -> None:
    manifest = reports.azure(azure.folder, "bucket", [entry("a"), entry("b")])
    file = manifest.with_name("everything_0.csv")
    file.write_bytes(file.read_bytes().rpartition(b"bucket/b")[0])
    refused(azure, ListingUnfinished, "is not what its manifest says", **ACCOUNT)


def test_azure_rows_or_files_that_are_missing_are_an_unfinished_listing(azure: Place) -> None:
    manifest = reports.azure(azure.folder, "bucket", [entry("a"), entry("b")])
    reports.changed(manifest, summary={"objectCount": 5, "totalObjectSize": 6})
    refused(azure, ListingUnfinished, "has 2 of the 5 rows", **ACCOUNT)
    reports.changed(manifest, summary={"objectCount": 2, "totalObjectSize": 6}, files=[])
    refused(azure, ListingUnfinished, "has 0 of the 2 rows", **ACCOUNT)
    reports.changed(manifest, summary={"objectCount": "many"})
    refused(azure, ListingUnfinished, "cannot be read", **ACCOUNT)


def test_google_rows_or_files_that_are_missing_are_an_unfinished_listing(google: Place) -> None:
    at = (reports.ago(timedelta(days=days)) for days in itertools.count(9, -1))
    reports.google(google.folder, "bucket", [entry("a")], records_processed=2, at=next(at))
    refused(google, ListingUnfinished, "has 1 of the 2 rows")
    reports.google(google.folder, "bucket", [entry("a")], shard_count=2, at=next(at))
    refused(google, ListingUnfinished, "names 1 of 2 files")
    reports.google(google.folder, "bucket", [entry("a")], report_shards_file_names=["gone.csv"], at=next(at))
    refused(google, ListingUnfinished, "lacks its file gone.csv")
    reports.google(google.folder, "bucket", [entry("a")], records_processed=1, at=next(at))
    assert google.keys() == ["a"]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '"sourceBucket"', "{", "\xff", '{"sourceBucket": "bucket"}', '{"ruleDefinition": 1}']
)
def test_a_manifest_that_is_none_is_told_so(place: Place, text: str) -> None:
    manifest = reports.s3(place.folder, "bucket", [entry("a")])
    manifest.write_bytes(text.encode("latin-1"))
    manifest.with_suffix(".checksum").write_text(reports.md5(text.encode("latin-1")))
    with pytest.raises((ListingUnfinished, ConfigError), match="manifest"):
        place.listing()


@pytest.mark.parametrize("key", ["../../secret", "..", "/etc/passwd", "data/..", "a/b/../../../x"])
def test_a_manifest_cannot_name_files_elsewhere(place: Place, key: str) -> None:
    (place.folder.parent / "secret").write_bytes(GOOD)
    manifest = reports.s3(place.folder, "bucket", [entry("a")])
    reports.changed(manifest, files=[{"key": key, "size": len(GOOD), "MD5checksum": reports.md5(GOOD)}])
    with pytest.raises(TrueupError):
        place.listing()


def test_a_place_of_reports_that_breaks_off_is_no_end_of_a_report(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports.s3(place.folder, "bucket", [entry("a")])
    faulty = FaultyStore(open_store(str(place.folder), {}))
    monkeypatch.setattr("trueup.stores.inventory.open_store", lambda *_: faulty)
    with place.by_report() as (store, _):
        faulty.fail("read", Unreachable("broken off"))
        with pytest.raises(Unreachable):
            list(store.list())


# What it leaves behind


def unpacked(place: Place) -> set[str]:
    """The folders of reports that the state folder has something in."""
    return {path.parent.name for path in (place.folder / "inventory").glob("*/*")}


def test_what_was_fetched_is_removed_however_it_ends(place: Place) -> None:
    manifest = reports.s3(place.folder, "bucket", [entry(f"{number:04d}") for number in range(3000)], shards=1)
    with place.by_report() as (store, _):
        entries = store.list()
        next(entries)
        assert unpacked(place) == {"0"}
        assert (place.folder / "inventory" / "0").stat().st_mode & 0o777 == 0o700
        entries.close()
        assert unpacked(place) == set()
    assert len(place.keys()) == 3000
    assert unpacked(place) == set()
    with_data(manifest, gzip.compress(GOOD)[:-9])
    refused(place, ListingUnfinished, "GZIP")
    assert unpacked(place) == set()


LISTING = """
import sys
from pathlib import Path
from tests.stores.test_inventory import Place

with Place(Path(sys.argv[1])).by_report() as (store, _):
    entries = store.list()
    print(next(entries).key, flush=True)
    sys.stdin.read()
    print(len(list(entries)), flush=True)
"""


def test_what_a_killed_listing_left_goes_with_the_next_one_and_no_sooner(place: Place) -> None:
    reports.s3(place.folder, "bucket", [entry(f"{number:04d}") for number in range(3000)])

    def begun() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", LISTING, str(place.folder)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "0000\n"
        return process

    with begun() as killed, begun() as going_on:
        killed.kill()
        killed.wait()
        assert unpacked(place) == {"0", "1"}
        assert len(place.keys()) == 3000
        assert unpacked(place) == {"1"}
        assert going_on.communicate("")[0] == "2999\n"
    assert unpacked(place) == set()


def test_a_stop_is_heeded(place: Place) -> None:
    reports.s3(place.folder, "bucket", [entry("a")])
    asked = itertools.count()
    with place.by_report() as (store, _), heeding(lambda: next(asked) > 3), pytest.raises(Interrupted):
        list(store.list())


def test_without_duckdb_the_extra_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    reports.s3(place.folder, "bucket", [entry("a")])
    monkeypatch.setitem(sys.modules, "duckdb", None)
    refused(place, MissingExtra, "pip install 'trueup[inventory]'")
