from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup import keys

ANY = st.text(st.characters(exclude_categories=()))
VALID = st.text(st.characters(exclude_categories=("Cs",)))


@given(ANY)
def test_the_normal_form_is_its_own_normal_form(key: str):
    assert keys.normal(keys.normal(key)) == keys.normal(key)


@given(VALID, VALID)
def test_keys_order_as_their_bytes_do(one: str, other: str):
    one, other = keys.normal(one), keys.normal(other)
    assert (one < other) == (one.encode() < other.encode())


@given(st.lists(VALID.filter(lambda segment: "/" not in segment), min_size=1, max_size=4))
def test_normalising_a_path_normalises_its_segments(segments: list[str]):
    assert keys.normal("/".join(segments)) == "/".join(map(keys.normal, segments))


@given(ANY)
def test_what_is_displayed_is_printable_and_can_be_encoded(key: str):
    assert keys.display(key).isprintable()
    keys.display(key).encode()


def test_display_leaves_ordinary_names_alone():
    assert keys.display("ü/日本 x.txt") == "ü/日本 x.txt"
    assert keys.display("a\x1b[31m\n\udcff") == "a\\x1b[31m\\n\\udcff"


@pytest.mark.parametrize("key", [".trueup", ".trueup/x", "a/.trueup/b", ".trueup-x", "a/.trueup-x/b", "a/.trueup-"])
def test_our_own_names_are_reserved_at_any_depth(key: str):
    assert keys.is_reserved(key)


@pytest.mark.parametrize("key", ["a", "trueup", ".trueupper", "a.trueup", "a/.trueup.x", "x.trueup-y"])
def test_names_that_only_resemble_ours_are_not_reserved(key: str):
    assert not keys.is_reserved(key)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "empty"),
        ("/a", "begins with"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        (".", "'.' segment"),
        ("a/../b", "'..' segment"),
        ("./a", "'.' segment"),
        ("a\0", "NUL"),
        ("a\ud800", "Unicode"),
    ],
)
def test_names_no_store_may_be_asked_for(key: str, why: str):
    assert why in (keys.unaddressable(key) or "")
    assert keys.unaddressable_in_cloud(key)


@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1), min_size=1)
)
def test_a_path_of_ordinary_segments_is_addressable(segments: list[str]):
    ordinary = not {".", ".."} & set(segments)
    assert (keys.unaddressable("/".join(segments)) is None) == ordinary


@pytest.mark.parametrize("key", [" a", "a ", "\u00a0a", "a\u3000", "a\n", "\ta"])
def test_white_space_at_the_ends_cannot_go_to_a_cloud(key: str):
    assert keys.unaddressable(key) is None
    assert "white space" in (keys.unaddressable_in_cloud(key) or "")


def test_a_cloud_takes_names_of_1024_bytes_with_their_prefix():
    assert keys.unaddressable_in_cloud("x" * 1024) is None
    assert keys.unaddressable_in_cloud("é" * 512) is None
    assert keys.unaddressable_in_cloud("x" * 1024, prefix="p/")
    assert keys.unaddressable_in_cloud("é" * 513)


@pytest.mark.parametrize(
    "key", ["a:b", "d/a?", "a.", "d /b", "con", "d/NUL.txt", "com1", "LPT9.x", "a\tb", "aux /b", "a\\b"]
)
def test_names_windows_cannot_hold(key: str):
    assert keys.unwritable_on_windows(key)


@pytest.mark.parametrize("key", ["a b", "console", "com10", ".hidden", "a.b", "nul_", "ü"])
def test_names_windows_can_hold(key: str):
    assert keys.unwritable_on_windows(key) is None


@pytest.mark.parametrize(("key", "above"), [("a", []), ("a/b", ["a"]), ("a/b/c", ["a", "a/b"])])
def test_the_folders_above_a_key(key: str, above: list[str]):
    assert keys.parents(key) == above
