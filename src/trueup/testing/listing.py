"""The part of the conformance suite about listings and names."""

from __future__ import annotations

import unicodedata
from typing import ClassVar

import pytest

from trueup import keys
from trueup.errors import NotFound, StoreError, Unaddressable
from trueup.stores.base import Store
from trueup.testing.looking import content, listing, names_of

UNADDRESSABLE = ("", "/a", "a//b", "a/", ".", "..", "./a", "../a", "a/../b", "a/.", "a\0b", "\udcff", "a/\ud800")

ODD = (
    *("a b", "a  b", "a%20b", "a%2Fb", "a+b", "a#b?c&d=e", "a\\b", "~x", "it's", '"q"', "-dash", "a:b", "a*b", "<a>|b"),
    *(".hidden", "a..b", "...", "x.", "UPPER", "ü/ñ.txt", "日本語/の.txt", "😀", "a\tb", "a\nb", "a\x7fb", "$a{b}`c`"),
    *(" a", "a ", "\u00a0a", "d/ a", "d /a", "x" * 200, "/".join("y" * 40 for _ in range(12))),
)

ORDERED = ("!a", "Z", "a b", "a!b/c", "a-b", "a.b", "a/b", "a/b-c", "a/c/d", "a0", "é", "日本", "\ufeffx", "😀", "ｚ")


class ListingContract:
    """See `trueup.testing.contract.StoreContract`, which includes it."""

    refused: ClassVar[frozenset[str]] = frozenset()
    """Odd names that this server is known to refuse: the store must say so with a `StoreError`."""

    def test_a_listing_is_in_key_order_from_any_start(self, store: Store) -> None:
        wanted = sorted((key for key in ORDERED if store.unaddressable(key) is None), key=keys.normal)
        for key in reversed(wanted):
            store.write(key, [b"x"])
        assert names_of(listing(store)) == names_of(listing(store, ordered=False)) == wanted
        for start in [*wanted, "a", "a/", "a/b/", "a1", "b", "\U0010ffff"]:
            assert names_of(listing(store, start)) == [key for key in wanted if keys.normal(key) >= keys.normal(start)]

    def test_a_listing_may_be_closed_early(self, store: Store) -> None:
        for number in range(5):
            store.write(f"{number}", [b"x"])
        entries = store.list()
        assert next(entries).key == "0"
        entries.close()
        assert len(listing(store)) == 5

    def test_names_of_our_own_are_hidden_but_can_be_used(self, store: Store) -> None:
        hidden = [".trueup/trash/run/a", "d/.trueup/x", "d/.trueup-tmp", ".trueup-x/y"]
        for key in [*hidden, "d/.trueupper", "d/a.trueup"]:
            store.write(key, [b"x"])
        assert names_of(listing(store)) == ["d/.trueupper", "d/a.trueup"]
        for key in hidden:
            assert store.stat(key).size == 1
            assert content(store, key) == b"x"
            store.delete(key)
            with pytest.raises(NotFound):
                store.stat(key)

    @pytest.mark.parametrize("key", ODD)
    def test_an_odd_name_is_kept_exactly_or_refused(self, store: Store, key: str) -> None:
        store.write("a", [b"bystander"])
        if store.unaddressable(key) is not None or key in self.refused:
            with pytest.raises(StoreError):
                store.write(key, [b"x"])
            assert names_of(listing(store)) == ["a"]
        else:
            store.write(key, [b"odd"], size=3)
            assert sorted(names_of(listing(store))) == sorted(["a", key])
            assert content(store, key, expect=store.stat(key)) == b"odd"
            store.delete(key, if_match=store.stat(key))
        assert content(store, "a") == b"bystander"
        assert names_of(listing(store)) == ["a"]

    @pytest.mark.parametrize("key", UNADDRESSABLE, ids=ascii)
    def test_an_unaddressable_name_is_never_asked_for(self, store: Store, key: str) -> None:
        store.write("a/b", [b"bystander"])
        assert store.unaddressable(key)
        with pytest.raises(Unaddressable):
            store.write(key, [b"x"])
        for act in (store.copy, store.move):
            with pytest.raises(Unaddressable):
                act("a/b", key)
        with pytest.raises((Unaddressable, NotFound)):
            store.stat(key)
        with pytest.raises((Unaddressable, NotFound)):
            content(store, key)
        assert names_of(listing(store)) == ["a/b"]
        assert content(store, "a/b") == b"bystander"

    def test_a_name_that_is_too_long_is_refused(self, store: Store) -> None:
        for key in ("x" * 5000, "é" * 600, "/".join(["z" * 50] * 100)):
            assert store.unaddressable(key)
            with pytest.raises(Unaddressable):
                store.write(key, [b"x"])
        assert listing(store) == []

    def test_letters_that_differ_in_case_are_two_names_where_the_store_says_so(self, store: Store) -> None:
        store.write("Case", [b"upper"])
        store.write("case", [b"lower"])
        expected = b"lower" if store.features.folds_case else b"upper"
        assert (content(store, "Case"), content(store, "case")) == (expected, b"lower")

    def test_two_spellings_of_one_normal_form_are_both_listed(self, store: Store) -> None:
        twins = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
        for twin in twins:
            store.write(twin, [twin.encode()])
        if store.features.tree and len(listing(store)) == 1:  # a disk that normalises names: the later file is the one
            assert [content(store, twin) for twin in twins] == [twins[1].encode()] * 2
            return
        assert sorted(names_of(listing(store))) == sorted(twins)
        assert [content(store, twin) for twin in twins] == [twin.encode() for twin in twins]

    def test_a_file_and_a_folder_of_one_name(self, store: Store) -> None:
        store.write("x", [b"file"])
        if not store.features.tree:
            store.write("x/y", [b"below"])
            assert names_of(listing(store)) == ["x", "x/y"]
            return
        store.write("d/y", [b"below"])
        for key in ("x/y", "x/y/z", "d"):
            with pytest.raises(StoreError):
                store.write(key, [b"no"])
        assert names_of(listing(store)) == ["d/y", "x"]
