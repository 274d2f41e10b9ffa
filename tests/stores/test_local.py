from __future__ import annotations

import errno
import hashlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from trueup.errors import AccessDenied, NoSpace, NotFound, PreconditionFailed, StoreError, Unaddressable, Unreachable
from trueup.stores import files, open_store
from trueup.stores.base import CHUNK, Entry, Store
from trueup.stores.local import LocalStore, is_racy
from trueup.stores.oserror import translated
from trueup.testing.contract import StoreContract
from trueup.testing.looking import content, listing

OLD = 1_500_000_000_123_456_789


class TestLocalStore(StoreContract):
    def missing(self) -> Store:
        return LocalStore("missing")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return LocalStore(tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    made = tmp_path / "outside"
    made.mkdir()
    (made / "secret").write_bytes(b"not ours")
    return made


def tree(root: Path) -> set[str]:
    """Everything below the root, folders and our own names included."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    """Let one system call fail with this error, as a disk would."""

    def failing(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, failing)


# ----- the root -----


def test_two_spellings_of_one_folder_are_one_place(root: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(root)
    spellings = [root, f"{root}/", root / ".." / "root", tmp_path / "link", "root"]
    assert {LocalStore(spelling).url for spelling in spellings} == {f"file://{root}"}
    assert open_store(f"file://{root}", {}).url == open_store(str(root), {}).url


def test_a_root_that_is_a_file_is_said_so(root: Path):
    (root / "a").write_bytes(b"x")
    with pytest.raises(StoreError, match="not a folder"):
        listing(LocalStore(root / "a"))
    with pytest.raises(StoreError):
        LocalStore(root / "a").create()


def test_a_missing_root_is_made_on_demand_only(tmp_path: Path):
    store = LocalStore(tmp_path / "x" / "y")
    with pytest.raises(NotFound, match="x/y"):
        store.write("d/a", [b"x"])
    assert not (tmp_path / "x").exists()
    store.create()
    store.write("d/a", [b"x"])
    assert content(store, "d/a") == b"x"


def test_case_is_probed_without_writing(root: Path, store: LocalStore):
    before = root.stat().st_mtime_ns
    assert store.features.folds_case is False
    assert root.stat().st_mtime_ns == before
    (root / "abc").write_bytes(b"x")
    os.link(root / "abc", root / "ABC")  # one file under both names, and still two names
    assert LocalStore(root).features.folds_case is False


# ----- links and what is no file -----


@pytest.fixture
def linked(root: Path, outside: Path) -> Path:
    (root / "file").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    (root / "dangling").symlink_to(outside / "nothing")
    return root


def test_links_are_listed_as_faults_and_not_followed(linked: Path, store: LocalStore):
    (linked / "plain").write_bytes(b"x")
    assert [(entry.key, entry.fault) for entry in store.list()] == [
        ("dangling", "link"),
        ("file", "link"),
        ("folder", "link"),
        ("plain", ""),
    ]


@pytest.mark.parametrize("key", ["file", "dangling", "folder", "folder/secret", "folder/deep/er"])
def test_nothing_is_read_through_a_link(linked: Path, store: LocalStore, key: str):
    with pytest.raises(NotFound, match="link"):
        store.stat(key)
    with pytest.raises(NotFound, match="link"):
        content(store, key)
    with pytest.raises(NotFound, match="link"):
        store.copy(key, "target")
    assert tree(linked) == {"file", "folder", "dangling"}


@pytest.mark.parametrize("key", ["file", "dangling", "folder", "folder/secret", "folder/deep/er"])
@pytest.mark.parametrize("size", [None, 1])
def test_nothing_is_written_or_removed_through_a_link(
    linked: Path, outside: Path, store: LocalStore, key: str, size: int | None
):
    store.write("plain", [b"x"])
    for act in (
        lambda: store.write(key, [b"y"]),
        lambda: store.write(key, [b"y"], size=size, if_absent=True),
        lambda: store.move("plain", key),
        lambda: store.preserve("plain", key),
        lambda: store.copy("plain", key),
        lambda: store.delete(key),
    ):
        with pytest.raises(PreconditionFailed, match="link"):
            act()
    store.discard(key, "temporary")
    assert tree(linked) == {"file", "folder", "dangling", "plain"}
    assert tree(outside) == {"secret"}
    assert (outside / "secret").read_bytes() == b"not ours"


def test_a_folder_that_becomes_a_link_under_the_walk_is_not_entered(root: Path, outside: Path, store: LocalStore):
    for name in ("a/x", "b/y"):
        store.write(name, [b"x"])
    entries = store.list()
    assert next(entries).key == "a/x"
    (root / "b" / "y").unlink()
    (root / "b").rmdir()
    (root / "b").symlink_to(outside)
    assert [(entry.key, entry.fault) for entry in entries] == [("b", "link")]


def test_pipes_and_sockets_are_special_and_never_opened(root: Path, store: LocalStore):
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(root / "socket"))
        assert [(entry.key, entry.fault) for entry in store.list()] == [("pipe", "special"), ("socket", "special")]
        for key in ("pipe", "socket"):
            with pytest.raises(NotFound, match="not a file"):
                content(store, key)
            with pytest.raises(PreconditionFailed, match=key):
                store.write(key, [b"x"])


def test_a_file_in_the_place_of_a_folder_is_named(store: LocalStore):
    store.write("d/x", [b"file"])
    with pytest.raises(PreconditionFailed, match="'d/x' is a file"):
        store.write("d/x/y", [b"no"])
    with pytest.raises(NotFound):
        store.stat("d/x/y")


# ----- writing -----


def test_a_write_keeps_time_and_permissions(root: Path, store: LocalStore):
    (root / "a").write_bytes(b"old")
    (root / "a").chmod(0o640)
    entry = store.write("a", [b"new"], mtime_ns=OLD)
    assert entry.mtime_ns == (root / "a").stat().st_mtime_ns == OLD
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o640
    umask = os.umask(0o027)
    try:
        store.write("b", [b"new"])
    finally:
        os.umask(umask)
    assert stat.S_IMODE((root / "b").stat().st_mode) == 0o640


def test_a_write_goes_to_its_temporary_name_beside_the_target(root: Path, store: LocalStore):
    def body():
        yield b"x"
        assert tree(root) == {"d", "d/.trueup-run-7"}
        assert listing(store) == []

    store.write("d/a", body(), temporary="run-7")
    assert tree(root) == {"d", "d/a"}


def test_a_failed_write_leaves_neither_temporary_nor_new_folders(root: Path, store: LocalStore):
    (root / "empty").mkdir()
    for key in ("d/e/a", "empty/a"):
        with pytest.raises(StoreError):
            store.write(key, [b"x"], size=5)
    with pytest.raises(PreconditionFailed):
        store.write("d/e/a", [b"x"], if_match=Entry("d/e/a", 1))
    assert tree(root) == {"empty"}


def test_a_killed_write_shows_the_old_file_and_can_be_discarded(root: Path, store: LocalStore):
    store.write("d/a", [b"old"])
    script = f"""
import os, signal
from trueup.stores.local import LocalStore
def body():
    yield b"half"
    os.kill(os.getpid(), signal.SIGKILL)
LocalStore({str(root)!r}).write("d/a", body(), temporary="killed")
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], check=False, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}
    )
    assert ended.returncode == -signal.SIGKILL
    assert content(store, "d/a") == b"old"
    assert tree(root) == {"d", "d/a", "d/.trueup-killed"}
    assert [entry.key for entry in store.list()] == ["d/a"]
    with pytest.raises(StoreError, match="left by one"):
        store.write("d/a", [b"new"], temporary="killed")
    assert (root / "d" / ".trueup-killed").exists()
    store.discard("d/a", "killed")
    assert tree(root) == {"d", "d/a"}


