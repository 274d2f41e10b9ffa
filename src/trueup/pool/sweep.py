"""Tidying the pool: what crashes left half done, and what is past its age."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from trueup import keys
from trueup.catalog.base import Catalog, Corrections, Ledger, Stored, now
from trueup.downloads import Cleaned
from trueup.errors import AccessDenied, Busy, NotFound, StoreError
from trueup.pool.upload import Provider, remove, settle
from trueup.stores.cloud import CloudStore

log = logging.getLogger("trueup.pool")


@dataclass(slots=True)
class Swept:
    """What a sweep did."""

    committed: int = 0
    """Reservations whose object was there."""
    released: int = 0
    """Reservations whose object never came."""
    removed: int = 0
    """Objects past their age."""
    aborted: int = 0
    """Uploads in parts that nobody finished."""
    downloads: int = 0
    """Downloads past their age, and what failed ones left."""
    told: int = 0
    """Alerts sent."""
    problems: list[str] = field(default_factory=list)
    """What could not be settled, removed or sent now."""

    def add(self, cleaned: Cleaned) -> None:
        """What a clean-up of downloads did, too."""
        self.downloads += cleaned.removed + cleaned.failed + cleaned.partial
        self.problems += cleaned.problems


def sweep(
    catalog: Catalog,
    providers: Mapping[str, Provider],
    *,
    older_than: datetime | None,
    begun_before: datetime,
    until: datetime,
) -> Swept:
    """Settle reservations whose lease has ended, remove objects created before `older_than`, and abort uploads in parts
    that were `begun_before` and that no reservation is for. Safe beside running uploads, whose leases have not ended.
    """
    done, ledger = Swept(), catalog.ledger
    for reservation in ledger.overdue(now()):
        name = keys.display(reservation.key)
        provider = providers.get(reservation.provider)
        if provider is None:
            done.problems.append(
                f"the upload of '{name}' to {reservation.provider} cannot be settled: no such provider"
            )
            continue
        try:
            booked = settle(ledger, provider.store, reservation)
        except StoreError as error:
            done.problems.append(f"the upload of '{name}' to {reservation.provider} cannot be settled: {error}")
            continue
        if reservation.removes:
            done.removed += 1
        else:
            done.committed += booked
            done.released += not booked
    if older_than is not None:
        for stored in ledger.objects(older_than):
            done.removed += _removed(ledger, providers, stored, until, done)
    for stored in ledger.superseded():
        if stored.provider in providers and _replaced(ledger, providers, stored, done):
            _removed(ledger, providers, stored, until, done)
    for provider in providers.values():
        try:
            done.aborted += _abort(catalog.corrections, provider, begun_before)
        except AccessDenied as error:
            # A right of its own, which a pool can do without.
            log.warning("%s", error)
        except StoreError as error:
            done.problems.append(str(error))
    return done


def _abort(corrections: Corrections, provider: Provider, begun_before: datetime) -> int:
    leftovers = provider.store.leftovers if isinstance(provider.store, CloudStore) else None
    if leftovers is None:
        return 0
    old = [found for found in leftovers.list() if found.began < begun_before]
    # Asked for after the listing: an upload that began meanwhile is not in it.
    at_work = corrections.covered(provider.name, [found.key for found in old])
    old = [found for found in old if found.key not in at_work]
    for found in old:
        leftovers.abort(found)
    return len(old)


def _replaced(ledger: Ledger, providers: Mapping[str, Provider], stored: Stored, done: Swept) -> bool:
    """Whether the newer object of a key is really there: the books may be wrong, and this the only one."""
    newest = next(iter(ledger.find(stored.key)), stored)
    if newest.provider == stored.provider or newest.created_at <= stored.created_at:
        return False
    try:
        return providers[newest.provider].store.stat(stored.key).size == newest.size
    except NotFound:
        return False
    except (StoreError, KeyError) as error:
        done.problems.append(f"'{keys.display(stored.key)}' at {stored.provider} was not removed: {error}")
        return False


def _removed(ledger: Ledger, providers: Mapping[str, Provider], stored: Stored, until: datetime, done: Swept) -> bool:
    """Remove an object, unless another one took its place since it was read from the books. Whether it was."""
    try:
        found = None
        with suppress(NotFound):
            found = providers[stored.provider].store.stat(stored.key)
        with suppress(Busy):  # somebody is at it
            return remove(ledger, providers, stored, until=until, if_match=found)
    except (StoreError, KeyError) as error:
        done.problems.append(f"'{keys.display(stored.key)}' at {stored.provider} was not removed: {error}")
    return False
