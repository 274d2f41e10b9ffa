"""`reconcile_storage`: every FileField of a real site beside what lies in its storage; nothing is changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.servers import Bucket
from trueup.config import StoreConfig
from trueup.runs import RunLog
from trueup.stores import Store, open_store

TABLES = {"photo": "gallery_photo", "portrait": "gallery_portrait", "scan": "gallery_scan", "paper": "gallery_paper"}
COLUMNS = {"photo": "file", "thumbnail": "thumbnail", "portrait": "frame", "scan": "page", "paper": "file"}


MEASURED = """
import io, tracemalloc, django
django.setup()
from django.core.management import call_command
call_command("reconcile_storage", stdout=io.StringIO())  # imports what it needs
tracemalloc.start()
call_command("reconcile_storage", stdout=io.StringIO())
print(tracemalloc.get_traced_memory()[1])
"""
"""How many bytes one run of the command takes at its peak."""


INTERRUPTED = """
import sqlite3, django
django.setup()
from django.db import connections
from trueup.config import load
from trueup.contrib.django.books import SiteBooks
from trueup.contrib.django.shelves import shelves
from trueup.reconcile import reconcile

def drop(provider):
    with connections["default"].cursor() as cursor:
        cursor.execute("drop table if exists gallery_photo")

settings = load()
run = reconcile(SiteBooks(shelves(settings)).source(), settings=settings, heard=drop)
print([(report.provider, report.state, report.reason) for report in run.providers])
"""
"""A table that goes while its storage is listed."""


class Gallery:
    """The site `tests.contrib.gallery`, with what it keeps in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ: dict[str, str] = {}
        self.settings: dict[str, object] = {}

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "django", *words)

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", *words],
            env=self.variables(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def variables(self) -> dict[str, str]:
        environ = {
            "DJANGO_SETTINGS_MODULE": "tests.contrib.gallery.settings",
            "GALLERY_VAR": str(self.folder),
            "GALLERY": json.dumps(self.settings, default=str),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        return os.environ | environ | self.environ

    def reconcile(self, *flags: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self.manage("reconcile_storage", *flags)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def found(self, *flags: str, code: int = 0) -> dict[str, dict[str, str]]:
        """The verdicts by provider and key."""
        found: dict[str, dict[str, str]] = {}
        for item in self.document(*flags, code=code)["items"]:
            found.setdefault(item["provider"], {})[item["key"]] = item["verdict"]
        return found

    def document(self, *flags: str, code: int = 0) -> dict:
        return json.loads(self.reconcile("--json", *flags, code=code).stdout)

    def execute(self, statement: str, rows: Iterable[tuple[object, ...]] = ((),), database: str = "default") -> None:
        with closing(sqlite3.connect(self.folder / f"{database}.sqlite3")) as db, db:
            db.executemany(statement, rows)

    def photos(
        self, *names: str, hidden: bool = False, thumbnail: str | None = None, database: str = "default"
    ) -> None:
        statement = "insert into gallery_photo (file, thumbnail, hidden) values (?, ?, ?)"
        self.execute(statement, [(name, thumbnail, hidden) for name in names], database)

    def files(self, *names: str, root: str = "media") -> None:
        for name in names:
            path = self.folder / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("data")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the site's empty databases."""
    gallery = Gallery(tmp_path_factory.mktemp("gallery"))
    for name in ("default", "archive"):
        done = gallery.manage("migrate", "--run-syncdb", "--skip-checks", "--verbosity", "0", "--database", name)
        assert done.returncode == 0, done.stderr
    gallery.execute("create table legacy (id integer primary key, path text)")
    return gallery.folder


@pytest.fixture
def gallery(databases: Path, tmp_path: Path) -> Gallery:
    for path in databases.glob("*.sqlite3"):
        shutil.copy(path, tmp_path)
    for root in ("media", "vault"):
        (tmp_path / root).mkdir()
    (tmp_path / "trueup.toml").write_text('[reconcile]\ngrace = "0s"\n')
    return Gallery(tmp_path)


def opened(bucket: Bucket, folder: str = "") -> Store:
    return open_store(StoreConfig(url=f"{bucket.url}{folder}", options=bucket.options), {})


def s3_storage(bucket: Bucket, **more: str) -> dict[str, object]:
    options = {
        "bucket_name": bucket.name,
        "access_key": bucket.options["access_key_id"],
        "secret_key": bucket.options["secret_access_key"],
        "endpoint_url": bucket.options["endpoint"],
    }
    return {"BACKEND": "tests.contrib.gallery.storage.S3Storage", "OPTIONS": options | more}


def test_every_kind_of_filefield_is_compared_with_its_storage(gallery: Gallery):
    gallery.photos("kept.jpg", "lost.jpg", "", thumbnail="lost-thumb.jpg")
    gallery.photos("hidden.jpg", hidden=True)
    gallery.photos("elsewhere.jpg", database="archive")
    gallery.execute("insert into gallery_portrait values (1, 'frame.png'), (2, 'lost-frame.png')")
    gallery.execute("insert into gallery_scan (page) values ('lost-scan.pdf')", database="archive")
    gallery.execute("insert into gallery_paper (file) values ('kept.pdf'), ('lost.pdf')")
    gallery.execute("insert into legacy (path) values ('lost-legacy.jpg'), ('kept.jpg')")
    gallery.files("kept.jpg", "foreign.jpg", "papers/kept.pdf")
    gallery.files("frame.png", root="vault")
    before = {path.name: path.read_bytes() for path in gallery.folder.glob("*.sqlite3")}
    lost = ("lost.jpg", "lost-thumb.jpg", "hidden.jpg", "elsewhere.jpg", "lost-scan.pdf", "papers/lost.pdf")
    assert gallery.found(code=1) == {
        "default": dict.fromkeys((*lost, "lost-legacy.jpg"), "missing") | {"foreign.jpg": "orphan"},
        "vault": {"lost-frame.png": "missing"},
    }
    assert {path.name: path.read_bytes() for path in gallery.folder.glob("*.sqlite3")} == before
    [run] = RunLog(Path(os.environ["TRUEUP_HOME"])).latest()
    assert (run.job, run.name, run.status) == ("reconcile", "django", "partial")
    assert gallery.reconcile("--check", code=5).stderr == "CommandError: default: 7 missing\nvault: 1 missing\n"


def test_the_blocks_are_those_of_the_command_line_and_the_log_is_djangos(gallery: Gallery):
    gallery.photos("a.jpg", "b.jpg")
    gallery.files("a.jpg", "b.jpg")
    assert gallery.reconcile().stdout == (
        "default\n  ledger         2 files\n  actual         2 files          0.00 MB\n"
        "  [OK] Stats match - no sync needed\n"
        "vault\n  ledger         0 files          0.00 MB\n  actual         0 files          0.00 MB\n"
        "  [OK] Stats match - no sync needed\n"
    )
    (gallery.folder / "media" / "a.jpg").unlink()
    done = gallery.reconcile(code=1)
    assert "  [!] MISMATCH DETECTED!\n" in done.stdout
    assert "       missing  default  a.jpg\n" in done.stdout
    log = (gallery.folder / "storage.log").read_text()
    assert "Storage sync complete: 2 providers synced" in log
    assert f"default is {gallery.folder / 'media'}" in log
    assert "MISMATCH DETECTED: default: 2 files and unknown bytes on the books, 1 and 4 there" in log


def test_what_is_missing_for_the_first_time_is_no_trouble_yet(gallery: Gallery):
    (gallery.folder / "trueup.toml").unlink()
    gallery.photos("lost.jpg")
    assert gallery.found() == {"default": {"lost.jpg": "in_flight"}}
    assert gallery.found("--check") == {"default": {"lost.jpg": "in_flight"}}


def test_a_bucket_of_django_storages_is_compared_with_its_own_credentials(gallery: Gallery, seaweed_bucket: Bucket):
    store = opened(seaweed_bucket, "/media")
    for name in ("kept.jpg", "foreign.jpg"):
        store.write(name, [b"data"])
    gallery.settings["STORAGES"] = {"default": s3_storage(seaweed_bucket, location="media/")}
    gallery.photos("kept.jpg", "lost.jpg")
    assert gallery.found(code=1) == {"default": {"foreign.jpg": "orphan", "lost.jpg": "missing"}}
    gallery.settings["STORAGES"] = {
        "default": s3_storage(seaweed_bucket, location="media", secret_key="a-wrong-secret")
    }
    done = gallery.reconcile(code=1)
    assert "default\n  ledger         2 files\n  actual  unknown\n  [?] Nothing can be said" in done.stdout
    assert "a-wrong-secret" not in done.stdout + done.stderr + (gallery.folder / "storage.log").read_text()
    for name in ("kept.jpg", "foreign.jpg"):
        store.delete(name)


def test_odd_names_are_compared_as_they_are_and_those_that_no_store_takes_are_told(
    gallery: Gallery, moto_bucket: Bucket
):
    odd = ("a b+c%20.jpg", "e\u0301.jpg", "\u00e9.jpg", "back\\slash.jpg", "100%_.jpg", "'\";--.jpg")
    gallery.files(*odd, "line\nbreak.jpg")
    gallery.photos(*odd, "line\nbreak.jpg", "../outside.jpg", "/etc/passwd", "a//b.jpg")
    refused = dict.fromkeys(("../outside.jpg", "/etc/passwd", "a//b.jpg"), "unverifiable")
    assert gallery.found(code=1) == {"default": refused}
    gallery.settings["STORAGES"] = {"default": s3_storage(moto_bucket)}
    store = opened(moto_bucket)
    for name in odd:
        store.write(name, [b"data"])
    gallery.photos(" trimmed.jpg")
    lost = {" trimmed.jpg": "unverifiable", "line\nbreak.jpg": "missing"}
    assert gallery.found(code=1) == {"default": refused | lost}
    assert "  default  line\\nbreak.jpg\n" in gallery.reconcile(code=1).stdout


def test_the_default_storage_can_be_compared_with_another_place(
    gallery: Gallery, seaweed_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
):
    gallery.photos("a.jpg", "b.jpg")
    gallery.execute("insert into gallery_paper (file) values ('c.pdf')")
    gallery.execute("insert into gallery_portrait values (1, 'frame.png')")
    gallery.files("a.jpg", "papers/c.pdf", root="copy")
    (gallery.folder / "trueup.toml").write_text('[reconcile]\ngrace = "0s"\n[stores.copy]\nurl = "copy"\n')
    for place in ("copy", str(gallery.folder / "copy"), "./copy"):
        assert gallery.found("--place", place, code=1) == {place: {"b.jpg": "missing"}}
    store = opened(seaweed_bucket, "/media")
    store.write("b.jpg", [b"data"])
    gallery.settings |= {
        "AWS_ACCESS_KEY_ID": seaweed_bucket.options["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": seaweed_bucket.options["secret_access_key"],
        "AWS_S3_ENDPOINT_URL": seaweed_bucket.options["endpoint"],
    }
    url = f"{seaweed_bucket.url}/media"
    assert gallery.found("--place", url, code=1) == {url: {"a.jpg": "missing", "papers/c.pdf": "missing"}}
    store.delete("b.jpg")


def test_a_storage_that_does_not_tell_its_place_is_unknown_until_it_is_named(gallery: Gallery):
    gallery.settings["STORAGES"] = {"vault": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}
    gallery.photos("a.jpg")
    gallery.execute("insert into gallery_portrait values (1, 'frame.png')")
    gallery.files("a.jpg")
    for flags in ((), ("--check",)):
        done = gallery.reconcile(*flags, code=1)
        assert "default\n  ledger          1 file\n  actual          1 file" in done.stdout
        said = "InMemoryStorage does not tell where its files are. Name its place in the settings: TRUEUP_STORAGES"
        assert said in done.stderr
        assert '{"vault": "…"}' in done.stderr
    gallery.settings["TRUEUP_STORAGES"] = {"vault": gallery.folder / "vault"}
    assert gallery.found(code=1) == {"vault": {"frame.png": "missing"}}
    gallery.settings["TRUEUP_STORAGES"] = {"valut": "here"}
    assert "no FileField is kept in 'valut'. Known: default, " in gallery.reconcile(code=2).stderr


@pytest.mark.parametrize(
    ("backend", "options", "said"),
    [
        ("GoogleCloudStorage", {"bucket_name": "b", "credentials": "an object"}, "credentials in an object"),
        ("AzureStorage", {"azure_container": "c", "token_credential": "an object"}, "credentials in an object"),
        ("S3Storage", {"bucket_name": None}, "names no bucket"),
        ("S3Storage", {"bucket_name": "b", "access_key": "only-half-of-it"}, "secret_access_key is missing"),
        ("Missing", {}, "the storage cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_unknown_and_the_others_go_on(
    gallery: Gallery, backend: str, options: dict[str, object], said: str
):
    gallery.settings["STORAGES"] = {
        "default": {"BACKEND": f"tests.contrib.gallery.storage.{backend}", "OPTIONS": options}
    }
    gallery.execute("insert into gallery_portrait values (1, 'frame.png')")
    gallery.files("frame.png", root="vault")
    done = gallery.document(code=1)
    providers = {provider["provider"]: provider for provider in done["providers"]}
    default, vault = providers["default"], providers["vault"]
    assert (default["state"], vault["verdicts"]) == ("unknown", {"ok": 1})
    assert said in default["reason"]
    assert "only-half-of-it" not in default["reason"]


def test_containers_and_buckets_of_other_clouds_are_compared(
    gallery: Gallery, azurite_container: Bucket, gcs_bucket: Bucket
):
    azure, google = opened(azurite_container, "/media"), opened(gcs_bucket, "/media")
    azure.write("kept.jpg", [b"data"])
    google.write("frame.png", [b"data"])
    endpoint, account, key = (azurite_container.options[name] for name in ("endpoint", "account_name", "account_key"))
    text = f"AccountName={account};AccountKey={key};BlobEndpoint={endpoint}"
    gallery.environ["STORAGE_EMULATOR_HOST"] = gcs_bucket.options["endpoint"]
    gallery.settings["STORAGES"] = {
        "default": {
            "BACKEND": "tests.contrib.gallery.storage.AzureStorage",
            "OPTIONS": {"azure_container": azurite_container.name, "connection_string": text, "location": "media"},
        },
        "vault": {
            "BACKEND": "tests.contrib.gallery.storage.GoogleCloudStorage",
            "OPTIONS": {"bucket_name": gcs_bucket.name, "location": "media"},
        },
    }
    gallery.photos("kept.jpg", "lost.jpg")
    gallery.execute("insert into gallery_portrait values (1, 'frame.png'), (2, 'lost.png')")
    (gallery.folder / "media" / "papers").mkdir()
    assert gallery.found(code=1) == {"default": {"lost.jpg": "missing"}, "vault": {"lost.png": "missing"}}


def test_a_table_that_is_not_there_makes_its_storage_unknown_and_the_others_go_on(gallery: Gallery):
    gallery.photos("a.jpg")
    gallery.execute("insert into gallery_portrait values (1, 'lost-frame.png')")
    gallery.execute("drop table gallery_paper")
    done = gallery.reconcile(code=1)
    assert done.stderr.count("\n") == 2
    said = "default: gallery.Paper.file cannot be read from the database 'default': no such table: gallery_paper"
    assert said in done.stderr
    assert "vault: 1 missing" in done.stderr


def test_a_table_that_goes_while_its_storage_is_listed_makes_it_unknown(gallery: Gallery):
    gallery.photos("lost.jpg")
    done = gallery.python("-c", INTERRUPTED)
    assert "('default', 'unknown', \"gallery.Photo.file cannot be read from the database 'default': no" in done.stdout
    assert "('vault', 'known', None)" in done.stdout


def test_tables_that_need_not_be_there_are_left_out(gallery: Gallery):
    gallery.execute("drop table legacy")
    gallery.execute("drop table gallery_photo", database="archive")
    gallery.photos("a.jpg")
    gallery.files("a.jpg")
    assert gallery.found() == {}


def test_a_folder_that_is_not_there_or_not_set_is_unknown_and_not_empty(gallery: Gallery):
    gallery.photos("a.jpg")
    shutil.rmtree(gallery.folder / "media")
    assert "is not there" in gallery.reconcile(code=1).stderr
    assert not (gallery.folder / "media").exists()
    gallery.settings["MEDIA_ROOT"] = ""
    assert "default: MEDIA_ROOT is not set" in gallery.reconcile(code=1).stderr


def test_two_at_once_are_one(gallery: Gallery):
    gallery.reconcile()
    [lock] = (Path(os.environ["TRUEUP_HOME"]) / "reconcile").glob("*.lock")
    from trueup.runs import run_lock

    with run_lock(lock, run="another"):
        assert "by run another" in gallery.reconcile(code=4).stderr


def test_the_state_folder_is_djangos_setting_and_one_that_cannot_be_used_is_said(gallery: Gallery):
    gallery.files("in-the-way")
    gallery.settings["TRUEUP_HOME"] = str(gallery.folder / "media" / "in-the-way" / "state")
    assert "in-the-way" in gallery.reconcile(code=1).stderr


def test_an_interruption_ends_it_without_a_traceback(gallery: Gallery):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        slow = f'[stores.slow]\nurl = "s3://bucket"\nendpoint = "{url}"\ntimeout = "2s"\nretries = 0\n'
        (gallery.folder / "trueup.toml").write_text(f'{slow}access_key_id = "k"\nsecret_access_key = "s"\n')
        command = [sys.executable, "-m", "django", "reconcile_storage", "--place", "slow"]
        with subprocess.Popen(command, env=gallery.variables(), stderr=subprocess.PIPE, text=True) as process:
            silent.accept()[0].close()  # it is at work
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60)[1] == "CommandError: interrupted; nothing was changed\n"
    assert process.returncode == 130


def test_memory_stays_flat(gallery: Gallery):
    peaks = []
    for start, stop in ((0, 2_000), (2_000, 22_000)):
        names = [f"{number // 1000}/{number}.jpg" for number in range(start, stop)]
        gallery.files(*names)
        gallery.photos(*names)
        done = gallery.python("-c", MEASURED)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + (2 << 20), peaks
