"""The file storage: Django's own `File` API over a place of trueup's."""

from __future__ import annotations

import io
import tracemalloc
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, storages
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import models
from django.db.migrations.writer import MigrationWriter
from django.db.models.fields.files import FieldFile
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter

from tests.servers import Bucket
from trueup.contrib.django.models import StorageCredential
from trueup.contrib.django.reader import BLOCK
from trueup.contrib.django.sealed import Unreadable
from trueup.contrib.django.storage import TrueupStorage
from trueup.errors import ConfigError, PreconditionFailed
from trueup.testing import MemoryStore


@pytest.fixture(params=["memory", "folder"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TrueupStorage]:
    place = "memory://storage" if request.param == "memory" else str(tmp_path / "files")
    yield TrueupStorage(place, "/files")
    MemoryStore.forget()


def test_a_file_is_saved_read_measured_listed_and_deleted(storage: TrueupStorage):
    assert storage.save("documents/a.txt", ContentFile(b"hello")) == "documents/a.txt"
    assert storage.exists("documents/a.txt")
    assert storage.size("documents/a.txt") == 5
    with storage.open("documents/a.txt") as file:
        assert (file.name, file.size, file.read()) == ("documents/a.txt", 5, b"hello")
    with storage.open("documents/a.txt", "r") as file:
        assert list(file) == ["hello"]
    assert abs(storage.get_modified_time("documents/a.txt") - datetime.now(UTC)) < timedelta(minutes=1)
    with override_settings(USE_TZ=False):
        assert storage.get_modified_time("documents/a.txt").tzinfo is None
    storage.delete("documents/a.txt")
    storage.delete("documents/a.txt")
    assert not storage.exists("documents/a.txt")


def test_a_folder_lists_what_is_right_below_it(storage: TrueupStorage):
    for name in ("a.txt", "a/b.txt", "a/deep/c.txt", "a-b/d.txt", "é/e.txt"):
        storage.save(name, ContentFile("text"))
    assert [sorted(names) for names in storage.listdir("")] == [["a", "a-b", "é"], ["a.txt"]]
    assert storage.listdir("a") == (["deep"], ["b.txt"])
    assert storage.listdir("a/") == storage.listdir("./a")
    assert storage.listdir("é") == ([], ["e.txt"])


def test_text_is_stored_as_utf8(storage: TrueupStorage):
    assert storage.open(storage.save("a.txt", ContentFile("naïve"))).read() == "naïve".encode()


def test_a_file_is_never_overwritten(storage: TrueupStorage):
    first = storage.save("a.tar.gz", ContentFile(b"1"))
    second = storage.save("a.tar.gz", ContentFile(b"2"))
    assert second != first
    assert second.startswith("a_")
    assert second.endswith(".tar.gz")
    # As when another process takes the name between the look and the write.
    third = storage._save("a.tar.gz", ContentFile(b"3"))
    assert [storage.open(name).read() for name in (first, second, third)] == [b"1", b"2", b"3"]


def test_many_at_once_under_one_name_all_survive(storage: TrueupStorage):
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda n: storage.save("same.txt", ContentFile(str(n).encode())), range(24)))
    assert len(set(names)) == 24
    assert {storage.open(name).read() for name in names} == {str(n).encode() for n in range(24)}


def test_a_folder_in_the_way_changes_the_name(tmp_path: Path):
    storage = TrueupStorage(str(tmp_path / "files"))
    storage.save("a/b.txt", ContentFile(b"1"))
    assert storage.save("a", ContentFile(b"2")).startswith("a_")


