"""How people write numbers, by the locale of their sheet (no I/O)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_POINT: Final = frozenset("bn cy en fil ga gu he hi iw ja kn ko ml mr ms pa sw ta te th tl ur zh".split())
"""Languages that write 1,234.5."""
_INDIAN: Final = frozenset("bn gu hi kn ml mr pa ta te ur".split())
"""Those of them that also write 12,34,567."""
_COMMA_POINT: Final = frozenset("az ca da de el es eu gl hr id is it mk nl ro sl sq sr tr vi".split())
"""Languages that write 1.234,5."""
_COMMA_SPACE: Final = frozenset("be bg cs et fi fr hu hy ka kk lt lv nb nn no pl ru sk sv uk uz".split())
"""Languages that write 1 234,5."""
_SPACES: Final = " \u00a0\u2009\u202f"
_LATIN_POINT: Final = frozenset("DO GT HN MX NI PA PE PR SV US".split())
"""Countries that write Spanish with 1,234.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberForm:
    """What stands between the digits of a number."""

    decimal: str
    """The mark before a fraction; empty where nobody knows it."""
    groups: str
    """The marks that may stand between groups of digits."""
    indian: bool = False
    """Groups of two may stand before the last three digits."""


PLAIN: Final = NumberForm(decimal="", groups="")
"""Digits alone."""
_ENGLISH: Final = NumberForm(decimal=".", groups=",")


def number_form(locale: str) -> NumberForm | None:
    """The form of a locale such as `en_US`, `de` or `pt-BR`; None for one that is not known here.

    After the number patterns of Unicode's CLDR, which Google Sheets follows as well.
    """
    found = re.fullmatch(r"([A-Za-z]{2,3})(?:[_-][A-Za-z]{4})?(?:[_-]([A-Za-z]{2}|\d{3}))?", locale.strip())
    if not found:
        return None
    language, country = found[1].lower(), (found[2] or "").upper()
    if country in {"CH", "LI"} and language in {"de", "it", "en"}:
        return NumberForm(decimal=".", groups="'\u2019")
    if (language, country) == ("en", "ZA"):
        return NumberForm(decimal=",", groups=_SPACES)
    if language in _INDIAN or (language, country) == ("en", "IN"):
        return NumberForm(decimal=".", groups=",", indian=True)
    if language in _POINT or (language == "es" and country in _LATIN_POINT):
        return _ENGLISH
    if language == "pt":
        return NumberForm(decimal=",", groups=_SPACES if country == "PT" else ".")
    if (language, country) == ("de", "AT"):
        return NumberForm(decimal=",", groups="." + _SPACES)
    if language in _COMMA_SPACE:
        return NumberForm(decimal=",", groups=_SPACES)
    return NumberForm(decimal=",", groups=".") if language in _COMMA_POINT else None
