"""Tidying the pool: what crashes left half done, and what is past its age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trueup import keys
from trueup.catalog.base import Ledger
from trueup.errors import StoreError
from trueup.pool.upload import Provider, ours


@dataclass(slots=True)
class Swept:
    """What a sweep did."""

    committed: int = 0
    """Reservations whose object was there."""
    released: int = 0
    """Reservations whose object never came."""
    removed: int = 0
    """Objects past their age."""
    problems: list[str] = field(default_factory=list)
    """What could not be settled now."""


def sweep(ledger: Ledger, providers: Mapping[str, Provider], *, older_than: datetime | None) -> Swept:
    """Settle reservations whose lease has ended, and remove objects created before `older_than`. Safe beside running
    uploads, whose leases have not ended."""
    done = Swept()
    for reservation in ledger.overdue(datetime.now(UTC)):
        name = keys.display(reservation.key)
        provider = providers.get(reservation.provider)
        if provider is None:
            done.problems.append(
                f"the upload of '{name}' to {reservation.provider} cannot be settled: no such provider"
            )
            continue
        try:
            found = ours(provider.store, reservation)
            if found is None:
                provider.store.discard(reservation.key, f"pool-{reservation.token}")
        except StoreError as error:
            done.problems.append(f"the upload of '{name}' to {reservation.provider} cannot be settled: {error}")
            continue
        if found is not None and ledger.commit(reservation.token, found.size, found.md5, datetime.now(UTC)):
            done.committed += 1
        elif found is None:
            ledger.release(reservation.token)
            done.released += 1
    if older_than is not None:
        for stored in ledger.objects(older_than):
            try:
                providers[stored.provider].store.delete(stored.key)
            except (StoreError, KeyError) as error:
                done.problems.append(f"'{keys.display(stored.key)}' at {stored.provider} was not removed: {error}")
                continue
            done.removed += ledger.remove(stored.provider, stored.key)
    return done
