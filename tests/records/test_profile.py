from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trueup.records.profile import profile_key


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://www.Instagram.com/NASA/", "instagram.com/nasa"),
        ("http://instagram.com/nasa?igsh=abc&utm_source=x", "instagram.com/nasa"),
        ("instagram.com/nasa#top", "instagram.com/nasa"),
        ("//instagram.com//nasa", "instagram.com/nasa"),
        ("  https://m.instagram.com/nasa  ", "instagram.com/nasa"),
        ("HTTPS://instagram.com:443/nasa", "instagram.com/nasa"),
        ("https://instagram.com./nasa", "instagram.com/nasa"),
        ("https://user@instagram.com/nasa", "instagram.com/nasa"),
        ("https://twitter.com/NASA", "x.com/nasa"),
        ("https://mobile.twitter.com/NASA", "x.com/nasa"),
        ("www.x.com/nasa", "x.com/nasa"),
        ("https://www.youtube.com/channel/UCxyzABC", "youtube.com/channel/UCxyzABC"),
        ("https://m.youtube.com/Channel/UCxyzABC/Videos", "youtube.com/channel/UCxyzABC/videos"),
        ("https://youtube.com/@NASA", "youtube.com/@nasa"),
        ("https://youtube.com/%40NASA", "youtube.com/@nasa"),
        ("https://www.tiktok.com/@NASA?lang=en", "tiktok.com/@nasa"),
        ("https://mbasic.facebook.com/NASA", "facebook.com/nasa"),
        ("https://fb.com/nasa", "facebook.com/nasa"),
        ("https://www.facebook.com/profile.php?id=100&ref=x", "facebook.com/100"),
        ("https://de.linkedin.com/in/Nasa", "linkedin.com/in/nasa"),
        ("https://blog.example.org:8080/A", "blog.example.org:8080/a"),
        ("https://m.example.org/a", "m.example.org/a"),
        ("https://example.org", "example.org"),
        ("https://vk.com/%C3%89LAN", "vk.com/%c3%a9lan"),
        ("https://vk.com/ÉLAN", "vk.com/%c3%a9lan"),
        ("https://vk.com/a b%2Fc", "vk.com/a%20b%2fc"),
        ("https://bücher.de/x", "xn--bcher-kva.de/x"),
    ],
)
def test_one_account_has_one_key(url: str, key: str):
    assert profile_key(url) == key
    assert profile_key(f"https://www.{key}") == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Total",
        "N/A",
        "@nasa",
        "1.2K",
        "https://",
        "mailto:a@b.org",
        "ftp://a.org/x",
        "http://[::1",
        "localhost/x",
        "3.5",
        "https://x.com/\ud800",
    ],
)
def test_what_has_no_host_has_no_key(text: str):
    assert profile_key(text) is None


@settings(deadline=None)
@given(st.text() | st.from_regex(r"https?://[a-z.]{1,9}\.com/[ -~é%]{0,12}", fullmatch=True))
def test_a_key_is_its_own_key(text: str):
    key = profile_key(text)
    assert key is None or profile_key(key) == key


@settings(deadline=None)
@given(st.from_regex(r"https?://(www\.|m\.|de\.)?[A-Za-z.-]{1,9}(\.com)?\.?/[A-Za-z0-9.~@_-]{1,12}/?", fullmatch=True))
@example("https://www.facebook.com/profile.php")
@example("https://youtube.com/channel")
@example("https://x.com/..")
def test_a_query_is_no_part_of_a_key(url: str):
    assert profile_key(url) == profile_key(f"{url}?")
