"""The bytes of one file: read in pieces, or written beside its place and published whole."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Final

from trueup import keys
from trueup.errors import PreconditionFailed, StoreError
from trueup.stores.base import CHUNK, Entry
from trueup.stores.oserror import NO_LINKS, translated
from trueup.stores.walk import fingerprint

Made = list[str]
"""Paths of folders made for one write, outermost first."""

WINDOWS: Final = os.name == "nt"
_FLAGS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# O_NONBLOCK: opening a pipe that took a file's place must not hang; on a file it means nothing.
READ: Final = os.O_RDONLY | _FLAGS | getattr(os, "O_NONBLOCK", 0)
CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
UNNAMED: Final = getattr(os, "O_TMPFILE", 0) and os.O_WRONLY | os.O_TMPFILE | _FLAGS
"""For opening a folder: a file in it that has no name yet. 0 where the system has no such thing."""
_UTIME_BY_FD: Final = os.utime in os.supports_fd


def kind(status: os.stat_result) -> str:
    """What lies where a file was expected."""
    if stat.S_ISLNK(status.st_mode):
        return "a link"
    if stat.S_ISDIR(status.st_mode):
        return "a folder"
    return "a file" if stat.S_ISREG(status.st_mode) else "a device, a pipe or a socket"


def entry_of(key: str, status: os.stat_result) -> Entry:
    """An ordinary file's entry; its MD5 is not known."""
    return Entry(key, status.st_size, status.st_mtime_ns, fingerprint(status))


def same_content(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two looks showed one unchanged file; its ctime may differ, because a hard link or a rename moves it."""
    return (
        one.st_ino == other.st_ino
        and one.st_size == other.st_size
        and one.st_mtime_ns == other.st_mtime_ns
        and one.st_dev == other.st_dev
    )


def changed(key: str, when: str = "") -> PreconditionFailed:
    """The error for a file that is another one now than the one planned with, or begun with."""
    return PreconditionFailed(
        f"'{keys.display(key)}' changed {when or 'since it was looked at'}", cure="Run again to compare it anew"
    )


def present_already(key: str) -> PreconditionFailed:
    """The error for a file in a place that was to be free."""
    return PreconditionFailed(f"'{keys.display(key)}' is there already", cure="Run again to compare it")


def pieces(
    file: int, key: str, before: os.stat_result, offset: int, length: int | None
) -> Generator[bytes, None, None]:
    """The bytes from `offset` on. Raises `PreconditionFailed` before the end when the file changed meanwhile."""
    end = before.st_size if length is None else min(before.st_size, offset + length)
    position = offset
    try:
        if offset:
            os.lseek(file, offset, os.SEEK_SET)
        while position < end:
            piece = os.read(file, min(CHUNK, end - position))
            if not piece:
                raise changed(key, "while it was read")
            position += len(piece)
            yield piece
        after = os.fstat(file)
    except OSError as error:
        raise translated(error, key, "read") from error
    if after.st_size != before.st_size or fingerprint(after) != fingerprint(before):
        raise changed(key, "while it was read")


def gathered(body: Iterable[bytes], size: int) -> list[bytes]:
    """A body of `size` bytes in memory; a little more of one that is longer, so that it is noticed."""
    found = []
    total = 0
    for piece in body:
        found.append(piece)
        total += len(piece)
        if total > size:
            break
    return found


def store(file: int, key: str, body: Iterable[bytes], size: int | None, expected: str) -> str:
    """Write the body to an open file; its hex MD5. Its length and its MD5 must be as expected where that is known.
    What `body` raises passes through."""
    md5 = hashlib.md5(usedforsecurity=False)
    total = 0
    for piece in body:
        md5.update(piece)
        total += len(piece)
        if size is not None and total > size:
            break
        try:
            written = os.write(file, piece)
            while written < len(piece):
                written += os.write(file, memoryview(piece)[written:])
        except OSError as error:
            raise translated(error, key, "written") from error
    return checked(key, total, md5.hexdigest(), size, expected)


def checked(key: str, total: int, md5: str, size: int | None, expected: str) -> str:
    """The hex MD5 of `total` bytes that came, if both are as expected where that is known, else a `StoreError`."""
    if size is not None and total != size:
        more = "more than " if total > size else f"{total} of "
        raise StoreError(f"'{keys.display(key)}' brought {more}the expected {size} bytes", cure="Run again")
    if expected and md5 != expected:
        raise StoreError(f"'{keys.display(key)}' brought other bytes than expected: its MD5 is {md5}, not {expected}")
    return md5


def close(file: int, key: str) -> None:
    """Close a written file, which may be the first to say that the bytes did not fit."""
    try:
        os.close(file)
    except OSError as error:
        raise translated(error, key, "written") from error


def seal(file: int, path: str, key: str, mtime_ns: int | None, replaced: os.stat_result | None) -> os.stat_result:
    """Give a written file its time, and the permission bits of the file it replaces; what it then is."""
    try:
        if replaced is not None and not WINDOWS:
            with suppress(PermissionError):  # FAT and some mounts know no permissions
                os.fchmod(file, replaced.st_mode & 0o777)
        date(file if _UTIME_BY_FD else path, key, mtime_ns)
        return os.fstat(file)
    except OSError as error:
        raise translated(error, key, "written") from error


def date(file: int | str, key: str, mtime_ns: int | None) -> None:
    """Set a file's modification time, if there is one to set. Raises `OSError` too."""
    try:
        if mtime_ns is not None:
            os.utime(file, ns=(time.time_ns(), mtime_ns))
    except OverflowError:
        raise StoreError(f"'{keys.display(key)}' has a modification time this disk cannot hold: {mtime_ns}") from None


def name(file: int, path: str) -> None:
    """Give a file without a name its name, never over another file. Raises `OSError`."""
    # Any descriptor for src_dir_fd, which an absolute path does not need: with one, Python follows the link in /proc.
    os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file, follow_symlinks=True)


def publish(temporary: str, path: str, key: str, *, if_absent: bool) -> None:
    """Put a sealed file in its place: atomically, and with `if_absent` never over another file."""
    try:
        if not if_absent:
            os.replace(temporary, path)
            return
        if not WINDOWS:
            try:
                os.link(temporary, path)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                if os.path.lexists(path):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            else:
                os.unlink(temporary)
                return
        os.rename(temporary, path)  # on Windows a rename never overwrites
    except FileExistsError:
        raise present_already(key) from None
    except OSError as error:
        raise translated(error, key, "written") from error


def published(key: str, path: str, ours: os.stat_result, md5: str = "") -> Entry:
    """The entry of a file just put under `path`; its fingerprint is empty unless it is still the one we put there."""
    try:
        now = os.lstat(path)
    except OSError:
        now = None
    seen = fingerprint(now) if now is not None and same_content(now, ours) else ""
    return Entry(key, ours.st_size, ours.st_mtime_ns, seen, md5)


def sync_to_disk(path: str, key: str) -> None:
    """`fsync` a file or a folder; what is not there needs none."""
    try:
        file = os.open(path, os.O_RDWR | _FLAGS if WINDOWS else READ)
        try:
            os.fsync(file)
        finally:
            os.close(file)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise translated(error, key, "flushed") from error
