"""Merging and judging, against the plain way of doing it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trueup.keys import normal
from trueup.reconcile.compare import Believed, Match, Range, judge, matched
from trueup.stores.base import Entry, OutOfOrder

names = st.text(st.sampled_from("ab/-0é\u0301e"), min_size=1, max_size=5)


def ordered(keys: set[str]) -> list[str]:
    return sorted(keys, key=lambda key: (normal(key), key))


@given(st.sets(names), st.sets(names), st.sets(names, max_size=2))
def test_every_key_comes_once_with_all_that_is_known_of_it(rows: set[str], entries: set[str], hidden: set[str]):
    listing = [Entry(key, fault="unreadable" if key in hidden else "") for key in ordered(entries | hidden)]
    found = {match.key: match for match in matched((Believed(key, 0) for key in ordered(rows)), listing)}
    assert found.keys() == rows | entries | hidden
    for key, match in found.items():
        below = any(key == veil or key.startswith(f"{veil}/") for veil in hidden)
        assert (match.row is not None) == (key in rows)
        if match.row is not None:
            assert (match.veil is not None) == below
            assert (match.entry is not None) == (key in entries and not below)
        verdict = judge(match.row, match.entry, match.veil)
        if key in hidden or (below and key in rows):
            assert verdict == "unverifiable"
        else:
            assert (
                verdict
                == {(True, True): "ok", (True, False): "missing", (False, True): "orphan"}[key in rows, key in entries]
            )


@given(st.sets(st.text(st.sampled_from("aez\u0301\u030aKL\u212aé"), min_size=1, max_size=4)), names.map(normal))
def test_two_ranges_hold_all_there_is_or_say_that_they_cannot(spelled: set[str], cut: str):
    keys = sorted(spelled)
    below, above = [key for key in keys if key < cut], [key for key in keys if key >= cut]
    try:
        first = [entry.key for entry in Range("", cut).held(map(Entry, keys))]
        second = [entry.key for entry in Range(cut, "").held(map(Entry, above))]
    except OutOfOrder:
        assert any(key != normal(key) for key in keys)
    else:
        assert (first, second) == (below, above)
        assert all(normal(key) < cut for key in first)
        assert all(normal(key) >= cut for key in second)


def test_what_is_known_decides():
    def verdict(row: Believed | None, entry: Entry | None) -> str:
        return judge(*Match("k", row, entry)[1:])

    here = Entry("k", size=3, md5="a" * 32)
    assert verdict(Believed("k", 3, "A" * 32), here) == "ok"
    assert verdict(Believed("k", 4, "a" * 32), here) == "size_mismatch"
    assert verdict(Believed("k", 3, "b" * 32), here) == "hash_mismatch"
    assert verdict(Believed("k", 3, "b" * 32), here._replace(md5="")) == "ok"
    assert verdict(Believed("k", None), here) == "ok"
    assert verdict(Believed("k", 3, lost=True), None) == "ok"
    assert verdict(Believed("k", 3, lost=True), here) == "orphan"
