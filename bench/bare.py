"""The least that can move the same bytes: OpenDAL in a thread pool. No plan, no memory, no checks, no retries.

`python bare.py upload|download|list FOLDER BUCKET PREFIX WORKERS`; the server is named by the usual `AWS_*` variables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import opendal

CHUNK = 8 << 20
AT_ONCE = 4
"""Parts of one file in flight."""
LARGE = 16 << 20
"""Bytes from which a file travels in parts."""


def main() -> None:
    verb, folder, bucket, prefix, workers = sys.argv[1:]
    operator = opendal.Operator(
        "s3",
        bucket=bucket,
        root=f"/{prefix}",
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        region=os.environ["AWS_REGION"],
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        disable_config_load="true",
    )
    if verb == "list":
        theirs = sum(1 for _ in objects(operator))
        print(theirs, sum(1 for _ in files(folder)))
        return
    with ThreadPoolExecutor(int(workers)) as pool:
        if verb == "upload":
            done = [pool.submit(upload, operator, path, path[len(folder) + 1 :], size) for path, size in files(folder)]
        else:
            done = [pool.submit(download, operator, key, f"{folder}/{key}", size) for key, size in objects(operator)]
        for one in done:
            one.result()


def files(folder: str) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from files(entry.path)
            else:
                yield entry.path, entry.stat().st_size


def objects(operator: opendal.Operator) -> Iterator[tuple[str, int]]:
    for entry in operator.scan(""):
        if not entry.path.endswith("/"):
            yield entry.path, entry.metadata.content_length


def upload(operator: opendal.Operator, path: str, key: str, size: int) -> None:
    with open(path, "rb") as source:  # noqa: PTH123 - this is the loop without comforts
        if size < LARGE:
            operator.write(key, source.read())
            return
        with operator.open(key, "wb", chunk=CHUNK, concurrent=AT_ONCE) as sink:
            while block := source.read(CHUNK):
                sink.write(block)


def download(operator: opendal.Operator, key: str, path: str, size: int) -> None:
    try:
        sink = open(path, "wb", buffering=0)  # noqa: PTH123, SIM115 - the same
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - the same
        sink = open(path, "wb", buffering=0)  # noqa: PTH123, SIM115 - the same
    with sink:
        if size < LARGE:
            sink.write(operator.read(key))
            return
        with operator.open(key, "rb", chunk=CHUNK, concurrent=AT_ONCE) as source:
            while block := source.read(CHUNK):
                sink.write(block)


if __name__ == "__main__":
    main()
