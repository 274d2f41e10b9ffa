"""An S3 server whose buckets hold as many keys as their name says: `keys-1000000-left` lists a million.

`python synthetic_s3.py PORT [SECONDS]`; each page takes so many seconds more, as pages do that come from far away.
Keys, sizes and ETags follow from a key's number, so nothing is stored; two buckets of one count list the same. It
answers ListObjectsV2 (prefix, delimiter, start-after, continuation-token, max-keys) and HEAD, and remembers small
objects that are written to it, which no listing shows.
"""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from html import escape
from itertools import accumulate
from pathlib import Path
from threading import Lock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.loopback import Answer, Request, error, serve

PER_FOLDER = 250
NAME = re.compile(r"keys-(\d+)-[a-z0-9-]+")
SPREAD = 0x9E3779B97F4A7C15F39D
"""An odd number: multiplying by it makes each folder's number another 80 bits, with which its ETags begin."""


def key_at(number: int) -> str:
    """The key with this number. Keys ascend as their numbers do."""
    folder, place = divmod(number, PER_FOLDER)
    return f"photos/{folder:06}/image-{folder:06}{place:03}.jpg"


def etag_at(number: int) -> str:
    folder, place = divmod(number, PER_FOLDER)
    return mark_of(folder) + f"{(place + 1) * SPREAD & (1 << 48) - 1:012x}"


def mark_of(folder: int) -> str:
    """How the ETags of a folder begin."""
    return f"{(folder + 1) * SPREAD & (1 << 80) - 1:020x}"


def size_at(number: int) -> int:
    return 1000 + number % PER_FOLDER * 397


def first_not_below(key: str, count: int) -> int:
    """The number of the first key >= `key`; `count` if there is none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if key_at(middle) < key:
            low = middle + 1
        else:
            high = middle
    return low


def row(number: int) -> bytes:
    """The XML of one key."""
    return (
        f"<Contents><Key>{key_at(number)}</Key><LastModified>2025-06-03T10:00:00.000Z</LastModified>"
        f"<ETag>&quot;{etag_at(number)}&quot;</ETag><Size>{size_at(number)}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    ).encode()


FIRST = [row(place) for place in range(PER_FOLDER)]
ENDS = [0, *accumulate(map(len, FIRST))]
"""Where each row of a folder ends: the same in all, up to 250 million keys. What differs is number and mark."""


@lru_cache(maxsize=256)
def folder_rows(folder: int) -> bytes:
    """The XML of a folder's keys: the first folder's with another number and mark. The clients that are measured share
    the processors with this server, so it shall cost little; and it is kept for a while, because the other bucket is
    asked for the same ones next."""
    first = b"".join(FIRST).replace(b"000000", b"%06d" % folder)
    return first.replace(mark_of(0).encode(), mark_of(folder).encode())


def entries(start: int, end: int) -> bytes:
    """The XML of some keys."""
    parts = []
    while start < end:
        folder, place = divmod(start, PER_FOLDER)
        until = min(PER_FOLDER, place + end - start)
        parts.append(folder_rows(folder)[ENDS[place] : ENDS[until]])
        start += until - place
    return b"".join(parts)


def listing(count: int, query: dict[str, str]) -> Answer:
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    low = first_not_below(prefix, count)
    high = first_not_below(prefix + "\U0010ffff", count)
    if token := query.get("continuation-token"):
        low = max(low, int(token))
    elif after := query.get("start-after"):
        low = max(low, first_not_below(after + "\0", count))
    limit = min(1000, int(query.get("max-keys", "1000")))
    if delimiter:
        body, total, following = folders(low, high, limit, prefix, delimiter)
    else:
        following = min(high, low + limit)
        body, total = entries(low, following), following - low
    more = following < high
    tail = f"<NextContinuationToken>{following}</NextContinuationToken>" if more else ""
    head = (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>b</Name><Prefix>{escape(prefix)}</Prefix><MaxKeys>{limit}</MaxKeys><KeyCount>{total}</KeyCount>"
        f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{tail}"
    )
    return Answer(
        body=b"".join([head.encode(), body, b"</ListBucketResult>"]), headers={"Content-Type": "application/xml"}
    )


def folders(low: int, high: int, limit: int, prefix: str, delimiter: str) -> tuple[bytes, int, int]:
    """A listing of one level: its XML, how many rows it has, and the number of the key that follows."""
    parts: list[bytes] = []
    while low < high and len(parts) < limit:
        name, found, _ = key_at(low)[len(prefix) :].partition(delimiter)
        if found:
            folder = prefix + name + delimiter
            parts.append(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>".encode())
            low = first_not_below(folder + "\U0010ffff", high)
        else:
            parts.append(entries(low, low + 1))
            low += 1
    return b"".join(parts), len(parts), low


class Written:
    """What was written: a client may try out what this server can do."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], bytes] = {}
        self._lock = Lock()

    def handle(self, request: Request) -> Answer:
        name = (request.bucket, request.key)
        with self._lock:
            there = self._objects.get(name)
            if not self._allowed(request.headers, there):
                return error(412, "PreconditionFailed")
            if request.method == "PUT":
                body = b"".join(map(bytes, request.body))
                self._objects[name] = body
                return Answer(headers={"ETag": quoted(body)})
            if request.method == "DELETE":
                self._objects.pop(name, None)
                return Answer(status=204)
            if there is None:
                return error(404, "NoSuchKey")
            if request.method == "HEAD":
                return Answer(headers={"ETag": quoted(there)}, length=len(there))
            return Answer(body=there, headers={"ETag": quoted(there)})

    @staticmethod
    def _allowed(headers: object, there: bytes | None) -> bool:
        assert isinstance(headers, dict)
        if headers.get(b"if-none-match") == b"*" and there is not None:
            return False
        wanted = headers.get(b"if-match")
        return wanted is None or (there is not None and wanted.decode() == quoted(there))


def quoted(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def handler(journey: float = 0.0) -> Callable[[Request], Answer]:
    """`journey`: seconds before each page."""
    written = Written()

    def handle(request: Request) -> Answer:
        if not request.bucket:
            return Answer()
        found = NAME.fullmatch(request.bucket)
        if not found:
            return error(404, "NoSuchBucket")
        count = int(found[1])
        if not request.key and request.method == "GET":
            time.sleep(journey)
            return listing(count, dict(request.query))
        if not request.key:
            return Answer()
        number = first_not_below(request.key, count)
        if request.method == "HEAD" and number < count and key_at(number) == request.key:
            return Answer(headers={"ETag": f'"{etag_at(number)}"'}, length=size_at(number))
        return written.handle(request)

    return handle


if __name__ == "__main__":
    serve(int(sys.argv[1]), handler(float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
