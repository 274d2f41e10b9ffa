"""Walking a folder in key order, without holding the tree in memory and without following a link.

A folder is read as a whole, then its names are sorted with each subfolder as `name/`: that is the order of the keys
below it, so a depth-first walk yields keys in ascending order. Three things can break that order, and each is noticed
and answered with `OutOfOrder`: two spellings of one folder name (NFC and NFD), a folder that could be opened when its
parent was read and cannot be read now, and a huge folder (which spills to the sort) that holds an unreadable one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from itertools import chain, islice
from operator import itemgetter
from typing import Final

from trueup import keys
from trueup.errors import ListingUnfinished, NotFound, StoreError, TrueupError
from trueup.stores.base import Entry, OutOfOrder
from trueup.stores.oserror import translated, why
from trueup.stores.sort import sorted_entries
from trueup.stores.stopping import heed, heeded

SPILL: Final = 50_000
"""Names of one folder that are sorted in memory; more go through the external sort."""

_FOLDER: Final = "folder"
"""Fault of an entry that stands for a subfolder, inside this module only; its key ends with `/`."""

_BY_FD: Final = os.scandir in os.supports_fd
_OPEN_FOLDER: Final = (
    os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
)
_REGULAR: Final = stat.S_IFREG


def fingerprint(status: os.stat_result) -> str:
    """`mtime:ctime:inode` in nanoseconds. On Windows only the mtime: a listing does not show the others there."""
    if _BY_FD:
        return f"{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"
    return f"{status.st_mtime_ns}"


def walk(root: str, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:
    """Every file below `root` with a normal key of at least `start`, and a fault for all that cannot be seen.

    A fault on a folder above `start` is yielded too: it hides keys the caller asked for. Raises `NotFound` when the
    root is missing, `ListingUnfinished` when it vanishes or breaks under the walk, `OutOfOrder` (see above) only with
    `ordered`.
    """
    start = keys.normal(start)
    try:
        before = os.stat(root)
    except FileNotFoundError:
        raise NotFound(f"the folder {keys.display(root)} is not there") from None
    except OSError as error:
        raise translated(error, root, "read") from error
    if not stat.S_ISDIR(before.st_mode):
        raise StoreError(f"{keys.display(root)} is not a folder", cure="Name the folder it lies in")
    yield from _in_order(root, start) if ordered else sorted_entries(_in_any_order(root, start))
    # An unmounted disk makes every folder below it vanish, which must not look like a tree somebody emptied.
    try:
        after = os.stat(root)
    except OSError as error:
        raise ListingUnfinished(f"the folder {keys.display(root)} went away under the listing: {why(error)}") from error
    if (after.st_dev, after.st_ino) != (before.st_dev, before.st_ino):
        raise ListingUnfinished(f"the folder {keys.display(root)} was replaced under the listing", cure="Run again")


def _in_order(root: str, start: str) -> Iterator[Entry]:
    previous = ""
    try:
        stack = [_sorted_folder(root, "", start)]
    except OSError as error:
        raise _root_error(root, error) from error
    normal = keys.normal
    while stack:
        for entry in stack[-1]:
            key = entry[0]
            if entry[6] == _FOLDER:
                try:
                    stack.append(_sorted_folder(root, key, start))
                except OSError as error:
                    if (shown := _folder_fault(root, key, error)) is None:
                        continue
                    key = shown[0]
                else:
                    break
            else:
                shown = entry
            order = key if key.isascii() else normal(key)
            if order < previous:
                raise OutOfOrder(key)
            previous = order
            yield shown
        else:
            stack.pop()


def _in_any_order(root: str, start: str) -> Iterator[Entry]:
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            for entry in _folder(root, prefix, start):
                if entry.fault == _FOLDER:
                    waiting.append(entry.key)
                else:
                    yield entry
        except OSError as error:
            if not prefix:
                raise _root_error(root, error) from error
            fault = _folder_fault(root, prefix, error)
            if fault is not None:
                yield fault


def _sorted_folder(root: str, prefix: str, start: str) -> Iterator[Entry]:
    """One folder's entries in key order, read to its end before the first is given."""
    names = _folder(root, prefix, start)
    batch = list(islice(names, SPILL))
    more = next(names, None) if len(batch) == SPILL else None
    if more is not None:
        spilled = sorted_entries(chain(batch, (more,), names))
        first = next(spilled)  # reads the folder to its end: its errors belong here
        return chain((first,), spilled)
    _sort(batch)
    if _probe_folders(root, batch):
        _sort(batch)
    return iter(batch)


