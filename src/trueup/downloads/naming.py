"""What to call a fetched file (no I/O)."""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from functools import cache
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

_LENGTH: Final = 150
"""Bytes: room enough for what others put before a name within a file system's 255."""
_SUFFIX: Final = 20
"""Bytes of an extension that are kept; longer ones are none."""
_PARAMETER: Final = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)')
_EDGES: Final = re.compile(r"^[\s.]+|[\s.]+$")
_DROPPED: Final = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
"""Controls, and what turns the reading order around so that a name looks like another."""


def name_of(*, disposition: str, path: str, media_type: str) -> str:
    """One clean path segment: from `Content-Disposition`, else from the URL's path, with an extension that fits
    `Content-Type` if there is none. Header values come as `http.client` reads them: Latin-1."""
    name = clean(_disposed(disposition) or unquote(path.rsplit("/", 1)[-1]))
    if not PurePosixPath(name).suffix:
        name = clean(name + _extension(media_type))
    return name


def clean(name: str) -> str:
    """A name that is one path segment everywhere: no separators, no controls, no dots in front, NFC, at most 150 bytes
    with its extension kept; `download` if nothing is left."""
    kept = "".join(char for char in name if unicodedata.category(char) not in _DROPPED)
    kept = _EDGES.sub("", re.split(r"[/\\]", unicodedata.normalize("NFC", kept))[-1])
    if len(kept.encode()) > _LENGTH:
        suffix = PurePosixPath(kept).suffix
        if len(suffix.encode()) > _SUFFIX:
            suffix = ""
        stem = kept.encode()[: _LENGTH - len(suffix.encode())].decode(errors="ignore")
        kept = _EDGES.sub("", stem) + suffix
    return kept or "download"


def _disposed(header: str) -> str:
    """RFC 6266: `filename*` beats `filename`."""
    found: dict[str, str] = {name.lower(): value.strip() for name, value in _PARAMETER.findall(header)}
    charset, _, encoded = found.get("filename*", "").partition("'")
    if charset.lower() in {"utf-8", "iso-8859-1"}:  # all that RFC 5987 asks for
        try:
            return unquote_to_bytes(encoded.partition("'")[2].encode("latin-1")).decode(charset)
        except ValueError:
            pass
    plain = found.get("filename", "")
    if plain[:1] == '"':
        plain = re.sub(r"\\(.)", r"\1", plain.strip('"'))
    try:
        return plain.encode("latin-1").decode()  # what most servers send, whatever the standard says
    except ValueError:
        return plain


@cache
def _types() -> mimetypes.MimeTypes:
    return mimetypes.MimeTypes()  # what Python ships with: the same on every machine


def _extension(media_type: str) -> str:
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "application/octet-stream":  # says nothing, and .bin would say no more
        return ""
    return _types().guess_extension(kind) or ""
