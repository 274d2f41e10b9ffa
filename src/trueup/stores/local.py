"""A folder on this machine.

Every write goes to a temporary name beside the target and is published by one rename or hard link, so a reader (or a
`kill -9`) sees the old file or the new one, never a piece. Nothing is read or written through a link: each folder
below the root is looked at first, and the file itself is opened with `O_NOFOLLOW`.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

from trueup import keys
from trueup.errors import NotFound, PreconditionFailed, StoreError, Unaddressable
from trueup.stores import files
from trueup.stores.base import Entry, Features
from trueup.stores.oserror import NO_LINKS, translated
from trueup.stores.walk import fingerprint, walk

RACY_NS: Final = 2_000_000_000
"""Two seconds: the coarsest time stamp in use (FAT)."""

_ATTEMPTS: Final = 50
"""How often a folder is made again that another thread's clean-up of empty folders took away."""


def is_racy(entry: Entry, seen_ns: int) -> bool:
    """Whether a file was modified so close to the moment it was seen (`time.time_ns()`) that a later change could
    leave its fingerprint as it is: such a fingerprint must not be trusted the next time.

    Only the mtime counts. A change sets it to the present, so an old mtime always moves; the ctime of everything we
    wrote ourselves is young, and taking it for racy would hash each downloaded file twice.
    """
    return abs(seen_ns - entry.mtime_ns) <= RACY_NS


