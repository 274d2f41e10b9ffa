"""What OpenDAL tells of a file of a service, and which keys it can address there: the same for listings and looks."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

from trueup import keys
from trueup.stores.base import Entry
from trueup.stores.remote_service import Found

if TYPE_CHECKING:
    from opendal.types import Metadata


def unaddressable(key: str, prefix: str, *, tree: bool) -> str | None:
    """Why OpenDAL cannot address a key below a prefix, or None."""
    if reason := keys.unaddressable_in_cloud(key, prefix=prefix):
        return reason
    if tree and any(part != part.rstrip() for part in key.split("/")):
        return "a part of the name ends with white space, which the client would trim"
    if tree and max(len(part.encode()) for part in key.split("/")) > 255:
        return "a segment of the name is longer than 255 bytes"
    return None


def found_of(key: str, metadata: Metadata) -> Found:
    """What OpenDAL tells of a file or a folder. A service without ETags has its time for a fingerprint."""
    if metadata.is_dir:
        return Found("folder", Entry(key))
    modified = metadata.last_modified
    mtime_ns = round(modified.timestamp() * 1_000_000) * 1000 if modified else 0
    md5 = _md5(metadata.content_md5)
    told = (metadata.etag or "").removeprefix("W/").strip('"') or metadata.version or ""
    fingerprint = f"md5:{md5}" if md5 else told or (str(mtime_ns) if mtime_ns else "")
    return Found("file", Entry(key, metadata.content_length, mtime_ns, fingerprint, md5))


def _md5(told: str | None) -> str:
    try:
        found = binascii.a2b_base64(told or "", strict_mode=True)
    except binascii.Error:
        return ""
    return found.hex() if len(found) == 16 else ""
