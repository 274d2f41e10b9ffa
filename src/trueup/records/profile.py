"""The normal form of profile URLs: one account has one key, however its URL was copied (no I/O)."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlsplit

_SAME: Final = {
    "twitter.com": "x.com",
    "fb.com": "facebook.com",
    "instagr.am": "instagram.com",
}
"""One platform under two names."""
_PLATFORMS: Final = frozenset(
    "facebook.com instagram.com linkedin.com pinterest.com reddit.com threads.net tiktok.com twitch.tv vk.com x.com"
    " youtube.com".split()
)
_VARIANT: Final = re.compile(r"(?:m|mobile|mbasic|web|touch|old|new|music|[a-z]{2}(?:-[a-z]{2})?)\.(.+)")
"""Hosts on which a platform shows the same profiles: for phones, in one country's language."""
_HOST: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]+)(?::\d{1,5})?")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_KEPT: Final = "!$&'()*+,;=:@/%-._~"
"""What stands in a path as it is (RFC 3986)."""
_USUAL: Final = re.compile(r"https?://([A-Za-z0-9.-]+)/([A-Za-z0-9._~@-]+)/?")
"""One step below a host, with nothing to decode or to leave out."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~@-]*")
"""Most names: nothing in them is ever escaped."""


@lru_cache(maxsize=1 << 16)  # the sheet and the parsers name the same ones, and every run does
def profile_key(url: str) -> str | None:
    """The key of a profile URL: its host without `www.`, and its path in small letters, without query or fragment.
    None where there is no host.

    twitter.com is x.com; the hosts of a platform for phones and countries are the platform; the id of a YouTube channel
    keeps its case, as it has one. Facebook's `profile.php?id=5` is `facebook.com/5`, where it leads to.
    """
    if usual := _USUAL.fullmatch(url):  # most of them, in half the time
        known = _host(usual[1])
        return f"{known}/{usual[2].lower()}" if known else None
    text = unicodedata.normalize("NFC", url.strip())
    if _SURROGATE.search(text):  # of bytes that are no text
        return None
    if not re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//", text):
        if "@" in text.partition("/")[0]:  # an address of e-mail
            return None
        text = f"//{text}"
    try:
        parts = urlsplit(text)
        host = _host(parts.netloc)
    except ValueError:  # as of brackets that do not match
        return None
    if host is None or parts.scheme not in {"", "http", "https"}:
        return None
    steps = [step for step in _decoded(parts.path).split("/") if step]
    if host == "facebook.com" and [step.lower() for step in steps] == ["profile.php"]:
        steps = parse_qs(parts.query).get("id", steps)[:1]
    keeps_case = host == "youtube.com" and len(steps) > 1 and steps[0].lower() == "channel"
    written = [
        _encoded(step) if keeps_case and place == 1 else _encoded(step.lower()).lower()
        for place, step in enumerate(steps)
    ]
    return "/".join([host, *written])


@lru_cache(maxsize=1024)  # there are few
def _host(place: str) -> str | None:
    name = place.rpartition("@")[2].lower()
    name = re.sub(r"\.?(?::(?:80|443)?)?\Z", "", name)
    if not name.isascii():
        name = name.encode("idna").decode()  # UnicodeError is a ValueError
    if not _HOST.fullmatch(name):
        return None
    name = name.removeprefix("www.")
    name = _SAME.get(name, name)
    variant = _VARIANT.fullmatch(name)
    shown = _SAME.get(variant[1], variant[1]) if variant else name
    return shown if shown in _PLATFORMS else name


def _encoded(step: str) -> str:
    return step if _PLAIN.fullmatch(step) else quote(step, safe=_KEPT)


def _decoded(path: str) -> str:
    """Without escapes that need not be there: `%40` is `@`, `%C3%89` is `É`."""
    return path if "%" not in path else re.sub("(?:%[0-9A-Fa-f]{2})+", _unescaped, path)


def _unescaped(escapes: re.Match[str]) -> str:
    try:
        text = unquote_to_bytes(escapes[0]).decode()
    except UnicodeDecodeError:
        return escapes[0]
    plain = (
        char if re.match(r"[A-Za-z0-9._~@-]", char) or not char.isascii() else f"%{ord(char):02X}" for char in text
    )
    return unicodedata.normalize("NFC", "".join(plain))
