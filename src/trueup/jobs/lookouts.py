"""A reconcile whose listings workers compare with the books, range by range: this process leads them.

It cuts each bucket's keys into ranges, has both looks at each taken, and puts what they found together. All that looks
at the whole, and all that is changed, is left to the run itself. What the parts hand to it is in heaps of the shared
database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final, Self, TypeAlias

from trueup import events
from trueup.catalog.database import database_of, open_shared
from trueup.catalog.held import held
from trueup.catalog.sql.heaps import Heaps
from trueup.catalog.sql.locks import SqlLocks
from trueup.catalog.tasks import SUCCESS, Task
from trueup.config import Settings
from trueup.errors import StoreError, TrueupError
from trueup.jobs.parts import Parts, Watching
from trueup.reconcile.eyes import Lead, Look, Looked, Subject, Terms, look
from trueup.reconcile.findings import Findings
from trueup.reconcile.ranged import Order, outcome
from trueup.stores.base import Store
from trueup.stores.ranges import cut

COMPARE: Final = "compare_range"

_Results: TypeAlias = dict[str, list[dict[str, Any]] | TrueupError]
"""Of each provider: what each of its ranges came to, or why nothing can be said."""


class Lookouts:
    """The eyes of all workers. Use as a context manager."""

    def __init__(self, settings: Settings, listener: events.Listener = events.ignore) -> None:
        """The listener hears how far the parts are. Raises what `Parts` and `open_shared` do."""
        self._engine = open_shared(database_of(settings))
        self._listener = listener
        try:
            self._parts = Parts(settings)
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def parts(self) -> Sequence[Mapping[str, object]]:
        """See `Eyes`."""
        return self._parts.told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()
        self._engine.dispose()

    @contextmanager
    def led(self, lead: Lead) -> Iterator[Look]:
        """See `Eyes`."""
        books = f"compare {hashlib.sha256(lead.books.encode()).hexdigest()[:32]}"
        said, heaps = "these books are being compared", Heaps(self._engine, books)
        with held(SqlLocks(self._engine), books, lead.run, said, instead_of=lead.instead_of) as hold:
            self._parts.stop_earlier(heaps)
            heaps.drop()
            try:
                yield _Comparing(lead, books, heaps, self._parts, self._listener).look
            except BaseException:  # Ctrl-C above all
                self._listener(events.Warned(run=lead.run, message="stopping what workers have begun"))
                with suppress(TrueupError):
                    self._parts.stop_earlier(heaps)
                raise
            else:
                hold.check()  # who lost the lock may have read what another run had left
            finally:
                heaps.drop_of(lead.run)


class _Comparing:
    """The looks of one run."""

    def __init__(self, lead: Lead, books: str, heaps: Heaps, parts: Parts, listener: events.Listener) -> None:
        self._lead = lead
        self._books = books
        self._heaps = heaps
        self._parts = parts
        self._watching = Watching(lead.run, listener, lambda: False)

    def look(
        self, subjects: Sequence[Subject], terms: Terms, findings: Findings, heard: Callable[[str], None]
    ) -> Iterator[tuple[str, Looked | TrueupError]]:
        """See `Look`."""
        there = {subject.provider: subject for subject in subjects if not _is_here(subject)}
        for provider in there:
            heard(provider)
        for provider, results in self._compared(there, terms).items():
            if isinstance(results, TrueupError):
                yield provider, results
                continue
            try:
                ahead = timedelta(microseconds=there[provider].store.clock_ahead_ns() // 1000)
                looked = outcome(results, self._heaps, provider, findings, ahead)
            except TrueupError as error:
                findings.drop(provider)
                yield provider, error
            else:
                yield provider, looked
        yield from look([subject for subject in subjects if _is_here(subject)], terms, findings, heard)

    def _compared(self, subjects: Mapping[str, Subject], terms: Terms) -> _Results:
        """Have providers compared range by range; as a whole those that cannot be."""
        done: _Results = {}
        ranges = {provider: self._ranges(subject.store) for provider, subject in subjects.items()}
        while ranges:
            done |= self._carried_out({provider: subjects[provider] for provider in ranges}, terms, ranges)
            ranges = {provider: [("", "")] for provider in ranges if _indivisible(done[provider])}
        return done

    def _ranges(self, store: Store) -> list[tuple[str, str]]:
        cuts: list[str] = []
        with suppress(TrueupError):  # whoever compares it says what is wrong, as on one machine
            cuts = cut(store, self._parts.enough)
        return list(zip(("", *cuts), (*cuts, ""), strict=True))

    def _carried_out(
        self, subjects: Mapping[str, Subject], terms: Terms, ranges: dict[str, list[tuple[str, str]]]
    ) -> _Results:
        """Have every one of these ranges compared."""
        run, reference = self._lead.run, self._lead.reference
        places = {provider: subject.store.url for provider, subject in subjects.items()}
        order = Order(run, reference, terms.grace.total_seconds(), terms.stat_orphans, places, ranges)
        order.give(self._heaps)
        wanted = [(provider, number) for provider, parts in ranges.items() for number in range(len(parts))]
        if reference:
            for provider, number in wanted:
                rows = subjects[provider].reference.rows(order.part(provider, number))
                order.give_rows(self._heaps, provider, number, rows)
        about = {"books": self._books, "run": run}
        told = [about | {"provider": provider, "number": number} for provider, number in wanted]
        ended: dict[str, list[Task | None]] = {provider: [] for provider in ranges}
        tasks = self._parts.carry_out(COMPARE, told, self._heaps, self._watching).all()
        for (provider, _), task in zip(wanted, tasks, strict=True):
            ended[provider].append(task)
        return {provider: _results(tasks) for provider, tasks in ended.items()}


def _is_here(subject: Subject) -> bool:
    """Whether this process looks at a provider: on another machine a folder may be another one, and memory is."""
    return subject.store.features.tree or subject.store.url.startswith("memory:")


def _results(tasks: Sequence[Task | None]) -> list[dict[str, Any]] | TrueupError:
    """What the ranges of a provider came to: nothing is concluded from some without the others."""
    found = []
    for task in tasks:
        if task is None or task.state != SUCCESS or task.result is None:
            return StoreError(
                task.error or "it was cancelled" if task is not None else "workers do not answer any more"
            )
        found.append(dict(task.result))
    return found


def _indivisible(results: list[dict[str, Any]] | TrueupError) -> bool:
    """Whether a key was met whose spelling puts it into one range, and its normal form into another."""
    return isinstance(results, list) and any(result["whole"] for result in results)
