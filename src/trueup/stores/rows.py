"""What OpenDAL tells of an object, as the fields of an `Entry`: one reading for listings and stats."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final

from trueup import keys

if TYPE_CHECKING:
    from opendal.types import Entry, Metadata

Row = tuple[str, int, int, str, str, str, str, str]
"""The fields of an `Entry`, in order; a plain tuple goes through `marshal`."""
Columns = tuple[list[str], list[int], list[int], list[str], list[str], list[str]]
"""The same fields of many, each by itself, and without those of a fault."""

_METADATA: Final = attrgetter("metadata")
_SIZE: Final = attrgetter("content_length")
_ETAG: Final = attrgetter("etag")
_MODIFIED: Final = attrgetter("last_modified")
_END: Final = itemgetter(-1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def rows_of(names: Sequence[str], found: Sequence[Entry], service: str, prefix: str) -> Iterator[Row]:
    """Listed objects, whose names were taken from them, but those of trueup's own."""
    for name, entry in zip(names, found, strict=True):
        made = row(name, entry.metadata, service, prefix)
        if made is not None:
            yield made


def columns_of(names: list[str], found: Sequence[Entry], service: str, prefix: str) -> Columns | None:
    """The same, field by field, which is cheaper; None where a name is odd, or the service another than S3."""
    if service != "s3" or not _plain(names, prefix):
        return None
    told = [*map(_METADATA, found)]
    etags = [etag.strip('"') if etag else "" for etag in map(_ETAG, told)]
    md5s = [etag if len(etag) == 32 else "" for etag in etags]
    return names, [*map(_SIZE, told)], [*_mtimes(told)], etags, md5s, etags


def _plain(names: Sequence[str], prefix: str) -> bool:
    """Whether no name is odd to S3: `_odd`, of many at once."""
    together = "\n".join(names)
    return (
        min(names) >= "0"  # which follows "/"
        and min(map(_END, names)) >= "0"
        and "//" not in together
        and "/." not in together
        and "\0" not in together
        and together.isascii()
        and len(prefix) + max(map(len, names)) <= 256
    )


def row(key: str, metadata: Metadata, service: str, prefix: str) -> Row | None:
    """One listed object; None for a name of trueup's own."""
    if _odd(key, prefix):
        size, mtime_ns = metadata.content_length, _ns(metadata.last_modified)
        return listed(key, size, mtime_ns, metadata.etag, metadata.content_md5, service=service, prefix=prefix)
    return seen(key, metadata, service)


def listed(
    key: str, size: int, mtime_ns: int, etag: str | None, content_md5: str | None, *, service: str, prefix: str
) -> Row | None:
    """The same of what was told by anybody. Raises `ValueError` for an MD5 that is not base64."""
    if _odd(key, prefix):
        if keys.is_reserved(key):
            return None
        if key[-1] == "/" and not keys.unaddressable(key[:-1]):
            return (key, size, mtime_ns, "", "", "", "marker", "a folder marker")
        if why := unaddressable(key, service, prefix):
            return (key, size, mtime_ns, "", "", "", "unaddressable", why)
    return _ordinary(key, size, mtime_ns, (etag or "").strip('"'), content_md5, service)


def _odd(key: str, prefix: str) -> bool:
    """Whether a name has to be looked at closely. Few have."""
    return (
        key[0] <= "/"
        or key[-1] <= "/"
        or "//" in key
        or "/." in key
        or "\0" in key
        or not key.isascii()
        or "\\" in key
        or len(prefix) + len(key) > 256
    )


def unaddressable(key: str, service: str, prefix: str) -> str | None:
    """Why this service's client cannot address a key, or None."""
    # https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
    if service == "azblob" and "\\" in key:
        return "the name holds a backslash, which Azure takes for a slash"
    return keys.unaddressable_in_cloud(key, prefix=prefix)


def seen(key: str, metadata: Metadata, service: str) -> Row:
    """One ordinary object."""
    etag = (metadata.etag or "").strip('"')
    return _ordinary(key, metadata.content_length, _ns(metadata.last_modified), etag, metadata.content_md5, service)


def _ordinary(key: str, size: int, mtime_ns: int, etag: str, content_md5: str | None, service: str) -> Row:
    """Its fingerprint, and what is known of its content.

    S3 and R2: an ETag of 32 characters is taken for the MD5. Where the bucket encrypts with KMS it is not; but no
    content has such an ETag as its MD5 by accident, so that mistake can only say *different*, which is then settled by
    reading, and never *equal*. GCS and Azure tell the MD5 itself, Azure only of what was uploaded in one piece.
    """
    if service == "s3":
        fingerprint, md5 = etag, etag if len(etag) == 32 else ""
    else:
        md5 = binascii.a2b_base64(content_md5).hex() if content_md5 else ""
        fingerprint = f"md5:{md5}" if md5 else etag
    return (key, size, mtime_ns, fingerprint, md5, etag, "", "")


def _mtimes(found: Iterable[Metadata]) -> Iterator[int]:
    """Of many. Neighbours were often uploaded in the same second, and S3 tells whole seconds."""
    last, last_ns = None, 0
    for modified in map(_MODIFIED, found):
        if modified != last:
            last, last_ns = modified, _ns(modified)
        yield last_ns


def _ns(modified: datetime | None) -> int:
    return (modified - _EPOCH) // _MICROSECOND * 1000 if modified else 0
