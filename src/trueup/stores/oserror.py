"""What the operating system's errors mean here."""

from __future__ import annotations

import errno
from typing import Final

from trueup import keys
from trueup.errors import AccessDenied, NoSpace, NotFound, PreconditionFailed, StoreError, Unaddressable, Unreachable

_RIGHTS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL: Final = frozenset(code for name in ("ENOSPC", "EDQUOT") if (code := getattr(errno, name, None)))
# EINVAL, EILSEQ: what FAT, exFAT and APFS answer to a name they cannot hold.
_NAME: Final = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})
_AWAY: Final = frozenset(
    code
    for name in ("ESTALE", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN")
    if (code := getattr(errno, name, None))
)
NO_LINKS: Final = frozenset(
    code
    for name in ("EPERM", "EACCES", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EMLINK", "EXDEV", "EINVAL")
    if (code := getattr(errno, name, None))
)
"""Errors of `link` after which a copy or a rename may still work."""


def why(error: OSError) -> str:
    """The system's own words, without the path (which may hold control characters)."""
    return (error.strerror or type(error).__name__).lower()


def translated(error: OSError, key: str, verb: str) -> StoreError:
    """The `StoreError` that says what happened to `key`; `verb` is the past participle: *read*, *written*."""
    name = keys.display(key)
    code = error.errno
    if code == errno.ENOENT:
        return NotFound(f"'{name}' is not there")
    if code in _RIGHTS:
        cure = "The file system is mounted read-only" if code == errno.EROFS else "Check the owner and the permissions"
        return AccessDenied(f"'{name}' cannot be {verb}: {why(error)}", cure=cure)
    if code in _FULL:
        return NoSpace(f"'{name}' cannot be {verb}: {why(error)}", cure="Free some space and run again")
    if code in _NAME:
        cure = "Shorten or change the name on the other side" if verb != "read" else "Rename it"
        return Unaddressable(f"'{name}' cannot be {verb}: this disk does not take the name ({why(error)})", cure=cure)
    if code in _AWAY:
        return Unreachable(f"'{name}' cannot be {verb}: {why(error)}", cure="Check the network mount and run again")
    if code == errno.ELOOP:
        return PreconditionFailed(f"'{name}' is a link now", cure="Nothing is read or written through a link")
    if code in {errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST}:
        return PreconditionFailed(f"'{name}' cannot be {verb}: {why(error)}", cure="Something else has its place")
    if code in {errno.EMFILE, errno.ENFILE}:
        return StoreError(f"'{name}' cannot be {verb}: {why(error)}", cure="Raise 'ulimit -n' or use fewer workers")
    return StoreError(f"'{name}' cannot be {verb}: {why(error)}")
