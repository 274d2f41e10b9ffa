"""A folder on an SSH server, by SFTP version 3.

The protocol knows no versions of a file: a fingerprint is its modification time in seconds. It knows no way to open a
file without following a link either, so the file and every folder above it are looked at first. A write goes to a
temporary name beside the target, and a rename publishes it.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from trueup import keys
from trueup.config import StoreConfig
from trueup.errors import NotFound, PreconditionFailed, StoreError, Unaddressable
from trueup.stores import files
from trueup.stores.base import CHUNK, Entry, Features, Metadata, PlainFiles
from trueup.stores.sftp_quick import READ_MOST, QuickSession
from trueup.stores.sftp_read import Opened, opened_for_reading, read_piece, read_small, read_whole
from trueup.stores.sftp_tree import RemoteTree, entry_of
from trueup.stores.sftp_walk import walk
from trueup.stores.ssh import Line, Link, Server, server

if TYPE_CHECKING:
    from asyncssh import SFTPAttrs, SFTPClient, SFTPClientFile

_AHEAD: Final = 4
"""Pieces of one file that are asked for before the first is used; each is many requests."""
_TRANSFERS: Final = 128
"""Each small file takes two round trips: 1,000 of them from a server 20 ms away took 2.7 s with 32 at once, 2.0 s with
96 and 1.8 s with 128; with one next door it makes no difference."""
_BLOCK: Final = 4 * CHUNK
"""Bytes that are sent as one block of many requests."""


class SftpStore(PlainFiles):
    """One folder on one server. The root may be a link; below it links are never followed."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._link = Link(server)
        self._tree = RemoteTree(server.root)
        self._features: Features | None = None

    @classmethod
    def open(cls, config: StoreConfig) -> SftpStore:
        """The store a `[stores.NAME]`, or a bare URL, means. Raises `ConfigError` and `MissingExtra`."""
        return cls(server(config))

    def __repr__(self) -> str:
        return f"SftpStore({self.url!r})"

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def features(self) -> Features:
        if self._features is None:
            known = Features(tree=True, keeps_mtime=True, transfers=_TRANSFERS)
            if not self.exists():  # nothing to ask yet, and the answer must not be remembered
                return known
            self._features = replace(known, folds_case=self._link.ask(self._tree.folds_case))
        return self._features

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:  # noqa: ARG002
        """See `Store.list`. A server tells the names of a folder in any order, so they are always sorted here."""
        return walk(self._link, self._tree, start)

    def stat(self, key: str) -> Entry:
        async def look(client: QuickSession) -> Entry:
            await self._tree.reach(client, key)
            return entry_of(key, await self._tree.source(client, key, None))

        return self._link.ask(look, key, "read")

    def exists(self) -> bool:
        return self._link.ask(self._tree.exists)

    def create(self) -> None:
        self._link.run(self._tree.create, "", "made", again=True)

    # ----- reading -----

    @contextmanager
    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> Generator[Iterator[bytes], None, None]:
        if expect is not None and expect.size <= READ_MOST:
            question = partial(read_small, tree=self._tree, key=key, expect=expect, offset=offset, length=length)
            if (data := self._link.ask(question, key, "read")) is not None:
                yield iter([data] if data else [])
                return
        if expect is not None and expect.size <= CHUNK:
            job = partial(read_whole, tree=self._tree, key=key, expect=expect, offset=offset, length=length)
            yield iter(self._link.run(job, key, "read", again=True))
            return
        line = self._link.line()
        opened = self._link.start_on(
            line, partial(opened_for_reading, tree=self._tree, key=key, expect=expect), key, "read", again=True
        )()
        try:
            yield self._pieces(line, opened, key, offset, length)
        finally:
            with suppress(StoreError):
                self._link.start_on(line, lambda _: opened.file.close(), key, "closed")()

    def _pieces(self, line: Line, opened: Opened, key: str, offset: int, length: int | None) -> Iterator[bytes]:
        end = offset + opened.wanted(offset, length)
        starts = iter(range(offset, end, CHUNK))
        coming: deque[tuple[int, Callable[[], bytes]]] = deque()
        for begin in starts:
            size = min(CHUNK, end - begin)
            job = partial(read_piece, opened.file, begin, size)
            coming.append((size, self._link.start_on(line, job, key, "read")))
            if len(coming) >= _AHEAD:
                yield self._arrived(coming, key)
        while coming:
            yield self._arrived(coming, key)
        self._link.start_on(line, lambda _: opened.confirm(key), key, "read")()

    @staticmethod
    def _arrived(coming: deque[tuple[int, Callable[[], bytes]]], key: str) -> bytes:
        size, wait = coming.popleft()
        data = wait()
        if len(data) != size:
            raise files.changed(key, "while it was read")
        return data

    # ----- writing -----

    def write(
        self,
        key: str,
        body: Iterable[bytes],
        *,
        size: int | None = None,
        md5: str = "",
        if_absent: bool = False,
        if_match: Entry | None = None,
        mtime_ns: int | None = None,
        metadata: Metadata | None = None,  # noqa: ARG002 - a file has none
        temporary: str = "",
    ) -> Entry:
        begin = partial(self._begin, key=key, if_absent=if_absent, if_match=if_match, temporary=temporary)
        if size is not None and size <= CHUNK:
            data = b"".join(files.gathered(body, size))
            found = files.checked(key, len(data), hashlib.md5(data, usedforsecurity=False).hexdigest(), size, md5)

            async def put(client: SFTPClient) -> Entry:
                upload = await begin(client)
                try:
                    if data:
                        await upload.file.write(data, 0)
                    return await self._publish(client, upload, len(data), found, if_absent, if_match, mtime_ns)
                except BaseException:
                    await asyncio.shield(self._abandon(client, upload))
                    raise

            return self._link.run(put, key, "written")
        line = self._link.line()
        upload = self._link.start_on(line, begin, key, "written")()
        try:
            total, found = self._send(line, upload, body, size)
            files.checked(key, total, found, size, md5)

            async def publish(client: SFTPClient) -> Entry:
                return await self._publish(client, upload, total, found, if_absent, if_match, mtime_ns)

            return self._link.start_on(line, publish, key, "written")()
        except BaseException:
            with suppress(StoreError):
                self._link.start_on(line, lambda client: self._abandon(client, upload), key, "cleaned up")()
            raise

    def _send(self, line: Line, upload: _Upload, body: Iterable[bytes], size: int | None) -> tuple[int, str]:
        """Send the body; its length and hex MD5. The next block is read while one is on its way, but not sent before
        that has arrived: some servers take the bytes of a file only in their order."""
        digest = hashlib.md5(usedforsecurity=False)
        going: Callable[[], object] | None = None
        total = sent = 0
        block: builtins.list[bytes] = []
        for piece in body:
            digest.update(piece)
            block.append(piece)
            total += len(piece)
            if size is not None and total > size:
                break
            if total - sent >= _BLOCK:
                going, sent, block = self._pass_on(line, upload, going, block, sent), total, []
        self._pass_on(line, upload, going, block, sent)()
        return total, digest.hexdigest()

    def _pass_on(
        self,
        line: Line,
        upload: _Upload,
        going: Callable[[], object] | None,
        block: builtins.list[bytes],
        offset: int,
    ) -> Callable[[], object]:
        if going is not None:
            going()
        job = partial(_send_piece, upload.file, b"".join(block), offset)
        return self._link.start_on(line, job, upload.key, "written")

    async def _begin(
        self, client: SFTPClient, *, key: str, if_absent: bool, if_match: Entry | None, temporary: str
    ) -> _Upload:
        tree = self._tree
        await self._check(client, key)
        made: list[str] = []
        try:
            await tree.make_parents(client, key, made)
            replaced = await tree.occupant(client, key)
            if if_absent and replaced is not None:
                raise files.present_already(key)
            tree.require(key, if_match, replaced)
            path = tree.temporary(key, temporary or secrets.token_hex(8))
            file = await tree.create_file(client, key, path, made)
        except BaseException:
            await tree.unmake(client, made)
            raise
        return _Upload(key=key, file=file, path=path, made=made, replaced=replaced)

    async def _publish(
        self,
        client: SFTPClient,
        upload: _Upload,
        size: int,
        md5: str,
        if_absent: bool,  # noqa: FBT001 - passed on, always by position
        if_match: Entry | None,
        mtime_ns: int | None,
    ) -> Entry:
        tree, key = self._tree, upload.key
        ours = await tree.seal(client, upload.file, upload.path, upload.replaced, mtime_ns)
        if ours.size != size:
            raise StoreError(f"'{keys.display(key)}' arrived with {ours.size} of {size} bytes", cure="Run again")
        if if_match is not None:
            tree.require(key, if_match, await tree.occupant(client, key))
        await tree.publish(client, upload.path, key, if_absent=if_absent, replaces=upload.replaced is not None)
        return entry_of(key, ours)._replace(md5=md5)

    async def _abandon(self, client: SFTPClient, upload: _Upload) -> None:
        import asyncssh

        with suppress(asyncssh.Error, OSError, ValueError):
            await upload.file.close()
        with suppress(asyncssh.Error, OSError):
            await client.remove(upload.path)
        await self._tree.unmake(client, upload.made)

    def discard(self, key: str, temporary: str) -> None:
        async def remove(client: SFTPClient) -> None:
            with suppress(NotFound):
                await self._tree.reach(client, key)
                await _remove(client, self._tree.temporary(key, temporary))
                await self._tree.prune(client, key)

        self._link.run(remove, key, "cleaned up", again=True)

    # ----- within the store -----

    def copy(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        planned = if_match or self.stat(source)

        async def there(client: SFTPClient) -> Entry | None:
            if not client.supports_remote_copy:
                return None
            opened = await opened_for_reading(client, tree=self._tree, key=source, expect=planned)
            try:
                upload = await self._begin(client, key=target, if_absent=False, if_match=None, temporary="")
                try:
                    await client.remote_copy(opened.file, upload.file)
                    await opened.confirm(source)
                    return await self._publish(
                        client, upload, planned.size, planned.md5, False, None, planned.mtime_ns or None
                    )
                except BaseException:
                    await asyncio.shield(self._abandon(client, upload))
                    raise
            finally:
                await opened.file.close()

        copied = self._link.run(there, source, "copied")
        if copied is not None:
            return copied
        with self.read(source, expect=planned) as body:
            return self.write(target, body, size=planned.size, mtime_ns=planned.mtime_ns or None)

    def preserve(self, source: str, target: str, *, if_match: Entry | None = None) -> None:
        """A hard link where the server makes them, else a copy. An older version under `target` is replaced."""

        async def link(client: SFTPClient) -> bool:
            await self._tree.reach(client, source)
            await self._tree.source(client, source, if_match)
            await self._check(client, target)
            return await self._tree.link(client, source, target)

        if not self._link.run(link, source, "kept", again=True):
            self.copy(source, target, if_match=if_match)

    def move(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        async def rename(client: SFTPClient) -> Entry:
            tree = self._tree
            await tree.reach(client, source)
            present = await tree.source(client, source, if_match)
            await self._check(client, target)
            made: list[str] = []
            try:
                await tree.make_parents(client, target, made)
                await tree.relocate(client, source, target)
            except BaseException:
                await tree.unmake(client, made)
                raise
            await tree.prune(client, source)
            return entry_of(target, present)

        return self._link.run(rename, target, "moved")

    def delete(self, key: str, *, if_match: Entry | None = None) -> None:
        async def remove(client: SFTPClient) -> None:
            tree = self._tree
            present = None
            with suppress(NotFound):
                await tree.reach(client, key, PreconditionFailed)
                present = await tree.look(client, key, PreconditionFailed)
            if present is None:
                if if_match is not None:
                    raise NotFound(f"'{keys.display(key)}' is not there")
                return
            tree.require(key, if_match, present)
            await _remove(client, tree.path(key))
            await tree.prune(client, key)

        self._link.run(remove, key, "deleted")

    # ----- the rest -----

    def flush(self, keys: Iterable[str]) -> None:
        """Nothing to do: each write asked the server for it, where the server can."""

    def sign(self, key: str, *, ttl: timedelta) -> str:  # noqa: ARG002 - the contract's signature
        raise StoreError(f"SFTP has no URL for '{keys.display(key)}'", cure="Only clouds sign URLs")

    def unaddressable(self, key: str) -> str | None:
        return self._tree.unaddressable(key)

    def is_public(self, key: str) -> bool:  # noqa: ARG002 - everybody logs in
        return False

    def clock_ahead_ns(self) -> int:
        """Measured with a small file below `.trueup/`; 0 where none may be written."""
        key = f"{keys.RESERVED}/clock-{secrets.token_hex(8)}"
        began = time.time_ns()
        try:
            written = self.write(key, [b"-"], size=1)
            middle = (began + time.time_ns()) // 2
            self.delete(key)
        except StoreError:
            return 0
        # Times come in whole seconds, rounded down.
        ahead = written.mtime_ns + 500_000_000 - middle
        return ahead if abs(ahead) > 1_000_000_000 else 0

    def close(self) -> None:
        self._link.close()

    async def _check(self, client: SFTPClient, key: str) -> None:
        if reason := self.unaddressable(key):
            raise Unaddressable(
                f"'{keys.display(key)}' cannot be written: {reason}", cure="Rename it on the other side"
            )
        await self._tree.require_faithful(client, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Upload:
    """A file that is being written under its temporary name."""

    key: str
    file: SFTPClientFile
    path: bytes
    made: list[str]
    """Folders made for it."""
    replaced: SFTPAttrs | None
    """What it will replace."""


async def _send_piece(file: SFTPClientFile, piece: bytes, offset: int, _: SFTPClient) -> None:
    if piece:
        await file.write(piece, offset)


async def _remove(client: SFTPClient, path: bytes) -> None:
    """Remove a file; one that is gone by now is fine."""
    import asyncssh

    with suppress(asyncssh.SFTPNoSuchFile):
        await client.remove(path)
