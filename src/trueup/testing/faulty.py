"""A store that goes wrong where a test says: it wraps any store and follows a script.

    store = FaultyStore(MemoryStore())
    store.fail("write", Unreachable("no route"), key="a", nth=2)      # the second write of `a` from now on
    store.fail("write", Unreachable("reset"), after=True)             # the write happens, its answer is lost
    store.on("write", lambda key: inner.put(key, b"other"))           # somebody else is faster
    store.break_listing(after=3)                                      # ListingUnfinished after three entries
    store.cut_listing(after=3)                                        # ends early and does not say so
    gate = store.hang("read")                                         # gate.reached.wait(); gate.open.set()

Everything that is not scripted is the inner store's doing. Each call is noted in `calls` as (operation, key).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeVar

from trueup import keys
from trueup.errors import ListingUnfinished, PreconditionFailed, StoreError
from trueup.stores.base import Entry, Features, Metadata, OutOfOrder, Store

_Result = TypeVar("_Result")

OPERATIONS: Final = frozenset(
    "list stat metadata exists create read write discard copy copy_from preserve move delete flush sign close".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Where an operation hangs. `reached` is set when it got there; it goes on once `open` is set."""

    reached: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True, kw_only=True)
class _Rule:
    operation: str
    key: str | None
    nth: int | None
    after: bool
    action: Callable[[str], object]
    seen: int = 0

    def hits(self, operation: str, key: str) -> bool:
        """Whether this call is the one; counts the calls that could be."""
        if operation != self.operation or self.key not in {None, key}:
            return False
        self.seen += 1
        return self.nth in {None, self.seen}


