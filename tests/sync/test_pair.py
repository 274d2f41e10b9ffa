"""Pairing against a reference that holds everything in dictionaries."""

from __future__ import annotations

import tracemalloc
from itertools import islice
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trueup.keys import normal
from trueup.stores.base import Entry, OutOfOrder
from trueup.sync import pair as pairing
from trueup.sync.content import quick_answer
from trueup.sync.decide import State
from trueup.sync.pair import Agreed, Pair, SideOutOfOrder, pair

E_NFC, E_NFD = "é", "e\u0301"
SEGMENT = st.sampled_from(["a", "b", "a-", "a.b", "a0", " ", "~", "Z", E_NFC, E_NFD, "ü", "日", "🙂", "\n", "\ud800"])
KEY = st.lists(SEGMENT, min_size=1, max_size=3).map("/".join)
FAULT = st.sampled_from(["", "", "", "", "link", "special", "unreadable", "unaddressable"])


def listing(found: dict[str, str]) -> list[Entry]:
    """A store's listing: a fault hides all below it."""
    hidden = [normal(key) + "/" for key, fault in found.items() if fault]
    return sorted(
        (
            Entry(key, 1, 1, f"print of {key}", fault=fault, detail=fault)
            for key, fault in found.items()
            if not any(normal(key).startswith(prefix) for prefix in hidden)
        ),
        key=lambda entry: normal(entry.key),
    )


def rows(found: set[str]) -> list[Agreed]:
    return [Agreed(key, key, key, 1, "", "", "") for key in sorted(found)]


def reference(left: list[Entry], right: list[Entry], base: list[Agreed]) -> dict[str, tuple[object, ...]]:
    def by_key(entries: list[Entry]) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in entries:
            found.setdefault(normal(entry.key), []).append(entry)
        return found

    lefts, rights, agreed = by_key(left), by_key(right), {row.key: row for row in base}
    faulty = {key for side in (lefts, rights) for key, group in side.items() if len(group) > 1 or group[0].fault}
    expected = {}
    for key in {*lefts, *rights, *agreed}:
        parts = key.split("/")
        above = {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
        expected[key] = (
            [entry.key for entry in lefts.get(key, [])],
            [entry.key for entry in rights.get(key, [])],
            agreed.get(key),
            bool(above & faulty),
        )
    return expected


@settings(max_examples=400)
@given(
    st.dictionaries(KEY, FAULT, max_size=12),
    st.dictionaries(KEY, FAULT, max_size=12),
    st.sets(KEY.map(normal), max_size=12),
)
@example({"x": "", "x-1": "", "x/y": ""}, {"x": "link", "x-1": ""}, {"x/y", "x/z"})
@example({E_NFC: "", E_NFD: "", f"{E_NFD}/x": ""}, {E_NFC: "", f"{E_NFC}/y": ""}, {f"{E_NFC}/x"})
@example({"a": "link", "a-": "unreadable", "a-/b": "", "a/b": ""}, {"a/b": "", "a-/b": "", "a.b": ""}, {"a", "a0"})
def test_merging_three_streams_equals_looking_keys_up(left, right, base):
    lefts, rights, agreed = listing(left), listing(right), rows(base)
    pairs = list(pair(lefts, rights, agreed))
    keys = [item.key for item in pairs]
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys))
    expected = reference(lefts, rights, agreed)
    assert set(keys) == set(expected)
    for item in pairs:
        left_names, right_names, row, veiled = expected[item.key]
        assert (item.left is not None, item.right is not None) == (bool(left_names), bool(right_names))
        assert item.left is None or item.left.key in left_names
        assert item.right is None or item.right.key in right_names
        assert item.base == row
        assert (item.veil is not None) == veiled, item


TOUCH = st.sampled_from([*["nothing"] * 12, "size", "print", "no print", "gone", "new", "fault", "twin", "spelling"])


@settings(max_examples=600)
@given(st.sets(KEY, max_size=24), st.sampled_from([2, 3, 5, 128]), st.data())
def test_what_nobody_touched_may_be_left_out_and_nothing_else_changes(found, block, data):
    agreed: list[Agreed] = []
    sides: list[dict[str, Entry]] = [{}, {}]
    for key in sorted({normal(key) for key in found}):
        touches = [data.draw(TOUCH) for _ in sides]
        prints = ["" if touch == "no print" else f"print {key}" for touch in touches]
        if "new" not in touches:
            agreed.append(Agreed(key, key, key, 7, "md5", *prints))
        for side, touch, seen in zip(sides, touches, prints, strict=True):
            name = key.replace(E_NFC, E_NFD) if touch == "spelling" else key
            entry = Entry(name, 7, 1, seen)
            changed = {
                "size": {"size": 8},
                "print": {"fingerprint": "other"},
                "fault": {"fault": "link", "detail": "a"},
            }
            if touch != "gone":
                side[name] = entry._replace(**changed.get(touch, {}))
            if touch == "twin" and E_NFC in key:
                side[key.replace(E_NFC, E_NFD)] = entry._replace(key=key.replace(E_NFC, E_NFD))
    left, right = (sorted(side.values(), key=lambda entry: (normal(entry.key), entry.key)) for side in sides)
    left_out: list[str] = []

    def untouched(keys):
        if not data.draw(st.booleans(), label="leave out"):
            return False
        left_out.extend(keys)
        return True

    whole = list(pair(left, right, agreed))
    with patch.object(pairing, "BLOCK", block):
        rest = list(pair(left, right, agreed, untouched=untouched))
    assert rest == [item for item in whole if item.key not in left_out]
    assert left_out == sorted(set(left_out))
    for item in whole:
        if item.key in left_out:
            assert item.veil is None
            answer = quick_answer(item, "two-way", "auto")
            assert answer is not None
            assert (answer.left, answer.right) == (State.SAME, State.SAME)


