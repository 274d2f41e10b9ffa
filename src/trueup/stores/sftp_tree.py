"""Where a key lies in a folder on an SFTP server, and what is there now; nothing here follows a link below the root.

Every function is a coroutine over one connection and raises asyncssh's errors for what the server refuses; what the
store itself finds is raised as one of `trueup.errors`.
"""

from __future__ import annotations

import asyncio
import secrets
import stat
import time
import unicodedata
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import asyncssh
from asyncssh.constants import FILEXFER_TYPE_DIRECTORY, FILEXFER_TYPE_REGULAR, FILEXFER_TYPE_SYMLINK

from trueup import keys
from trueup.errors import Hidden, NotFound, PreconditionFailed, StoreError, Unaddressable
from trueup.stores import files
from trueup.stores.base import Entry

if TYPE_CHECKING:
    from asyncssh import SFTPAttrs, SFTPClient, SFTPClientFile, SFTPName

_TRUSTED_SECONDS: Final = 5.0
"""So long a folder that was looked at counts as one: looking again for each file in it would double the requests."""
_TRUSTED_MOST: Final = 10_000
_ATTEMPTS: Final = 50
"""How often a folder is made again that another worker's clean-up of empty folders took away."""
_NAME_MAX: Final = 255
_PATH_MAX: Final = 4095
_TIME_MAX: Final = (1 << 32) - 1
"""Seconds: the protocol's times end in 2106."""
_ABSENT: Final = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)


def is_file(found: SFTPAttrs) -> bool:
    """Whether it is an ordinary file."""
    return found.type == FILEXFER_TYPE_REGULAR


def is_folder(found: SFTPAttrs) -> bool:
    """Whether it is a folder."""
    return found.type == FILEXFER_TYPE_DIRECTORY


def is_link(found: SFTPAttrs) -> bool:
    """Whether it is a symbolic link."""
    return found.type == FILEXFER_TYPE_SYMLINK


def entry_of(key: str, found: SFTPAttrs) -> Entry:
    """An ordinary file's entry."""
    return Entry(key, found.size or 0, (found.mtime or 0) * 1_000_000_000, _fingerprint(found))


def _fingerprint(found: SFTPAttrs) -> str:
    return "" if found.mtime is None else str(found.mtime)


def _kind(found: SFTPAttrs) -> str:
    if is_link(found):
        return "a link"
    if is_folder(found):
        return "a folder"
    return "a file" if is_file(found) else "a device, a pipe or a socket"


class Looking(Protocol):
    """What looks at a server: a client of asyncssh, or a quick session."""

    def stat(self, path: bytes, /) -> Awaitable[SFTPAttrs]: ...
    def lstat(self, path: bytes, /) -> Awaitable[SFTPAttrs]: ...
    def scandir(self, path: bytes, /) -> AsyncIterator[SFTPName]: ...


