"""The listing that a server makes up: put together from parts, and still the keys one by one."""

from __future__ import annotations

from bench import synthetic_s3
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 20_000_000), st.integers(0, 600))
def test_a_page_is_its_rows(start: int, length: int):
    numbers = range(start, start + length)
    assert synthetic_s3.entries(start, start + length) == b"".join(map(synthetic_s3.row, numbers))


def test_keys_ascend_and_no_two_have_one_etag():
    keys = [synthetic_s3.key_at(number) for number in range(10_000)]
    assert keys == sorted(set(keys))
    assert len({synthetic_s3.etag_at(number) for number in range(10_000)}) == 10_000
    assert {len(synthetic_s3.etag_at(number)) for number in range(0, 10_000_000, 99_999)} == {32}
