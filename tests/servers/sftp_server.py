"""An SFTP server over a folder, with what OpenSSH's has and rclone's lacks: links, hard links, fsync, copies.

`sftp_server.py PORT FOLDER HOST_KEY AUTHORIZED_KEYS`: the user `t` gets in with the password or an authorized key.
"""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

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

    def __init__(self, chan: asyncssh.SSHServerChannel) -> None:
        super().__init__(chan, chroot=self.root)


async def main(port: str, folder: str, host_key: str, authorized: str) -> None:
    Folder.root = folder.encode()
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
