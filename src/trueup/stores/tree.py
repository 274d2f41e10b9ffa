"""Where a key lies in a folder, and what is there now; nothing here follows a link below the root."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from functools import cached_property
from itertools import islice

from trueup import keys
from trueup.errors import Hidden, NotFound, PreconditionFailed, StoreError, Unaddressable
from trueup.stores.files import WINDOWS, kind
from trueup.stores.oserror import translated


class Tree:
    """The paths below one root (absolute, resolved)."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._below = root if root.endswith(os.sep) else root + os.sep

    def path(self, key: str) -> str:
        return self._below + (key.replace("/", os.sep) if WINDOWS else key)

    def unaddressable(self, key: str) -> str | None:
        """Why no file of this name can be made here, or None."""
        reason = keys.unaddressable(key)
        if reason is not None:
            return reason
        name_max, room = self._limits
        length = len(key) if key.isascii() else len(key.encode())
        if length > name_max and max(len(segment.encode()) for segment in key.split("/")) > name_max:
            return f"a segment of the name is longer than the {name_max} bytes this disk allows"
        if length > room:
            return f"the name is longer than the {room} bytes this system leaves for it below {keys.display(self.root)}"
        return keys.unwritable_on_windows(key) if WINDOWS else None

    def reach(self, key: str, linked: type[StoreError] = Hidden) -> str:
        """The path of a key to read or remove, once every folder above it is known to be one; a link is `linked`."""
        reason = keys.unaddressable(key)
        if reason is not None:
            raise Unaddressable(f"'{keys.display(key)}' cannot be read: {reason}", cure="Rename it on the other side")
        end = key.find("/")
        while end != -1:
            folder = key[:end]
            try:
                found = os.lstat(self.path(folder))
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                    raise NotFound(f"'{keys.display(key)}' is not there") from None
                raise translated(error, key, "read") from error
            if not stat.S_ISDIR(found.st_mode):
                name = keys.display(key)
                if stat.S_ISLNK(found.st_mode):
                    raise linked(f"'{name}' lies behind the link '{keys.display(folder)}', which is not followed")
                raise NotFound(f"'{name}' is not there: '{keys.display(folder)}' is {kind(found)}")
            end = key.find("/", end + 1)
        return self.path(key)

    def target(self, key: str) -> str:
        """The path of a key to write; see `make_parents`. Raises `Unaddressable`."""
        reason = self.unaddressable(key)
        if reason is not None:
            raise Unaddressable(
                f"'{keys.display(key)}' cannot be written: {reason}", cure="Rename it on the other side"
            )
        return self.path(key)

    def make_parents(self, key: str, made: list[str]) -> None:
        """Make the folders above a key; the new ones are added to `made`. A link or a file among them is
        `PreconditionFailed`, a missing root `NotFound`."""
        end = key.find("/")
        while end != -1:
            path = self.path(key[:end])
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                try:
                    os.mkdir(path)
                except FileExistsError:
                    continue  # somebody was faster: look again
                except FileNotFoundError:
                    self.require_root()
                    end = key.find("/")  # a folder above went away again: begin anew
                    continue
                except OSError as error:
                    raise translated(error, key, "written") from error
                made.append(path)
            except OSError as error:
                raise translated(error, key, "written") from error
            else:
                if not stat.S_ISDIR(found.st_mode):
                    raise PreconditionFailed(
                        f"'{keys.display(key)}' cannot be written: '{keys.display(key[:end])}' is {kind(found)}",
                        cure="Nothing is written through a link" if stat.S_ISLNK(found.st_mode) else "",
                    )
            end = key.find("/", end + 1)

    def parent(self, key: str) -> str | None:
        """The path of the folder a key lies in, if all above that are folders; it was not looked at itself."""
        last = key.rfind("/")
        end = key.find("/")
        try:
            while end < last:
                if not stat.S_ISDIR(os.lstat(self.path(key[:end])).st_mode):
                    return None
                end = key.find("/", end + 1)
        except OSError:
            return None
        return self.root if last < 0 else self.path(key[:last])

    def identity(self) -> tuple[int, int] | None:
        """Which folder the root is: device and inode. None where there is none to look at."""
        try:
            found = os.stat(self.root)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def require_root(self) -> None:
        """`NotFound` when the root is missing."""
        if not os.path.isdir(self.root):
            raise NotFound(f"the folder {keys.display(self.root)} is not there")

    def look(self, key: str, path: str, linked: type[StoreError]) -> os.stat_result | None:
        """What lies under a key: a file, or None. A link is `linked`, a folder `NotFound`, a device `Hidden`."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translated(error, key, "read") from error
        if stat.S_ISREG(found.st_mode):
            return found
        if stat.S_ISLNK(found.st_mode):
            raise linked(f"'{keys.display(key)}' is a link, and links are not followed")
        reason = NotFound if stat.S_ISDIR(found.st_mode) else Hidden
        raise reason(f"'{keys.display(key)}' is {kind(found)}, not a file")

    def occupant(self, key: str, path: str) -> os.stat_result | None:
        """The file that a write would replace. Anything else in its place is `PreconditionFailed`, but for a folder
        without a file in it: trees hold files, and a run that was killed may have emptied it."""
        try:
            return self.look(key, path, PreconditionFailed)
        except NotFound as error:
            if _cleared(path):
                return None
            raise PreconditionFailed(error.message) from None

    def prune(self, path: str) -> None:
        """Remove the folders above a path that are empty now; never the root."""
        folder = os.path.dirname(path)
        with suppress(OSError):
            while len(folder) > len(self.root):
                os.rmdir(folder)
                folder = os.path.dirname(folder)

    @cached_property
    def _limits(self) -> tuple[int, int]:
        """Bytes that one name may have, and that a whole key may have below this root."""
        folder = self.root
        while not os.path.isdir(folder) and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        try:
            name_max, path_max = os.pathconf(folder, "PC_NAME_MAX"), os.pathconf(folder, "PC_PATH_MAX")
        except (AttributeError, OSError, ValueError):
            name_max, path_max = -1, -1
        name_max = name_max if name_max > 0 else 255  # -1: the system sets no limit it could name
        path_max = path_max if path_max > 0 else 4096
        return name_max, path_max - 1 - len(os.fsencode(self._below))

    @cached_property
    def folds_case(self) -> bool:
        """Whether `A` and `a` are one file, found out without writing: a name that is there is looked up in the other
        case; in the root, else along the path to it on the same disk."""
        with suppress(OSError):
            device = os.stat(self.root).st_dev
            with os.scandir(self.root) as found:
                names = [item.name for item in islice(found, 1000)]
            folder = self.root
            while True:
                for name in names:
                    other = name.swapcase()
                    if name.isascii() and other != name and other not in names:
                        return _is_same(os.path.join(folder, name), os.path.join(folder, other))
                parent = os.path.dirname(folder)
                if parent == folder or os.stat(parent).st_dev != device:
                    break
                names, folder = [os.path.basename(folder)], parent
        return sys.platform in {"win32", "darwin"}


def unmake(made: list[str]) -> None:
    """Remove folders made for a write that did not happen."""
    for folder in reversed(made):
        with suppress(OSError):
            os.rmdir(folder)


def temporary_path(path: str, temporary: str) -> str:
    """The name under which the file at `path` is written first."""
    return path[: path.rindex(os.sep) + 1] + keys.TEMPORARY + temporary


def _cleared(path: str) -> bool:
    """Remove a folder that holds nothing but empty folders; whether it is gone."""
    folders = list(os.walk(path, topdown=False))
    if not folders or any(files for _, _, files in folders):
        return False
    try:
        for folder, _, _ in folders:
            os.rmdir(folder)
    except OSError:
        return False
    return True


def _is_same(path: str, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.lstat(other))
    except OSError:
        return False
