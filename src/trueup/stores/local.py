"""A folder on this machine.

Every write goes to a temporary name beside the target and is published by one rename or hard link, so a reader (or a
`kill -9`) sees the old file or the new one, never a piece. Nothing is read or written through a link: each folder
below the root is looked at first, and the file itself is opened with `O_NOFOLLOW`.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from trueup import keys
from trueup.errors import Hidden, NotFound, PreconditionFailed, StoreError, Unreachable
from trueup.stores import files
from trueup.stores.base import CHUNK, Entry, Features, Metadata, PlainFiles
from trueup.stores.oserror import NO_LINKS, translated
from trueup.stores.tree import Tree, temporary_path, unmake
from trueup.stores.turns import Turns
from trueup.stores.walk import fingerprint, walk

RACY_NS: Final = 2_000_000_000
"""Two seconds: the coarsest time stamp in use (FAT)."""

_ATTEMPTS: Final = 50
"""How often a folder is made again that another thread's clean-up of empty folders took away."""


def is_racy(entry: Entry, seen_ns: int) -> bool:
    """Whether a file was modified so close to the moment it was seen (`time.time_ns()`) that a later change could
    leave its fingerprint as it is: such a fingerprint must not be trusted the next time.

    Only the mtime counts. A change sets it to the present, so an old mtime always moves; the ctime of everything we
    wrote ourselves is young, and taking it for racy would hash each downloaded file twice.
    """
    return abs(seen_ns - entry.mtime_ns) <= RACY_NS


