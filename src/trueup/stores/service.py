"""Places by the name of OpenDAL's service: `[stores.X] service = "webdav"`, and the options that service has.

Buckets among them are written to as they are; everything else is taken for folders and files. What such a service does
under a condition, or in which order it lists, is not relied on.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from trueup import keys
from trueup.config import StoreConfig
from trueup.errors import ConfigError, NotFound, StoreError, TrueupError
from trueup.stores import listing, operators
from trueup.stores.base import CHUNK, Entry
from trueup.stores.budget import UPLOADS
from trueup.stores.client import Client
from trueup.stores.place import Place
from trueup.stores.remote import RemoteStore
from trueup.stores.remote_service import Found, Traits
from trueup.stores.service_place import service_place
from trueup.stores.service_rows import found_of, unaddressable

if TYPE_CHECKING:
    from opendal import Operator

_REMOVES_EMPTY: Final = frozenset({"ftp"})
"""Services that remove a folder only if it is empty; the others remove what is in it, too."""
_DOING: Final = {
    "read": "read", "written": "write", "deleted": "delete", "moved": "move", "copied": "copy", "made": "make",
    "listed": "list", "reached": "reach", "cleaned up": "clean up",
}  # fmt: skip


def open_service(config: StoreConfig) -> RemoteStore:
    """The store of a `[stores.NAME]` with `service`. Raises `ConfigError`; nothing is contacted."""
    return RemoteStore(_Service(service_place(config)))


class _Client(Client):
    """A client whose options are OpenDAL's own: what it does not like about them is an error of the settings."""

    @property
    def operator(self) -> Operator:
        operators.check_not_forked()
        if self._operator is None:
            with self.lock:
                if self._operator is None:
                    self._operator = self._built()
        return self._operator

    def _built(self) -> Operator:
        from opendal.exceptions import ConfigInvalid, Unsupported

        place = self.place
        try:
            made = operators.build(place.service, place.options, timeout=place.timeout, retries=place.retries)
        except (ConfigInvalid, Unsupported) as error:
            said = re.sub(r"^\w+ \(\w+\) at \S* ?=> ", "", str(error).partition("\n")[0])
            raise ConfigError(
                f"the service {place.service} cannot be used: {place.scrub(said)}",
                cure=f"Look at the options of [stores.{place.bucket}]",
            ) from None
        if not made.capability().list:
            raise ConfigError(
                f"the service {place.service} tells nobody what it holds", cure="Only what can be listed can be synced"
            )
        return made


class _Service:
    """One operator, which any number of threads may use."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._client = _Client(place)
        self._client.bucket_seen = True  # whether the root is there is asked for itself
        self._files = _OperatorFiles(self._client)
        self.traits = Traits(
            tree=place.tree,
            dated=place.tree,
            direct=not place.tree,
            removes_whole=place.service not in _REMOVES_EMPTY,
            retries=0,  # the client tries again by itself
        )

    @property
    def url(self) -> str:
        return self._place.url

    @contextmanager
    def session(self, *, reading: bool = False) -> Iterator[_OperatorFiles]:  # noqa: ARG002 - one for all
        yield self._files

    def listing(self) -> Generator[Entry]:
        _ = self._client.operator  # what is wrong with the settings is said here better than by the helper
        return listing.entries(self._place, ordered=False)

    def create(self) -> None:
        if self._place.tree and self._place.prefix:
            with self._client.asking("make"):
                self._client.operator.create_dir(self._place.prefix)

    def unaddressable(self, key: str) -> str | None:
        return unaddressable(key, self._place.prefix, tree=self._place.tree)

    def is_lost(self, error: Exception) -> bool:  # noqa: ARG002 - the client has tried by then
        return False

    def translated(self, error: Exception, key: str, verb: str) -> TrueupError:
        name = f"'{keys.display(key)}' in {self.url}" if key else self.url
        return StoreError(f"cannot {_DOING[verb]} {name}: {type(error).__name__}: {self._place.scrub(str(error))}")

    def close(self) -> None:
        pass


class _OperatorFiles:
    """The files below one root; see `Files`. Errors of OpenDAL become ours here already."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        # A bucket's root is the operator's own: some list nothing above what they were given rights to.
        self._base = client.place.prefix if client.place.tree else ""

    def look(self, key: str) -> Found | None:
        client = self._client
        if not key and not self._base:
            with client.asking("reach"):
                client.operator.check()
            return Found("folder", Entry(""))
        try:
            with client.asking("look at", key or self._base):
                metadata = client.operator.stat(f"{self._base}{key}" if key else self._base)
        except NotFound:
            return None
        return found_of(key, metadata)

    def names(self, folder: str) -> Iterable[Found]:
        path = f"{self._base}{folder}/" if folder else self._base or "/"
        found = []
        with self._client.asking("list", folder or "/"):
            for entry in self._client.operator.list(path):
                key = entry.path.removeprefix(self._base).rstrip("/")
                if key != folder and entry.path != path:
                    found.append(found_of(key, entry.metadata))
        return found

    def read(self, key: str, offset: int, length: int) -> Generator[bytes]:
        client, path = self._client, self._base + key
        if length <= CHUNK:
            with client.asking("read", key):
                data = client.operator.read(path, offset=offset, size=length)
            if data:
                yield data
            return
        with client.asking("read", key):
            file = client.operator.open(path, "rb")
        with closing(file):
            with client.asking("read", key):
                if offset:
                    file.seek(offset)
            while length:
                with client.asking("read", key):
                    piece = file.read(min(CHUNK, length))
                if not piece:
                    return
                length -= len(piece)
                yield piece

    def put(self, key: str, body: Iterable[bytes], size: int | None) -> None:
        """A service that takes no parts is sent a file in one request, from memory."""
        client, path = self._client, self._base + key
        can = client.operator.capability()
        if client.place.tree and not (can.rename or can.copy):
            raise StoreError(
                f"'{keys.display(key)}' cannot be written whole: {client.service} neither renames nor copies",
                cure="Such a place can only be read from: let the sync go the other way",
            )
        with UPLOADS.pieces(size or CHUNK, 1):
            if not can.write_can_multi:
                data = b"".join(body)
                with client.asking("write", key):
                    client.operator.write(path, data)
                return
            with client.asking("write", key):
                # A body that raises leaves the writer to be dropped: closing it would publish what came so far.
                file = client.operator.open(path, "wb")
            for piece in body:
                with client.asking("write", key):
                    file.write(piece)
            with client.asking("write", key):
                file.close()

    def rename(self, source: str, target: str) -> None:
        client = self._client
        one, other = self._base + source, self._base + target
        can = client.operator.capability()
        if not (can.rename or can.copy):
            raise StoreError(f"'{keys.display(source)}' cannot be moved: {client.service} neither renames nor copies")
        with client.asking("move", target):
            if can.rename:
                client.operator.rename(one, other)
            else:
                client.operator.copy(one, other)
                client.operator.delete(one)

    def copy(self, source: str, target: str) -> bool:
        client = self._client
        if not client.operator.capability().copy:
            return False
        with client.asking("copy", source):
            client.operator.copy(self._base + source, self._base + target)
        return True

    def remove(self, key: str) -> None:
        with self._client.asking("delete", key):
            self._client.operator.delete(self._base + key)

    def make_folder(self, folder: str) -> None:
        with self._client.asking("make", folder):
            self._client.operator.create_dir(f"{self._base}{folder}/")

    def remove_folder(self, folder: str) -> None:
        with self._client.asking("delete", folder):
            self._client.operator.delete(f"{self._base}{folder}/")
