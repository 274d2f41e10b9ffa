from __future__ import annotations

import errno
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trueup import keys
from trueup.errors import ListingUnfinished
from trueup.stores import walk as module
from trueup.stores.base import OutOfOrder
from trueup.stores.walk import walk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


def plant(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def shown(root: Path, start: str = "", *, ordered: bool = True) -> list[tuple[str, str]]:
    return [(entry.key, entry.fault) for entry in walk(str(root), start, ordered=ordered)]


class BreakingScan:
    """`os.scandir` of one folder that breaks off after a few names, as a failing disk does."""

    def __init__(self, folder: Path, after: int, code: int = errno.EIO) -> None:
        self.broken, self.after, self.code = folder.stat().st_ino, after, code
        self.scandir = os.scandir

    def __call__(self, place):
        found = self.scandir(place)
        return _Breaking(found, self.after, self.code) if os.fstat(place).st_ino == self.broken else found


class _Breaking:
    def __init__(self, found, after: int, code: int) -> None:
        self.found, self.left, self.code = found, after, code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.found.close()

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))
        self.left -= 1
        return next(self.found)


def test_a_folder_sorts_where_its_files_do(root: Path):
    plant(root, "a/x", "a-b", "a.txt", "a0", "a!/y", "b")
    assert [key for key, _ in shown(root)] == ["a!/y", "a-b", "a.txt", "a/x", "a0", "b"]


def test_an_unreadable_folder_hides_itself_in_its_place_and_the_rest_goes_on(root: Path, unprivileged):
    plant(root, "a/x", "a-b", "b/c/x", "b/y", "z")
    for folder in ("a", "b/c"):
        (root / folder).chmod(0)
    with unprivileged(root):
        wanted = [("a", "unreadable"), ("a-b", ""), ("b/c", "unreadable"), ("b/y", ""), ("z", "")]
        assert shown(root) == shown(root, ordered=False) == wanted
        details = {entry.key: entry.detail for entry in walk(str(root)) if entry.fault}
    for folder in ("a", "b/c"):
        (root / folder).chmod(0o755)
    assert details == dict.fromkeys(["a", "b/c"], "the folder cannot be read: permission denied")


def test_a_folder_without_the_right_to_look_inside_is_unreadable_file_by_file(root: Path, unprivileged):
    plant(root, "d/x", "d/y", "e")
    (root / "d").chmod(0o744)
    with unprivileged(root):
        assert shown(root) == [("d/x", "unreadable"), ("d/y", "unreadable"), ("e", "")]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_folder_that_breaks_off_half_way_is_unreadable(root: Path, monkeypatch: pytest.MonkeyPatch, ordered: bool):
    plant(root, *(f"d/{number}" for number in range(9)), "e")
    monkeypatch.setattr(os, "scandir", BreakingScan(root / "d", 5))
    seen = shown(root, ordered=ordered)
    assert ("d", "unreadable") in seen
    assert ("e", "") in seen
    if ordered:
        assert len(seen) == 2


@pytest.mark.parametrize("ordered", [True, False])
def test_a_root_that_breaks_off_ends_the_listing_unfinished(root: Path, monkeypatch: pytest.MonkeyPatch, ordered: bool):
    plant(root, "a", "b", "c")
    monkeypatch.setattr(os, "scandir", BreakingScan(root, 2))
    with pytest.raises(ListingUnfinished):
        shown(root, ordered=ordered)


def test_what_vanishes_under_the_walk_is_absent(root: Path):
    plant(root, "a/x", "b/y", "c/d/z", "e")
    entries = walk(str(root))
    assert next(entries).key == "a/x"
    shutil.rmtree(root / "b")
    shutil.rmtree(root / "c" / "d")
    assert [entry.key for entry in entries] == ["e"]


def test_a_file_that_vanishes_between_its_name_and_its_look_is_absent(root: Path, monkeypatch: pytest.MonkeyPatch):
    plant(root, "a", "b", "c")
    reserved = keys.is_reserved
    monkeypatch.setattr(keys, "RESERVED", "b")  # so that this is asked between name and look, for one name
    monkeypatch.setattr(keys, "is_reserved", lambda name: (root / name).unlink() or reserved(name))
    assert shown(root) == [("a", ""), ("c", "")]


