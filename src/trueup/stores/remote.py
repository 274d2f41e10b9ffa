"""A folder behind a service that knows plain file operations and nothing more: no conditions, no links, no versions.

`trueup.stores.remote_service` says what such a service must offer; `RemoteStore` makes a store of it. A file is put
under a temporary name beside its target and renamed; who wants a file to be as planned looks first and acts then.
"""

from __future__ import annotations

import builtins
import random
import secrets
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from trueup import keys
from trueup.errors import NotFound, PreconditionFailed, StoreError, TrueupError, Unaddressable
from trueup.stores import files
from trueup.stores.base import CHUNK, Entry, Features, Metadata, PlainFiles
from trueup.stores.remote_body import Counted
from trueup.stores.remote_service import Files, Found, Service
from trueup.stores.remote_tree import RemoteFolders, is_same, require, temporary_key

_Result = TypeVar("_Result")

_TICK_SECONDS: Final = 1.0
"""The coarsest time stamps of the services in use; some disks behind them go in steps of two."""
_TICKS: Final = 3


class RemoteStore(PlainFiles):
    """A store over such a service. Safe to use from many threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._traits = service.traits
        self._folders = RemoteFolders(service.url, whole=self._traits.removes_whole, tree=self._traits.tree)
        self._features: Features | None = None

    def __repr__(self) -> str:
        return f"RemoteStore({self.url!r})"

    @property
    def url(self) -> str:
        return self._service.url

    @property
    def features(self) -> Features:
        if self._features is None:
            features = Features(tree=self._traits.tree, dated=self._traits.dated)
            if not self._traits.tree:
                self._features = features
            elif self.exists():
                folds = self._run(self._folders.folds_case, again=True)
                self._features = Features(tree=True, dated=self._traits.dated, folds_case=folds)
            else:  # nothing to ask yet, and the answer must not be remembered
                return features
        return self._features

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:  # noqa: ARG002
        """See `Store.list`. Names come in any order, so they are always sorted here."""
        from trueup.stores.remote_walk import walk

        return walk(self, start, self._traits.at_once)

    def listed(self) -> Generator[Entry] | None:
        """What the service lists in a way of its own, in any order, or None: then folder by folder."""
        return self._service.listing()

    def folder(self, key: str) -> builtins.list[Found]:
        """What is in one folder now."""
        job = partial(_names, key=key)
        return self._run(job, key, "listed", reading=True, again=True)

    def stat(self, key: str) -> Entry:
        return self._run(lambda there: self._folders.source(there, self._reached(there, key)), key, "read", again=True)

    def exists(self) -> bool:
        return self._run(self._folders.root_exists, again=True)

    def create(self) -> None:
        try:
            self._service.create()
        except TrueupError:
            raise
        except Exception as error:
            raise self._service.translated(error, "", "made") from error

    # ----- reading -----

    @contextmanager
    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> Generator[Iterator[bytes], None, None]:
        if expect is not None and expect.size <= CHUNK:

            def whole(there: Files) -> builtins.list[bytes]:
                return list(self._pieces(there, key, self._expected(there, key, expect), offset, length))

            yield iter(self._run(whole, key, "read", reading=True, again=True))
            return
        with ExitStack() as stack:
            with self._asking(key, "read"):
                there = stack.enter_context(self._service.session(reading=True))
                before = self._expected(there, key, expect)
            with closing(self._pieces(there, key, before, offset, length)) as body:
                yield body

    def _reached(self, there: Files, key: str) -> str:
        self._check(key, "read")
        self._folders.reach(there, key)
        return key

    def _expected(self, there: Files, key: str, expect: Entry | None) -> Entry:
        found = self._folders.source(there, self._reached(there, key))
        require(key, expect, found)
        return found

    def _pieces(self, there: Files, key: str, before: Entry, offset: int, length: int | None) -> Generator[bytes]:
        left = max(0, before.size - offset)
        left = left if length is None else min(left, length)
        if left:
            with closing(there.read(key, offset, left)) as body:
                while left:
                    with self._asking(key, "read"):
                        piece = next(body, b"")
                    if not piece or len(piece) > left:
                        raise files.changed(key, "while it was read")
                    left -= len(piece)
                    yield piece
        with self._asking(key, "read"):
            after = there.look(key)
        if after is None or after.kind != "file" or not is_same(after.entry, before):
            raise files.changed(key, "while it was read")

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
        mtime_ns: int | None = None,  # noqa: ARG002 - none of these protocols sets it in the same way
        metadata: Metadata | None = None,  # noqa: ARG002 - a file has none
        temporary: str = "",
    ) -> Entry:
        self._check(key, "written")
        counted = Counted(key, body, size, md5)
        fill = partial(self._fill, counted=counted)
        try:
            return self._place(key, fill, if_absent=if_absent, if_match=if_match, temporary=temporary)
        except _FromBody:
            assert counted.error is not None
            raise counted.error from None

    def _fill(self, there: Files, name: str, *, counted: Counted) -> str:
        """Put the body under a name; its hex MD5."""
        try:
            there.put(name, counted, counted.size)
        except Exception as error:
            if counted.error is not None:
                raise _FromBody from error
            raise
        return counted.verify()

    def _place(
        self,
        key: str,
        fill: Callable[[Files, str], str],
        *,
        if_absent: bool = False,
        if_match: Entry | None = None,
        temporary: str = "",
    ) -> Entry:
        """Let `fill` write a file under a temporary name, and rename it."""
        folders, traits = self._folders, self._traits
        name = key if traits.direct else temporary_key(key, temporary or secrets.token_hex(8))

        def look(there: Files) -> Entry | None:
            replaced = folders.occupant(there, key)
            if if_absent and replaced is not None:
                raise files.present_already(key)
            if if_match is not None:
                require(key, if_match, replaced)
            return replaced

        made: builtins.list[str] = []
        ours = ""
        try:
            with folders.busy(key):
                begin = partial(self._begin, key=key, name=name, made=made, look=look, named=bool(temporary))
                replaced = self._run(begin, key, "written", again=True)
                ours = "" if name == key else name

                def put(there: Files) -> Entry:
                    md5 = fill(there, name)
                    written = folders.source(there, name)
                    if ours:
                        if traits.dated and replaced is not None and is_same(written, replaced):
                            written = self._dated_later(there, name, written)
                        if if_absent or if_match is not None:
                            look(there)
                        there.rename(name, key)
                    return self._published(there, key, written)._replace(md5=md5)

                return self._run(put, key, "written")
        except BaseException:
            self._clean_up(ours, made)
            raise

    def _begin(
        self,
        there: Files,
        *,
        key: str,
        name: str,
        made: builtins.list[str],
        look: Callable[[Files], Entry | None],
        named: bool,
    ) -> Entry | None:
        """Everything before the bytes; what will be replaced."""
        self._folders.make_parents(there, key, made)
        replaced = look(there)
        if named and name != key and there.look(name) is not None:
            raise StoreError(
                f"'{keys.display(key)}' is being written by another run, or was left by one",
                cure=f"Remove {name.rpartition('/')[2]} beside it if no other run is at work",
            )
        return replaced

    def _dated_later(self, there: Files, name: str, ours: Entry) -> Entry:
        """Put a file anew that has size and time of the one it replaces: nothing else would show the change."""
        with tempfile.SpooledTemporaryFile(CHUNK) as spool:
            with closing(there.read(name, 0, ours.size)) as body:
                for piece in body:
                    spool.write(piece)
            for _ in range(_TICKS):
                time.sleep(_TICK_SECONDS)
                spool.seek(0)
                there.put(name, iter(partial(spool.read, CHUNK), b""), ours.size)
                now = self._folders.source(there, name)
                if now.size == ours.size and now.fingerprint != ours.fingerprint:
                    return now
        return ours

    def _published(self, there: Files, key: str, ours: Entry) -> Entry:
        """What is under a key now that our file was put there; its fingerprint is empty unless it still is ours."""
        found = there.look(key)
        now = found.entry if found is not None else ours
        same_time = now.fingerprint == ours.fingerprint or (now.mtime_ns == ours.mtime_ns != 0)
        ours_still = found is not None and now.size == ours.size and (same_time or not self._traits.renames)
        return now._replace(key=key) if ours_still else ours._replace(key=key, fingerprint="")

    def _clean_up(self, name: str, made: builtins.list[str]) -> None:
        def clean(there: Files) -> None:
            if name and there.look(name) is not None:
                there.remove(name)
            self._folders.unmake(there, made)

        if name or made:
            with suppress(TrueupError):
                self._run(clean, again=True)

    def discard(self, key: str, temporary: str) -> None:
        def remove(there: Files) -> None:
            with suppress(NotFound):
                self._folders.reach(there, key)
                name = temporary_key(key, temporary)
                found = there.look(name)
                if found is not None and found.kind == "file":
                    there.remove(name)
                self._folders.prune(there, key)

        if not self._traits.direct:
            self._run(remove, key, "cleaned up", again=True)

    # ----- within the store -----

    def copy(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        planned = if_match or self.stat(source)
        self._check(target, "written")

        def fill(there: Files, name: str) -> str:
            self._expected(there, source, planned)
            if not there.copy(source, name):
                raise _CannotCopy
            self._expected(there, source, planned)
            if self._folders.source(there, name).size != planned.size:
                raise files.changed(source, "while it was copied")
            return planned.md5

        try:
            return self._place(target, fill)
        except _CannotCopy:
            with self.read(source, expect=planned) as body:
                return self.write(target, body, size=planned.size)

    def preserve(self, source: str, target: str, *, if_match: Entry | None = None) -> None:
        self.copy(source, target, if_match=if_match)

    def move(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        self._check(source, "moved")
        self._check(target, "moved")
        folders = self._folders

        def rename(there: Files) -> Entry:
            before = self._expected(there, source, if_match)
            folders.make_parents(there, target, made)
            if folders.occupant(there, target) is not None and not folders.is_other_case(there, source, target):
                raise files.present_already(target)
            there.rename(source, target)
            return self._published(there, target, before)

        made: builtins.list[str] = []
        try:
            with folders.busy(target):
                moved = self._run(rename, target, "moved")
        except BaseException:
            self._clean_up("", made)
            raise
        self._prune(source)
        return moved

    def delete(self, key: str, *, if_match: Entry | None = None) -> None:
        self._check(key, "deleted")

        def remove(there: Files) -> bool:
            present = None
            with suppress(NotFound):
                self._folders.reach(there, key, PreconditionFailed)
                present = self._folders.file(there, key, PreconditionFailed)
            if present is None:
                if if_match is not None:
                    raise NotFound(f"'{keys.display(key)}' is not there")
                return False
            require(key, if_match, present)
            there.remove(key)
            return True

        if self._run(remove, key, "deleted"):
            self._prune(key)

    def _prune(self, key: str) -> None:
        with suppress(TrueupError):
            self._run(lambda there: self._folders.prune(there, key))

    # ----- the rest -----

    def flush(self, keys: Iterable[str]) -> None:
        """Nothing to do: none of these services can be asked for it."""

    def sign(self, key: str, *, ttl: timedelta) -> str:  # noqa: ARG002 - the contract's signature
        raise StoreError(f"{self.url} has no URL for '{keys.display(key)}'", cure="Only clouds sign URLs")

    def unaddressable(self, key: str) -> str | None:
        return self._service.unaddressable(key)

    def is_public(self, key: str) -> bool:  # noqa: ARG002 - cannot be asked
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
        ahead = written.mtime_ns - middle
        # Within the step of a time stamp in seconds, nothing is told.
        return ahead if written.mtime_ns and abs(ahead) > _TICK_SECONDS * 1e9 else 0

    def close(self) -> None:
        self._service.close()

    # ----- around every job -----

    def _check(self, key: str, verb: str) -> None:
        if reason := self.unaddressable(key):
            raise Unaddressable(f"'{keys.display(key)}' cannot be {verb}: {reason}", cure="Rename it on the other side")

    def _run(
        self,
        job: Callable[[Files], _Result],
        key: str = "",
        verb: str = "reached",
        *,
        reading: bool = False,
        again: bool = False,
    ) -> _Result:
        """What the job returns. `again`: it may run once more after a lost connection, because it changes nothing, or
        the same thing."""
        for left in range(self._traits.retries if again else 0, -1, -1):
            try:
                with self._service.session(reading=reading) as there:
                    return job(there)
            except (TrueupError, _FromBody, _CannotCopy):
                raise
            except Exception as error:
                if not left or not self._service.is_lost(error):
                    raise self._service.translated(error, key, verb) from error
                time.sleep(random.uniform(0, 0.5 * 2 ** (self._traits.retries - left)))  # noqa: S311
        raise AssertionError("the loop ends with a result or an error")

    @contextmanager
    def _asking(self, key: str, verb: str) -> Iterator[None]:
        try:
            yield
        except (TrueupError, StopIteration):
            raise
        except Exception as error:
            raise self._service.translated(error, key, verb) from error


def _names(there: Files, *, key: str) -> list[Found]:
    return list(there.names(key))


class _FromBody(Exception):
    """What the caller's own body raised comes through."""


class _CannotCopy(Exception):
    """The server copies nothing by itself."""