class RemoteTree:
    """The paths below one root: absolute on the server, without a slash at its end."""

    def __init__(self, root: str) -> None:
        self.root = root.encode("utf-8", "surrogateescape")
        self._folders: dict[str, float] = {}
        """Folders by key, with the moment (`time.monotonic()`) they were seen to be one."""
        self._folds_case: bool | None = None
        self._keeps_controls: bool | None = None

    def path(self, key: str) -> bytes:
        return self.root + b"/" + key.encode("utf-8", "surrogateescape")

    def temporary(self, key: str, name: str) -> bytes:
        """The path under which a key is written first."""
        folder, slash, _ = key.rpartition("/")
        return self.path(f"{folder}{slash}{keys.TEMPORARY}{name}")

    def unaddressable(self, key: str) -> str | None:
        """Why no file of this name can be made there, or None."""
        if reason := keys.unaddressable(key):
            return reason
        if max(len(segment.encode()) for segment in key.split("/")) > _NAME_MAX:
            return f"a segment of the name is longer than {_NAME_MAX} bytes"
        return self.too_long(key)

    def too_long(self, key: str) -> str | None:
        """Why a key cannot be asked for, if it is its length. A listing goes no deeper than that either: a folder that
        shows itself inside itself has no end."""
        if len(self.path(key)) > _PATH_MAX:
            return f"the name is longer than the {_PATH_MAX} bytes a path may have, its folder included"
        return None

    # ----- the root -----

    async def exists(self, client: Looking) -> bool:
        try:
            return is_folder(await client.stat(self.root or b"/"))
        except _ABSENT:
            return False

    async def create(self, client: SFTPClient) -> None:
        await client.makedirs(self.root or b"/", exist_ok=True)

    async def require_root(self, client: Looking) -> None:
        """`NotFound` when the root is missing."""
        if not await self.exists(client):
            raise NotFound(f"the folder {keys.display(self.root.decode('utf-8', 'replace'))} is not there")

    async def folds_case(self, client: Looking) -> bool:
        """Whether `A` and `a` are one file, found out without writing: a name in the root is looked up in the other
        case. A root without letters tells nothing, and most servers do not fold."""
        if self._folds_case is None:
            self._folds_case = await self._look_up_other_case(client)
        return self._folds_case

    async def _look_up_other_case(self, client: Looking) -> bool:
        names: set[bytes] = set()
        async for found in client.scandir(self.root or b"/"):
            names.add(raw(found.filename))
        for name in names:
            other = name.swapcase()
            if name.isascii() and other != name and other not in names and name.strip(b"."):
                try:
                    await client.lstat(self.root + b"/" + other)
                except _ABSENT:
                    return False
                return True
        return False

    # ----- looking -----

    async def reach(self, client: Looking, key: str, linked: type[StoreError] = Hidden) -> None:
        """Know every folder above a key to be one; a link is `linked`, anything else `NotFound`."""
        if reason := keys.unaddressable(key):
            raise Unaddressable(f"'{keys.display(key)}' cannot be read: {reason}", cure="Rename it on the other side")
        name = keys.display(key)
        for folder in keys.parents(key):
            if self._trusts(folder):
                continue
            try:
                found = await client.lstat(self.path(folder))
            except _ABSENT:
                raise NotFound(f"'{name}' is not there") from None
            if is_link(found):
                raise linked(f"'{name}' lies behind the link '{keys.display(folder)}', which is not followed")
            if not is_folder(found):
                raise NotFound(f"'{name}' is not there: '{keys.display(folder)}' is {_kind(found)}")
            self.trust(folder)

    async def look(
        self, client: Looking, key: str, linked: type[StoreError], looked: Awaitable[SFTPAttrs] | None = None
    ) -> SFTPAttrs | None:
        """What lies under a key: a file, or None. A link is `linked`, a folder `NotFound`, a device `Hidden`.
        `looked`: the look itself, where it is under way already."""
        found = await _present(client, self.path(key), looked)
        if found is None:
            return None
        if is_file(found):
            return found
        if is_link(found):
            raise linked(f"'{keys.display(key)}' is a link, and links are not followed")
        reason = NotFound if is_folder(found) else Hidden
        raise reason(f"'{keys.display(key)}' is {_kind(found)}, not a file")

    async def source(
        self, client: Looking, key: str, planned: Entry | None, looked: Awaitable[SFTPAttrs] | None = None
    ) -> SFTPAttrs:
        """The file under a key, as planned, or `NotFound`. `looked` as for `look`."""
        found = await self.look(client, key, Hidden, looked)
        if found is None:
            raise NotFound(f"'{keys.display(key)}' is not there")
        self.require(key, planned, found)
        return found

    async def occupant(self, client: SFTPClient, key: str) -> SFTPAttrs | None:
        """The file that a write would replace. Anything else in its place is `PreconditionFailed`, but for a folder
        without a file in it: trees hold files, and a run that was killed may have emptied it."""
        try:
            return await self.look(client, key, PreconditionFailed)
        except Hidden as error:
            raise PreconditionFailed(error.message) from None
        except NotFound as error:
            if await self._cleared(client, self.path(key)):
                return None
            raise PreconditionFailed(error.message) from None

    def require(self, key: str, planned: Entry | None, found: SFTPAttrs | None) -> None:
        """`PreconditionFailed` unless what was found is as planned."""
        if planned is None:
            return
        if found is not None and planned.size == found.size:
            seen = _fingerprint(found)
            if planned.fingerprint == seen or (not planned.fingerprint and planned.mtime_ns in {0, _mtime_ns(found)}):
                return
        raise files.changed(key)

    # ----- changing -----

    async def require_faithful(self, client: SFTPClient, key: str) -> None:
        """`Unaddressable` for a name with control characters, where the server turns them into others: tried out with
        an empty file at the first such name."""
        if not any(unicodedata.category(char) == "Cc" for char in key):
            return
        if self._keeps_controls is None:
            self._keeps_controls = await self._try_controls(client)
        if not self._keeps_controls:
            raise Unaddressable(
                f"'{keys.display(key)}' cannot be written: this server changes control characters in names",
                cure="Rename it on the other side",
            )

    async def _try_controls(self, client: SFTPClient) -> bool:
        await self.require_root(client)
        name = f"{keys.TEMPORARY}{secrets.token_hex(8)}".encode()
        await (await client.open(self.root + b"/" + name + b"\t\n\x7f", "xb")).close()
        found = [
            there
            for entry in await client.readdir(self.root or b"/")
            if (there := raw(entry.filename)).startswith(name)
        ]
        for there in found:
            await client.remove(self.root + b"/" + there)
        return found == [name + b"\t\n\x7f"]

    async def make_parents(self, client: SFTPClient, key: str, made: list[str]) -> None:
        """Make the folders above a key; the new ones are added to `made`. A link or a file among them is
        `PreconditionFailed`, a missing root `NotFound`."""
        for folder in keys.parents(key):
            if self._trusts(folder):
                continue
            path = self.path(folder)
            try:
                found = await client.lstat(path)
            except _ABSENT:
                try:
                    await client.mkdir(path)
                    made.append(folder)
                except asyncssh.SFTPError:
                    await self.require_root(client)
                found = await client.lstat(path)  # somebody may have been faster
            if not is_folder(found):
                raise PreconditionFailed(
                    f"'{keys.display(key)}' cannot be written: '{keys.display(folder)}' is {_kind(found)}",
                    cure="Nothing is written through a link" if is_link(found) else "",
                )
            self.trust(folder)

    async def create_file(self, client: SFTPClient, key: str, path: bytes, made: list[str]) -> SFTPClientFile:
        """A new file, open for writing; never one that is there already, nor one behind a link."""
        for _ in range(_ATTEMPTS):
            try:
                return await client.open(path, "xb")
            except _ABSENT:
                self._distrust(key)
                await self.require_root(client)
                with suppress(*_ABSENT):
                    await self.make_parents(client, key, made)
            except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
                if not await _is_there(client, path):
                    raise
                raise StoreError(
                    f"'{keys.display(key)}' is being written by another run, or was left by one",
                    cure=f"Remove {path.rpartition(b'/')[2].decode()} beside it if no other run is at work",
                ) from None
        raise StoreError(f"'{keys.display(key)}' cannot be written: its folder keeps vanishing", cure="Run again")

    async def seal(
        self,
        client: SFTPClient,
        file: SFTPClientFile,
        path: bytes,
        replaced: SFTPAttrs | None,
        mtime_ns: int | None,
    ) -> SFTPAttrs:
        """Close a written file, safely on the server's disk where it can do that, and give it its time and the
        permission bits of the file it replaces. A file of the same size never gets the same time as the one it
        replaces, because nothing else would show the change."""
        with suppress(asyncssh.SFTPOpUnsupported):
            await file.fsync()
        await file.close()
        ours = await client.lstat(path)
        mtime = ours.mtime or 0
        if mtime_ns is not None:
            mtime = max(0, min(mtime_ns // 1_000_000_000, _TIME_MAX))
        if replaced is not None and (replaced.size, replaced.mtime) == (ours.size, mtime):
            mtime += 1
        bits = None if replaced is None or replaced.permissions is None else stat.S_IMODE(replaced.permissions) & 0o777
        if mtime == ours.mtime and bits in {None, stat.S_IMODE(ours.permissions or 0)}:
            return ours
        with suppress(asyncssh.SFTPOpUnsupported):
            await client.setstat(path, asyncssh.SFTPAttrs(permissions=bits, atime=int(time.time()), mtime=mtime))
        return await client.lstat(path)

    async def publish(self, client: SFTPClient, path: bytes, key: str, *, if_absent: bool, replaces: bool) -> None:
        """Put a sealed file in its place. Where the server cannot rename over a file, that is removed first."""
        target = self.path(key)
        if if_absent:
            if await _is_there(client, target):  # some servers rename over it
                raise files.present_already(key)
            await self._rename(client, path, key)
            return
        try:
            await client.posix_rename(path, target)
        except asyncssh.SFTPFailure as error:
            if _says_absent(error):  # another writer was replacing the same file
                raise files.changed(key) from None
            raise
        except asyncssh.SFTPOpUnsupported:
            if replaces:
                try:
                    await client.remove(target)
                except asyncssh.SFTPError as error:
                    if not _says_absent(error):
                        raise
            await self._rename(client, path, key)

    async def link(self, client: SFTPClient, source: str, target: str) -> bool:
        """Make a hard link, in the place of what is there; whether the server can."""
        made: list[str] = []
        await self.make_parents(client, target, made)
        path = self.path(target)
        if await self.occupant(client, target) is not None:
            await client.remove(path)
        try:
            await client.link(self.path(source), path)
        except (asyncssh.SFTPOpUnsupported, asyncssh.SFTPFailure, asyncssh.SFTPPermissionDenied):
            return False
        return True

    async def relocate(self, client: SFTPClient, source: str, target: str) -> None:
        """Rename to a place that is free."""
        occupant = await self.occupant(client, target)
        only_the_case = source != target and source.lower() == target.lower()
        if occupant is not None and not (only_the_case and await self.folds_case(client)):
            raise files.present_already(target)
        await self._rename(client, self.path(source), target)

    async def prune(self, client: SFTPClient, key: str) -> None:
        """Remove the folders above a key that are empty now; never the root."""
        with suppress(asyncssh.SFTPError):
            for folder in reversed(keys.parents(key)):
                self._folders.pop(folder, None)
                await client.rmdir(self.path(folder))

    async def unmake(self, client: SFTPClient, made: list[str]) -> None:
        """Remove folders made for a write that did not happen."""
        for folder in reversed(made):
            self._folders.pop(folder, None)
            with suppress(asyncssh.Error, OSError):
                await client.rmdir(self.path(folder))

    async def _rename(self, client: SFTPClient, path: bytes, key: str) -> None:
        try:
            await client.rename(path, self.path(key))
        except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists) as error:
            if await _is_there(client, self.path(key)):
                raise files.present_already(key) from None
            if _says_absent(error):  # what it found in the way is another writer's, and was gone a moment later
                raise files.changed(key) from None
            raise

    async def _cleared(self, client: SFTPClient, path: bytes) -> bool:
        """Remove a folder that holds nothing but empty folders; whether it is gone."""
        below = []
        async for found in client.scandir(path):
            if found.filename in {b".", b".."}:
                continue
            if not is_folder(found.attrs):
                return False
            below.append(path + b"/" + raw(found.filename))
        if not all(await asyncio.gather(*(self._cleared(client, folder) for folder in below))):
            return False
        try:
            await client.rmdir(path)
        except asyncssh.SFTPError:
            return False
        self._folders.clear()
        return True

    def _trusts(self, folder: str) -> bool:
        seen = self._folders.get(folder)
        return seen is not None and time.monotonic() - seen < _TRUSTED_SECONDS

    def trust(self, folder: str) -> None:
        """Take a folder for one for a while, because it was just seen to be."""
        if len(self._folders) >= _TRUSTED_MOST:
            self._folders.clear()  # looking again costs a request; remembering a million folders costs memory
        self._folders[folder] = time.monotonic()

    def _distrust(self, key: str) -> None:
        for folder in keys.parents(key):
            self._folders.pop(folder, None)


def raw(name: bytes | str) -> bytes:
    """A name as the server sent it. The session decodes none; only the types do not say so."""
    return name if isinstance(name, bytes) else name.encode()


def _mtime_ns(found: SFTPAttrs) -> int:
    return (found.mtime or 0) * 1_000_000_000


async def _is_there(client: Looking, path: bytes) -> bool:
    return await _present(client, path) is not None


async def _present(client: Looking, path: bytes, looked: Awaitable[SFTPAttrs] | None = None) -> SFTPAttrs | None:
    try:
        return await (looked or client.lstat(path))
    except asyncssh.SFTPError as error:
        if not _says_absent(error):
            raise
        return None


def _says_absent(error: asyncssh.SFTPError) -> bool:
    """Whether a file is not there. Of one that another writer replaces at this moment, rclone's server says so in words
    only."""
    return isinstance(error, _ABSENT) or (
        isinstance(error, asyncssh.SFTPFailure) and error.reason.endswith("no such file or directory")
    )
