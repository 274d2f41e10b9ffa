"""An S3 server that keeps what an object is (size, ETag) and throws its bytes away: `python discard_s3.py PORT`.

Uploads of any size cost no disk. ETags are real (MD5 of the body, or of the parts' MD5s), so a client that checks what
it sent is content.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import count
from pathlib import Path
from threading import Lock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.loopback import Answer, Request, error, serve


@dataclass(slots=True)
class Shelf:
    """What is known of each object, and of each upload in parts."""

    objects: dict[str, tuple[int, str]] = field(default_factory=dict)
    uploads: dict[str, dict[int, tuple[int, bytes]]] = field(default_factory=dict)
    names: count[int] = field(default_factory=lambda: count(1))
    lock: Lock = field(default_factory=Lock)


def handler() -> Callable[[Request], Answer]:
    shelf = Shelf()

    def handle(request: Request) -> Answer:
        if not request.key:
            return listing(shelf, request) if request.method == "GET" and request.bucket else Answer()
        name = f"{request.bucket}/{request.key}"
        match request.method:
            case "PUT":
                return put(shelf, name, request)
            case "POST":
                return post(shelf, name, request)
            case "DELETE":
                with shelf.lock:
                    shelf.objects.pop(name, None)
                    shelf.uploads.pop(request.query.get("uploadId", ""), None)
                return Answer(status=204)
            case _:
                there = shelf.objects.get(name)
                if there is None:
                    return error(404, "NoSuchKey")
                if request.method == "HEAD":
                    return Answer(headers={"ETag": f'"{there[1]}"'}, length=there[0])
                return error(403, "AccessDenied")

    return handle


def put(shelf: Shelf, name: str, request: Request) -> Answer:
    digest, size = hashlib.md5(), 0
    for block in request.body:
        digest.update(block)
        size += len(block)
    upload = request.query.get("uploadId")
    with shelf.lock:
        if upload is not None:
            shelf.uploads[upload][int(request.query["partNumber"])] = (size, digest.digest())
        elif not allowed(request.headers, shelf.objects.get(name)):
            return error(412, "PreconditionFailed")
        else:
            shelf.objects[name] = (size, digest.hexdigest())
    return Answer(headers={"ETag": f'"{digest.hexdigest()}"'})


def post(shelf: Shelf, name: str, request: Request) -> Answer:
    with shelf.lock:
        if "uploads" in request.query:
            upload = f"upload-{next(shelf.names)}"
            shelf.uploads[upload] = {}
            return xml(f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        if not allowed(request.headers, shelf.objects.get(name)):
            return error(412, "PreconditionFailed")
        parts = shelf.uploads.pop(request.query["uploadId"])
        whole = hashlib.md5(b"".join(parts[number][1] for number in sorted(parts))).hexdigest()
        etag = f"{whole}-{len(parts)}"
        shelf.objects[name] = (sum(size for size, _ in parts.values()), etag)
    return xml(f"<CompleteMultipartUploadResult><ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>")


def allowed(headers: Mapping[bytes, bytes], there: tuple[int, str] | None) -> bool:
    if headers.get(b"if-none-match") == b"*" and there is not None:
        return False
    wanted = headers.get(b"if-match")
    return wanted is None or (there is not None and wanted.decode().strip('"') == there[1])


def listing(shelf: Shelf, request: Request) -> Answer:
    """Everything below the prefix, in one page: this server is for a handful of objects."""
    start = f"{request.bucket}/{request.query.get('prefix', '')}"
    with shelf.lock:
        found = sorted((name, *there) for name, there in shelf.objects.items() if name.startswith(start))
    rows = "".join(
        f"<Contents><Key>{escape(name.partition('/')[2])}</Key><LastModified>2025-06-03T10:00:00.000Z</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Contents>"
        for name, size, etag in found
    )
    return xml(
        f"<ListBucketResult><Name>b</Name><KeyCount>{len(found)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
    )


def xml(text: str) -> Answer:
    return Answer(
        body=f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), headers={"Content-Type": "application/xml"}
    )


if __name__ == "__main__":
    serve(int(sys.argv[1]), handler())
