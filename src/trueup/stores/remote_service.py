"""What a remote service must offer to become a store: plain file operations. See `trueup.stores.remote`."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from trueup.errors import TrueupError
from trueup.stores.base import Entry


class Found(NamedTuple):
    """What lies under a name."""

    kind: str
    """`file`, `folder`, `link` or `special`."""
    entry: Entry
    """Its key is relative to the root. A folder has no more than that, and for a fingerprint what is told to be its own
    number, by which a link that leads back is known."""


class Files(Protocol):
    """The files below one root, over one connection that nobody else uses meanwhile. Keys are relative to the root,
    which is the empty key itself. Errors are those of the service's own library; `Service.translated` explains them."""

    def look(self, key: str) -> Found | None:
        """What is there now, or None."""
        ...

    def names(self, folder: str) -> Iterable[Found]:
        """Everything in one folder, in any order. A folder that is not there, or cannot be read, raises."""
        ...

    def read(self, key: str, offset: int, length: int) -> Generator[bytes]:
        """`length` bytes from `offset` on, fewer where the file ends before. Closing it early is allowed."""
        ...

    def put(self, key: str, body: Iterable[bytes], size: int | None) -> None:
        """Write a file of `size` bytes (None: not known), in the place of one that is there. What `body` raises passes
        through."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Rename a file, over one that is there."""
        ...

    def copy(self, source: str, target: str) -> bool:
        """Copy a file on the server, over one that is there; False where it cannot."""
        ...

    def remove(self, key: str) -> None:
        """Remove a file."""
        ...

    def make_folder(self, folder: str) -> None:
        """Make one folder, whose parent is there."""
        ...

    def remove_folder(self, folder: str) -> None:
        """Remove an empty folder."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a service is like, as far as it cannot be asked."""

    tree: bool = True
    """Paths are folders and files."""
    dated: bool = True
    """Fingerprints are made of times."""
    renames: bool = True
    """A rename is one step, and keeps the file's time. Else it is a copy."""
    direct: bool = False
    """A file that is put appears at its end, whole, or not at all: no temporary name is needed."""
    removes_whole: bool = False
    """Removing a folder removes what is in it, or looks before it removes."""
    at_once: int = 4
    """Folders that may be listed at the same time."""
    retries: int = 3
    """How often what changes nothing is tried again after a lost connection."""


class Service(Protocol):
    """Where the files come from."""

    @property
    def url(self) -> str:
        """Canonical, without credentials."""
        ...

    @property
    def traits(self) -> Traits: ...

    def session(self, *, reading: bool = False) -> AbstractContextManager[Files]:
        """The files, for one job. Who holds a session to read may ask for another one, and nobody else may: so a copy
        between two stores cannot wait for itself."""
        ...

    def listing(self) -> Generator[Entry] | None:
        """Every entry in any order, where the service lists in a way of its own."""
        ...

    def create(self) -> None:
        """Make the root, with the folders above it."""
        ...

    def unaddressable(self, key: str) -> str | None:
        """Why the service cannot be asked for a key, or None."""
        ...

    def is_lost(self, error: Exception) -> bool:
        """Whether an error is about the connection, so that another one may do better."""
        ...

    def translated(self, error: Exception, key: str, verb: str) -> TrueupError:
        """The error of ours that says that `key` (empty: the place) could not be `verb`, a past participle."""
        ...

    def close(self) -> None: ...
