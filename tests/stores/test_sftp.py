"""SFTP against two real servers: rclone's, which has little, and one with all that OpenSSH's has."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from tests.servers import Bucket, kinds
from tests.servers.relay import Relay
from tests.sync.world import World, done
from trueup.config import StoreConfig
from trueup.errors import (
    AccessDenied,
    ConfigError,
    Hidden,
    Interrupted,
    NotFound,
    PreconditionFailed,
    StoreError,
    Unreachable,
)
from trueup.stores import open_store
from trueup.stores.base import CHUNK, Store
from trueup.stores.stopping import heeding
from trueup.sync import sync, undo
from trueup.sync.outputs import Outputs
from trueup.testing.contract import StoreContract
from trueup.testing.looking import content, listing, names_of


def opened(place: Bucket, below: str = "", **options: str) -> Store:
    return open_store(StoreConfig(url=place.url + below, options=place.options | options), {})


class Sftp(StoreContract):
    @pytest.fixture
    def store(self, place: Bucket):
        with closing(opened(place)) as store, closing(opened(place, "/missing")) as self.absent:
            yield store

    def missing(self) -> Store:
        return self.absent


class TestRclone(Sftp):
    refused: ClassVar[frozenset[str]] = frozenset({"a\tb", "a\nb", "a\x7fb"})
    """It would list pictures of the control characters."""

    @pytest.fixture
    def place(self, rclone_folder: Bucket) -> Bucket:
        return rclone_folder


class TestFullServer(Sftp):
    @pytest.fixture
    def place(self, sftp_folder: Bucket) -> Bucket:
        return sftp_folder


@pytest.fixture
def root(sftp_folder: Bucket, sftp_server: dict[str, str]) -> Path:
    """The served folder as it lies on this machine."""
    return Path(sftp_server["folder"], "data", sftp_folder.url.rpartition("/")[2])


@pytest.fixture
def store(sftp_folder: Bucket):
    with closing(opened(sftp_folder)) as store:
        yield store


# ----- the address -----


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("sftp://me@Host/data", "sftp://me@host/data"),
        ("sftp://me@host:22/data/", "sftp://me@host/data"),
        ("SFTP://me@host:2222/a b/c#d", "sftp://me@host:2222/a b/c#d"),
        ("sftp://me@[::1]:2222/", "sftp://me@[::1]:2222/"),
    ],
)
def test_two_spellings_are_one_place(url: str, canonical: str):
    with closing(open_store(url, {})) as store:
        assert store.url == canonical


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("sftp://host", {}, "no SFTP address"),
        ("sftp://me:secret@host/x", {}, "password in its URL"),
        ("sftp://host/a/../b", {}, "cannot be addressed"),
        ("sftp://host:70000/a", {}, "port"),
        ("sftp://host/a", {"passwort": "x"}, "'passwort' is unknown"),
        ("sftp://host/a", {"connections": "0"}, "connections"),
        ("sftp://host/a", {"timeout": "soon"}, "timeout"),
        ("sftp://host/a", {"key_file": "/no/such/key"}, "key_file"),
    ],
)
def test_a_wrong_address_is_said_before_anything_is_contacted(url: str, options: dict[str, str], said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        open_store(StoreConfig(name="drop", url=url, options=options), {})
    assert "secret" not in str(caught.value)


# ----- getting in -----


def test_a_key_opens_the_door(sftp_folder: Bucket, sftp_server: dict[str, str]):
    options = {"known_hosts": sftp_server["known_hosts"], "key_file": f"{sftp_server['folder']}/user_key"}
    with closing(open_store(StoreConfig(url=sftp_folder.url, options=options), {})) as store:
        store.write("a", [b"x"])
    locked = options | {"key_file": f"{sftp_server['folder']}/locked_key"}
    with closing(
        open_store(StoreConfig(url=sftp_folder.url, options=locked | {"passphrase": "opens it"}), {})
    ) as store:
        assert content(store, "a") == b"x"
    with (
        closing(
            open_store(StoreConfig(url=sftp_folder.url, options=locked | {"passphrase": "wrong one"}), {})
        ) as store,
        pytest.raises(AccessDenied, match="key_file and passphrase") as caught,
    ):
        store.stat("a")
    assert "wrong one" not in str(caught.value)


def test_a_wrong_password_is_denied_and_not_shown(sftp_folder: Bucket):
    with closing(opened(sftp_folder, password="hunter2")) as store, pytest.raises(AccessDenied) as caught:
        store.stat("a")
    assert "hunter2" not in str(caught.value)
    assert "password" in caught.value.cure


@pytest.mark.parametrize("known", ["nobody", "another"])
def test_an_unknown_or_changed_host_key_is_refused(sftp_folder: Bucket, tmp_path: Path, known: str, sftp_server):
    import asyncssh

    hosts = tmp_path / "hosts"
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    hosts.write_text("" if known == "nobody" else f"[127.0.0.1]:{sftp_server['port']} {other}")
    with closing(opened(sftp_folder, known_hosts=str(hosts))) as store:
        for ask in (lambda: store.stat("a"), lambda: store.write("a", [b"x"]), lambda: listing(store)):
            with pytest.raises(AccessDenied, match="host key") as caught:
                ask()
            assert "ssh-keyscan" in caught.value.cure


def test_the_users_own_known_hosts_count(sftp_folder: Bucket, sftp_server: dict[str, str], hermetic: Path):
    options = {name: value for name, value in sftp_folder.options.items() if name != "known_hosts"}
    for known in (False, True):
        if known:
            (hermetic / ".ssh").mkdir()
            (hermetic / ".ssh/known_hosts").write_text(Path(sftp_server["known_hosts"]).read_text())
        with closing(open_store(StoreConfig(url=sftp_folder.url, options=options), {})) as store:
            if known:
                assert store.exists()
            else:
                with pytest.raises(AccessDenied, match="host key"):
                    store.exists()


def test_nobody_listens_there():
    url = f"sftp://t@127.0.0.1:{kinds.free_port()}/x"
    with closing(open_store(StoreConfig(url=url, options={"retries": "0"}), {})) as store:
        with pytest.raises(Unreachable, match="cannot be reached"):
            store.exists()
        with pytest.raises(Unreachable):
            listing(store)


# ----- what lies there -----


def test_links_and_devices_are_listed_as_faults_and_never_passed(store: Store, root: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"not ours")
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    os.mkfifo(root / "pipe")
    (root / "plain").write_bytes(b"x")
    assert [(entry.key, entry.fault) for entry in listing(store)] == [
        ("file", "link"),
        ("folder", "link"),
        ("pipe", "special"),
        ("plain", ""),
    ]
    for key in ("file", "folder/secret", "pipe"):
        with pytest.raises(Hidden):
            store.stat(key)
        with pytest.raises(Hidden):
            content(store, key)
        with pytest.raises(PreconditionFailed) if key != "pipe" else nullcontext():
            store.delete(key)
        with pytest.raises(PreconditionFailed):
            store.write(key, [b"ours"])
    assert (outside / "secret").read_bytes() == b"not ours"
    assert (root / "pipe").is_fifo()


def test_names_that_are_no_text_and_folders_that_are_closed_hide_what_is_below(store: Store, root: Path):
    (root / "a").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(root) + b"/b\xff")).write_bytes(b"x")
    assert [(entry.key, entry.fault) for entry in listing(store)] == [("a", ""), ("b\udcff", "unaddressable")]


def test_a_folder_of_thousands_and_a_deep_tree_are_listed_in_order(store: Store, root: Path):
    names = {f"f{number:05}" for number in range(5000)} | {f"d{number}/e/f/g{number}" for number in range(200)}
    names |= {"a-b", "a/x", "a.b", "ä", "z\n", " x "}
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    found = names_of(listing(store))
    assert found == sorted(names, key=str.encode)
    assert names_of(listing(store, "f04000")) == [name for name in found if name >= "f04000"]


def test_a_listing_may_be_left_early(store: Store, root: Path):
    for number in range(300):
        (root / f"d{number}").mkdir()
        (root / f"d{number}" / "x").write_bytes(b"1")
    entries = store.list()
    assert next(entries).key == "d0/x"
    entries.close()
    assert len(listing(store)) == 300


def test_what_a_file_replaces_leaves_its_permissions(store: Store, root: Path):
    store.write("a", [b"old"])
    (root / "a").chmod(0o640)
    store.write("a", [b"newer"])
    assert (root / "a").stat().st_mode & 0o777 == 0o640


def test_kept_versions_are_hard_links_where_the_server_makes_them(store: Store, root: Path):
    store.write("a", [b"old"])
    store.preserve("a", ".trueup/trash/run/a")
    assert (root / "a").stat().st_ino == (root / ".trueup/trash/run/a").stat().st_ino


def test_what_a_killed_write_left_is_found_and_removed(store: Store, root: Path):
    (root / "d").mkdir()
    (root / "d/.trueup-run.1").write_bytes(b"half")
    with pytest.raises(StoreError, match="being written by another run"):
        store.write("d/a", [b"x"], temporary="run.1")
    assert listing(store) == []
    store.discard("d/a", "run.1")
    store.discard("d/a", "run.1")
    assert list(root.iterdir()) == []


def test_a_file_that_changes_under_a_long_read_never_ends_well(store: Store, root: Path):
    store.write("a", [bytes(CHUNK)] * 12, mtime_ns=1_500_000_000_000_000_000)
    with pytest.raises(PreconditionFailed, match="changed"), store.read("a") as body:  # noqa: PT012
        next(body)
        os.truncate(root / "a", 3 * CHUNK)
        list(body)


def test_a_small_file_takes_five_requests_and_its_folder_none(store: Store, root: Path, sftp_server: dict[str, str]):
    name = root.name  # nobody else's
    (root / "d").mkdir()
    for number in range(2):
        (root / f"d/{name}-{number}").write_bytes(b"x" * 7000)
    for entry in listing(store):
        assert content(store, entry.key, expect=entry) == b"x" * 7000
    asked = (Path(sftp_server["folder"]) / "data.asked").read_text().splitlines()
    for number in range(2):
        about = [line.split()[0] for line in asked if line.endswith(f" {name}-{number}")]
        assert about == ["lstat", "open", "read", "fstat", "close"]


def test_a_small_file_that_is_no_more_as_planned_is_not_read(store: Store, root: Path, tmp_path: Path):
    (tmp_path / "outside").write_bytes(b"x")
    for name in ("changed", "linked", "gone", "empty"):
        (root / name).write_bytes(b"" if name == "empty" else b"x")
    planned = {entry.key: entry for entry in listing(store)}
    (root / "changed").write_bytes(b"other")
    (root / "linked").unlink()
    (root / "linked").symlink_to(tmp_path / "outside")
    (root / "gone").unlink()
    for name, error in {"changed": PreconditionFailed, "linked": Hidden, "gone": NotFound}.items():
        with pytest.raises(error):
            content(store, name, expect=planned[name])
    assert content(store, "empty", expect=planned["empty"]) == b""


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(monkeypatch: pytest.MonkeyPatch):
    from tests.servers.shared import shared

    monkeypatch.setattr("trueup.stores.sftp_quick._PATIENCE", 0.2)
    facts = shared("sftp-stuck", kinds.full_sftp)  # its own: it stands still until somebody writes into the pipe
    place = kinds.make_sftp_folder(facts)
    root = Path(facts["folder"], "data", place.url.rpartition("/")[2])
    with closing(opened(place, connections="1")) as store:
        (root / "a").write_bytes(b"a")
        (root / "b").write_bytes(b"b")
        planned = {entry.key: entry for entry in listing(store)}
        (root / "a").unlink()
        os.mkfifo(root / "a")
        with pytest.raises(Hidden, match="pipe"):
            content(store, "a", expect=planned["a"])
        os.close(os.open(root / "a", os.O_WRONLY | os.O_NONBLOCK))
        assert content(store, "b", expect=planned["b"]) == b"b"


def test_the_clock_of_the_server_is_measured(store: Store, root: Path):
    assert abs(store.clock_ahead_ns()) < 5_000_000_000
    assert list(root.iterdir()) == []


# ----- trouble on the way -----


@pytest.fixture
def cut(sftp_folder: Bucket, sftp_server: dict[str, str]):
    """The same folder behind a relay that can be cut, and the function that cuts it."""
    with Relay(int(sftp_server["port"])) as relay:
        hosts = Path(sftp_server["folder"]) / f"hosts-{relay.port}"
        hosts.write_text(Path(sftp_server["known_hosts"]).read_text().replace(sftp_server["port"], str(relay.port)))
        url = sftp_folder.url.replace(sftp_server["port"], str(relay.port))
        options = sftp_folder.options | {"known_hosts": str(hosts), "timeout": "5"}
        with closing(open_store(StoreConfig(url=url, options=options), {})) as store:
            yield store, relay.cut


def test_a_lost_connection_is_made_again(cut):
    store, cut_it = cut
    store.write("a", [b"x"])
    planned = store.stat("a")
    for _ in range(3):
        cut_it()
        assert content(store, "a", expect=planned) == b"x"
        assert names_of(listing(store)) == ["a"]


def test_a_connection_lost_amid_a_write_publishes_nothing(cut, root: Path):
    store, cut_it = cut

    def body():
        yield bytes(CHUNK)
        cut_it()
        yield bytes(CHUNK)

    with pytest.raises(Unreachable):
        store.write("big", body(), size=2 * CHUNK, temporary="run.1")
    assert listing(store) == []
    store.discard("big", "run.1")
    assert list(root.iterdir()) == []
    with pytest.raises(NotFound):
        store.stat("big")


# ----- a stop -----


@pytest.fixture
def world(tmp_path: Path, sftp_folder: Bucket) -> World:
    """A folder on the left; the server is the store `drop`."""
    world = World(tmp_path / "world")
    world.settings = replace(world.settings, stores={"drop": drop(sftp_folder)})
    return world


def drop(place: Bucket, below: str = "") -> StoreConfig:
    return StoreConfig(name="drop", url=place.url + below, options=place.options)


@pytest.mark.parametrize("folder", ["slow", "endless-2"])
def test_a_stop_ends_a_listing_that_has_no_end(world: World, sftp_folder: Bucket, root: Path, folder: str):
    (root / "data" / folder).mkdir(parents=True)
    (root / "data/a").write_bytes(b"x")
    world.settings = replace(world.settings, stores={"drop": drop(sftp_folder, "/data")})
    before = set(threading.enumerate())
    began = time.monotonic()
    with pytest.raises(Interrupted, match="nothing was done"):
        sync(
            str(world.left),
            "drop",
            settings=world.settings,
            outputs=Outputs(stopped=lambda: time.monotonic() > began + 1),
        )
    assert time.monotonic() - began < 3
    while set(threading.enumerate()) - before:  # those of a closed loop end by themselves
        assert time.monotonic() - began < 20
        time.sleep(0.01)
    assert world.tree("left") == {}


def test_a_stop_does_not_wait_for_a_server_that_hangs(world: World):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        config = StoreConfig(name="drop", url=f"sftp://t@127.0.0.1:{mute.getsockname()[1]}/x")
        world.settings = replace(world.settings, stores={"drop": config})
        began = time.monotonic()
        with pytest.raises(Interrupted):
            sync(
                str(world.left),
                "drop",
                settings=world.settings,
                outputs=Outputs(stopped=lambda: time.monotonic() > began + 0.5),
            )
        assert time.monotonic() - began < 2.5


def test_a_listing_left_early_does_not_wait_for_a_slow_server(store: Store, root: Path):
    (root / "slow").mkdir()
    began = time.monotonic()
    with heeding(lambda: time.monotonic() > began + 0.5), pytest.raises(Interrupted), closing(store.list()) as entries:
        next(entries)
    (root / "slow").rmdir()
    assert listing(store) == []
    assert time.monotonic() - began < 3


def test_a_folder_inside_itself_is_listed_to_where_no_path_leads(store: Store, root: Path):
    (root / "endless-1").mkdir()
    (entry,) = listing(store)
    assert entry.fault == "unaddressable"
    assert "longer than the 4095 bytes" in entry.detail
    assert entry.key.startswith("endless-1/0xx")


# ----- the whole way -----


def test_a_folder_and_a_server_are_brought_into_agreement(root: Path, world: World):
    for number in range(30):
        world.put("left", f"d{number % 3}/{number}", f"number {number}")
    (root / "theirs").write_bytes(b"from the server")
    os.utime(root / "theirs", (1_500_000_000, 1_500_000_000))

    def run(**options: object):
        from trueup.config import SyncConfig

        return sync(str(world.left), "drop", config=SyncConfig(**options), settings=world.settings)

    assert done(run()) == {"copy_right": 30, "copy_left": 1}
    assert done(run()) == {"unchanged": 31}
    world.put("left", "d0/0", "edited")
    world.remove("left", "d1/1")
    (world.left / "d2/2").rename(world.left / "moved")
    run_of = run(delete=True)
    assert done(run_of) == {"copy_right": 1, "delete_right": 1, "move_right": 1, "unchanged": 28}
    assert (root / "d0/0").read_bytes() == b"edited"
    assert not (root / "d1/1").exists()
    assert (root / "moved").read_bytes() == b"number 2"
    assert undo(run_of.run, settings=world.settings).status == "ok"
    assert (root / "d0/0").read_bytes() == b"number 0"
    assert (root / "d1/1").read_bytes() == b"number 1"
    (root / "d0/3").write_bytes(b"a later edit")
    time.sleep(0.01)
    assert done(run()).get("copy_left") == 1
    assert (world.left / "d0/3").read_bytes() == b"a later edit"
