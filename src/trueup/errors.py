"""Every error trueup raises on purpose.

    TrueupError                 1   something went wrong; the base of all below
    ├── UsageError              2   the caller asked for something impossible
    │   ├── ConfigError         2   a setting is missing, unknown or unusable
    │   ├── UnknownScheme       2   a URL whose scheme no store answers to
    │   └── MissingExtra        2   needs an optional dependency that is not installed
    ├── Refused                 3   a guard said no; nothing was done
    │   ├── AddressRefused      3   a URL leads to an address that only this machine or its network can reach
    │   ├── ListingUnfinished   3   a listing broke off, so nothing may be concluded from it
    │   └── PoolFull            3   no provider of the pool has room for this upload
    ├── Busy                    4   another run holds the lock
    ├── Interrupted           130   the user asked the run to stop
    ├── DatabaseUnavailable     1   the database does not answer, or is busy with others; a retry can help
    ├── FetchError              1   a URL does not give us its file
    │   └── FetchUnfinished     1   it broke off, took too long or the server is overloaded; a retry can help
    └── StoreError              1   a store refused us, could not be reached, or the item is not as expected
        ├── NotFound            1   the object or file is not there
        │   └── Hidden          1   something is there that is never followed or read: a link, a device
        ├── BucketMissing       1   the bucket or container is not there
        ├── AccessDenied        1   wrong credentials, or too few rights
        │   └── CredentialsExpired
        ├── PreconditionFailed  1   the item is no longer what it was when we looked
        ├── Unaddressable       1   this store cannot hold, or cannot address, such a name
        ├── Archived            1   the object lies in an archive tier and cannot be read now
        ├── NoSpace             1   the disk or the quota is full
        └── Unreachable         1   network trouble or an overloaded server; a retry can help

The number is the exit code of a run that ends with the error. A bad *item* does not end a run: it becomes an outcome.
`retryable` says whether the same call may succeed later without anybody changing anything.
"""

from __future__ import annotations

from typing import ClassVar


class TrueupError(Exception):
    """Base of every deliberate error. `cure` is one sentence that tells the user what to do about it."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}. {self.cure}" if self.cure else self.message


class UsageError(TrueupError):
    """The command, argument or combination makes no sense."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is missing, unknown or unusable."""


class UnknownScheme(UsageError):
    """No store answers to this URL scheme."""


class MissingExtra(UsageError):
    """An optional dependency is needed and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}'", cure=f"Install it: pip install 'trueup[{extra}]'")
        self.extra = extra


class Refused(TrueupError):
    """A guard refused the run before any action ran."""

    exit_code = 3


class AddressRefused(Refused):
    """A URL leads to an address that only this machine, or its network, can reach. Nothing was sent there."""


class ListingUnfinished(Refused):
    """A listing did not finish, or contradicted itself. Nothing is concluded from it."""


class PoolFull(Refused):
    """No provider of the pool has room for this upload; not a byte was sent, or nothing of it was kept."""


class Busy(TrueupError):
    """Another run holds the lock. `run` is its id, where that is known."""

    exit_code = 4

    def __init__(self, message: str, *, cure: str = "", run: str = "") -> None:
        super().__init__(message, cure=cure)
        self.run = run


class Interrupted(TrueupError):
    """The user asked the run to stop."""

    exit_code = 130


class DatabaseUnavailable(TrueupError):
    """The shared database did not answer, broke off, or was busy with others for too long."""

    retryable = True


class FetchError(TrueupError):
    """A URL does not give us its file."""


class FetchUnfinished(FetchError):
    """A fetch broke off, took too long, or met an overloaded server. What came is kept where a later fetch goes on."""

    retryable = True


class StoreError(TrueupError):
    """A store refused, or could not do, one operation."""


class NotFound(StoreError):
    """The object or file is not there."""


class Hidden(NotFound):
    """There is no file, but something else stands in the way (a link, a device), so nothing is known about the key."""


class BucketMissing(StoreError):
    """The bucket or container itself is not there."""


class AccessDenied(StoreError):
    """Wrong credentials, or too few rights."""


class CredentialsExpired(AccessDenied):
    """The credentials were right once and have expired."""


class PreconditionFailed(StoreError):
    """The item is no longer what it was when it was looked at."""


class Unaddressable(StoreError):
    """The store cannot hold, or cannot address, an item of this name."""


class Archived(StoreError):
    """The object lies in an archive tier and cannot be read or copied now."""


class NoSpace(StoreError):
    """The disk, or a quota of the store, is full."""


class Unreachable(StoreError):
    """The store did not answer, or answered that it is overloaded."""

    retryable = True
