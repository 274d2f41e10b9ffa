"""What the catalog keeps: the protocols every database follows, and their rows. The docstrings are the contract.

Times are kept to the millisecond; see `now`.

Two numbers are kept per provider and never computed by listing: the bytes of its objects (with what lies there
unowned) and the bytes reserved by uploads under way. Room is the quota less both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

from trueup.catalog.tasks import Tasks
from trueup.runs import RunRecord

RUNNING: Final = "running"
COMPLETED: Final = "completed"
FAILED: Final = "failed"

STORED: Final = "stored"
MISSING: Final = "missing"


def now() -> datetime:
    """This moment in UTC, as every database can keep it."""
    at = datetime.now(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one provider may hold. All bytes."""

    quota: int
    full_below: int
    """With less room than this it counts as full."""
    rearm_below: int = 0
    """Once it is not full and its usage is below this, the next time it is full is told again."""


class Usage(NamedTuple):
    """One provider's books."""

    provider: str
    total_size_bytes: int
    """Bytes of its objects, and of what is unowned."""
    file_count: int
    """Objects, and what is unowned."""
    reserved_bytes: int
    """Bytes promised to uploads under way."""
    unowned_count: int
    unowned_bytes: int
    """What lies there and belongs to no object of ours: it takes room as well."""
    is_full: bool
    last_updated: datetime
    """UTC."""

    def room(self, quota: int) -> int:
        """Bytes that may still come."""
        return max(0, quota - self.total_size_bytes - self.reserved_bytes)


class Stored(NamedTuple):
    """One object on the books."""

    provider: str
    key: str
    size: int
    """Bytes."""
    md5: str
    """Hex."""
    created_at: datetime
    """UTC."""
    idempotency: str = ""
    """What the caller named the upload, so that the same one again is the same object; empty: nothing."""
    state: str = STORED
    """`stored`, or `missing`: it was put there once, and was found to be gone. That takes no room."""


class Reservation(NamedTuple):
    """Room promised to one upload."""

    token: str
    """Unique; the object carries it while it is not on the books, where its store keeps metadata."""
    provider: str
    key: str
    size: int
    """Bytes of the object, as far as they are known."""
    reserved: int
    """Bytes taken from the room: less than `size` where the upload replaces an object of its key."""
    md5: str
    """Hex, where it is known before the upload; else empty."""
    lease_until: datetime
    """UTC. Until then somebody is at work; after it, a sweep settles the reservation."""
    idempotency: str = ""
    removes: bool = False
    """It is not for an upload: the object of its key is to go, and the key is nobody else's meanwhile."""


class Message(NamedTuple):
    """One message. Whoever gets it twice knows it by its `id`."""

    id: str
    kind: str
    """Such as `pool.full`."""
    payload: Mapping[str, Any]
    created_at: datetime
    """UTC."""
    attempts: int
    """How often sending it has failed."""
    delivered: tuple[str, ...] = ()
    """Receivers who have it already."""


class Outbox(Protocol):
    """The messages of one database. Safe to use from many processes at once."""

    def due(self, now: datetime) -> list[Message]:
        """What is to be sent now, oldest first."""
        ...

    def sent(self, message: str) -> None:
        """A message has arrived."""
        ...

    def failed(self, message: str, error: str, again: datetime, delivered: Sequence[str]) -> None:
        """A message could not be sent to everybody, and is due again then; `delivered` is who has it by now."""
        ...