def test_discarding_removes_a_folder_that_was_made_only_for_the_write(root: Path, store: LocalStore):
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "e" / ".trueup-t").write_bytes(b"half")
    store.discard("d/e/a", "t")
    assert tree(root) == set()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EIO, StoreError),
        (errno.EACCES, AccessDenied),
        (errno.EROFS, AccessDenied),
    ],
)
def test_a_disk_that_refuses_is_reported_with_the_name_and_nothing_is_left(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, code: int, error: type[StoreError]
):
    refuse(monkeypatch, "write", code)
    with pytest.raises(error, match="d/a") as raised:
        store.write("d/a", [b"x"])
    monkeypatch.undo()
    assert raised.value.message
    assert tree(root) == set()


def test_system_errors_become_the_errors_of_the_tree():
    def kind(code: int) -> type[StoreError]:
        return type(translated(OSError(code, os.strerror(code)), "k", "written"))

    assert kind(errno.ENOENT) is NotFound
    assert kind(errno.ENAMETOOLONG) is kind(errno.EILSEQ) is Unaddressable
    assert kind(errno.ELOOP) is kind(errno.ENOTDIR) is PreconditionFailed
    assert translated(OSError(errno.ESTALE, "stale"), "k", "read").retryable
    assert "\x1b" not in str(translated(OSError(errno.EIO, "bad"), "a\x1b[31m", "read"))


