"""One key range of a reconcile that another process leads: compared here.

What leader and workers hand to each other lies in heaps of the shared database. Comparing changes nothing, so a range
whose worker was lost is compared again from the beginning, by whoever takes it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from trueup import events
from trueup.catalog import open_catalog
from trueup.catalog.database import database_of, open_shared
from trueup.catalog.sql.heaps import Heaps
from trueup.catalog.sql.locks import SqlLocks
from trueup.config import Settings, StoreConfig
from trueup.errors import Interrupted, UsageError
from trueup.pool.config import pool_config
from trueup.reconcile.books import Books, PoolBooks
from trueup.reconcile.clocks import measured
from trueup.reconcile.compare import Believed, Range
from trueup.reconcile.eyes import Looked, Subject, Terms, both_looks
from trueup.reconcile.findings import Finding, Findings
from trueup.reconcile.observe import Seen
from trueup.reconcile.references import among, referenced
from trueup.reconcile.report import Totals
from trueup.reconcile.sort import believed, plain
from trueup.reconcile.table import Table
from trueup.stores import open_store
from trueup.stores.base import Entry, OutOfOrder
from trueup.stores.stopping import heeding

_OFTEN: Final = 0.3
"""Seconds between two times that it is told how far a range is."""


class Order(NamedTuple):
    """What a leader asks for."""

    run: str
    reference: str
    """As in `Lead`."""
    grace: float
    """Seconds."""
    stat_orphans: bool
    places: dict[str, str]
    """The URL of each provider."""
    ranges: dict[str, list[tuple[str, str]]]
    """Those of each provider."""

    def give(self, heaps: Heaps) -> None:
        """Let workers find it."""
        heaps.keep(f"order {self.run}", [self[1:]])

    def part(self, provider: str, number: int) -> Range:
        """One range."""
        return Range(*self.ranges[provider][number])

    def give_rows(self, heaps: Heaps, provider: str, number: int, rows: Iterable[Believed]) -> None:
        """Let the worker of a range find its rows, of books that nobody can read range by range."""
        heaps.keep(self._rows(provider, number), map(plain, rows))

    def rows(self, heaps: Heaps, provider: str, number: int) -> Iterator[Believed]:
        """These rows."""
        for text in heaps.kept(self._rows(provider, number)):
            if (row := believed(text)) is not None:
                yield row

    def _rows(self, provider: str, number: int) -> str:
        return f"rows {self.run} {provider} {number}"


def compare_range(
    settings: Settings,
    books: str,
    run: str,
    provider: str,
    number: int,
    *,
    listener: events.Listener,
    stopped: Callable[[], bool],
) -> dict[str, Any]:
    """Look twice at one range of a provider, and keep what differs; what `outcome` reads.

    `books` names the heaps and the lock of the leader. Raises what makes a provider unknown, and `Interrupted` when it
    is to stop, or nobody leads the run any more.
    """
    with _workplace(settings, books, run) as here, heeding(stopped):
        order, heaps = here.order, here.heaps
        with closing(open_store(here.place(provider), settings.environ)) as store, closing(Findings()) as findings:
            if store.url != order.places[provider]:
                raise UsageError(
                    f"{provider} means another place to a worker: {store.url}",
                    cure="Give every worker the same settings file",
                )
            reference = here.books.reference(provider)
            if order.reference:
                reference = reference._replace(rows=lambda _: order.rows(heaps, provider, number))
            terms = Terms(timedelta(seconds=order.grace), order.stat_orphans, measured(here.books.clock))
            subject, passing = Subject(provider, store, reference), _Passing(run, listener)
            try:
                looked = both_looks(subject, terms, findings, order.part(provider, number), passing)
            except OutOfOrder:
                return {"whole": True}
            passing.tell(looked.seen.believed.file_count, looked.seen.actual.file_count)
            heap = f"found {run} {provider} {number} {uuid.uuid4().hex}"  # a worker thought lost may still write
            heaps.keep(heap, map(_told, findings.all()))
            return {"whole": False, "heap": heap, "seen": looked.seen}


def outcome(results: list[dict[str, Any]], heaps: Heaps, provider: str, findings: Findings, ahead: timedelta) -> Looked:
    """What all ranges of a provider came to, and its findings put together."""
    for result in results:
        for told in heaps.kept(result["heap"]):
            findings.put(_found(provider, told))
    seen = [Seen(Totals(*believed), Totals(*actual), ok) for believed, actual, ok in (one["seen"] for one in results)]
    return Looked(
        Seen(_sum(one.believed for one in seen), _sum(one.actual for one in seen), sum(one.ok for one in seen)),
        ahead,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Workplace:
    """What a worker works with."""

    order: Order
    heaps: Heaps
    books: Books
    place: Callable[[str], StoreConfig]
    """What a provider is."""


@contextmanager
def _workplace(settings: Settings, name: str, run: str) -> Iterator[_Workplace]:
    """Raises `Interrupted` when nobody leads the run any more."""
    with ExitStack() as stack:
        engine = open_shared(database_of(settings))
        stack.callback(engine.dispose)
        heaps, leader = Heaps(engine, name), SqlLocks(engine).holder(name)
        found = heaps.first(f"order {run}")
        if found is None or leader is None or leader.run != run:
            raise Interrupted(f"nobody leads the run {run} any more")
        order = Order(run, *found)
        books: Books
        if order.reference:
            source = referenced(order.reference, settings)
            books, place = stack.enter_context(closing(Table(source))), source.place
        else:
            pool = pool_config(settings)
            limits = {provider.name: provider.limits for provider in pool.providers.values()}
            books = PoolBooks(stack.enter_context(closing(open_catalog(pool.database, limits))))
            places = {provider.name: provider.store for provider in pool.providers.values()}
            place = among(places, "pool.providers")
        yield _Workplace(order=order, heaps=heaps, books=books, place=place)


class _Passing:
    """Tells how far a range is."""

    def __init__(self, run: str, listener: events.Listener) -> None:
        self._run = run
        self._listener = listener
        self._told = 0.0

    def __call__(self, rows: int, entries: int) -> None:
        if time.monotonic() >= self._told + _OFTEN:
            self._told = time.monotonic()
            self.tell(rows, entries)

    def tell(self, rows: int, entries: int) -> None:
        """Whenever that was the last time."""
        self._listener(events.Listing(run=self._run, left_entries=rows, right_entries=entries))


def _sum(totals: Iterable[Totals]) -> Totals:
    counts = list(totals)
    return Totals(sum(one.file_count for one in counts), sum(one.total_size_bytes or 0 for one in counts))


def _told(found: Finding) -> list[object]:
    return [found.key, found.verdict, plain(found.row), found.entry, found.detail]


def _found(provider: str, told: list[Any]) -> Finding:
    key, verdict, row, entry, detail = told
    there = Entry(*entry) if entry is not None else None
    return Finding(provider, key, verdict, believed(row), there, detail=detail)
