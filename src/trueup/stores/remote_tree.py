"""The files and folders of a service that knows plain file operations: what is under a key, and the folders above it.

Errors of the service's own library pass through; what is found here is raised as one of `trueup.errors`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from trueup import keys
from trueup.errors import Hidden, NotFound, PreconditionFailed, StoreError
from trueup.stores import files
from trueup.stores.base import Entry
from trueup.stores.remote_service import Files, Found

_TRUSTED_SECONDS: Final = 5.0
"""So long a folder that was looked at counts as one: looking again for each file in it would double the requests."""
_WHAT: Final = {"file": "a file", "folder": "a folder", "link": "a link"}


class RemoteFolders:
    """The folders below one root. Safe to use from many threads: a folder that somebody writes into is not removed."""

    def __init__(self, where: str, *, tree: bool, whole: bool) -> None:
        self._where = where
        self._tree = tree
        self._whole = whole
        """Removing a folder removes what is in it: none is removed where somebody may just have put a file."""
        self._seen: dict[str, float] = {}
        """Folders, with the moment (`time.monotonic()`) they were seen to be one."""
        self._changed = threading.Condition()
        self._busy: Counter[str] = Counter()
        self._going: set[str] = set()

    # ----- the root -----

    def root_exists(self, there: Files) -> bool:
        if not self._tree:
            return True
        found = there.look("")
        return found is not None and found.kind == "folder"

    def require_root(self, there: Files) -> None:
        """`NotFound` when the root is missing."""
        if not self.root_exists(there):
            raise NotFound(f"the folder {self._where} is not there")

    def folds_case(self, there: Files) -> bool:
        """Whether `A` and `a` are one file, found out without writing: a name in the root is looked up in the other
        case. A root without letters tells nothing, and most servers do not fold."""
        found = {item.entry.key: item.kind for item in there.names("")}
        for name, kind in found.items():
            other = name.swapcase()
            if name.isascii() and other != name and other not in found and kind in {"file", "folder"}:
                return _answers(there, other, kind)
        return False

    def is_other_case(self, there: Files, one: str, other: str) -> bool:
        """Whether both are one file because the service folds case."""
        return one != other and one.lower() == other.lower() and self.folds_case(there)

    # ----- looking -----

    def reach(self, there: Files, key: str, linked: type[StoreError] = Hidden) -> None:
        """Know every folder above a key to be one; a link is `linked`, anything else `NotFound`."""
        if not self._tree:
            return
        name = keys.display(key)
        for folder in keys.parents(key):
            if self._trusts(folder):
                continue
            found = there.look(folder)
            if found is None:
                raise NotFound(f"'{name}' is not there")
            if found.kind == "link":
                raise linked(f"'{name}' lies behind the link '{keys.display(folder)}', which is not followed")
            if found.kind != "folder":
                raise NotFound(f"'{name}' is not there: '{keys.display(folder)}' is {_what(found)}")
            self._seen[folder] = time.monotonic()

    def file(self, there: Files, key: str, linked: type[StoreError]) -> Entry | None:
        """The file under a key, or None. A link is `linked`, a folder `NotFound`, a device `Hidden`."""
        found = there.look(key)
        if found is None or (found.kind == "folder" and not self._tree):
            return None
        if found.kind == "file":
            return found.entry
        if found.kind == "link":
            raise linked(f"'{keys.display(key)}' is a link, and links are not followed")
        reason = NotFound if found.kind == "folder" else Hidden
        raise reason(f"'{keys.display(key)}' is {_what(found)}, not a file")

    def source(self, there: Files, key: str) -> Entry:
        """The file under a key, or `NotFound`."""
        found = self.file(there, key, Hidden)
        if found is None:
            raise NotFound(f"'{keys.display(key)}' is not there")
        return found

    def occupant(self, there: Files, key: str) -> Entry | None:
        """The file that a write would replace. Anything else in its place is `PreconditionFailed`, but for a folder
        without a file in it: trees hold files, and a run that was killed may have emptied it."""
        try:
            return self.file(there, key, PreconditionFailed)
        except NotFound as error:
            if not isinstance(error, Hidden) and self._cleared(there, key):
                return None
            raise PreconditionFailed(error.message) from None

    # ----- changing -----

    def make_parents(self, there: Files, key: str, made: list[str]) -> None:
        """Make the folders above a key; the new ones are added to `made`. A link or a file among them is
        `PreconditionFailed`, a missing root `NotFound`."""
        if not self._tree:
            return
        parents = keys.parents(key)
        if not parents:
            if not self._trusts(""):
                self.require_root(there)
                self._seen[""] = time.monotonic()
            return
        for folder in parents:
            if self._trusts(folder):
                continue
            found = there.look(folder)
            if found is None:
                self.require_root(there)
                with suppress(FileExistsError):
                    there.make_folder(folder)
                    made.append(folder)
                found = there.look(folder)  # somebody may have been faster
            if found is None or found.kind != "folder":
                is_what = "a file" if found is None else _what(found)
                raise PreconditionFailed(
                    f"'{keys.display(key)}' cannot be written: '{keys.display(folder)}' is {is_what}",
                    cure="Nothing is written through a link" if found is not None and found.kind == "link" else "",
                )
            self._seen[folder] = time.monotonic()

    @contextmanager
    def busy(self, key: str) -> Iterator[None]:
        """No folder above the key is removed meanwhile."""
        parents = keys.parents(key)
        with self._changed:
            self._changed.wait_for(lambda: self._going.isdisjoint(parents))
            self._busy.update(parents)
        try:
            yield
        finally:
            with self._changed:
                self._busy.subtract(parents)

    def prune(self, there: Files, key: str) -> None:
        """Remove the folders above a key that are empty now; never the root."""
        self.unmake(there, keys.parents(key))

    def unmake(self, there: Files, folders: list[str]) -> None:
        """Remove folders, the last one first, as long as they are empty. Where that would remove a file which a listing
        did not show, or which came after it, they stay."""
        if not self._tree or self._whole:
            return
        for folder in reversed(folders):
            with self._changed:
                if self._busy[folder] > 0 or folder in self._going:
                    return
                self._going.add(folder)
            try:
                there.remove_folder(folder)
            except Exception:  # noqa: BLE001 - not empty, gone, or not ours to remove: each protocol has its own error
                return
            finally:
                self._seen.pop(folder, None)
                with self._changed:
                    self._going.discard(folder)
                    self._changed.notify_all()

    def _cleared(self, there: Files, folder: str) -> bool:
        """Remove a folder that holds nothing but empty folders; whether it is gone."""
        cleared = self._set_aside(there, folder) if self._whole else self._emptied(there, folder)
        if cleared:
            self._seen.clear()
        return cleared

    def _emptied(self, there: Files, folder: str) -> bool:
        """Remove folders from within. One that holds more than was listed is not empty for the service either."""
        inside = list(there.names(folder))
        if any(found.kind != "folder" for found in inside):
            return False
        if not all(self._emptied(there, found.entry.key) for found in inside):
            return False
        there.remove_folder(folder)
        return True

    def _set_aside(self, there: Files, folder: str) -> bool:
        """Remove a folder at once, with all that is in it. Under a name that nobody else knows, nobody puts a file into
        it between the look and the removal."""
        if _holds_files(there, folder):
            return False
        aside = temporary_key(folder, secrets.token_hex(8))
        there.rename(folder, aside)
        if _holds_files(there, aside):
            there.rename(aside, folder)
            return False
        there.remove_folder(aside)
        return True

    def _trusts(self, folder: str) -> bool:
        seen = self._seen.get(folder)
        return seen is not None and time.monotonic() - seen < _TRUSTED_SECONDS


def _holds_files(there: Files, folder: str) -> bool:
    """Whether anything but folders lies below a folder."""
    inside = there.names(folder)
    return any(found.kind != "folder" or _holds_files(there, found.entry.key) for found in inside)


def _what(found: Found) -> str:
    return _WHAT.get(found.kind, "a device, a pipe or a socket")


def _answers(there: Files, key: str, kind: str) -> bool:
    """Whether the service reads a file, or lists a folder, of this very name."""
    try:
        if kind == "folder":
            return any(True for _ in there.names(key))
        found = there.look(key)
        return found is not None and found.kind == kind
    except Exception:  # noqa: BLE001 - each protocol has its own error
        return False


def is_same(one: Entry, other: Entry) -> bool:
    """Whether two looks showed one version, as far as sizes, fingerprints and times tell."""
    if one.size != other.size:
        return False
    if one.fingerprint and other.fingerprint:
        return one.fingerprint == other.fingerprint
    return one.mtime_ns == other.mtime_ns or 0 in {one.mtime_ns, other.mtime_ns}


def require(key: str, planned: Entry | None, found: Entry | None) -> None:
    """`PreconditionFailed` unless what was found is as planned."""
    if planned is not None and (found is None or not is_same(found, planned)):
        raise files.changed(key)


def temporary_key(key: str, name: str) -> str:
    """The key under which a file is written first."""
    folder, slash, _ = key.rpartition("/")
    return f"{folder}{slash}{keys.TEMPORARY}{name}"


def rename_over(rename: Callable[[str, str], object], remove: Callable[[str], None], source: str, target: str) -> None:
    """Rename over a file where the service renames over nothing: that file steps aside, and comes back if need be."""
    aside = temporary_key(target, secrets.token_hex(8))
    rename(target, aside)
    try:
        rename(source, target)
    except BaseException:
        rename(aside, target)
        raise
    remove(aside)