def test_without_permission_the_cure_says_where_to_look(root: Path, store: LocalStore, unprivileged):
    (root / "a").write_bytes(b"x")
    (root / "a").chmod(0)
    (root / "d").mkdir(mode=0o555)
    with unprivileged(root):
        with pytest.raises(AccessDenied, match="Check the owner"):
            content(store, "a")
        with pytest.raises(AccessDenied, match="d/b"):
            store.write("d/b", [b"x"])
        with pytest.raises(AccessDenied, match="d/e/b"):
            store.write("d/e/b", [b"x"])


def test_another_writer_between_empties_the_fingerprint(root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    publish = files.publish

    def overtaken(*args, **kwargs):
        publish(*args, **kwargs)
        (root / "a").write_bytes(b"somebody else's")

    monkeypatch.setattr(files, "publish", overtaken)
    entry = store.write("a", [b"ours"])
    assert (entry.fingerprint, entry.size) == ("", 4)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV])
def test_a_disk_without_hard_links_works_the_same(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, code: int
):
    refuse(monkeypatch, "link", code)
    first = store.write("d/a", [b"one"], if_absent=True)
    with pytest.raises(PreconditionFailed):
        store.write("d/a", [b"two"], if_absent=True)
    store.preserve("d/a", ".trueup/trash/r/d/a", if_match=first)
    second = store.write("d/a", [b"two!"], if_match=first)
    store.write("taken", [b"x"])
    with pytest.raises(PreconditionFailed):
        store.move("d/a", "taken")
    moved = store.move("d/a", "e/b", if_match=second)
    assert moved.fingerprint == store.stat("e/b").fingerprint
    assert content(store, ".trueup/trash/r/d/a") == b"one"
    assert [entry.key for entry in store.list()] == ["e/b", "taken"]
    assert not (root / "d").exists()


def test_a_move_to_another_disk_below_the_root_copies(root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    rename = os.rename
    refuse(monkeypatch, "link", errno.EXDEV)

    def across(source: str, target: str):
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "another disk")
        rename(source, target)

    monkeypatch.setattr(os, "rename", across)
    planned = store.write("d/a", [b"one"], mtime_ns=OLD)
    moved = store.move("d/a", "e/a", if_match=planned)
    assert (moved.size, moved.mtime_ns) == (3, OLD)
    assert tree(root) == {"e", "e/a"}


def test_writers_and_deleters_share_a_folder_that_comes_and_goes(store: LocalStore):
    def work(number: int) -> None:
        for turn in range(100):
            key = f"d/e/{number}"
            planned = store.write(key, [b"x"], if_absent=bool(turn % 2))
            if turn % 3 == 0:
                planned = store.move(key, key := f"f/g/{number}", if_match=planned)
            if turn % 5 == 0:
                store.preserve(key, f".trueup/trash/{number}/{turn}", if_match=planned)
            store.delete(key, if_match=planned)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert listing(store) == []


# ----- preserving, moving, deleting -----


def test_preserving_costs_a_link_and_the_plan_stays_good(root: Path, store: LocalStore):
    planned = store.write("d/a", [b"one"])
    for run in ("one", "two"):
        store.preserve("d/a", f".trueup/trash/{run}/d/a", if_match=planned)
        store.preserve("d/a", f".trueup/trash/{run}/d/a", if_match=planned)
    assert (root / ".trueup/trash/one/d/a").samefile(root / "d/a")
    assert content(store, "d/a", expect=planned) == b"one"
    store.write("d/a", [b"two!"], if_match=planned)
    with pytest.raises(PreconditionFailed):
        store.write("d/a", [b"three"], if_match=planned)
    assert content(store, ".trueup/trash/one/d/a") == b"one"


def test_preserving_does_not_excuse_anybody_elses_change(root: Path, store: LocalStore):
    planned = store.write("a", [b"one"], mtime_ns=OLD)
    store.preserve("a", ".trueup/trash/r/a", if_match=planned)
    (root / "a").unlink()
    (root / "a").write_bytes(b"two")
    os.utime(root / "a", ns=(OLD, OLD))
    for act in (
        lambda: store.write("a", [b"three"], if_match=planned),
        lambda: store.delete("a", if_match=planned),
        lambda: store.move("a", "b", if_match=planned),
    ):
        with pytest.raises(PreconditionFailed):
            act()
    assert content(store, "a") == b"two"