class Ledger(Protocol):
    """The books of a pool. Safe to use from many threads and processes at once: every method is one transaction.

    Where a database has none, what a crash left half done counts as before, or as reserved, until `overdue` of anybody
    carries it through.

    When a provider becomes full, a message `pool.full` goes into the outbox in that very transaction; another one only
    after it was not full and its usage below `rearm_below`.

    After each of them `total_size_bytes` is the sum of the provider's objects and its `unowned_bytes`, and
    `reserved_bytes` the sum of its reservations.
    """

    def usage(self) -> list[Usage]:
        """Every provider's books, by name."""
        ...

    def reserve(self, wanted: Reservation) -> bool:
        """Promise room, if all that is there and promised and this stays within the quota, or this is none. False where
        it does not, and nothing is promised; the provider is full then, unless this is more than its whole quota.

        Raises `Busy` when somebody else is uploading or removing this key there, when an upload of this idempotency
        token is under way or done, and when the key has no stored object there as large as what `reserved` leaves out.
        """
        ...

    def refuse(self, provider: str) -> None:
        """A provider was passed over for lack of room: it is full."""
        ...

    def grow(self, token: str, size: int) -> bool:
        """Let a reservation be for `size` bytes, as an upload of unknown length goes on. False, and the provider is
        full, where there is no room for that, or when the reservation is gone."""
        ...

    def renew(self, tokens: Iterable[str], until: datetime) -> None:
        """Move the ends of leases."""
        ...

    def commit(self, token: str, size: int, md5: str, at: datetime) -> bool:
        """Turn a reservation into an object, in the place of the one that had its key there. False, and nothing
        changes, when the reservation is gone: somebody settled it."""
        ...

    def release(self, token: str) -> None:
        """Give promised room back. A reservation that is gone is fine."""
        ...

    def overdue(self, now: datetime) -> list[Reservation]:
        """Reservations whose lease has ended, oldest first."""
        ...

    def find(self, key: str, *, missing: bool = False) -> list[Stored]:
        """The stored objects of this key, the newest first; one, unless an overwrite has moved it and is not over. With
        `missing`, those that are missing too."""
        ...

    def known(self, idempotency: str) -> Stored | None:
        """The object of an upload of this name."""
        ...

    def suspect(self, token: str) -> None:
        """Nobody is at work on a reservation any more, and what became of it is not known: its lease ends now, and its
        idempotency token is free. One that is gone is fine."""
        ...

    def remove(self, stored: Stored, token: str = "") -> bool:
        """Strike an object off, or a missing one, and the reservation of this removal with it. Whether it was on the
        books; one that replaced it stays. Raises `Busy`, and nothing changes, while its key is reserved there for
        anything else."""
        ...

    def superseded(self) -> list[Stored]:
        """Stored objects whose key has a newer one at another provider: an overwrite that moved did not end."""
        ...

    def objects(self, older_than: datetime | None = None) -> Iterator[Stored]:
        """Every object by key, the missing ones too, or those created before. Rows may be struck off meanwhile."""
        ...


class Correction(NamedTuple):
    """One row of the books, made true."""

    before: Stored | None
    """The row as it was read; None where there was none."""
    after: Stored | None
    """The row as it is to be; None where there is to be none."""

    @property
    def key(self) -> str:
        """The key it is about."""
        row = self.after if self.after is not None else self.before
        assert row is not None
        return row.key


class Backup(NamedTuple):
    """What a run replaced in the books."""

    id: str
    run: str
    provider: str
    created_at: datetime
    """UTC."""
    rows: int
    """Object rows in it."""
    restored_at: datetime | None
    """UTC; None where it was not."""


class Corrections(Protocol):
    """Looking at the books row by row, and making them true. Safe to use from many threads and processes at once, also
    beside a ledger: each method is one transaction.

    Where a database has none, what a crash left half done is carried through by whoever comes next, a correction or a
    restore as far as it got; a restore may then be asked for again.
    """

    def rows(self, provider: str, start: str = "", end: str = "") -> Iterator[Stored]:
        """Every row of a provider, the missing ones too, by key in the order of its UTF-8 bytes: from the key `start`
        to before `end` (empty: no end). Rows may change meanwhile."""
        ...

    def again(self, provider: str, keys: Sequence[str]) -> dict[str, Stored]:
        """The rows of these keys as they are now."""
        ...

    def covered(self, provider: str, keys: Sequence[str]) -> set[str]:
        """Those of these keys that an upload under way has reserved."""
        ...

    def correct(self, backup: str, run: str, provider: str, corrections: Sequence[Correction]) -> list[bool]:
        """Replace rows, each only if it still is as it was read, no upload of its key is under way, and no other row or
        upload has the idempotency token it is to get; and change the provider's sums with them. Each row that is
        replaced is kept in the backup first, and the sums as well; a backup holds a key once, and a second correction
        of it is not done. Which ones were done."""
        ...

    def set_unowned(self, backup: str, run: str, provider: str, was: tuple[int, int], now: tuple[int, int]) -> bool:
        """Say how many objects, and bytes, lie there that are on no row, and make the provider's sums those of its rows
        and of these, whoever has written others there. False, and nothing changes, when the books say something else
        than `was`, or are `now` and right. Backed up like `correct`."""
        ...

    def backups(self) -> list[Backup]:
        """Every backup, the newest first."""
        ...

    def restore(self, backup: str) -> tuple[int, list[str]]:
        """Put back what a backup holds: how many rows, and the keys of those that stay, because they were changed since
        or could not be corrected either. The sums change with the rows; where nobody else has changed them, they are
        as they were to the last bit. Raises `UsageError` for an unknown backup, and for one that was restored."""
        ...


OURS: Final = "dl_"
"""How the ids of records begin that trueup made; the others are those of an application."""


