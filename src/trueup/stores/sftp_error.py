"""What the errors of SSH and SFTP mean here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trueup import keys
from trueup.errors import (
    AccessDenied,
    NoSpace,
    NotFound,
    PreconditionFailed,
    StoreError,
    Unaddressable,
    Unreachable,
)


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, so that another one may do better."""
    import asyncssh

    if isinstance(error, asyncssh.PermissionDenied | asyncssh.HostKeyNotVerifiable | asyncssh.KeyExchangeFailed):
        return False
    lost = (
        asyncssh.SFTPNoConnection | asyncssh.SFTPConnectionLost | asyncssh.DisconnectError | asyncssh.ChannelOpenError
    )
    return isinstance(error, lost | ConnectionError | TimeoutError)


def translated(error: Exception, key: str, verb: str, place: str, scrub: Callable[[str], str] = str) -> StoreError:
    """The `StoreError` that says what happened to `key` in `place`; `verb` is the past participle: *read*, *written*.
    Without a key it is about the place itself."""
    import asyncssh

    name = f"'{keys.display(key)}' in {place}" if key else place
    text = scrub(keys.display(str(error))) or type(error).__name__
    match error:
        case asyncssh.PermissionDenied():
            return AccessDenied(
                f"{place} does not let this user in: {text}",
                cure="Check the user and the password or key_file; an agent and the keys in ~/.ssh are tried as well",
            )
        case asyncssh.HostKeyNotVerifiable():
            return AccessDenied(
                f"the host key of {place} is not known, or not the one that is known: {text}",
                cure="If it is the right server, add its key to known_hosts: ssh-keyscan -p PORT HOST, and compare",
            )
        case asyncssh.KeyImportError() | asyncssh.KeyEncryptionError():
            return AccessDenied(f"the key for {place} cannot be used: {text}", cure="Check key_file and passphrase")
        case asyncssh.SFTPNoSuchFile() | asyncssh.SFTPNoSuchPath():
            return NotFound(f"{name} is not there")
        case asyncssh.SFTPPermissionDenied() | asyncssh.SFTPWriteProtect():
            return AccessDenied(f"{name} cannot be {verb}: {text}", cure="Check the owner and the permissions there")
        case asyncssh.SFTPNoSpaceOnFilesystem() | asyncssh.SFTPQuotaExceeded():
            return NoSpace(f"{name} cannot be {verb}: {text}", cure="Free some space there and run again")
        case asyncssh.SFTPInvalidFilename():
            return Unaddressable(f"{name} cannot be {verb}: {text}", cure="Rename it on the other side")
        case asyncssh.SFTPFileAlreadyExists() | asyncssh.SFTPFileIsADirectory() | asyncssh.SFTPNotADirectory():
            return PreconditionFailed(f"{name} cannot be {verb}: {text}", cure="Something else has its place")
        case TimeoutError() | asyncio.CancelledError():
            return Unreachable(f"{name} cannot be {verb}: the server does not answer", cure="Check it and run again")
        case OSError() if not isinstance(error, ConnectionError):
            return Unreachable(f"{place} cannot be reached: {error.strerror or text}", cure="Check host, port, network")
        case _ if is_lost(error):
            return Unreachable(f"{name} cannot be {verb}: {text}", cure="Check host, port and network, and run again")
    return StoreError(f"{name} cannot be {verb}: {text}")