def test_preserving_again_under_one_name_keeps_the_newer_version(store: LocalStore):
    store.write("a", [b"one"])
    store.preserve("a", ".trueup/trash/r/a")
    store.write("a", [b"two!"])
    store.preserve("a", ".trueup/trash/r/a")
    assert content(store, ".trueup/trash/r/a") == b"two!"


def test_a_change_of_permissions_counts_as_a_change(root: Path, store: LocalStore):
    planned = store.write("a", [b"one"])
    (root / "a").chmod(0o600)
    with pytest.raises(PreconditionFailed, match="changed"):
        store.delete("a", if_match=planned)


def test_folders_that_become_empty_go_and_the_root_stays(root: Path, store: LocalStore):
    store.write("a/b/c/x", [b"x"])
    store.write("a/y", [b"y"])
    store.move("a/b/c/x", "z/x")
    assert tree(root) == {"a", "a/y", "z", "z/x"}
    store.delete("z/x")
    store.delete("a/y")
    assert tree(root) == set()
    assert root.exists()


def test_a_move_never_lands_on_a_file_that_came_meanwhile(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    planned = store.write("a", [b"ours"])
    link = os.link

    def late(source: str, target: str):
        Path(target).write_bytes(b"theirs")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(PreconditionFailed, match="b"):
        store.move("a", "b", if_match=planned)
    assert ((root / "a").read_bytes(), (root / "b").read_bytes()) == (b"ours", b"theirs")


def test_a_move_takes_no_version_that_came_meanwhile(root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    planned = store.write("a", [b"ours"])
    link = os.link

    def late(source: str, target: str):
        link(source, target)
        Path(source).unlink()
        Path(source).write_bytes(b"theirs")

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(PreconditionFailed, match="a"):
        store.move("a", "b", if_match=planned)
    assert (root / "a").read_bytes() == b"theirs"
    assert not (root / "b").exists()


# ----- reading -----


@pytest.mark.parametrize("how", ["append", "overwrite", "replace", "truncate"])
def test_a_file_that_changes_while_it_is_read_never_ends_well(root: Path, store: LocalStore, how: str):
    path = root / "a"
    path.write_bytes(bytes(3 * CHUNK))
    os.utime(path, ns=(OLD, OLD))
    with store.read("a") as body:
        next(body)
        if how == "replace":
            (root / "b").write_bytes(bytes(3 * CHUNK))
            (root / "b").replace(path)
        else:
            with path.open("r+b") as file:
                if how == "truncate":
                    file.truncate(5)
                else:
                    file.seek(0, 2 if how == "append" else 0)
                    file.write(b"!")
        with pytest.raises(PreconditionFailed, match="changed while it was read"):
            list(body)


def test_a_body_gives_nothing_after_its_file_was_closed(store: LocalStore):
    store.write("a", [bytes(3 * CHUNK)])
    with store.read("a") as body:
        next(body)
    assert list(body) == []


# ----- durability and time -----


def test_flushing_syncs_each_file_and_each_folder_above_once(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    for key in ("d/e/a", "d/b"):
        store.write(key, [b"x"])
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.fstat(file).st_ino), fsync(file)))
    store.flush(["d/e/a", "d/b", "gone"])
    wanted = [root / name for name in ("d/e/a", "d/b", "d/e", "d", ".")]
    assert sorted(synced) == sorted(path.stat().st_ino for path in wanted)


def test_flushing_does_not_wait_at_a_pipe_that_took_the_place_of_a_file(root: Path, store: LocalStore):
    store.write("a", [b"x"])
    (root / "a").unlink()
    os.mkfifo(root / "a")

    def flush() -> None:
        with suppress(StoreError):
            store.flush(["a"])

    flushing = threading.Thread(target=flush, daemon=True)
    flushing.start()
    flushing.join(10)
    assert not flushing.is_alive()


def test_a_file_seen_at_its_birth_is_racy_and_an_old_one_is_not(store: LocalStore):
    assert is_racy(store.write("a", [b"x"]), time.time_ns())
    assert not is_racy(store.write("a", [b"x"], mtime_ns=OLD), time.time_ns())


