"""What is told of a page at once, against what is told of one object after the other."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trueup.stores.order import Order, ascending
from trueup.stores.rows import columns_of, row, rows_of

NAME = st.one_of(
    st.text("ab0/.-_ ~\\\0\né", min_size=1, max_size=8),
    st.from_regex(r"[a-z0-9]{1,4}(/[a-z0-9]{1,4}){0,2}", fullmatch=True),
    st.sampled_from(
        [".trueup/x", "a/.trueup-tmp", "a/", "/", "a//b", "a/../b", "a/.", " a", "a ", "a\xa0", "a\0b", "a\\b"]
    ),
    st.sampled_from(["x" * 300, "x" * 1100, "é" * 600, "a\ud800", "é", "e\u0301"]),
)
ETAG = st.sampled_from(
    [None, "", '"', '"d41d8cd98f00b204e9800998ecf8427e"', "d41d8cd98f00b204e9800998ecf8427e", '"x-2"']
)
MD5 = st.sampled_from([None, "", "1B2M2Y8AsgTpgAmY7PhCfg=="])
TIME = st.one_of(
    st.none(), st.datetimes(datetime(1700, 1, 1), datetime(2400, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds it
)  # fmt: skip
OBJECT = st.tuples(NAME, st.integers(0, 2**63), ETAG, MD5, TIME)


@settings(max_examples=500)
@given(
    st.lists(OBJECT, min_size=1, max_size=6),
    st.sampled_from(["s3", "gcs", "azblob"]),
    st.sampled_from(["", "p/", "p" * 250 + "/"]),
)
@example(
    [("a", 1, None, None, None), ("b", 1, '"x"', None, datetime(2026, 1, 1, microsecond=999999, tzinfo=UTC))], "s3", ""
)
def test_a_page_is_its_objects(objects, service, prefix):
    found = [
        SimpleNamespace(
            path=name,
            metadata=SimpleNamespace(content_length=size, etag=etag, content_md5=md5, last_modified=modified),
        )
        for name, size, etag, md5, modified in objects
    ]
    alone = [row(each.path, each.metadata, service, prefix) for each in found]
    names = [each.path for each in found]
    assert list(rows_of(names, found, service, prefix)) == [made for made in alone if made is not None]
    if columns := columns_of(names, found, service, prefix):
        assert [(*fields, "", "") for fields in zip(*columns, strict=True)] == alone


@pytest.mark.parametrize(
    "odd", ["a/", "/a", " a", "a ", "a//b", "a/./b", "a/.trueup-x", "a\0b", "a\xa0", "a\ud800", "x" * 1100]
)
def test_one_odd_name_has_a_page_looked_at_one_by_one(odd):
    assert columns_of(["b", odd], [], "s3", "") is None


def test_a_time_is_told_to_the_microsecond():
    at = datetime(2026, 11, 22, 10, 20, 30, 123457, tzinfo=UTC)
    metadata = SimpleNamespace(content_length=1, etag='"x"', content_md5=None, last_modified=at)
    columns = columns_of(["a"], [SimpleNamespace(path="a", metadata=metadata)], "s3", "")
    assert columns == (["a"], [1], [1795342830123457000], ["x"], [""], ["x"])


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from(["a", "b", "a/b", "a-", "é", "e\u0301", "ü", "🙂"]), min_size=2, max_size=5, unique=True)
)
def test_names_ascend_by_their_normal_forms(names):
    def normal(name: str) -> str:
        return unicodedata.normalize("NFC", name)

    if [(normal(name), name) for name in names] == sorted((normal(name), name) for name in names):
        assert ascending(names[1:], names[0], normal(names[0])) == normal(names[-1])
    else:
        with pytest.raises(Order) as caught:
            ascending(names[1:], names[0], normal(names[0]))
        before = names[: caught.value.before + 1]
        assert [(normal(name), name) for name in before] == sorted((normal(name), name) for name in before)
        assert names[len(before)] == str(caught.value)


def test_a_name_that_comes_twice_does_not_ascend():
    for names in (["b"], ["c", "c"], ["é", "é"]):
        with pytest.raises(Order):
            ascending(names, "b", "b")