class Download(NamedTuple):
    """One URL that was fetched, or is being fetched."""

    id: str
    url: str
    status: str
    """`running`, `completed` or `failed`; whatever an application of its own wrote stays."""
    provider: str
    """Where its object lies; empty before it does."""
    key: str
    """The object's; empty before it is there, and in records of other applications."""
    size: int
    """Bytes; 0 while unknown."""
    error: str
    """Why it failed."""
    created_at: datetime
    """UTC."""
    updated_at: datetime
    """UTC. The last sign of life."""


class Downloads(Protocol):
    """The records of what was fetched. Safe to use from many threads and processes at once: every method is one
    transaction."""

    def begin(self, url: str, *, abandoned_before: datetime) -> Download:
        """A new record, `running`, whose id begins with `OURS`. Raises `Busy` when the same URL is being fetched
        already; a record of that whose last sign of life is older than `abandoned_before` becomes `failed` instead."""
        ...

    def alive(self, download: str) -> bool:
        """A sign of life. False when the record is `running` no more: somebody took it for abandoned."""
        ...

    def complete(self, download: str, *, provider: str, key: str, size: int) -> bool:
        """Its object is in the pool. False, and nothing changes, when the record is `running` no more."""
        ...

    def fail(self, download: str, error: str) -> None:
        """It came to nothing. A record that is not `running` stays as it is."""
        ...

    def get(self, download: str) -> Download | None:
        """One record."""
        ...

    def latest(self, url: str) -> Download | None:
        """The newest `completed` record of a URL."""
        ...

    def ls(self, limit: int = 50) -> list[Download]:
        """The newest records first."""
        ...

    def older(self, status: str, than: datetime) -> Iterator[Download]:
        """Records of a status whose last sign of life is older, oldest first. Records may be removed meanwhile."""
        ...

    def remove(self, download: str) -> None:
        """Forget a record. One that is gone is fine."""
        ...


class RunLog(Protocol):
    """The history of runs over what the database keeps, told by every machine that uses it."""

    def add(self, record: RunRecord) -> None:
        """Remember a run; one of the same id is replaced."""
        ...

    def latest(self, limit: int = 50) -> list[RunRecord]:
        """The newest runs first."""
        ...

    def get(self, run: str) -> RunRecord | None:
        """One run by id, or by the beginning of an id if only one has it."""
        ...


class Claim(NamedTuple):
    """A lock that somebody wants, or holds."""

    name: str
    """What only one may do at a time."""
    run: str
    """The run that does it."""
    holder: str
    """Where that is, for people: host and process."""
    token: str
    """Unique; whoever took the lock renews and releases it by this."""


class Locks(Protocol):
    """Locks over every machine that uses the database. Safe to use from many threads and processes at once.

    A lock ends by itself unless it is renewed, so a machine that crashed blocks nobody for long. The clock that decides
    is the database's own: those of the machines differ.
    """

    def take(self, claim: Claim, length: timedelta, *, instead_of: str = "") -> tuple[Claim, datetime]:
        """Hold a lock for `length` from now on, unless somebody does. Who holds it then, and until when (UTC, by the
        database's clock): this claim, or another one, which its token tells. A lock of the run `instead_of`, which is
        known to be dead, is free at once."""
        ...

    def renew(self, claim: Claim, length: timedelta) -> bool:
        """Hold it for `length` from now on. False, and nothing changes, when it was taken over, or released. One that
        has ended and that nobody took since is held again."""
        ...

    def holder(self, name: str) -> Claim | None:
        """Who holds a lock now; None where nobody does. Nothing changes."""
        ...

    def release(self, claim: Claim) -> None:
        """Let it go. One that was taken over stays with whoever has it now."""
        ...

    def who(self, name: str) -> tuple[Claim, datetime] | None:
        """Who holds a lock, or held it last without letting it go, and until when. Nothing changes."""
        ...


class Catalog(Protocol):
    """One shared database, opened. Everything in it shares its connections."""

    @property
    def ledger(self) -> Ledger:
        """The books of the pool."""
        ...

    @property
    def corrections(self) -> Corrections:
        """The books, row by row."""
        ...

    @property
    def outbox(self) -> Outbox:
        """The messages that wait to be sent."""
        ...

    @property
    def downloads(self) -> Downloads:
        """What was fetched."""
        ...

    @property
    def runs(self) -> RunLog:
        """What ran."""
        ...

    @property
    def tasks(self) -> Tasks:
        """What is to be run, and was."""
        ...

    @property
    def locks(self) -> Locks:
        """What only one may do at a time."""
        ...

    def clock(self) -> datetime | None:
        """What time it is by the database's own clock, UTC; None where a file is the database, which has none."""
        ...

    def version(self) -> int | None:
        """Another one than before when somebody has written since, by whatever way; None where only rows tell. It waits
        for nobody. Raises `TrueupError` for a file that is not where it was."""
        ...

    def close(self) -> None:
        """Let the database go."""
        ...