class FaultyStore:
    """`inner`, with the faults a test scripts. Safe to use from many threads, like any store."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.calls: list[tuple[str, str]] = []
        """Every call so far: the operation and the key it named (the source, for two; empty for none)."""
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._listing: Callable[[Iterator[Entry], bool], Iterator[Entry]] | None = None
        self._hidden: set[str] = set()
        self._blind: dict[str, Entry] = {}
        self._changes: dict[str, bytes] = {}
        self._breaks: dict[str, tuple[int, Exception]] = {}

    # The script.

    def on(
        self,
        operation: str,
        action: Callable[[str], object],
        *,
        key: str | None = None,
        nth: int | None = None,
        after: bool = False,
    ) -> None:
        """Call `action(key)` before the operation, or `after` it succeeded; what it raises, the caller sees.

        `key`: only for this key (of two, the source). `nth`: only the nth such call from now, counted from 1; without
        it each one. Rules run in the order they were made.
        """
        if operation not in OPERATIONS:
            raise ValueError(f"no operation is called {operation!r}; there are {', '.join(sorted(OPERATIONS))}")
        with self._lock:
            self._rules.append(_Rule(operation=operation, key=key, nth=nth, after=after, action=action))

    def fail(
        self,
        operation: str,
        error: Exception | None = None,
        *,
        key: str | None = None,
        nth: int | None = None,
        after: bool = False,
    ) -> None:
        """Raise `error` (a `StoreError` by default) instead of the operation, or `after` it has taken effect."""

        def action(named: str) -> None:
            raise error or StoreError(f"'{keys.display(named)}': {operation} failed as scripted")

        self.on(operation, action, key=key, nth=nth, after=after)

    def hang(self, operation: str, *, key: str | None = None, nth: int | None = None, timeout: float = 30.0) -> Gate:
        """Hold the operation until the gate opens, or `timeout` seconds (then it raises `TimeoutError`: a bug in the
        test, not a store's error)."""
        gate = Gate()

        def action(named: str) -> None:
            gate.reached.set()
            if not gate.open.wait(timeout):
                raise TimeoutError(f"nobody opened the gate of {operation} {named!r}")

        self.on(operation, action, key=key, nth=nth)
        return gate

    def break_listing(self, after: int = 0, error: Exception | None = None) -> None:
        """Each listing from now on raises (`ListingUnfinished` by default) after this many entries."""

        def broken(entries: Iterator[Entry], ordered: bool) -> Iterator[Entry]:  # noqa: ARG001, FBT001
            for _, entry in zip(range(after), entries, strict=False):
                yield entry
            raise error or ListingUnfinished("the listing broke off as scripted")

        self._listing = broken

    def cut_listing(self, after: int = 0) -> None:
        """Each listing from now on ends after this many entries as if it were whole: the server lies."""

        def cut(entries: Iterator[Entry], ordered: bool) -> Iterator[Entry]:  # noqa: ARG001, FBT001
            for _, entry in zip(range(after), entries, strict=False):
                yield entry

        self._listing = cut

    def disorder_listing(self, after: int = 0) -> None:
        """Each ordered listing from now on turns out to be out of order after this many entries; a listing with
        `ordered=False` works."""

        def disorder(entries: Iterator[Entry], ordered: bool) -> Iterator[Entry]:  # noqa: FBT001
            for count, entry in enumerate(entries):
                if ordered and count == after:
                    raise OutOfOrder(entry.key)
                yield entry

        self._listing = disorder

    def hide(self, *hidden: str) -> None:
        """Leave these keys out of every listing from now on; `stat` still finds them."""
        self._hidden.update(hidden)

    def blind(self, key: str, fault: str = "unreadable", detail: str = "it cannot be read, as scripted") -> None:
        """List this key, and everything below it, as one entry with a fault from now on."""
        self._blind[key] = Entry(key, fault=fault, detail=detail)

    def change_under_read(self, key: str, data: bytes) -> None:
        """The next read of this key finds, after its first piece, that somebody stored `data` there."""
        self._changes[key] = data

    def break_read(self, key: str, after: int = 0, error: Exception | None = None) -> None:
        """The next read of this key raises after this many pieces (a plain `StoreError` by default)."""
        self._breaks[key] = (after, error or StoreError(f"'{keys.display(key)}' broke off as scripted"))

    def heal(self) -> None:
        """Forget every fault; `calls` stay."""
        with self._lock:
            self._rules.clear()
        self._listing = None
        for scripted in (self._hidden, self._blind, self._changes, self._breaks):
            scripted.clear()

    def count(self, operation: str, key: str | None = None) -> int:
        """How often an operation was called so far."""
        with self._lock:
            return sum(1 for name, named in self.calls if name == operation and key in {None, named})

    # The store.

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def features(self) -> Features:
        return self.inner.features

    def guards_absent(self) -> bool:
        return self.inner.guards_absent()

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:
        after = self._before("list", "")
        entries: Iterator[Entry] = self._seen(self.inner.list(start, ordered=ordered), start)
        if self._listing is not None:
            entries = self._listing(entries, ordered)
        yield from entries
        self._run(after, "")

    def stat(self, key: str) -> Entry:
        return self._do("stat", key, lambda: self.inner.stat(key))

    def metadata(self, key: str, *, expect: Entry | None = None) -> Metadata:
        return self._do("metadata", key, lambda: self.inner.metadata(key, expect=expect))

    def exists(self) -> bool:
        return self._do("exists", "", self.inner.exists)

    def create(self) -> None:
        self._do("create", "", self.inner.create)

    def read(
        self, key: str, *, expect: Entry | None = None, offset: int = 0, length: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        return self._read(key, self.inner.read(key, expect=expect, offset=offset, length=length))

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
        metadata: Metadata | None = None,
        temporary: str = "",
    ) -> Entry:
        return self._do(
            "write",
            key,
            lambda: self.inner.write(
                key,
                body,
                size=size,
                md5=md5,
                if_absent=if_absent,
                if_match=if_match,
                mtime_ns=mtime_ns,
                metadata=metadata,
                temporary=temporary,
            ),
        )

    def discard(self, key: str, temporary: str) -> None:
        self._do("discard", key, lambda: self.inner.discard(key, temporary))

    def copy(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        return self._do("copy", source, lambda: self.inner.copy(source, target, if_match=if_match))

    def copy_from(
        self, origin: Store, source: Entry, target: str, *, if_absent: bool = False, if_match: Entry | None = None
    ) -> Entry | None:
        return self._do(
            "copy_from",
            target,
            lambda: self.inner.copy_from(origin, source, target, if_absent=if_absent, if_match=if_match),
        )

    def preserve(self, source: str, target: str, *, if_match: Entry | None = None) -> None:
        self._do("preserve", source, lambda: self.inner.preserve(source, target, if_match=if_match))

    def move(self, source: str, target: str, *, if_match: Entry | None = None) -> Entry:
        return self._do("move", source, lambda: self.inner.move(source, target, if_match=if_match))

    def delete(self, key: str, *, if_match: Entry | None = None) -> None:
        self._do("delete", key, lambda: self.inner.delete(key, if_match=if_match))

    def flush(self, keys: Iterable[str]) -> None:
        self._do("flush", "", lambda: self.inner.flush(keys))

    def sign(self, key: str, *, ttl: timedelta) -> str:
        return self._do("sign", key, lambda: self.inner.sign(key, ttl=ttl))

    def unaddressable(self, key: str) -> str | None:
        return self.inner.unaddressable(key)

    def is_public(self, key: str) -> bool:
        return self.inner.is_public(key)

    def clock_ahead_ns(self) -> int:
        return self.inner.clock_ahead_ns()

    def close(self) -> None:
        self._do("close", "", self.inner.close)

    def _before(self, operation: str, key: str) -> Iterable[_Rule]:
        """Note the call, run what comes before it; the rules that come after it."""
        with self._lock:
            self.calls.append((operation, key))
            hit = [rule for rule in self._rules if rule.hits(operation, key)]
        self._run([rule for rule in hit if not rule.after], key)
        return [rule for rule in hit if rule.after]

    def _run(self, rules: Iterable[_Rule], key: str) -> None:
        for rule in rules:
            rule.action(key)

    def _do(self, operation: str, key: str, call: Callable[[], _Result]) -> _Result:
        after = self._before(operation, key)
        result = call()
        self._run(after, key)
        return result

    @contextmanager
    def _read(
        self, key: str, opened: AbstractContextManager[Iterator[bytes]]
    ) -> Generator[Iterator[bytes], None, None]:
        after = self._before("read", key)
        with opened as body:
            yield self._pieces(key, body)
        self._run(after, key)

    def _pieces(self, key: str, body: Iterator[bytes]) -> Iterator[bytes]:
        stop, error = self._breaks.pop(key, (-1, None))
        data = self._changes.pop(key, None)
        before = self.inner.stat(key) if data is not None else None
        for count, piece in enumerate(body):
            if count == stop and error is not None:
                raise error
            yield piece
            if data is not None:
                self.inner.write(key, [data])
                data = None
        if error is not None:
            raise error
        if before is not None and self.inner.stat(key).fingerprint != before.fingerprint:
            raise PreconditionFailed(f"'{keys.display(key)}' changed while it was read")

    def _seen(self, entries: Iterator[Entry], start: str) -> Iterator[Entry]:
        waiting = sorted(
            (keys.normal(key), entry)
            for key, entry in self._blind.items()
            if f"{keys.normal(key)}/" >= keys.normal(start)
        )
        for entry in entries:
            normal = keys.normal(entry.key)
            while waiting and waiting[0][0] <= normal:
                yield waiting.pop(0)[1]
            if any(normal == key or normal.startswith(f"{key}/") for key in map(keys.normal, self._blind)):
                continue
            if entry.key not in self._hidden:
                yield entry
        yield from (entry for _, entry in waiting)
