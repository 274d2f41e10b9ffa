"""What an object in a bucket says of itself, as the client tells it and takes it.

A bucket dates its objects itself, so the time of the content is noted under the name and in the form that rclone uses
too: https://rclone.org/s3/#modification-times-and-hashes
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypedDict

from trueup import keys
from trueup.errors import StoreError
from trueup.stores.base import Metadata, storable_ns
from trueup.stores.place import Place

if TYPE_CHECKING:
    from opendal.capability import Capability
    from opendal.types import Metadata as Told

# Azure allows letters, digits and underscores here; some proxies drop what holds an underscore.
TOKEN: Final = "trueuptoken"  # noqa: S105 - a name
"""The user metadata by which an upload is known to be ours."""
MTIME: Final = "mtime"
"""The user metadata that holds when the content was modified: seconds since 1970, with a fraction."""

_SECONDS: Final = re.compile(r"-?\d{1,12}(\.\d{1,9})?")
# A signature takes several spaces for one, and none for those at the ends.
_HEADER: Final = re.compile(r"([\x21-\x7e]+( [\x21-\x7e]+)*)?")
# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_NAMES: Final = {"azblob": re.compile(r"[A-Za-z_][A-Za-z0-9_]*")}
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Options(TypedDict, total=False):
    """What OpenDAL's `write` and `open` take of what we use."""

    cache_control: str
    content_disposition: str
    content_encoding: str
    content_type: str
    if_match: str
    if_not_exists: bool
    user_metadata: dict[str, str]


def told(found: Told) -> Metadata:
    """What an object says of itself, without our own token."""
    user = {name.lower(): value for name, value in (found.user_metadata or {}).items() if name.lower() != TOKEN}
    mtime_ns = _time_ns(user.get(MTIME, ""))
    if mtime_ns is not None:
        del user[MTIME]
    return Metadata(
        mtime_ns=mtime_ns,
        content_type=found.content_type or "",
        content_disposition=found.content_disposition or "",
        content_encoding=found.content_encoding or "",
        user=user,
    )


def add(metadata: Metadata, options: Options, place: Place, can: Capability, key: str) -> None:
    """Put it into the options of a write. Raises `StoreError` for what cannot be kept there."""
    user = dict(metadata.user)
    if metadata.mtime_ns is not None:  # what the users call so themselves, and is no time, stays theirs
        user.setdefault(MTIME, format(Decimal(metadata.mtime_ns).scaleb(-9), "f"))
    for name, value in user.items():
        if not _NAMES.get(place.service, _NAME).fullmatch(name) or not _HEADER.fullmatch(value):
            raise _refused(key, f"its metadata '{keys.display(name)}'", place)
    if user:
        options["user_metadata"] = user
    if metadata.content_type:
        options["content_type"] = metadata.content_type
    if metadata.content_disposition:
        if not can.write_with_content_disposition:
            raise _refused(key, "its Content-Disposition", place)
        options["content_disposition"] = metadata.content_disposition
    if metadata.content_encoding:
        if not can.write_with_content_encoding:
            raise _refused(key, "its Content-Encoding", place)
        options["content_encoding"] = metadata.content_encoding


def _refused(key: str, what: str, place: Place) -> StoreError:
    return StoreError(
        f"'{keys.display(key)}' was not written: {what} cannot be kept in {place.url}",
        cure="Leave metadata out of --preserve, or take it off the source",
    )


def _time_ns(seconds: str) -> int | None:
    """None for what is no time: anybody may have written it."""
    if not _SECONDS.fullmatch(seconds):
        return None
    time_ns = int(Decimal(seconds).scaleb(9))
    return time_ns if storable_ns(time_ns) == time_ns else None
