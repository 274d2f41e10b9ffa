"""fsspec's file systems: FTP against a real server, and what needs none."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.servers import Bucket, kinds
from tests.sync.world import World, done
from trueup.config import StoreConfig, SyncConfig
from trueup.errors import (
    AccessDenied,
    ConfigError,
    Hidden,
    MissingExtra,
    PreconditionFailed,
    StoreError,
    Unreachable,
)
from trueup.stores import open_store
from trueup.stores.base import CHUNK, Entry, Store
from trueup.stores.fsspec_info import found_of, time_ns
from trueup.stores.remote_service import Found
from trueup.stores.remote_tree import rename_over
from trueup.stores.remote_walk import walk
from trueup.sync import sync, undo
from trueup.testing.contract import StoreContract
from trueup.testing.listing import ODD
from trueup.testing.looking import broken, content, listing, names_of, race


def opened(place: Bucket, below: str = "", **options: str) -> Store:
    return open_store(StoreConfig(url=place.url + below, options=place.options | options), {})


class Contract(StoreContract):
    def missing(self) -> Store:
        return self.absent


class TestFtp(Contract):
    @pytest.fixture
    def store(self, ftp_folder: Bucket):
        with closing(opened(ftp_folder)) as store, closing(opened(ftp_folder, "/missing")) as self.absent:
            yield store

    @pytest.mark.parametrize("key", [key for key in ODD if not {"\t", "\x7f"} & set(key)])
    def test_an_odd_name_is_kept_exactly_or_refused(self, store: Store, key: str) -> None:
        # rclone's server shows a control character as a picture of it.
        super().test_an_odd_name_is_kept_exactly_or_refused(store, key)


class TestMemory(Contract):
    @pytest.fixture
    def store(self):
        url = f"fsspec+memory://{kinds.unique_name()}"
        with closing(open_store(url, {})) as store, closing(open_store(f"{url}/missing", {})) as self.absent:
            store.create()
            yield store


class TestLocal(Contract):
    @pytest.fixture
    def store(self, tmp_path: Path):
        url = f"fsspec+local://{tmp_path}"
        with closing(open_store(url, {})) as store, closing(open_store(f"{url}/missing", {})) as self.absent:
            yield store


@pytest.fixture
def store(ftp_folder: Bucket):
    with closing(opened(ftp_folder)) as store:
        yield store


@pytest.fixture
def root(ftp_folder: Bucket, ftp_server: dict[str, str]) -> Path:
    """The served folder as it lies on this machine."""
    return Path(ftp_server["folder"], "data", ftp_folder.url.rpartition("/")[2])


# ----- the address and the options -----


@pytest.mark.parametrize(
    ("url", "options", "canonical"),
    [
        ("fsspec+ftp://me@Host/data", {}, "fsspec+ftp://me@host/data"),
        ("FSSPEC+FTP://me@host:21/data/", {"password": "one"}, "fsspec+ftp://me@host/data"),
        ("fsspec+ftp:///data", {"host": "HOST", "username": "me", "timeout": "5"}, "fsspec+ftp://me@host/data"),
        ("fsspec+ftp://host:2121/a b", {}, "fsspec+ftp://host:2121/a b"),
        ("fsspec+ftp://host/", {}, "fsspec+ftp://host/"),
        ("fsspec+ftp://data/data", {}, "fsspec+ftp://data/data"),
        ("fsspec+memory://a/b/", {}, "fsspec+memory:///a/b"),
        ("fsspec+local:///a/b", {}, "fsspec+local:///a/b"),
    ],
)
def test_two_spellings_are_one_place(url: str, options: dict[str, str], canonical: str):
    with closing(open_store(StoreConfig(url=url, options=options), {})) as store:
        assert store.url == canonical


def test_options_that_may_name_another_place_tell_places_apart_and_are_not_shown():
    urls = set()
    for encoding, secret in (("utf-8", "hunter2"), ("utf-8", "hunter3"), ("latin-1", "hunter2")):
        options = {"encoding": encoding, "password": secret}
        with closing(open_store(StoreConfig(url="fsspec+ftp://me@host/x", options=options), {})) as store:
            urls.add(store.url)
            assert not any(word in f"{store.url}{store!r}" for word in (encoding, secret))
    assert len(urls) == 2


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("fsspec+nothing://host/x", {}, "fsspec knows no 'nothing'"),
        ("fsspec+://host/x", {}, "fsspec knows no ''"),
        ("fsspec+ftp://me:hunter2@host/x", {}, "password in its URL"),
        ("fsspec+ftp://host/a/../b", {}, "cannot be addressed"),
        ("fsspec+ftp://host/a", {"connections": "0"}, "connections"),
        ("fsspec+ftp://host/a", {"retries": "many"}, "retries"),
        ("fsspec+webdav://host/a", {}, "needs another package"),
    ],
)
def test_a_wrong_address_is_said_before_anything_is_contacted(url: str, options: dict[str, str], said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        open_store(StoreConfig(name="drop", url=url, options=options), {})
    assert "hunter2" not in str(caught.value)


def test_an_option_the_file_system_does_not_take_is_an_error_of_the_settings():
    for options in ({}, {"host": "h", "passwort": "hunter2"}):
        with pytest.raises(ConfigError, match=r"\[stores.drop\].*(host|passwort)") as caught:
            open_store(StoreConfig(name="drop", url="fsspec+ftp:///x", options=options), {})
        assert "hunter2" not in str(caught.value)
    config = StoreConfig(name="drop", url="fsspec+github:///x")
    with closing(open_store(config, {})) as store, pytest.raises(ConfigError, match="'org' and 'repo'"):
        store.exists()


def test_words_of_options_become_what_they_look_like_and_passwords_stay_words():
    from trueup.stores.fsspec_place import _value

    texts = {"timeout": "30", "tls": "true", "encoding": "latin-1", "password": "123", "username": "007", "shift": "-1"}
    assert {name: _value(name, text) for name, text in texts.items()} == {
        "timeout": 30,
        "tls": True,
        "encoding": "latin-1",
        "password": "123",
        "username": "007",
        "shift": -1,
    }


def test_without_the_extra_its_name_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtra, match=r"trueup\[fsspec\]"):
        open_store("fsspec+ftp://host/x", {})


# ----- what an info means -----


@pytest.mark.parametrize(
    ("told", "ns"),
    [
        ("20260102030405", 1767323045_000000000),
        ("20260102030405.250", 1767323045_250000000),
        ("2026-01-02T03:04:05Z", 1767323045_000000000),
        ("2026-01-02T04:04:05.5+01:00", 1767323045_500000000),
        ("Fri, 02 Jan 2026 03:04:05 GMT", 1767323045_000000000),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), 1767323045_000006000),
        (datetime(2026, 1, 2, 3, 4, 5), 1767323045_000000000),  # noqa: DTZ001 - as some file systems tell it
        (1767323045, 1767323045_000000000),
        (1767323045.25, 1767323045_250000000),
        (1767323045250, 1767323045_250000000),
        ("Nov 21 17:44", 0),
        ("20269999999999", 0),
        (None, 0),
        (True, 0),
    ],
)
def test_a_time_is_understood_in_each_of_its_forms(told: object, ns: int):
    assert time_ns(told) == ns


@pytest.mark.parametrize(
    ("info", "kind", "fingerprint"),
    [
        ({"type": "file", "size": 1, "ETag": '"abc"', "mtime": 5.0}, "file", "abc"),
        ({"type": "file", "size": 1, "sha": "e1"}, "file", "e1"),
        ({"type": "file", "size": 1, "mtime": 5.0, "ino": 7}, "file", "5000000000:7"),
        ({"type": "file", "size": 1, "modify": "19700101000005"}, "file", "5000000000"),
        ({"type": "file", "size": 1, "created": 5.0}, "file", ""),
        ({"type": "file", "size": None}, "unreadable", ""),
        ({"type": "file", "size": 1, "islink": True}, "link", ""),
        ({"type": "OS.unix=slink:/x", "size": 0}, "link", ""),
        ({"type": "directory", "size": 0}, "folder", ""),
        ({"type": "other", "size": 0}, "special", ""),
    ],
)
def test_the_version_of_a_file_is_what_its_service_tells(info: dict[str, object], kind: str, fingerprint: str):
    found = found_of("a", info, "any")
    assert (found.kind, found.entry.fingerprint) == (kind, fingerprint)


# ----- a folder through fsspec: links, rights, names -----


def test_links_and_closed_folders_hide_what_is_below(tmp_path: Path, unprivileged):
    place = tmp_path / "place"
    (place / "closed").mkdir(parents=True)
    (place / "closed/a").write_bytes(b"x")
    (place / "plain").write_bytes(b"x")
    (tmp_path / "outside").mkdir()
    (place / "folder").symlink_to(tmp_path / "outside")
    (place / "file").symlink_to(place / "plain")
    (place / "closed").chmod(0)
    with closing(open_store(f"fsspec+local://{place}", {})) as store:
        with unprivileged(place):
            found = [(entry.key, entry.fault) for entry in listing(store)]
        assert found == [("closed", "unreadable"), ("file", "link"), ("folder", "link"), ("plain", "")]
        for key in ("file", "folder/x"):
            with pytest.raises(Hidden):
                store.stat(key)
            with pytest.raises(PreconditionFailed):
                store.write(key, [b"ours"])
    (place / "closed").chmod(0o700)


def test_a_name_that_looks_like_a_pattern_is_only_itself(tmp_path: Path):
    with closing(open_store(f"fsspec+memory://{kinds.unique_name()}", {})) as store:
        store.create()
        for key in ("a*", "ab", "[ab]", "a?"):
            store.write(key, [key.encode()])
        store.move("a*", "moved")
        store.delete("a?")
        store.copy("[ab]", "copied")
        assert names_of(listing(store)) == ["[ab]", "ab", "copied", "moved"]
        assert [content(store, key) for key in ("moved", "copied", "ab")] == [b"a*", b"[ab]", b"ab"]


# ----- FTP -----


def test_a_wrong_password_is_denied_and_not_shown(ftp_folder: Bucket):
    with closing(opened(ftp_folder, password="hunter2")) as store:
        for ask in (lambda: store.stat("a"), lambda: store.write("a", [b"x"]), lambda: listing(store)):
            with pytest.raises(AccessDenied, match="does not let this user in") as caught:
                ask()
            assert "hunter2" not in str(caught.value)


def test_nobody_listens_there():
    config = StoreConfig(url=f"fsspec+ftp://127.0.0.1:{kinds.free_port()}/x", options={"retries": "0"})
    with closing(open_store(config, {})) as store:
        for ask in (store.exists, lambda: listing(store), lambda: store.write("a", [b"x"])):
            with pytest.raises(Unreachable):
                ask()


def test_a_missing_root_is_made_with_the_folders_above_it(ftp_folder: Bucket, root: Path):
    with closing(opened(ftp_folder, "/a/b")) as store:
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
    assert listing(store) == []
    store.discard("d/a", "run.1")
    store.discard("d/a", "run.1")
    assert list(root.iterdir()) == []


def test_a_failed_write_leaves_no_temporary_name_and_no_folder(store: Store, root: Path):
    for again in range(5):  # a server that is still at it makes what was just removed
        with pytest.raises(ZeroDivisionError):
            store.write(f"d{again}/e/a", broken(bytes(3 * CHUNK)))
        assert list(root.rglob("*")) == []


def test_a_replacement_of_one_size_within_a_second_is_dated_later(store: Store, root: Path):
    for data in (b"one", b"two", b"six"):
        written = store.write("a", [data])
        assert written.fingerprint == store.stat("a").fingerprint
    assert (root / "a").read_bytes() == b"six"
    assert [path.name for path in root.iterdir()] == ["a"]


@pytest.mark.parametrize("fails", [False, True])
def test_where_a_server_renames_over_nothing_the_old_file_steps_aside_and_comes_back(tmp_path: Path, fails: bool):
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")

    def rename(source: str, target: str) -> None:
        if (tmp_path / target).exists() or (fails and source == "new"):
            raise FileExistsError
        (tmp_path / source).rename(tmp_path / target)

    with pytest.raises(FileExistsError) if fails else nullcontext():
        rename_over(rename, lambda name: (tmp_path / name).unlink(), "new", "old")
    assert (tmp_path / "old").read_bytes() == (b"old" if fails else b"new")
    assert len(list(tmp_path.iterdir())) == (2 if fails else 1)


def test_a_large_file_is_read_from_anywhere_and_left_anywhere(store: Store):
    data = os.urandom(6 * CHUNK + 11)
    store.write("a", [data])
    assert content(store, "a", offset=2 * CHUNK + 1, length=2 * CHUNK) == data[2 * CHUNK + 1 : 4 * CHUNK + 1]
    for _ in range(3):
        with store.read("a") as body:
            next(body)
    assert content(store, "a") == data


def test_a_file_that_changes_under_a_long_read_never_ends_well(store: Store, root: Path):
    store.write("a", [bytes(CHUNK)] * 12)
    with pytest.raises(StoreError), store.read("a") as body:  # noqa: PT012 - the server may be the first to say so
        next(body)
        (root / "a").write_bytes(bytes(3 * CHUNK))
        list(body)


def test_a_folder_of_many_names_and_a_deep_tree_are_listed_in_order(store: Store, root: Path):
    names = {f"f{number:04}" for number in range(2000)} | {f"d{number}/e/f/g{number}" for number in range(50)}
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    found = names_of(listing(store))
    assert found == sorted(names)
    assert names_of(listing(store, "f0400")) == [name for name in found if name >= "f0400"]


def test_a_lost_connection_is_made_again(store: Store):
    store.write("a", [b"x"])
    planned = store.stat("a")
    for _ in range(2):
        for pool in (store._service._readers, store._service._workers):
            for there in pool._idle:
                there._fs.ftp.sock.shutdown(socket.SHUT_RDWR)
        assert content(store, "a", expect=planned) == b"x"
        assert names_of(listing(store)) == ["a"]
        store.write("b", [b"y"])
        store.delete("b")


def test_the_clock_of_the_server_is_measured(store: Store, root: Path):
    assert abs(store.clock_ahead_ns()) < 5_000_000_000
    assert list(root.iterdir()) == []


def test_more_threads_than_connections_copy_without_waiting_for_each_other(ftp_folder: Bucket):
    with closing(opened(ftp_folder, connections="1")) as store:
        data = bytes(2 * CHUNK)
        store.write("a", [data])
        race(lambda number: store.copy("a", f"b{number}"))
        assert [entry.size for entry in listing(store)] == [len(data)] * 9


# ----- the whole way -----


@pytest.fixture
def world(tmp_path: Path, ftp_folder: Bucket) -> World:
    """A folder on the left; the server is the store `drop`."""
    world = World(tmp_path / "world")
    config = StoreConfig(name="drop", url=ftp_folder.url, options=ftp_folder.options)
    world.settings = replace(world.settings, stores={"drop": config})
    return world


def test_a_folder_and_a_server_are_brought_into_agreement(root: Path, world: World):
    for number in range(20):
        world.put("left", f"d{number % 3}/{number}", f"number {number}")
    (root / "theirs").write_bytes(b"from the server")
    os.utime(root / "theirs", (1_500_000_000, 1_500_000_000))

    def run(**options: object):
        return sync(str(world.left), "drop", config=SyncConfig(**options), settings=world.settings)

    assert done(run()) == {"copy_right": 20, "copy_left": 1}
    assert done(run()) == {"unchanged": 21}
    world.put("left", "d0/0", "edited")
    world.remove("left", "d1/1")
    (world.left / "d2/2").rename(world.left / "moved")
    run_of = run(delete=True)
    assert done(run_of) == {"copy_right": 1, "delete_right": 1, "move_right": 1, "unchanged": 18}
    assert (root / "d0/0").read_bytes() == b"edited"
    assert not (root / "d1/1").exists()
    assert (root / "moved").read_bytes() == b"number 2"
    assert undo(run_of.run, settings=world.settings).status == "ok"
    assert (root / "d0/0").read_bytes() == b"number 0"
    assert (root / "d1/1").read_bytes() == b"number 1"


def test_an_edit_that_keeps_size_and_second_is_seen_by_the_next_run(root: Path, world: World):
    world.put("left", "a", "one")
    assert done(sync(str(world.left), "drop", settings=world.settings)) == {"copy_right": 1}
    before = (root / "a").stat().st_mtime
    (root / "a").write_bytes(b"two")
    os.utime(root / "a", (before, before))
    assert done(sync(str(world.left), "drop", settings=world.settings)) == {"copy_left": 1}
    assert (world.left / "a").read_bytes() == b"two"


# ----- links that no server shows as links -----


class Loop:
    """A server that shows links as what they lead to: each folder holds a file and the way back to the first."""

    url = "ftp://loop"

    def exists(self) -> bool:
        return True

    def listed(self) -> None:
        return None

    def unaddressable(self, key: str) -> str | None:
        return None

    def folder(self, key: str) -> list[Found]:
        below = f"{key}/" if key else ""
        number = "1" if key.endswith("up") or not key else f"n{len(key)}"
        ways = [Found("folder", Entry(f"{below}d", fingerprint=f"n{len(below) + 1}"))] if number == "1" else []
        ways += [Found("folder", Entry(f"{below}up", fingerprint="1"))] if number != "1" else []
        return [Found("file", Entry(f"{below}a", 1)), *ways]


def test_a_link_that_leads_back_ends_where_the_server_tells_numbers():
    found = list(walk(Loop(), "", 2))
    assert found[-1].key.count("/") < 5
    assert [entry.fault for entry in found if entry.fault] == ["link"]