def test_a_large_file_is_read_on_demand(tmp_path: Path):
    size = 5 * BLOCK + 11
    (tmp_path / "files").mkdir()
    with (tmp_path / "files" / "large.bin").open("wb") as made:
        for number in range(size // 1024 + 1):
            made.write(number.to_bytes(4, "big") * 256)
        made.truncate(size)
    expected = (tmp_path / "files" / "large.bin").read_bytes()
    storage = TrueupStorage(str(tmp_path / "files"))
    tracemalloc.start()
    try:
        with storage.open("large.bin") as file:
            total = sum(len(chunk) for chunk in file.chunks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == size
    assert peak < 2 * BLOCK, "not the whole file"
    with storage.open("large.bin") as file:
        assert file.read() == expected
        for offset in (size - 3, 0, BLOCK - 2, BLOCK):
            assert file.seek(offset) == offset
            assert file.read(7) == expected[offset : offset + 7]
        assert file.seek(-4, io.SEEK_END) == size - 4
        assert file.read() == expected[-4:]
        assert file.seek(size + 5) == size + 5
        assert file.read() == b""
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)


def test_a_file_that_changes_while_it_is_read_is_not_mixed(tmp_path: Path):
    storage = TrueupStorage(str(tmp_path / "files"))
    storage.save("a.bin", ContentFile(bytes(BLOCK + 5)))
    with storage.open("a.bin") as file:
        file.read(10)
        (tmp_path / "files" / "a.bin").write_bytes(b"x" * (BLOCK + 5))
        with pytest.raises(PreconditionFailed):
            file.read()


def test_a_missing_file_is_djangos_usual_error(storage: TrueupStorage):
    for ask in (storage.open, storage.size, storage.get_modified_time):
        with pytest.raises(FileNotFoundError):
            ask("missing.txt")
    with pytest.raises(NotImplementedError):
        storage.path("missing.txt")
    with pytest.raises(ValueError, match="opened for reading"):
        storage.open("a.txt", "wb")
    with pytest.raises(ValueError, match="must be given"):
        storage.delete("")


@pytest.mark.parametrize(
    "name", ["../a.txt", "a/../../b.txt", "a/../b.txt", "/etc/passwd", "..\\a.txt", "a\0b", ".trueup/trash/a", ".", ""]
)
def test_a_name_that_leads_elsewhere_is_refused(storage: TrueupStorage, name: str):
    for ask in (storage.open, storage.exists, storage.size, storage.url):
        with pytest.raises(SuspiciousFileOperation):
            ask(name)
    with pytest.raises(SuspiciousFileOperation):
        storage.save(name, ContentFile(b"x"))
    if name:
        with pytest.raises(SuspiciousFileOperation):
            storage.delete(name)


def test_nothing_is_followed_through_a_link(tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "link.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    storage = TrueupStorage(str(tmp_path / "files"))
    with pytest.raises(FileNotFoundError):
        storage.open("link.txt")
    assert storage.save("link.txt", ContentFile(b"x")) != "link.txt"
    assert (tmp_path / "outside" / "secret.txt").read_text() == "secret"
    (tmp_path / "files" / "folder").symlink_to(tmp_path / "outside")
    for name in ("folder/secret.txt", "folder/new.txt", "folder/deep/new.txt"):
        with pytest.raises(SuspiciousFileOperation):
            storage.save(name, ContentFile(b"x"))
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret.txt"]


def test_a_file_where_a_folder_would_be_needed_is_an_error_not_a_search_without_end(tmp_path: Path):
    storage = TrueupStorage(str(tmp_path / "files"))
    storage.save("a.txt", ContentFile(b"x"))
    with pytest.raises(FileExistsError, match="something is in its way"):
        storage.save("a.txt/b.txt", ContentFile(b"x"))


def test_a_url_is_the_base_and_the_quoted_name(storage: TrueupStorage):
    assert storage.url("documents/a b#1?é.txt") == "/files/documents/a%20b%231%3F%C3%A9.txt"
    with pytest.raises(ValueError, match="no base_url"):
        TrueupStorage("memory://storage").url("a.txt")


def test_a_file_field_saves_and_reads_through_it(storage: TrueupStorage):
    field = models.FileField(upload_to="uploads/%Y", storage=storage)
    field.attname = field.name = "file"

    class Instance:
        file = None

    instance = Instance()
    file = FieldFile(instance, field, "")
    with TemporaryUploadedFile("my upload.txt", "text/plain", 3, None) as upload:
        upload.write(b"abc")
        file.save(upload.name, upload, save=False)
    assert file.name == f"uploads/{datetime.now(UTC):%Y}/my_upload.txt"
    assert (file.size, file.read()) == (3, b"abc")
    assert file.url == f"/files/{file.name}"
    file.close()
    file.delete(save=False)
    assert not storage.exists(f"uploads/{datetime.now(UTC):%Y}/my_upload.txt")


def test_it_is_made_from_the_setting_storages_and_written_into_migrations():
    options = {"store": "memory://storage", "base_url": "https://cdn.example.com/", "url_ttl": 60, "signed": False}
    with override_settings(
        STORAGES={"files": {"BACKEND": "trueup.contrib.django.storage.TrueupStorage", "OPTIONS": options}}
    ):
        storage = storages["files"]
    assert storage.url("a.txt") == "https://cdn.example.com/a.txt"
    text, imports = MigrationWriter.serialize(storage)
    assert text.startswith("trueup.contrib.django.storage.TrueupStorage(")
    assert imports == {"import trueup.contrib.django.storage"}
    assert storage.deconstruct() == TrueupStorage(**options).deconstruct()


def test_collectstatic_and_hashed_names_work_over_it(tmp_path: Path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "logo.svg").write_text("<svg/>")
    (tmp_path / "source" / "site.css").write_text("body { background: url(logo.svg) }")

    class Hashed(ManifestFilesMixin, TrueupStorage):
        pass

    storage = Hashed(str(tmp_path / "static"), "/static/")
    finder = FileSystemStorage(str(tmp_path / "source"))
    for _ in range(2):  # as a second deployment does
        for name in ("logo.svg", "site.css"):
            storage.delete(name)
            with finder.open(name) as file:
                storage.save(name, file)
        done = list(storage.post_process({name: (storage, name) for name in ("logo.svg", "site.css")}))
        assert not [error for *_, error in done if isinstance(error, Exception)]
    with override_settings(DEBUG=False):
        url = storage.url("site.css")
    assert url.startswith("/static/site.")
    assert b'url("logo.' in storage.open(url.removeprefix("/static/")).read()
    assert len(list((tmp_path / "static").glob("site.*"))) == 2, "nothing was saved under another name"


def test_a_named_store_of_the_settings_file_will_do(tmp_path: Path):
    (tmp_path / "trueup.toml").write_text('[stores.files]\nurl = "here"\n')
    TrueupStorage("files").save("a.txt", ContentFile(b"x"))
    assert (tmp_path / "here" / "a.txt").read_bytes() == b"x"


SECRETS = [f"secret-{number}" * 2 for number in range(3)]  # the report shows the lines of this file, too


def report_of(kind: type[Exception]) -> str:
    """What Django's error report says when a view asks for a file. Its traceback begins here."""
    try:
        TrueupStorage("s3://bucket").exists("a.txt")
    except kind as error:
        reporter = ExceptionReporter(RequestFactory().get("/"), kind, error, error.__traceback__)
        return reporter.get_traceback_html() + reporter.get_traceback_text()
    pytest.fail("nothing was raised")


def test_an_error_report_holds_no_secret(database: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS[2])
    row = StorageCredential(access_key_id=SECRETS[0], secret_access_key=SECRETS[1], endpoint_url="ftp://nowhere")
    row.save()
    unusable = report_of(ConfigError)
    assert "holds no usable endpoint" in unusable
    with override_settings(SECRET_KEY="another"):
        row.secret_access_key = SECRETS[1]
        row.save()
    unreadable = report_of(Unreadable)
    assert "cannot be decrypted" in unreadable
    assert not [secret for secret in SECRETS if secret in unusable + unreadable]


def test_a_real_bucket_with_credentials_from_the_database(database: Path, seaweed_bucket: Bucket):
    StorageCredential.objects.create(
        access_key_id=seaweed_bucket.options["access_key_id"],
        secret_access_key=seaweed_bucket.options["secret_access_key"],
        endpoint_url=seaweed_bucket.options["endpoint"],
    )
    storage = TrueupStorage(f"{seaweed_bucket.url}/media", "https://cdn.example.com")
    data = bytes(range(256)) * 4096 * 9  # more than one block
    name = storage.save("a b.bin", File(io.BytesIO(data)))
    other = storage._save(name, ContentFile(b"second"))
    assert other != name
    with storage.open(name) as file:
        file.seek(BLOCK - 1)
        assert file.read(2) == data[BLOCK - 1 : BLOCK + 1]
    with storage.open(name) as file:
        assert b"".join(file.chunks()) == data
    assert storage.size(name) == len(data)
    assert sorted(storage.listdir("")[1]) == sorted([name, other])
    signed = storage.url(name)
    assert "X-Amz-Signature" in signed
    assert seaweed_bucket.options["secret_access_key"] not in signed
    with urllib.request.urlopen(signed) as answer:
        assert answer.read() == data
    unsigned = TrueupStorage(f"{seaweed_bucket.url}/media", "https://cdn.example.com", signed=False)
    assert unsigned.url(name) == "https://cdn.example.com/a%20b.bin"
    for each in (name, other):
        storage.delete(each)
    assert storage.listdir("") == ([], [])
