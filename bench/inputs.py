"""The files that are moved, made once for a run."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path


def small_files(folder: Path, count: int, mean: int, *, per_folder: int = 200) -> int:
    """Make `count` files of `mean` bytes on average, with content of their own, spread over nested folders. Returns
    the bytes in all; the same arguments make the same files."""
    dice = random.Random(count)
    noise = dice.randbytes(4 * mean)
    total = 0
    for number in range(count):
        group = number // per_folder
        parent = folder / f"group-{group // 10:03}" / f"part-{group % 10}"
        if number % per_folder == 0:
            parent.mkdir(parents=True)
        size = dice.randint(mean // 8, mean * 15 // 8)
        start = dice.randint(0, 2 * mean)
        (parent / f"file-{number:07}.bin").write_bytes(b"%08d" % number + noise[start : start + size - 8])
        total += size
    return total


def large_files(folder: Path, count: int, size: int) -> int:
    """Make `count` files of `size` random bytes each. Returns the bytes in all."""
    folder.mkdir(parents=True)
    for number in range(count):
        with (folder / f"large-{number}.bin").open("wb") as file:
            for _ in range(size >> 20):
                file.write(os.urandom(1 << 20))
    return count * size


def sparse_files(folder: Path, count: int, size: int) -> int:
    """Make `count` files of `size` bytes that take no room on the disk. Returns the bytes in all."""
    folder.mkdir(parents=True)
    for number in range(count):
        with (folder / f"sparse-{number}.bin").open("wb") as file:
            file.truncate(size)
    return count * size


def files(folder: Path) -> list[Path]:
    """Every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def sizes(folder: Path) -> dict[str, int]:
    """The relative path of every file, with its bytes."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files(folder)}


def digests(folder: Path) -> dict[str, str]:
    """The relative path of every file, with its MD5. Reads them all, so no tool is the first to."""
    return {path.relative_to(folder).as_posix(): md5(path) for path in files(folder)}


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
