"""What an answer's header says about its body, and about coming back later (no I/O)."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Final

_DIGESTS: Final = {"sha-256": 32, "md5": 16}


def validator(headers: Message) -> str:
    """What proves, in `If-Range`, that a later part belongs to this body: a strong ETag, else a `Last-Modified` that is
    older than the answer. Empty if there is none (RFC 9110, sections 8.8.2.2 and 13.1.5)."""
    etag = headers.get("ETag", "").strip()
    if etag:
        return etag if re.fullmatch(r'"[\x21\x23-\x7e\x80-\xff]*"', etag) else ""
    modified, now = _date(headers.get("Last-Modified", "")), _date(headers.get("Date", ""))
    return headers["Last-Modified"].strip() if modified and now and modified < now else ""


def content_range(headers: Message) -> tuple[int, int | None] | None:
    """The first byte of a part and the length of the whole (None: not told); None if the header cannot be read."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip(), re.ASCII)
    return (int(found[1]), None if found[2] == "*" else int(found[2])) if found else None


def digests(headers: Message) -> dict[str, str]:
    """Hex by algorithm (`sha-256`, `md5`), of the whole body, as the answer to a request without a range tells them:
    `Repr-Digest` (RFC 9530) and `Content-MD5`."""
    told = dict(re.findall(r"([\w-]+)\s*=\s*:([^:]*):", headers.get("Repr-Digest", "")))
    if "Content-MD5" in headers:
        told["md5"] = headers["Content-MD5"]
    found = {}
    for name, length in _DIGESTS.items():
        try:
            digest = base64.b64decode(told.get(name, "").strip(), validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(digest) == length:
            found[name] = digest.hex()
    return found


def overloaded(code: int) -> bool:
    """Whether the same request may do better later."""
    return code in {408, 425, 429} or code >= 500


def retry_after(headers: Message) -> float:
    """Seconds from now; 0 if nothing is told."""
    told = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", told, re.ASCII):
        return float(told)
    at = _date(told)
    return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at else 0.0


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
