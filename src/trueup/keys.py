"""Keys: their normal form, their order, and the names that may never be written.

A key is a relative path with `/` between its segments, the same on every platform. Keys are compared in Unicode
normal form C; Python orders strings by code point, which is the byte order of UTF-8, so plain `<` on normal forms is
the one order used everywhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import product
from typing import Final

RESERVED: Final = ".trueup"
"""First segment of everything trueup keeps for itself in a tree (trash); out of scope at any depth."""

TEMPORARY: Final = ".trueup-"
"""Prefix of a file name that trueup is still writing; out of scope at any depth."""

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_WINDOWS_DEVICES: Final = frozenset(
    ["con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in "123456789¹²³")]
)
_WINDOWS_FORBIDDEN: Final = frozenset('<>:"\\|?*')


def normal(key: str) -> str:
    """The form in which keys are paired and ordered (NFC)."""
    if key.isascii():
        return key
    return unicodedata.normalize("NFC", key)


def spellings(*known: str) -> Iterator[str]:
    """How one key may be spelled: as it is known to be, then its folder, its name or both composed or decomposed.
    What mixes both forms within its folder in a way nobody knows of is not among them."""
    seen = set()
    for key in known:
        folder, slash, name = key.rpartition("/")
        for parts in product(_forms(folder), _forms(name)):
            spelling = slash.join(parts)
            if spelling not in seen:
                seen.add(spelling)
                yield spelling


def _forms(text: str) -> tuple[str, ...]:
    if text.isascii():
        return (text,)
    return text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)


def lowest(key: str) -> str:
    """The least spelling of a key, which is the decomposed one: a listing that is to show the key in any spelling
    begins there."""
    return key if key.isascii() else min(key, unicodedata.normalize("NFD", key))


def is_reserved(key: str) -> bool:
    """Whether a key belongs to trueup itself: a `.trueup` segment, or a `.trueup-…` name, at any depth."""
    if RESERVED not in key:
        return False
    return any(segment == RESERVED or segment.startswith(TEMPORARY) for segment in key.split("/"))


def unaddressable(key: str) -> str | None:
    """Why no store may be asked for this key, or None.

    Such keys exist in buckets, and reading one through a client that normalises paths addresses another object.
    """
    if not key:
        return "the name is empty"
    if key[0] == "/":
        return "the name begins with '/'"
    if "\0" in key:
        return "the name holds a NUL character"
    if not key.isascii() and any("\ud800" <= char <= "\udfff" for char in key):
        return "the name is not valid Unicode"
    if "//" in key or key[-1] == "/":
        return "the name has an empty segment"
    if "." in key:
        for segment in key.split("/"):
            if segment in {".", ".."}:
                return f"the name has a '{segment}' segment"
    return None


def unaddressable_in_cloud(key: str, *, prefix: str = "") -> str | None:
    """Why an object store client cannot address this key, or None. `prefix` is the root below which keys lie.

    S3, GCS and Azure limit a name to 1,024 bytes (characters on Azure, so bytes is the safe reading).
    """
    if key != key.strip():
        return "the name begins or ends with white space, which the client would trim"
    if len(prefix.encode()) + len(key.encode("utf-8", "surrogatepass")) > 1024:
        return "the name is longer than the 1,024 bytes a bucket allows"
    return unaddressable(key)


def unwritable_on_windows(key: str) -> str | None:
    """Why this key cannot be a file name on Windows, or None."""
    for segment in key.split("/"):
        bad = next((char for char in segment if char in _WINDOWS_FORBIDDEN or char < " "), None)
        if bad is not None:
            return f"the name holds {bad!r}, which Windows does not allow"
        if segment[-1:] in {" ", "."}:
            return "a segment ends with a dot or a space, which Windows drops"
        if segment.split(".")[0].rstrip().lower() in _WINDOWS_DEVICES:
            return f"'{segment}' is a device name on Windows"
    return None


def parents(key: str) -> list[str]:
    """Every folder above a key, nearest last: `a/b/c` -> `['a', 'a/b']`."""
    segments = key.split("/")
    return ["/".join(segments[:n]) for n in range(1, len(segments))]


def display(key: str) -> str:
    """A key as it may be shown on a terminal or in a log: control characters and broken Unicode are escaped."""
    if key.isprintable():
        return key
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii") for char in key
    )