@pytest.mark.parametrize("again", [True, False], ids=["replaced", "gone"])
def test_a_root_that_goes_away_under_the_walk_leaves_it_unfinished(root: Path, again: bool):
    plant(root, "a/x", "b/y", "c/z")
    entries = walk(str(root))
    assert next(entries).key == "a/x"
    root.rename(root.with_name("elsewhere"))
    if again:
        root.mkdir()
    with pytest.raises(ListingUnfinished):
        list(entries)


def test_names_that_are_no_unicode_hide_what_is_below_them(root: Path):
    plant(root, "a", "z")
    plant(root, os.fsdecode(b"b\xff/x"), os.fsdecode(b"c\xfe"))
    assert shown(root) == [("a", ""), ("b\udcff", "unaddressable"), ("c\udcfe", "unaddressable"), ("z", "")]


def test_names_of_our_own_are_left_out_at_any_depth(root: Path):
    plant(root, ".trueup/trash/x", "d/.trueup/y", "d/.trueup-1", ".trueup-2/z", ".trueupped", "a.trueup")
    assert shown(root) == [(".trueupped", ""), ("a.trueup", "")]


def test_two_spellings_of_one_folder_need_the_sort(root: Path):
    plant(root, *(unicodedata.normalize(form, "é") + name for form in ("NFC", "NFD") for name in ("/a", "/b")))
    if len(list(root.iterdir())) == 1:
        pytest.skip("this disk holds only one of them")
    with pytest.raises(OutOfOrder):
        shown(root)
    assert [key[-2:] for key, _ in shown(root, ordered=False)] == ["/a", "/a", "/b", "/b"]


def test_a_folder_of_many_names_spills_and_lists_the_same(root: Path, monkeypatch: pytest.MonkeyPatch):
    names = [f"d/{number:03}{'/x' if number % 7 == 0 else ''}" for number in range(100)]
    plant(root, "a", *names, "e/f")
    monkeypatch.setattr(module, "SPILL", 10)
    assert [key for key, _ in shown(root)] == ["a", *names, "e/f"]


@pytest.mark.parametrize("spill", [2, 50])
def test_a_huge_folder_that_breaks_off_is_unreadable_too(root: Path, monkeypatch: pytest.MonkeyPatch, spill: int):
    plant(root, "a", *(f"d/{number}" for number in range(9)), "e")
    monkeypatch.setattr(module, "SPILL", spill)
    monkeypatch.setattr(os, "scandir", BreakingScan(root / "d", 5))
    assert shown(root) == [("a", ""), ("d", "unreadable"), ("e", "")]


def test_a_start_skips_and_still_shows_the_faults_that_hide_what_was_asked_for(root: Path, tmp_path: Path):
    plant(root, "a/x", "b/c/d", "b/c/f", "b-", "c")
    (root / "b" / "link").symlink_to(tmp_path)
    assert shown(root, "b/c/e") == [("b/c/f", ""), ("b/link", "link"), ("c", "")]
    assert shown(root, "b/link/deep") == [("b/link", "link"), ("c", "")]
    assert shown(root, "d") == []


SEGMENT = st.text(st.sampled_from("ab-.!0 ée\u0301日"), min_size=1, max_size=3).filter(
    lambda name: name not in {".", ".."}
)
KEY = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(KEY, max_size=12), start=st.one_of(st.just(""), KEY))
def test_any_tree_is_listed_whole_and_in_order(tmp_path: Path, wanted: list[str], start: str):
    root = tmp_path / "any"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for key in wanted:
        if not any((root / folder).is_file() for folder in keys.parents(key)) and not (root / key).is_dir():
            plant(root, key)
    there = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    expected = sorted(keys.normal(key) for key in there if keys.normal(key) >= keys.normal(start))
    assert [keys.normal(key) for key, _ in shown(root, start, ordered=False)] == expected
    try:
        seen = [keys.normal(key) for key, _ in shown(root, start)]
    except OutOfOrder:
        folders = {folder for key in there for folder in keys.parents(key)}
        assert len({keys.normal(folder) for folder in folders}) < len(folders)  # twins, and nothing else, excuse it
    else:
        assert seen == expected
