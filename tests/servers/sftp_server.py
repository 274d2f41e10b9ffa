"""An SFTP server over a folder, with what OpenSSH's has and rclone's lacks: links, hard links, fsync, copies.

`sftp_server.py PORT FOLDER HOST_KEY AUTHORIZED_KEYS`: the user `t` gets in with the password or an authorized key. What
is asked about files is written to `FOLDER.asked`, a line each: the request, a space, the last segment of the path.

Two folders are not what they are on the disk. Below one called `slow` are as many files as anybody waits for, one every
10 ms; a folder below `endless-N` holds N folders, each like itself.
"""

from __future__ import annotations

import asyncio
import stat
import sys
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any, BinaryIO, ClassVar

import asyncssh

USER = "t"
PASSWORD = "not-a-secret"


class Door(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


class Folder(asyncssh.SFTPServer):
    root: ClassVar[bytes]
    asked: ClassVar[BinaryIO]

    def __init__(self, chan: asyncssh.SSHServerChannel) -> None:
        super().__init__(chan, chroot=self.root)

    async def lstat(self, path: bytes) -> Any:
        if b"/endless-" in path:
            return asyncssh.SFTPAttrs(permissions=stat.S_IFDIR | 0o755)
        return super().lstat(path)

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        if path.endswith(b"/slow"):
            for number in count():
                await asyncio.sleep(0.01)
                attributes = asyncssh.SFTPAttrs(size=1, permissions=stat.S_IFREG | 0o644, atime=1, mtime=1)
                yield asyncssh.SFTPName(b"f%07d" % number, attrs=attributes)
        elif b"/endless-" in path:
            for number in range(int(path.partition(b"/endless-")[2][:1])):
                attributes = asyncssh.SFTPAttrs(permissions=stat.S_IFDIR | 0o755)
                yield asyncssh.SFTPName(b"%d" % number + b"x" * 200, attrs=attributes)
        else:
            async for name in super().scandir(path):
                yield name


def noted(name: str) -> Callable[..., Any]:
    """The server's method of this name, which also writes down what it was asked about: a path, or an open file."""
    method = getattr(Folder, name)

    def note(self: Folder, about: Any, *rest: Any) -> Any:
        path = about if isinstance(about, bytes) else getattr(about, "name", b"")
        Folder.asked.write(b"%s %s\n" % (name.encode(), path.rpartition(b"/")[2]))
        return method(self, about, *rest)

    return note


for request in ("lstat", "open", "read", "fstat", "close"):
    setattr(Folder, request, noted(request))


async def main(port: str, folder: str, host_key: str, authorized: str) -> None:
    Folder.root = folder.encode()
    Folder.asked = open(f"{folder}.asked", "ab", buffering=0)  # noqa: SIM115, PTH123, ASYNC230 - as long as the server
    await asyncssh.listen(
        "127.0.0.1",
        int(port),
        server_factory=Door,
        server_host_keys=[host_key],
        authorized_client_keys=authorized,
        sftp_factory=Folder,
        allow_scp=False,
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
