"""Listing a folder on an SFTP server: several folders at once, sorted outside memory, no link followed."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from trueup import keys
from trueup.errors import AccessDenied, ListingUnfinished, NotFound, StoreError, Unreachable
from trueup.stores.base import Entry
from trueup.stores.sftp_tree import Looking, RemoteTree, entry_of, is_file, is_folder, is_link, raw
from trueup.stores.sort import sorted_entries
from trueup.stores.ssh import Line, Link, Pending
from trueup.stores.walk import before

if TYPE_CHECKING:
    from asyncssh import SFTPAttrs, SFTPName

_AT_ONCE: Final = 16
"""Folders that are read at the same time."""
_BATCH: Final = 2000
"""Names taken from the loop's thread at a time."""


def walk(link: Link, tree: RemoteTree, start: str) -> Generator[Entry, None, None]:
    """Every file with a normal key of at least `start`, in key order, and a fault for all that cannot be seen; a fault
    above `start` too. Raises `NotFound` for a missing root, and `ListingUnfinished` when the server breaks off."""
    start = keys.normal(start)
    yield from sorted_entries(_found(link, tree, start))
    if not link.ask(tree.exists):
        raise ListingUnfinished(f"the folder {link.server.url} went away under the listing", cure="Run again")


def _found(link: Link, tree: RemoteTree, start: str) -> Generator[Entry, None, None]:
    waiting = [""]
    going: deque[tuple[_Folder, Pending[_Names]]] = deque()
    try:
        while waiting or going:
            while waiting and len(going) < _AT_ONCE:
                folder = _Folder(tree, waiting.pop(), link.line())
                going.append((folder, folder.next(link)))
            folder, wait = going.popleft()
            names = _read(folder, wait)
            for entry in names.entries:
                if not start or (keys.normal(entry.key) >= start if not entry.fault else not before(entry.key, start)):
                    yield entry
            waiting += [below for below in names.folders if not start or not before(below[:-1], start)]
            if names.more:
                going.append((folder, folder.next(link)))
    finally:
        for folder, wait in going:
            if not wait.cancel():  # else the folder is closed where its job ends
                folder.close(link)


def _read(folder: _Folder, wait: Callable[[], _Names]) -> _Names:
    try:
        return wait()
    except NotFound:
        if not folder.prefix:
            raise
        return _Names([], [], more=False)  # gone since its parent was read: absent
    except AccessDenied as error:
        if not folder.prefix:
            raise
        fault = Entry(folder.prefix[:-1], fault="unreadable", detail=f"the folder cannot be read: {error.message}")
        return _Names([fault], [], more=False)
    except StoreError as error:
        if not folder.prefix and not folder.begun:
            raise
        raise ListingUnfinished(f"the listing broke off: {error.message}", cure=error.cure) from error


class _Names:
    """Some names of one folder."""

    def __init__(self, entries: list[Entry], folders: list[str], *, more: bool) -> None:
        self.entries = entries
        self.folders = folders
        """Keys of subfolders, each with a slash at its end."""
        self.more = more


class _Folder:
    """One folder on its way. `prefix` is its key with a slash, empty for the root."""

    def __init__(self, tree: RemoteTree, prefix: str, line: Line) -> None:
        self.prefix = prefix
        self._tree = tree
        self._line = line
        self._names: AsyncIterator[SFTPName] | None = None

    @property
    def begun(self) -> bool:
        """Whether the server has begun to answer."""
        return self._names is not None

    def next(self, link: Link) -> Pending[_Names]:
        """Begin to read the next names; before the first, a lost connection does no harm."""
        return link.start_asking(self._line, self._next, self.prefix[:-1], "listed", again=self._names is None)

    def close(self, link: Link) -> None:
        """Begin to let go of it; nobody needs to wait for that."""
        names = self._names
        if names is not None and hasattr(names, "aclose"):
            with suppress(Unreachable):  # closed already
                link.start_asking(self._line, lambda _: names.aclose(), self.prefix[:-1], "closed", again=False)

    async def _next(self, client: Looking) -> _Names:
        if self._names is None:
            path = self._tree.path(self.prefix[:-1]) if self.prefix else self._tree.root or b"/"
            if self.prefix:
                found = await client.lstat(path)
                if is_link(found):
                    return _Names([_other(self.prefix[:-1], found)], [], more=False)  # it was a folder a moment ago
                if is_folder(found):
                    self._tree.trust(self.prefix[:-1])
            self._names = client.scandir(path)
        entries: list[Entry] = []
        folders: list[str] = []
        async for name in self._names:
            self._sort_out(raw(name.filename), name.attrs, entries, folders)
            if len(entries) + len(folders) >= _BATCH:
                return _Names(entries, folders, more=True)
        return _Names(entries, folders, more=False)

    def _sort_out(self, raw: bytes, found: SFTPAttrs, entries: list[Entry], folders: list[str]) -> None:
        if raw in {b".", b".."}:
            return
        name = raw.decode("utf-8", "surrogateescape")
        key = self.prefix + name
        if keys.is_reserved(name):
            return
        if reason := keys.unaddressable(name) or self._tree.too_long(key):
            entries.append(Entry(key, fault="unaddressable", detail=reason))
        elif is_file(found):
            entries.append(entry_of(key, found))
        elif is_folder(found):
            folders.append(key + "/")
        else:
            entries.append(_other(key, found))


def _other(key: str, found: SFTPAttrs) -> Entry:
    if is_link(found):
        return Entry(key, fault="link", detail="it is a link, and links are not followed")
    return Entry(key, fault="special", detail="it is a device, a pipe or a socket, not a file")