def test_a_time_no_disk_can_hold_is_reported(root: Path, store: LocalStore):
    with pytest.raises(StoreError, match="modification time"):
        store.write("a", [b"x"], mtime_ns=1 << 100)
    assert tree(root) == set()


@pytest.mark.skipif(not files.UNNAMED, reason="the system has no files without a name")
def test_a_small_new_file_gets_its_name_when_it_is_whole(root: Path, store: LocalStore):
    (root / "a").mkdir()

    def body() -> Iterator[bytes]:
        assert tree(root) == {"a"}
        yield b"x"

    written = store.write("a/b", body(), size=1, if_absent=True, mtime_ns=OLD, temporary="run-1")
    assert written == store.stat("a/b")._replace(md5=hashlib.md5(b"x").hexdigest())
    assert stat.S_IMODE((root / "a/b").stat().st_mode) == stat.S_IMODE(store_like_everybody(root / "c"))
    for size, md5 in ((2, ""), (1, "0" * 32)):
        with pytest.raises(StoreError):
            store.write("a/d", [b"x"], size=size, md5=md5, if_absent=True)
    with pytest.raises(PreconditionFailed):
        store.write("a/b", [b"y"], size=1, if_absent=True)
    assert (root / "a/b").read_bytes() == b"x"
    assert tree(root) == {"a", "a/b", "c"}


def store_like_everybody(path: Path) -> int:
    """What the mode of a file is that somebody makes here."""
    path.write_bytes(b"")
    return path.stat().st_mode


@pytest.mark.skipif(not files.UNNAMED, reason="the system has no files without a name")
@pytest.mark.parametrize("broken", ["open", "link", "shown otherwise"])
def test_a_disk_without_files_that_have_no_name_works_the_same(
    root: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch, broken: str
):
    tries = 0
    real_open, real_fstat = os.open, os.fstat

    def opened(path: str, flags: int, mode: int = 0o777) -> int:
        nonlocal tries
        if flags & files.UNNAMED == files.UNNAMED:
            tries += 1
            if broken == "open":
                raise OSError(errno.EOPNOTSUPP, "not supported", path)
        return real_open(path, flags, mode)

    def linked(_file: int, path: str) -> None:
        raise FileNotFoundError(errno.ENOENT, "there is no /proc", path)

    def shown(file: int) -> os.stat_result:
        found = list(real_fstat(file))
        found[1] += 1
        return os.stat_result(found, {"st_mtime_ns": OLD, "st_ctime_ns": OLD})

    monkeypatch.setattr(os, "open", opened)
    if broken == "link":
        monkeypatch.setattr(files, "name", linked)
    elif broken == "shown otherwise":
        monkeypatch.setattr(os, "fstat", shown)
    first = store.write("a", [b"x"], size=1, if_absent=True)
    monkeypatch.setattr(os, "fstat", real_fstat)
    assert first.fingerprint == ("" if broken == "shown otherwise" else store.stat("a").fingerprint)
    assert store.write("b", [b"y"], size=1, if_absent=True).fingerprint == store.stat("b").fingerprint
    assert (content(store, "a"), content(store, "b")) == (b"x", b"y")
    assert tree(root) == {"a", "b"}
    assert tries == 1


def test_readers_see_the_old_or_the_new_file_and_nothing_between(store: LocalStore):
    store.write("a", [b"0" * 100_000])
    stop = threading.Event()
    seen: set[bytes] = set()

    def look() -> None:
        while not stop.is_set():
            with suppress(PreconditionFailed):
                seen.add(content(store, "a"))

    with ThreadPoolExecutor(2) as pool:
        watching = [pool.submit(look) for _ in range(2)]
        for number in range(100):
            store.write("a", [b"%d" % (number % 10) * 100_000])
        stop.set()
        for done in watching:
            done.result()
    assert all(len(set(data)) == 1 and len(data) == 100_000 for data in seen)


def test_nothing_is_absent_in_a_folder_that_is_not_the_one_that_was_listed(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_text("a")
    store = LocalStore(root)
    assert [entry.key for entry in store.list()] == ["a"]
    root.rename(tmp_path / "not mounted any more")
    root.mkdir()
    for _ in range(2):
        with pytest.raises(Unreachable, match="not the folder any more"):
            store.stat("a")
        assert not list(store.list("b")), "a look at a few keys is not a listing"
    assert not list(store.list())
    with pytest.raises(NotFound):
        store.stat("a")