def _sort(batch: list[Entry]) -> None:
    key_of = itemgetter(0)
    batch.sort(key=key_of if all(map(str.isascii, map(key_of, batch))) else _order)


def _probe_folders(root: str, batch: list[Entry]) -> bool:
    """Replace subfolders that cannot be opened by their faults, where that must be known now: a fault shows under
    `name`, which sorts before a sibling `name-x`, while what is in the folder sorts as `name/` after it."""
    hidden = False
    for index, entry in enumerate(batch):
        if index and entry[6] == _FOLDER:
            name, before = _order(entry)[:-1], _order(batch[index - 1])
            if before > name and before.startswith(name) and (fault := _probe(root, entry[0])) is not None:
                batch[index] = fault
                hidden = True
    return hidden


def _order(entry: Entry) -> str:
    key = entry[0]
    return key if key.isascii() else keys.normal(key)


def _open(root: str, prefix: str) -> int | str:
    """What `scandir` takes: a descriptor opened without following a link, or a path where that does not exist."""
    path = f"{root}/{prefix[:-1]}" if prefix else root
    return os.open(path, _OPEN_FOLDER) if _BY_FD else path


def _folder(root: str, prefix: str, start: str) -> Iterator[Entry]:
    """One folder's entries as the system gives them; subfolders are entries with the fault `_FOLDER`.

    Raises `OSError` when the folder cannot be opened or read to its end.
    """
    heed()
    place = _open(root, prefix)
    reserved, reserved_part = keys.is_reserved, keys.RESERVED
    made, new = tuple.__new__, Entry
    try:
        with os.scandir(place) as found:
            for item in heeded(found):
                name = item.name
                if reserved_part in name and reserved(name):
                    continue
                key = prefix + name
                if start and before(key, start):
                    continue
                if not name.isascii() and not _encodable(name):
                    yield Entry(key, fault="unaddressable", detail="its name is not valid Unicode")
                    continue
                try:
                    if item.is_file(follow_symlinks=False):
                        if start and keys.normal(key) < start:
                            continue
                        seen = item.stat(follow_symlinks=False)
                        if _BY_FD and seen.st_mode & 0o170000 == _REGULAR:
                            mtime = seen.st_mtime_ns
                            print_ = f"{mtime}:{seen.st_ctime_ns}:{seen.st_ino}"
                            yield made(new, (key, seen.st_size, mtime, print_, "", "", "", ""))
                        else:
                            yield _other(key, seen)
                    elif item.is_dir(follow_symlinks=False):
                        yield made(new, (key + "/", 0, 0, "", "", "", _FOLDER, ""))
                    else:
                        yield _other(key, item.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue  # gone since the folder was read: absent
                except OSError as error:
                    yield Entry(key, fault="unreadable", detail=f"it cannot be looked at: {why(error)}")
    finally:
        if isinstance(place, int):
            os.close(place)


def before(key: str, start: str) -> bool:
    """Whether `key` and everything that could lie below it sort before `start`."""
    folder = keys.normal(key) + "/"
    return folder < start and not start.startswith(folder)


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _other(key: str, seen: os.stat_result) -> Entry:
    mode = seen.st_mode
    if stat.S_ISREG(mode):
        return Entry(key, seen.st_size, seen.st_mtime_ns, fingerprint(seen))
    if stat.S_ISLNK(mode):
        return Entry(key, fault="link", detail="it is a link, and links are not followed")
    if stat.S_ISDIR(mode):
        return Entry(key, fault="unreadable", detail="it became a folder while it was listed")
    return Entry(key, fault="special", detail="it is a device, a pipe or a socket, not a file")


def _root_error(root: str, error: OSError) -> TrueupError:
    if isinstance(error, PermissionError):
        return translated(error, root, "read")
    return ListingUnfinished(f"the folder {keys.display(root)} cannot be read: {why(error)}")


def _folder_fault(root: str, prefix: str, error: OSError) -> Entry | None:
    """What a folder below the root that could not be read is: None when it is gone."""
    key = prefix[:-1]
    try:
        present = os.lstat(f"{root}/{key}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass
    else:
        if not stat.S_ISDIR(present.st_mode) and not stat.S_ISREG(present.st_mode):
            return _other(key, present)
    return Entry(key, fault="unreadable", detail=f"the folder cannot be read: {why(error)}")


def _probe(root: str, prefix: str) -> Entry | None:
    try:
        place = _open(root, prefix)
        if isinstance(place, int):
            os.close(place)
        else:
            os.scandir(place).close()
    except OSError as error:
        return _folder_fault(root, prefix, error)
    return None
