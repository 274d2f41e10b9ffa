"""What fsspec's info of a file means. Each file system has keys of its own for time and version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from trueup.stores.base import Entry
from trueup.stores.remote_service import Found

_TIMES: Final = (
    *("mtime", "modify", "modified", "last_modified", "LastModified", "Last-Modified", "updated", "modificationTime"),
    *("last_write_time", "server_modified"),
)
_VERSIONS: Final = (
    *("ETag", "etag", "e_tag", "checksum", "content_hash", "sha", "sha256", "blob_id", "md5", "md5Hash", "crc32c"),
    *("CRC",),
)
_NUMBERS: Final = ("unique", "ino")
_MILLISECONDS: Final = 100_000_000_000
"""Seconds since 1970 beyond this lie after the year 5000: it is a number of milliseconds."""


def found_of(key: str, info: Mapping[str, Any], protocol: str) -> Found:
    """What one info says. Without a size, nothing can be copied: its kind is then `unreadable`."""
    kind = str(info.get("type"))
    if info.get("islink") or "link" in kind or str(info.get("mode")) == "120000":
        return Found("link", Entry(key))
    if kind in {"directory", "dir"}:
        return Found("folder", Entry(key, fingerprint=str(info.get("unique", ""))))
    if kind != "file":
        return Found("special", Entry(key))
    if info.get("size") is None:
        return Found("unreadable", Entry(key))
    # An in-memory file is made anew by each write; elsewhere `created` says nothing of the content.
    names = ("created",) if protocol == "memory" else _TIMES
    mtime_ns = next((found for name in names if (found := time_ns(info.get(name)))), 0)
    return Found("file", Entry(key, int(info["size"]), mtime_ns, fingerprint(info, mtime_ns)))


def fingerprint(info: Mapping[str, Any], mtime_ns: int) -> str:
    """The version as the service names it, else the time, with the file's number where there is one. Empty where
    nothing is told: then the content is asked for again each time."""
    for name in _VERSIONS:
        if info.get(name):
            return str(info[name]).strip('"')
    if not mtime_ns:
        return ""
    number = next((f":{info[name]}" for name in _NUMBERS if info.get(name)), "")
    return f"{mtime_ns}{number}"


def time_ns(told: object) -> int:
    """Nanoseconds since 1970 UTC; 0 for what is not understood. Times without a zone are UTC, as FTP has it:
    https://www.rfc-editor.org/rfc/rfc3659#section-2.3 ."""
    if isinstance(told, str):
        found = re.fullmatch(r"(\d{14})(\.\d+)?", told)
        try:
            if found:
                whole = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
                return _ns(whole) + round(float(found[2] or 0) * 1_000_000_000)
            told = datetime.fromisoformat(told) if told[:4].isdigit() else parsedate_to_datetime(told)
        except ValueError:
            return 0
    if isinstance(told, datetime):
        return _ns(told if told.tzinfo else told.replace(tzinfo=UTC))
    if isinstance(told, int | float) and not isinstance(told, bool) and told > 0:
        return round(told * 1_000_000) * (1 if told > _MILLISECONDS else 1000)
    return 0


def _ns(moment: datetime) -> int:
    seconds = moment.replace(microsecond=0).timestamp()
    return int(seconds) * 1_000_000_000 + moment.microsecond * 1000
