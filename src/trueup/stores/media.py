"""The Content-Type a name suggests: the same on every machine, whatever its system tables say."""

from __future__ import annotations

import mimetypes
from functools import cache, lru_cache
from typing import Final

_COMPRESSED: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/octet-stream",
}
_ALSO: Final = {
    ".avif": "image/avif",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".toml": "application/toml",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


def guess(key: str) -> str:
    """`application/octet-stream` when the name says nothing."""
    return _of(*key[-40:].lower().rsplit("/", 1)[-1].rsplit(".", 2)[1:])


@cache
def _types() -> mimetypes.MimeTypes:
    types = mimetypes.MimeTypes()
    for suffix, kind in _ALSO.items():
        types.add_type(kind, suffix)
    return types


@lru_cache(1024)
def _of(*suffixes: str) -> str:
    kind, encoding = _types().guess_type(".".join(("x", *suffixes)), strict=False)
    if encoding:
        return _COMPRESSED.get(encoding, "application/octet-stream")
    return kind or "application/octet-stream"