class LocalStore:
    """One folder. The root may be a link (it is resolved here, once); below it links are never followed."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(os.path.realpath(root))
        self._root = str(self.root)
        self._below = self._root if self._root.endswith(os.sep) else self._root + os.sep
        self._folds: bool | None = None
        # `preserve` changes a file's ctime, and so its fingerprint, but the entry as planned must stay good:
        # key -> (fingerprint as planned, fingerprint after the link was made).
        self._relinked: dict[str, tuple[str, str]] = {}

    def __repr__(self) -> str:
        return f"LocalStore({self._root!r})"

    @property
    def url(self) -> str:
        return "file://" + ("" if self._root.startswith("/") else "/") + self.root.as_posix()

    @property
    def features(self) -> Features:
        if self._folds is None:
            self._folds = _folds_case(self._root)
        return Features(tree=True, folds_case=self._folds, if_absent=True, keeps_mtime=True)

    def list(self, start: str = "", *, ordered: bool = True) -> Iterator[Entry]:
        return walk(self._root, start, ordered=ordered)

    def stat(self, key: str) -> Entry:
        return files.entry_of(key, self._source(key, self._reach(key), None))

    def exists(self) -> bool:
        return os.path.isdir(self._root)

    def create(self) -> None:
        try:
            os.makedirs(self._root, exist_ok=True)
        except OSError as error:
            raise translated(error, self._root, "made") from error

    @contextmanager
    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> Generator[Iterator[bytes], None, None]:
        path = self._reach(key)
        try:
            file = os.open(path, files.READ)
        except OSError as error:
            self._look(key, path, NotFound)  # says what is in the way: a link, a socket
            raise translated(error, key, "read") from error
        try:
            before = os.fstat(file)
            if not stat.S_ISREG(before.st_mode):
                raise NotFound(f"'{keys.display(key)}' is {files.kind(before)}, not a file")
            if expect is not None and not self._matches(key, expect, before):
                raise files.changed(key)
            body = files.pieces(file, key, before, offset, length)
            try:
                yield body
            finally:
                body.close()  # a piece asked for later must not come from whoever gets this descriptor next
        finally:
            os.close(file)

    def write(
        self,
        key: str,
        body: Iterable[bytes],
        *,
        size: int | None = None,
        if_absent: bool = False,
        if_match: Entry | None = None,
        mtime_ns: int | None = None,
        temporary: str = "",
    ) -> Entry:
        path = self._target(key)
        made: list[str] = []
        temporary_path = ""
        try:
            self._make_parents(key, made)
            present = self._occupant(key, path)
            if if_absent and present is not None:
                raise PreconditionFailed(f"'{keys.display(key)}' is there already")
            if if_match is not None and (present is None or not self._matches(key, if_match, present)):
                raise files.changed(key)
            file, temporary_path = self._create(key, path, temporary, made)
            try:
                total, md5 = files.store(file, key, body, size)
                ours = files.seal(file, temporary_path, key, mtime_ns, present)
            finally:
                _close(file, key)
            if if_match is not None:
                present = self._occupant(key, path)
                if present is None or not self._matches(key, if_match, present):
                    raise files.changed(key)
            files.publish(temporary_path, path, key, if_absent=if_absent)
        except BaseException:
            if temporary_path:
                with suppress(OSError):
                    os.unlink(temporary_path)
            _unmake(made)
            raise
        self._relinked.pop(key, None)
        return files.published(key, path, ours)._replace(size=total, md5=md5)

    def discard(self, key: str, temporary: str) -> None:
        with suppress(NotFound):
            path = self._reach(key)
            try:
                os.unlink(_temporary(path, temporary))
            except OSError as error:
                raise translated(error, key, "cleaned up") from error
            self._prune(path)

    def copy(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        planned = if_match or self.stat(source)
        with self.read(source, expect=planned) as body:
            return self.write(target, body, size=planned.size, mtime_ns=planned.mtime_ns or None)

    def preserve(self, source: str, target: str, *, if_match: Entry | None = None) -> None:
        """A hard link where the disk has them, else a copy. An older version under `target` is replaced. The entry of
        `source` as planned stays good for the next `write`, `move` or `delete` of it through this store."""
        origin = self._reach(source)
        present = self._source(source, origin, if_match)
        path = self._target(target)
        made: list[str] = []
        try:
            self._make_parents(target, made)
            kept = self._occupant(target, path)
            if kept is not None and os.path.samestat(kept, present):
                return
            try:
                if kept is not None:
                    os.unlink(path)
                self._link(source, origin, target, path, made)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise translated(error, target, "kept") from error
                self.copy(source, target, if_match=if_match or files.entry_of(source, present))
                return
            self._check_linked(source, path, present)
        except BaseException:
            _unmake(made)
            raise
        seen = fingerprint(present)
        planned, known = self._relinked.get(source, ("", ""))
        if known != seen:
            planned = seen
        self._relinked[source] = (planned, fingerprint(os.lstat(origin)))

    def move(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        origin = self._reach(source)
        present = self._source(source, origin, if_match)
        path = self._target(target)
        made: list[str] = []
        try:
            self._make_parents(target, made)
            occupant = self._occupant(target, path)
            # On a disk that folds case, `a` is found under `A`: that is the source itself.
            if occupant is not None and not (self.features.folds_case and os.path.samestat(occupant, present)):
                raise PreconditionFailed(f"'{keys.display(target)}' is there already")
            self._relocate(source, origin, target, path, present, made, linked=occupant is None)
        except BaseException:
            _unmake(made)
            raise
        self._relinked.pop(source, None)
        self._prune(origin)
        return files.published(target, path, present)

    def delete(self, key: str, *, if_match: Entry | None = None) -> None:
        present = None
        with suppress(NotFound):
            path = self._reach(key, PreconditionFailed)
            present = self._look(key, path, PreconditionFailed)
        if present is None:
            if if_match is not None:
                raise NotFound(f"'{keys.display(key)}' is not there")
            return
        if if_match is not None and not self._matches(key, if_match, present):
            raise files.changed(key)
        try:
            os.unlink(path)
        except OSError as error:
            if if_match is not None or error.errno != errno.ENOENT:
                raise translated(error, key, "deleted") from error
        self._relinked.pop(key, None)
        self._prune(path)

    def flush(self, keys: Iterable[str]) -> None:
        folders: set[str] = set()
        for key in keys:
            path = self._path(key)
            files.sync_to_disk(path, key)
            folder = os.path.dirname(path)
            while folder not in folders and len(folder) >= len(self._root):
                folders.add(folder)
                folder = os.path.dirname(folder)
        if not files.WINDOWS:  # a folder cannot be opened there
            for folder in folders:
                files.sync_to_disk(folder, folder)

    def sign(self, key: str, *, ttl: timedelta) -> str:
        raise StoreError(f"a folder has no URL for '{keys.display(key)}'", cure="Only clouds sign URLs")

    def unaddressable(self, key: str) -> str | None:
        reason = keys.unaddressable(key)
        if reason is not None:
            return reason
        name_max, path_max = self._limits
        length = len(key) if key.isascii() else len(key.encode())
        if length > name_max and max(len(segment.encode()) for segment in key.split("/")) > name_max:
            return f"a segment of the name is longer than the {name_max} bytes this disk allows"
        if length + len(os.fsencode(self._below)) >= path_max:
            return f"the path is longer than the {path_max} bytes this system allows"
        return keys.unwritable_on_windows(key) if files.WINDOWS else None

    def close(self) -> None:
        self._relinked.clear()

    # Where a key lies, and what lies there.

    @cached_property
    def _limits(self) -> tuple[int, int]:
        """Bytes a name and a path may have."""
        folder = self._root
        while not os.path.isdir(folder) and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        try:
            return os.pathconf(folder, "PC_NAME_MAX"), os.pathconf(folder, "PC_PATH_MAX")
        except (AttributeError, OSError, ValueError):
            return 255, 4096

    def _path(self, key: str) -> str:
        return self._below + (key.replace("/", os.sep) if files.WINDOWS else key)

    def _reach(self, key: str, linked: type[StoreError] = NotFound) -> str:
        """The path of a key to read or remove, once every folder above it is known to be one; a link is `linked`."""
        reason = keys.unaddressable(key)
        if reason is not None:
            raise Unaddressable(f"'{keys.display(key)}' cannot be read: {reason}", cure="Rename it on the other side")
        end = key.find("/")
        while end != -1:
            folder = key[:end]
            try:
                found = os.lstat(self._path(folder))
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                    raise NotFound(f"'{keys.display(key)}' is not there") from None
                raise translated(error, key, "read") from error
            if not stat.S_ISDIR(found.st_mode):
                name = keys.display(key)
                if stat.S_ISLNK(found.st_mode):
                    raise linked(f"'{name}' lies behind the link '{keys.display(folder)}', which is not followed")
                raise NotFound(f"'{name}' is not there: '{keys.display(folder)}' is {files.kind(found)}")
            end = key.find("/", end + 1)
        return self._path(key)

    def _target(self, key: str) -> str:
        reason = self.unaddressable(key)
        if reason is not None:
            raise Unaddressable(f"'{keys.display(key)}' cannot be written: {reason}", cure="Rename it on the other side")
        return self._path(key)

    def _make_parents(self, key: str, made: list[str]) -> None:
        """Make the folders above a key; the new ones are added to `made`. A link or a file among them is refused."""
        end = key.find("/")
        while end != -1:
            path = self._path(key[:end])
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                try:
                    os.mkdir(path)
                except FileExistsError:
                    continue  # somebody was faster: look again
                except FileNotFoundError:
                    if not self.exists():
                        raise self._no_root() from None
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
                        f"'{keys.display(key)}' cannot be written: '{keys.display(key[:end])}' is {files.kind(found)}",
                        cure="Nothing is written through a link" if stat.S_ISLNK(found.st_mode) else "",
                    )
            end = key.find("/", end + 1)

    def _no_root(self) -> NotFound:
        return NotFound(f"the folder {keys.display(self._root)} is not there")

    def _look(self, key: str, path: str, linked: type[StoreError]) -> os.stat_result | None:
        """What lies under a key: a file, or None. A link is `linked`, a folder or a device `NotFound`."""
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
        raise NotFound(f"'{keys.display(key)}' is {files.kind(found)}, not a file")

    def _occupant(self, key: str, path: str) -> os.stat_result | None:
        """The file that a write would replace. Anything else in its place is refused."""
        try:
            return self._look(key, path, PreconditionFailed)
        except NotFound as error:
            raise PreconditionFailed(error.message) from None

    def _source(self, key: str, path: str, planned: Entry | None) -> os.stat_result:
        found = self._look(key, path, NotFound)
        if found is None:
            raise NotFound(f"'{keys.display(key)}' is not there")
        if planned is not None and not self._matches(key, planned, found):
            raise files.changed(key)
        return found

    def _matches(self, key: str, planned: Entry, found: os.stat_result) -> bool:
        if planned.size != found.st_size:
            return False
        if not planned.fingerprint:
            return planned.mtime_ns in {0, found.st_mtime_ns}
        seen = fingerprint(found)
        return planned.fingerprint == seen or self._relinked.get(key) == (planned.fingerprint, seen)

    # Changing what lies there.

    def _create(self, key: str, path: str, temporary: str, made: list[str]) -> tuple[int, str]:
        for _ in range(_ATTEMPTS):
            temporary_path = _temporary(path, temporary or secrets.token_hex(8))
            try:
                return os.open(temporary_path, files.CREATE, 0o666), temporary_path
            except FileNotFoundError:
                if not self.exists():
                    raise self._no_root() from None
                self._make_parents(key, made)
            except FileExistsError:
                if temporary:
                    raise StoreError(
                        f"'{keys.display(key)}' is being written by another run, or was left by one",
                        cure=f"Remove {os.path.basename(temporary_path)} beside it if no other run is at work",
                    ) from None
            except OSError as error:
                raise translated(error, key, "written") from error
        raise StoreError(f"'{keys.display(key)}' cannot be written: its folder keeps vanishing", cure="Run again")

    def _link(self, source: str, origin: str, target: str, path: str, made: list[str]) -> None:
        """A hard link from one path to another. Raises `OSError`, and `NotFound` when the source is gone."""
        for _ in range(_ATTEMPTS):
            try:
                os.link(origin, path)
            except FileNotFoundError:
                if not os.path.lexists(origin):
                    raise NotFound(f"'{keys.display(source)}' is not there") from None
                self._make_parents(target, made)
            else:
                return
        raise StoreError(f"'{keys.display(target)}' cannot be written: its folder keeps vanishing", cure="Run again")

    def _check_linked(self, source: str, path: str, present: os.stat_result) -> None:
        """Take a new link back unless it leads to the very version that was looked at."""
        if not files.same_content(os.lstat(path), present):
            with suppress(OSError):
                os.unlink(path)
            raise files.changed(source)

    def _relocate(
        self, source: str, origin: str, target: str, path: str, present: os.stat_result, made: list[str], *, linked: bool
    ) -> None:
        try:
            if linked and not files.WINDOWS:
                try:
                    self._link(source, origin, target, path, made)
                except OSError as error:
                    if error.errno not in NO_LINKS:
                        raise
                else:
                    self._check_linked(source, path, present)
                    try:
                        self._check_linked(source, path, os.lstat(origin))
                        os.unlink(origin)
                    except OSError:
                        os.unlink(path)
                        raise
                    return
                self._occupant(target, path)
                if os.path.lexists(path):
                    raise PreconditionFailed(f"'{keys.display(target)}' is there already")
            os.rename(origin, path)
        except FileExistsError:
            raise PreconditionFailed(f"'{keys.display(target)}' is there already") from None
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise translated(error, target, "moved") from error
            planned = files.entry_of(source, present)
            with self.read(source, expect=planned) as body:
                self.write(target, body, size=planned.size, if_absent=True, mtime_ns=planned.mtime_ns)
            self.delete(source, if_match=planned)

    def _prune(self, path: str) -> None:
        """Remove the folders above a path that are empty now; never the root."""
        folder = os.path.dirname(path)
        with suppress(OSError):
            while len(folder) > len(self._root):
                os.rmdir(folder)
                folder = os.path.dirname(folder)


def _temporary(path: str, temporary: str) -> str:
    return os.path.join(os.path.dirname(path), keys.TEMPORARY + temporary)


def _unmake(made: list[str]) -> None:
    for folder in reversed(made):
        with suppress(OSError):
            os.rmdir(folder)


def _close(file: int, key: str) -> None:
    try:
        os.close(file)
    except OSError as error:  # a network disk may tell only now that it is full
        raise translated(error, key, "written") from error


def _folds_case(root: str) -> bool:
    """Whether `A` and `a` are one file below `root`, found out without writing: a name that is there is looked up in
    the other case; in the root, else along the path to it on the same disk."""
    with suppress(OSError):
        device = os.stat(root).st_dev
        with os.scandir(root) as found:
            names = [item.name for item in islice(found, 1000)]
        folder = root
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


def _is_same(path: str, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.lstat(other))
    except OSError:
        return False
