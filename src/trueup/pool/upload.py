"""One upload: reserve, put, commit; and the next provider when one fails.

Room is promised before the first byte goes out, and a promise is given back only when it is known that no object of
ours lies there. Where that cannot be known now, the reservation stays and a sweep settles it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from trueup import keys
from trueup.catalog.base import Ledger, Limits, Reservation, Stored, now
from trueup.catalog.lease import Leases
from trueup.errors import Busy, NotFound, PoolFull, PreconditionFailed, StoreError, Unreachable, UsageError
from trueup.pool.source import Source
from trueup.stores.base import Entry, Metadata, Store

log = logging.getLogger("trueup.pool")

TOKEN: Final = "trueuppool"  # noqa: S105 - a name
"""The metadata by which an object is known to be that of a reservation."""
_STEP: Final = 16 << 20
"""Bytes reserved at a time for an upload of unknown length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One cloud of the pool, opened."""

    name: str
    store: Store
    limits: Limits
    weight: float


class NoRoom(Exception):
    """An upload of unknown length met the quota."""


class Uploads:
    """Uploads into the providers of a pool. Safe to use from many threads."""

    def __init__(self, ledger: Ledger, providers: Mapping[str, Provider], leases: Leases) -> None:
        self._ledger = ledger
        self._providers = providers
        self._leases = leases

    def upload(
        self, source: Source, key: str, candidates: list[str], before: list[Stored], *, idempotency: str
    ) -> Stored:
        """Put the bytes under a key, which `before` has, at the first of the candidates that takes them. Raises
        `PoolFull` when none has room, and the last `StoreError` when all that have fail."""
        failure: StoreError | None = None
        for name in candidates:
            body = source.body()
            if body is None:
                break  # the bytes are gone with the try before
            provider = self._providers[name]
            replaced = next((stored for stored in before if stored.provider == name), None)
            try:
                stored = self._put(provider, source, body, key, replaced, idempotency)
            except StoreError as error:
                log.warning("%s could not take %s: %s", name, keys.display(key), error)
                failure = error
                continue
            except NoRoom:
                continue
            if stored is not None:
                # One that came to another provider at the same moment is found by a sweep.
                if any(older.provider != name for older in before):
                    self._drop(self._ledger.find(key)[1:])
                return stored
        if failure is not None:
            raise failure
        raise no_room(f"'{keys.display(key)}'")

    def _put(
        self,
        provider: Provider,
        source: Source,
        body: Iterator[bytes],
        key: str,
        replaced: Stored | None,
        idempotency: str,
    ) -> Stored | None:
        """One try at one provider; None when it has no room. The bytes of an object that is replaced count once."""
        store, old = provider.store, replaced.size if replaced is not None else 0
        if why := store.unaddressable(key):
            raise UsageError(f"'{keys.display(key)}' cannot be a key in {store.url}: {why}", cure="Name it otherwise")
        size = source.size or 0
        reservation = Reservation(
            token=secrets.token_hex(16),
            provider=provider.name,
            key=key,
            size=size,
            reserved=max(0, size - old),
            md5="" if store.features.metadata else source.md5(),
            lease_until=self._leases.end(),
            idempotency=idempotency,
        )
        if not reserved(self._ledger, self._providers, reservation):
            return None
        with self._leases.held(reservation.token):
            written = self._write(store, reservation, source, body, new=replaced is None)
            return self._commit(store, reservation, written)

    def _write(
        self, store: Store, reservation: Reservation, source: Source, body: Iterator[bytes], *, new: bool
    ) -> Entry:
        token, key = reservation.token, reservation.key
        try:
            return store.write(
                key,
                body if source.size is not None else self._measured(body, reservation),
                size=source.size,
                if_absent=new,
                metadata=Metadata(user={TOKEN: token}),
                temporary=f"pool-{token}",
            )
        except StoreError as error:
            found = self._arrived(store, reservation)
            if found is not None:  # the answer was lost, not the upload
                return found
            if new and isinstance(error, PreconditionFailed):
                raise StoreError(
                    f"'{keys.display(key)}' is there already, and on nobody's books",
                    cure="Take it into the books: trueup reconcile --adopt-orphans",
                ) from error
            raise
        except BaseException:
            self._arrived(store, reservation)
            raise

    def _measured(self, body: Iterator[bytes], reservation: Reservation) -> Iterator[bytes]:
        """The same bytes, with room for them before they go out."""
        total = promised = 0
        for piece in body:
            total += len(piece)
            if total > promised:
                promised = max(total, promised + _STEP)
                # Near the quota a whole step is too much to ask.
                if not self._ledger.grow(reservation.token, promised):
                    promised = total
                    if not self._ledger.grow(reservation.token, promised):
                        raise NoRoom
            yield piece

    def _arrived(self, store: Store, reservation: Reservation) -> Entry | None:
        """What a failed upload left: our object after all, or nothing, and then its room is given back. Where that
        cannot be known now the reservation stays, for whoever can find out."""
        try:
            found = ours(store, reservation, self._row(reservation))
        except StoreError:
            log.warning("what became of %s is not known yet", keys.display(reservation.key))
            self._ledger.suspect(reservation.token)
            return None
        if found is None:
            self._ledger.release(reservation.token)
        return found

    def _commit(self, store: Store, reservation: Reservation, written: Entry) -> Stored:
        """Put the object on the books. A sweep may have been faster: it took this upload for one that had died."""
        at = now()
        stored = Stored(reservation.provider, reservation.key, written.size, written.md5, at, reservation.idempotency)
        if self._ledger.commit(reservation.token, written.size, written.md5, at):
            return stored
        for known in self._ledger.find(reservation.key):
            if known.provider == reservation.provider and (known.size, known.md5) == (written.size, written.md5):
                return known
        again = reservation._replace(size=written.size, reserved=written.size, lease_until=self._leases.end())
        try:
            if self._ledger.reserve(again) and self._ledger.commit(again.token, written.size, written.md5, at):
                return stored
        except Busy:  # somebody has begun to replace it, or to remove it
            store.delete(reservation.key, if_match=written)
            raise
        store.delete(reservation.key, if_match=written)
        raise PoolFull(f"the room for '{keys.display(reservation.key)}' was given to others meanwhile")

    def _row(self, reservation: Reservation) -> Stored | None:
        return row_of(self._ledger, reservation)

    def _drop(self, older: list[Stored]) -> None:
        """Remove older versions of a key from other providers. What cannot go now goes with a sweep."""
        for stored in older:
            try:
                remove(self._ledger, self._providers, stored, until=self._leases.end())
            except (StoreError, Busy, KeyError) as error:
                log.warning("the older %s at %s stays: %s", keys.display(stored.key), stored.provider, error)


def no_room(what: str) -> PoolFull:
    """That nobody has room for something."""
    return PoolFull(f"no provider has room for {what}", cure="Raise a quota, add a provider, or remove something")


def reserved(ledger: Ledger, providers: Mapping[str, Provider], wanted: Reservation) -> bool:
    """Reserve. An upload or a removal of the same key that died is in the way, and settled."""
    try:
        return ledger.reserve(wanted)
    except Busy:
        here = (wanted.provider, wanted.key)
        dead = [found for found in ledger.overdue(now()) if (found.provider, found.key) == here]
        if not dead:
            raise
        for found in dead:
            settle(ledger, providers[found.provider].store, found)
        return ledger.reserve(wanted)


def remove(
    ledger: Ledger,
    providers: Mapping[str, Provider],
    stored: Stored,
    *,
    until: datetime,
    if_match: Entry | None = None,
) -> bool:
    """Remove an object from its cloud and from the books; its key is reserved meanwhile, so that a crash is settled
    like that of an upload. Whether it was on the books; one that replaced it stays. Raises `Busy`, and the store's
    `StoreError`."""
    store = providers[stored.provider].store
    removal = Reservation(secrets.token_hex(16), stored.provider, stored.key, 0, 0, "", until, removes=True)
    reserved(ledger, providers, removal)
    if stored not in ledger.find(stored.key, missing=True):
        ledger.release(removal.token)
        return False
    try:
        store.delete(stored.key, if_match=if_match)
    except Unreachable:
        ledger.suspect(removal.token)  # it may be gone
        raise
    except StoreError:
        ledger.release(removal.token)
        raise
    return ledger.remove(stored, removal.token)


def settle(ledger: Ledger, store: Store, reservation: Reservation) -> bool:
    """Find out what became of an upload that died, and book it or give its room back; finish a removal. Whether an
    upload is booked. Raises `StoreError` when that cannot be known now.

    An upload that nobody was told of gives way to one of the same key at another provider, which somebody was.
    """
    row = row_of(ledger, reservation)
    if reservation.removes:
        store.delete(reservation.key)
        found = None
    else:
        found = ours(store, reservation, row)
        elsewhere = any(other.provider != reservation.provider for other in ledger.find(reservation.key))
        if found is not None and not elsewhere:
            return ledger.commit(reservation.token, found.size, found.md5, now())
        if found is not None:
            store.delete(reservation.key, if_match=found)
        else:
            row = None  # nothing has replaced it
            store.discard(reservation.key, f"pool-{reservation.token}")
    if row is not None:
        ledger.remove(row, reservation.token)
    else:
        ledger.release(reservation.token)
    return False


def row_of(ledger: Ledger, reservation: Reservation) -> Stored | None:
    """The row of a reservation's key at its provider."""
    rows = ledger.find(reservation.key, missing=reservation.removes)
    return next((row for row in rows if row.provider == reservation.provider), None)


def ours(store: Store, reservation: Reservation, row: Stored | None) -> Entry | None:
    """The object of a reservation, if it is there: by the token it carries, else by size and MD5. Where these were not
    known before, it is what is not the `row` that it replaces."""
    try:
        found = store.stat(reservation.key)
        if store.features.metadata:
            carries = store.metadata(reservation.key, expect=found).user.get(TOKEN) == reservation.token
            if not carries:
                return None
            # An ETag may look like an MD5 and be none, where the bucket encrypts.
            return found._replace(md5=_read_md5(store, found)) if found.md5 and found.md5 == found.etag else found
    except NotFound:
        return None
    if reservation.md5 and found.size != reservation.size:
        return None
    found = found._replace(md5=found.md5 or _read_md5(store, found))
    if reservation.md5:
        return found if found.md5 == reservation.md5 else None
    return found if row is None or (found.size, found.md5) != (row.size, row.md5) else None


def _read_md5(store: Store, entry: Entry) -> str:
    import hashlib

    digest = hashlib.md5(usedforsecurity=False)
    with store.read(entry.key, expect=entry) as body:
        for piece in body:
            digest.update(piece)
    return digest.hexdigest()
