"""OpenDAL's further services: WebDAV against a real server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers import Bucket
from tests.servers.shared import free_port
from tests.sync.world import World, done
from trueup.config import StoreConfig, SyncConfig, load
from trueup.errors import AccessDenied, ConfigError, PreconditionFailed, StoreError, Unreachable
from trueup.stores import open_store
from trueup.stores.base import Store
from trueup.stores.remote_service import Found
from trueup.stores.service import _OperatorFiles
from trueup.sync import sync, undo
from trueup.testing.contract import StoreContract
from trueup.testing.listing import ODD
from trueup.testing.looking import broken, content, listing, names_of


def opened(place: Bucket, below: str = "", **options: str) -> Store:
    given = place.options | {"root": place.options["root"] + below} | options
    return open_store(StoreConfig(name="dav", url="", options=given), {})


class TestWebdav(StoreContract):
    @pytest.fixture
    def store(self, webdav_folder: Bucket):
        with closing(opened(webdav_folder)) as store, closing(opened(webdav_folder, "/missing")) as self.absent:
            yield store

    def missing(self) -> Store:
        return self.absent

    @pytest.mark.parametrize("key", [key for key in ODD if not {"\t", "\n", "\x7f"} & set(key)])
    def test_an_odd_name_is_kept_exactly_or_refused(self, store: Store, key: str) -> None:
        # rclone's server shows a control character as a picture of it.
        super().test_an_odd_name_is_kept_exactly_or_refused(store, key)


@pytest.fixture
def store(webdav_folder: Bucket):
    with closing(opened(webdav_folder)) as store:
        yield store


@pytest.fixture
def root(webdav_folder: Bucket, webdav_server: dict[str, str]) -> Path:
    """The served folder as it lies on this machine."""
    return Path(webdav_server["folder"], "data") / webdav_folder.options["root"].strip("/")


# ----- the options -----


def named(**options: str) -> Store:
    return open_store(StoreConfig(name="X", url="", options=options), {})


@pytest.mark.parametrize(
    ("options", "canonical"),
    [
        ({"service": "webdav", "endpoint": "https://Host/"}, "webdav://host/"),
        ({"service": "WebDAV", "endpoint": "host:443", "root": "/a/b/"}, "webdav://host/a/b"),
        (
            {"service": "webdav", "endpoint": "http://h:80/dav/me/", "root": "a", "username": "me"},
            "webdav://me@h/dav/me/a",
        ),
        ({"service": "webdav", "endpoint": "http://h", "password": "hunter2", "timeout": "5s"}, "webdav://h/"),
        ({"service": "dropbox", "access_token": "hunter2", "root": "/a"}, "dropbox://X/a"),
    ],
)
def test_two_spellings_are_one_place(options: dict[str, str], canonical: str):
    with closing(named(**options)) as store:
        assert store.url == canonical
        assert "hunter2" not in repr(store)


def test_buckets_of_one_endpoint_are_two_places():
    options = {"service": "oss", "endpoint": "https://oss.example", "access_key_id": "id", "access_key_secret": "key"}
    with closing(named(**options, bucket="one")) as one, closing(named(**options, bucket="two")) as two:
        assert one.url != two.url
        assert not one.features.tree


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"service": "webdaw"}, "'webdaw' is unknown.*webdav"),
        ({"service": "s3"}, "s3://bucket"),
        ({"service": "webdav", "endpoint": "http://h", "passwort": "hunter2"}, "no option 'passwort'.*password"),
        ({"service": "webdav", "endpoint": "http://h", "root": "a/../b"}, "root"),
        ({"service": "webdav", "endpoint": "http://me:hunter2@h"}, "credentials"),
        ({"service": "webdav", "endpoint": "http://h:x"}, "unusable"),
        ({"service": "webdav", "endpoint": "http://h", "retries": "x"}, "retries"),
        ({"service": "webdav", "endpoint": "http://h", "timeout": "soon"}, "timeout"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_contacted(options: dict[str, str], said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        named(**options)
    assert "hunter2" not in str(caught.value)


def test_what_opendal_refuses_is_an_error_of_the_settings_in_its_words():
    with (
        closing(named(service="webdav")) as store,
        pytest.raises(ConfigError, match=r"endpoint is empty.*\[stores.X\]"),
    ):
        store.exists()
    with closing(named(service="sftp", endpoint="h")) as store, pytest.raises(ConfigError, match="not registered"):
        store.exists()


def test_a_service_that_cannot_be_listed_is_refused(tmp_path: Path):
    database = f"sqlite://{tmp_path / 'db'}"
    sqlite3.connect(tmp_path / "db").close()
    options = {"connection_string": database, "table": "t", "key_field": "k", "value_field": "v"}
    with closing(named(service="sqlite", **options)) as store, pytest.raises(ConfigError, match="listed"):
        listing(store)


def test_the_settings_need_no_url_where_a_service_is_named(tmp_path: Path):
    (tmp_path / "trueup.toml").write_text('[stores.dav]\nservice = "webdav"\nendpoint = "http://h"\n')
    with closing(open_store(load().store("dav"), {})) as store:
        assert store.url == "webdav://h/"


# ----- WebDAV -----


def test_a_wrong_password_is_denied_and_not_shown(webdav_folder: Bucket):
    with closing(opened(webdav_folder, password="hunter2")) as store:
        for ask in (lambda: store.stat("a"), lambda: store.write("a", [b"x"]), lambda: listing(store)):
            with pytest.raises(AccessDenied, match="password") as caught:
                ask()
            assert "hunter2" not in str(caught.value)


def test_nobody_listens_there():
    endpoint = f"http://127.0.0.1:{free_port()}"
    with closing(named(service="webdav", endpoint=endpoint, root="x", retries="0")) as store:
        for ask in (store.exists, lambda: listing(store), lambda: store.write("a", [b"x"])):
            with pytest.raises(Unreachable):
                ask()


def test_a_missing_root_is_made_with_the_folders_above_it(webdav_folder: Bucket, root: Path):
    with closing(opened(webdav_folder, "/a/b")) as store:
        store.create()
        store.create()
        store.write("c", [b"x"])
    assert (root / "a/b/c").read_bytes() == b"x"


def test_what_a_killed_write_left_is_found_and_removed(store: Store, root: Path):
    (root / "d").mkdir()
    (root / "d/.trueup-run.1").write_bytes(b"half")
    with pytest.raises(StoreError, match="being written by another run"):
        store.write("d/a", [b"x"], temporary="run.1")
    assert (root / "d/.trueup-run.1").read_bytes() == b"half"
    store.discard("d/a", "run.1")
    store.discard("d/a", "run.1")
    assert list((root / "d").iterdir()) == []


def test_a_folder_is_left_when_its_last_file_goes_but_a_file_may_take_its_place(store: Store, root: Path):
    store.write("d/e/a", [b"x"])
    store.delete("d/e/a")
    assert (root / "d/e").is_dir()
    store.write("d", [b"y"])
    assert content(store, "d") == b"y"
    assert [path.name for path in root.iterdir()] == ["d"]


def test_no_folder_goes_with_what_somebody_may_just_have_put_into_it(store: Store, root: Path):
    with pytest.raises(ZeroDivisionError):
        store.write("d/a", broken(b"half"))
    store.write(".trueup/trash/run/a", [b"x"])
    store.delete(".trueup/trash/run/a")
    assert list((root / "d").iterdir()) == list((root / ".trueup/trash/run").iterdir()) == []


def test_no_file_takes_the_place_of_a_folder_that_is_being_filled(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
):
    (root / "d/e").mkdir(parents=True)
    names = _OperatorFiles.names

    def filled_after_the_look(files: _OperatorFiles, folder: str) -> list[Found]:
        found = list(names(files, folder))
        if folder == "d/e":
            (root / "d/e/theirs").write_bytes(b"just put")
        return found

    monkeypatch.setattr(_OperatorFiles, "names", filled_after_the_look)
    with pytest.raises(PreconditionFailed, match="'d' is a folder"):
        store.write("d", [b"y"])
    assert (root / "d/e/theirs").read_bytes() == b"just put"


def test_the_root_of_a_server_is_a_place_too(webdav_server: dict[str, str], webdav_folder: Bucket):
    options = webdav_folder.options | {"root": "/"}
    with closing(named(**options)) as store:
        name = webdav_folder.options["root"].strip("/")
        assert store.exists()
        store.write(f"{name}/a", [b"x"])
        assert f"{name}/a" in names_of(listing(store))
        assert content(store, f"{name}/a") == b"x"


# ----- the whole way -----


def test_a_folder_and_a_server_are_brought_into_agreement(webdav_folder: Bucket, root: Path, tmp_path: Path):
    world = World(tmp_path / "world")
    config = StoreConfig(name="dav", url="", options=webdav_folder.options)
    world.settings = replace(world.settings, stores={"dav": config})
    for number in range(20):
        world.put("left", f"d{number % 3}/{number}", f"number {number}")
    (root / "theirs").write_bytes(b"from the server")

    def run(**options: object):
        return sync(str(world.left), "dav", config=SyncConfig(**options), settings=world.settings)

    assert done(run()) == {"copy_right": 20, "copy_left": 1}
    assert done(run()) == {"unchanged": 21}
    world.put("left", "d0/0", "edited")
    world.remove("left", "d1/1")
    (world.left / "d2/2").rename(world.left / "moved")
    run_of = run(delete=True)
    assert done(run_of) == {"copy_right": 1, "delete_right": 1, "move_right": 1, "unchanged": 18}
    assert (root / "d0/0").read_bytes() == b"edited"
    assert not (root / "d1/1").exists()
    assert undo(run_of.run, settings=world.settings).status == "ok"
    assert (root / "d0/0").read_bytes() == b"number 0"
    assert (root / "d1/1").read_bytes() == b"number 1"