class LocalStore(PlainFiles):
    """One folder. The root may be a link (it is resolved here, once); below it links are never followed."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(os.path.realpath(root))
        self._tree = Tree(str(self.root))
        self._turns = Turns()
        self._listed: tuple[int, int] | None = None
        """Which folder the root was when it was last listed from its beginning: device and inode."""
        # `preserve` changes a file's ctime, and so its fingerprint, but the entry as planned must stay good:
        # key -> (fingerprint as planned, fingerprint after the link was made).
        self._relinked: dict[str, tuple[str, str]] = {}
        self._names_late = bool(files.UNNAMED)
        self._named_well = False

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    @property
    def url(self) -> str:
        path = self.root.as_posix()
        return f"file://{path}" if path.startswith("/") else f"file:///{path}"

    @property
    def features(self) -> Features:
        # Without a root there is nothing to ask yet, and the answer must not be remembered.
        folds = self._tree.folds_case if self.exists() else Tree(self._tree.root).folds_case
        return Features(tree=True, folds_case=folds, if_absent=True, start=True, keeps_mtime=True)

    def guards_absent(self) -> bool:
        return True

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:
        """See `Store.list`. A fault on a folder above `start` is given too: it hides keys that were asked for."""
        if not start or self._listed is None:  # not by a look at a few keys, which may find another folder there
            self._listed = self._tree.identity()
        return walk(self._tree.root, start, ordered=ordered)

    def stat(self, key: str) -> Entry:
        try:
            return files.entry_of(key, self._source(key, self._tree.reach(key), None))
        except NotFound:
            # Below the mount point of a disk that is not mounted any more nothing is found, and nothing is absent.
            if self._listed is not None and self._tree.identity() != self._listed:
                raise Unreachable(
                    f"{self.url} is not the folder any more that was listed",
                    cure="Is a disk not mounted any more? Run again when it is there",
                ) from None
            raise

    def exists(self) -> bool:
        return os.path.isdir(self._tree.root)

    def create(self) -> None:
        try:
            os.makedirs(self._tree.root, exist_ok=True)
        except OSError as error:
            raise translated(error, self._tree.root, "made") from error

    @contextmanager
    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> Generator[Iterator[bytes], None, None]:
        if expect is not None and expect.size <= CHUNK:
            # In one go: what is sent then is one version, and the file is open no longer than that.
            with self._turns.turn(), self._opened(key, expect) as (file, before):
                found = list(files.pieces(file, key, before, offset, length))
            yield iter(found)
            return
        with (
            self._opened(key, expect) as (file, before),
            closing(files.pieces(file, key, before, offset, length)) as body,
        ):
            yield body

    @contextmanager
    def _opened(self, key: str, expect: Entry | None) -> Generator[tuple[int, os.stat_result], None, None]:
        """The file, open for reading, and what it is."""
        path = self._tree.reach(key)
        try:
            file = os.open(path, files.READ)
        except OSError as error:
            self._tree.look(key, path, Hidden)  # says what is in the way: a link, a socket
            raise translated(error, key, "read") from error
        try:
            before = os.fstat(file)
            if not stat.S_ISREG(before.st_mode):
                raise NotFound(f"'{keys.display(key)}' is {files.kind(before)}, not a file")
            if expect is not None and not self._matches(key, expect, before):
                raise files.changed(key)
            yield file, before
        finally:
            os.close(file)

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
        path = self._tree.target(key)
        small = size is not None and size <= CHUNK
        if small:
            body = files.gathered(body, size or 0)
            if if_absent and self._names_late:
                placed = self._named_late(key, path, body, size, md5, mtime_ns)
                if placed is not None:
                    return placed
        made = files.Made()
        written = ""
        with self._turns.turn() if small else nullcontext():
            try:
                self._tree.make_parents(key, made)
                replaced = self._tree.occupant(key, path)
                if if_absent and replaced is not None:
                    raise files.present_already(key)
                self._require(key, if_match, replaced)
                file, written = self._create(key, path, temporary, made)
                try:
                    found = files.store(file, key, body, size, md5)
                    ours = files.seal(file, written, key, mtime_ns, replaced)
                finally:
                    files.close(file, key)
                if if_match is not None:
                    self._require(key, if_match, self._tree.occupant(key, path))
                files.publish(written, path, key, if_absent=if_absent)
            except BaseException:
                if written:
                    with suppress(OSError):
                        os.unlink(written)
                unmake(made)
                raise
        self._relinked.pop(key, None)
        return files.published(key, path, ours, found)

    def _named_late(
        self, key: str, path: str, body: Iterable[bytes], size: int | None, md5: str, mtime_ns: int | None
    ) -> Entry | None:
        """Write a new file that gets its name when it is whole: half the system calls, and a kill leaves nothing. None
        where the disk has no such files, or something is in the way: `write` says what."""
        folder = self._tree.parent(key)
        if folder is None:
            return None
        try:
            file = os.open(folder, files.UNNAMED, 0o666)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                self._names_late = False
            return None
        try:
            found = files.store(file, key, body, size, md5)
            files.date(file, key, mtime_ns)
            files.name(file, path)
            ours = os.fstat(file)
        except OSError as error:
            if error.errno != errno.EEXIST:
                self._names_late = False
            return None
        finally:
            files.close(file, key)
        self._relinked.pop(key, None)
        if self._named_well:
            return files.entry_of(key, ours)._replace(md5=found)
        # A disk that shows a file in another way by its name than it did by its descriptor gets no second one so.
        entry = files.published(key, path, ours, found)
        if entry.fingerprint == fingerprint(ours):
            self._named_well = True
        else:
            self._names_late = False
        return entry

    def discard(self, key: str, temporary: str) -> None:
        with suppress(NotFound):
            path = self._tree.reach(key)
            try:
                os.unlink(temporary_path(path, temporary))
            except OSError as error:
                raise translated(error, key, "cleaned up") from error
            self._tree.prune(path)

    def copy(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        planned = if_match or self.stat(source)
        with self.read(source, expect=planned) as body:
            return self.write(target, body, size=planned.size, mtime_ns=planned.mtime_ns or None)

    def preserve(self, source: str, target: str, *, if_match: Entry | None = None) -> None:
        """A hard link where the disk has them, else a copy. An older version under `target` is replaced. The entry of
        `source` as planned stays good for the next `write`, `move` or `delete` of it through this store."""
        origin = self._tree.reach(source)
        present = self._source(source, origin, if_match)
        path = self._tree.target(target)
        made = files.Made()
        try:
            self._tree.make_parents(target, made)
            kept = self._tree.occupant(target, path)
            if kept is not None and os.path.samestat(kept, present):
                return
            try:
                if kept is not None:
                    os.unlink(path)
                self._link(source, origin, target, path, made)
                linked = self._linked(source, path, present)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise translated(error, target, "kept") from error
                self.copy(source, target, if_match=if_match or files.entry_of(source, present))
                return
        except BaseException:
            unmake(made)
            raise
        seen = fingerprint(present)
        planned, known = self._relinked.get(source, ("", ""))
        self._relinked[source] = (planned if known == seen else seen, fingerprint(linked))

    def move(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        origin = self._tree.reach(source)
        present = self._source(source, origin, if_match)
        path = self._tree.target(target)
        made = files.Made()
        try:
            self._tree.make_parents(target, made)
            occupant = self._tree.occupant(target, path)
            if occupant is None:
                self._relocate(source, origin, target, path, present, made)
            elif source != target and self._tree.folds_case and os.path.samestat(occupant, present):
                os.rename(origin, path)  # only the case changes: the target that was found is the source
            else:
                raise files.present_already(target)
        except OSError as error:
            unmake(made)
            raise translated(error, target, "moved") from error
        except BaseException:
            unmake(made)
            raise
        self._relinked.pop(source, None)
        self._tree.prune(origin)
        return files.published(target, path, present)

    def delete(self, key: str, *, if_match: Entry | None = None) -> None:
        present = None
        path = ""
        with suppress(NotFound):
            path = self._tree.reach(key, PreconditionFailed)
            present = self._tree.look(key, path, PreconditionFailed)
        if present is None:
            if if_match is not None:
                raise NotFound(f"'{keys.display(key)}' is not there")
            return
        self._require(key, if_match, present)
        try:
            os.unlink(path)
        except OSError as error:
            if if_match is not None or error.errno != errno.ENOENT:
                raise translated(error, key, "deleted") from error
        self._relinked.pop(key, None)
        self._tree.prune(path)

    def flush(self, keys: Iterable[str]) -> None:
        folders: set[str] = set()
        for key in keys:
            path = self._tree.path(key)
            files.sync_to_disk(path, key)
            folder = os.path.dirname(path)
            while folder not in folders and len(folder) >= len(self._tree.root):
                folders.add(folder)
                folder = os.path.dirname(folder)
        if not files.WINDOWS:  # a folder cannot be opened there
            for folder in folders:
                files.sync_to_disk(folder, folder)

    def sign(self, key: str, *, ttl: timedelta) -> str:  # noqa: ARG002 - the contract's signature
        raise StoreError(f"a folder has no URL for '{keys.display(key)}'", cure="Only clouds sign URLs")

    def unaddressable(self, key: str) -> str | None:
        return self._tree.unaddressable(key)

    def is_public(self, key: str) -> bool:  # noqa: ARG002 - a disk answers nobody
        return False

    def clock_ahead_ns(self) -> int:
        """Always 0: this machine dates its own files. A network mount's clock is not measured, which would mean
        writing to it."""
        return 0

    def close(self) -> None:
        self._relinked.clear()

    def _source(self, key: str, path: str, planned: Entry | None) -> os.stat_result:
        found = self._tree.look(key, path, Hidden)
        if found is None:
            raise NotFound(f"'{keys.display(key)}' is not there")
        self._require(key, planned, found)
        return found

    def _require(self, key: str, planned: Entry | None, found: os.stat_result | None) -> None:
        if planned is not None and (found is None or not self._matches(key, planned, found)):
            raise files.changed(key)

    def _matches(self, key: str, planned: Entry, found: os.stat_result) -> bool:
        if planned.size != found.st_size:
            return False
        if not planned.fingerprint:
            return planned.mtime_ns in {0, found.st_mtime_ns}
        seen = fingerprint(found)
        return planned.fingerprint == seen or self._relinked.get(key) == (planned.fingerprint, seen)

    def _create(self, key: str, path: str, temporary: str, made: files.Made) -> tuple[int, str]:
        for _ in range(_ATTEMPTS):
            written = temporary_path(path, temporary or secrets.token_hex(8))
            try:
                return os.open(written, files.CREATE, 0o666), written
            except FileNotFoundError:
                self._tree.require_root()
                self._tree.make_parents(key, made)
            except FileExistsError:
                if temporary:
                    raise StoreError(
                        f"'{keys.display(key)}' is being written by another run, or was left by one",
                        cure=f"Remove {os.path.basename(written)} beside it if no other run is at work",
                    ) from None
            except OSError as error:
                raise translated(error, key, "written") from error
        raise _restless(key)

    def _link(self, source: str, origin: str, target: str, path: str, made: files.Made) -> None:
        """A hard link from one path to another. Raises `OSError`, and `NotFound` when the source is gone."""
        for _ in range(_ATTEMPTS):
            try:
                os.link(origin, path)
            except FileNotFoundError:
                if not os.path.lexists(origin):
                    raise NotFound(f"'{keys.display(source)}' is not there") from None
                self._tree.make_parents(target, made)
            else:
                return
        raise _restless(target)

    def _linked(self, source: str, path: str, present: os.stat_result) -> os.stat_result:
        """What a new link shows; it is taken back unless it leads to the very version that was looked at."""
        found = os.lstat(path)
        if not files.same_content(found, present):
            with suppress(OSError):
                os.unlink(path)
            raise files.changed(source)
        return found

    def _relocate(
        self, source: str, origin: str, target: str, path: str, present: os.stat_result, made: files.Made
    ) -> None:
        """Move to a free path, never over what another writer puts there. Raises `OSError` too."""
        try:
            if files.WINDOWS:
                raise OSError(errno.ENOTSUP, "a rename never overwrites there")
            self._link(source, origin, target, path, made)
        except FileExistsError:
            raise files.present_already(target) from None
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        else:
            try:
                # The link leads to the version as planned, and the source is that version still.
                if not files.same_content(os.lstat(origin), self._linked(source, path, present)):
                    raise files.changed(source)
                os.unlink(origin)
            except BaseException:
                with suppress(OSError):
                    os.unlink(path)
                raise
            return
        if os.path.lexists(path):
            raise files.present_already(target)
        try:
            os.rename(origin, path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            planned = files.entry_of(source, present)
            with self.read(source, expect=planned) as body:
                self.write(target, body, size=planned.size, if_absent=True, mtime_ns=planned.mtime_ns)
            self.delete(source, if_match=planned)


def _restless(key: str) -> StoreError:
    return StoreError(f"'{keys.display(key)}' cannot be written: its folder keeps vanishing", cure="Run again")