def test_below_what_cannot_be_seen_nothing_is_left_out():
    entries = [Entry(f"a/{number}", 1, 1, "print") for number in range(9)]
    agreed = [Agreed(entry.key, entry.key, entry.key, 1, "", "print", "print") for entry in entries]
    pairs = pair([Entry("a", fault="unaddressable"), *entries], entries, agreed, untouched=lambda _: True)
    assert [item.veil is not None for item in pairs] == [True] * 10


def test_of_what_nobody_touched_nearly_all_is_left_out():
    entries = [Entry(f"{number:04}", 1, 1, "print") for number in range(1000)]
    agreed = [Agreed(entry.key, entry.key, entry.key, 1, "", "print", "print") for entry in entries]
    left_out: list[str] = []

    def untouched(keys):
        left_out.extend(keys)
        return True

    assert len(list(pair(entries, entries, agreed, untouched=untouched))) < 10
    assert len(left_out) > 990
    left_out.clear()
    entries[500] = entries[500]._replace(fingerprint="other")
    assert len(list(pair(entries, entries, agreed, untouched=untouched))) < 10 + pairing.BLOCK
    assert "0500" not in left_out


@settings(max_examples=100)
@given(st.sets(KEY, min_size=2, max_size=8), st.data())
def test_a_stream_out_of_order_is_noticed_before_it_can_mispair(keys, data):
    ordered = sorted(keys, key=normal)
    shuffled = data.draw(st.permutations(ordered))
    side = data.draw(st.sampled_from(["left", "right"]))
    streams = {"left": [], "right": []} | {side: [Entry(key) for key in shuffled]}
    normals = [normal(key) for key in shuffled]
    if normals == sorted(normals):
        list(pair(streams["left"], streams["right"], []))
        return
    with pytest.raises(SideOutOfOrder) as caught:
        list(pair(streams["left"], streams["right"], []))
    assert caught.value.side == side


def test_a_key_that_comes_twice_in_one_spelling_is_out_of_order():
    with pytest.raises(SideOutOfOrder):
        list(pair([Entry("a"), Entry("a")], [], []))


def test_a_listing_that_says_itself_that_it_is_out_of_order_names_its_side():
    def broken():
        yield Entry("b")
        raise OutOfOrder("a")

    with pytest.raises(SideOutOfOrder) as caught:
        list(pair([], broken(), []))
    assert caught.value.side == "right"


def test_two_spellings_pair_across_sides_and_each_keeps_its_own():
    nfc, nfd = f"d/{E_NFC}", f"d/{E_NFD}"
    (item,) = pair([Entry(nfd, 1)], [Entry(nfc, 1)], [Agreed(nfc, nfd, nfc, 1, "", "", "")])
    assert (item.key, item.left.key, item.right.key, item.base.left_key, item.veil) == (nfc, nfd, nfc, nfd, None)


def test_twins_on_one_side_become_one_fault_that_names_both():
    (item,) = pair([Entry(E_NFC, 1), Entry(E_NFD, 2)], [Entry(E_NFC, 3)], [])
    assert item.veil is item.left
    assert item.left.fault == "unaddressable"
    assert ascii(E_NFC) in item.left.detail
    assert ascii(E_NFD) in item.left.detail


def test_a_marker_hides_neither_its_folder_nor_anything_below():
    pairs = list(pair([Entry("d/", fault="marker"), Entry("d/x", 1)], [Entry("d/x", 1)], []))
    assert [(item.key, item.veil and item.veil.fault) for item in pairs] == [("d/", "marker"), ("d/x", None)]


def test_the_innermost_veil_explains_a_key():
    outer, inner = Entry("a", fault="link"), Entry("a/b", fault="unreadable")
    pairs = {item.key: item for item in pair([outer], [inner, Entry("a/b/c"), Entry("a/z")], [])}
    assert pairs["a/b/c"].veil == inner
    assert pairs["a/z"].veil == outer


def test_a_million_keys_are_paired_without_being_held():
    """Laziness, then a bound that any list of the keys would break by far."""
    taken = []

    def endless(side: str):
        for number in range(10**9):
            taken.append((side, number)) if number < 20 else None
            yield Entry(f"{number:010}", 1)

    def agreed():
        for number in range(10**9):
            yield Agreed(f"{number:010}", "", "", 1, "", "", "")

    first = list(islice(pair(endless("left"), endless("right"), agreed()), 3))
    assert [item.key for item in first] == ["0000000000", "0000000001", "0000000002"]
    assert len(taken) <= 10, "reads at most a little ahead"

    def peak(number: int) -> int:
        tracemalloc.start()
        for item in islice(pair(endless("left"), endless("right"), agreed()), number):
            assert isinstance(item, Pair)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(20_000) < peak(200) + 100_000


def test_many_veils_beside_each_other_are_forgotten_again():
    faults = (Entry(f"{number:06}", fault="link") for number in range(5000))
    tracemalloc.start()
    pairs = pair(faults, (Entry(f"{number:06}/x") for number in range(5000)), [])
    assert sum(item.veil is not None for item in pairs) == 10_000
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
