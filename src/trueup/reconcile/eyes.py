"""Who looks at the providers: this process, or others that it leads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from trueup.errors import TrueupError
from trueup.reconcile.clocks import young, young_by_either
from trueup.reconcile.compare import WHOLE, Range
from trueup.reconcile.findings import Findings
from trueup.reconcile.observe import Reference, Seen, first_look, second_look
from trueup.stores.base import Store

if TYPE_CHECKING:
    from trueup.stores.inventory import Inventory


class Subject(NamedTuple):
    """One provider that is to be looked at."""

    provider: str
    store: Store
    reference: Reference
    listed: Store | None = None
    """What lists it, if another one: an inventory report."""
    report: Inventory | None = None
    """Which."""


class Terms(NamedTuple):
    """What the looks at every provider of a run have in common."""

    grace: timedelta
    """What is younger is left alone."""
    stat_orphans: bool
    """Whether orphans are looked at twice as well."""
    rows_ahead: timedelta
    """How far the clock of the books is ahead of this machine's."""


class Looked(NamedTuple):
    """What both looks at a provider, or at a part of it, came to."""

    seen: Seen
    ahead: timedelta
    """How far the clock that dates its objects is ahead of this machine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A run that has others look."""

    run: str
    instead_of: str
    """The run before it, if that was killed."""
    books: str
    """Tells the books from all others; it may hold a secret."""
    reference: str
    """The name of their `[reconcile.references.NAME]`; empty: the pool's own."""


Look: TypeAlias = Callable[
    [Sequence[Subject], Terms, Findings, Callable[[str], None]], Iterator[tuple[str, Looked | TrueupError]]
]
"""Looks at providers, tells of each that is begun, and puts what differs into the findings. For each what was counted,
or why nothing can be said of it: then nothing of it is in the findings."""


class Eyes(Protocol):
    """What a run leaves to them. All that looks at the whole, and all that is changed, is the same whoever they are."""

    @property
    def parts(self) -> Sequence[Mapping[str, object]]:
        """How each part went that was given to others, as the run's JSON tells it."""
        ...

    def led(self, lead: Lead) -> AbstractContextManager[Look]:
        """Lend them to a run. Raises `Busy` when they are lent to another one over the same books."""
        ...


class Here:
    """This process."""

    parts = ()

    def led(self, lead: Lead) -> AbstractContextManager[Look]:  # noqa: ARG002 - the protocol's signature
        """See `Eyes`."""
        return nullcontext(look)


def look(
    subjects: Sequence[Subject], terms: Terms, findings: Findings, heard: Callable[[str], None]
) -> Iterator[tuple[str, Looked | TrueupError]]:
    """Look at one provider after the other. What goes wrong makes it unknown, and the others go on."""
    for subject in subjects:
        heard(subject.provider)
        try:
            yield subject.provider, both_looks(subject, terms, findings)
        except TrueupError as error:
            findings.drop(subject.provider)
            yield subject.provider, error


def both_looks(
    subject: Subject,
    terms: Terms,
    findings: Findings,
    part: Range = WHOLE,
    passing: Callable[[int, int], None] = lambda _rows, _entries: None,
) -> Looked:
    """Look twice. Raises what `first_look` does, and what reading the rows again does."""
    provider, store, reference, listed, report = subject
    seen = first_look(provider, listed or store, reference, findings, part, passing)
    ahead = timedelta(microseconds=store.clock_ahead_ns() // 1000)
    # What changed since a report was begun, it cannot judge, however long it took to get here; and what it shows may be
    # gone since.
    since = report.created_at - ahead if report is not None else None
    seen = second_look(
        provider,
        store,
        reference,
        findings,
        seen,
        rows_young=young_by_either(terms.grace, terms.rows_ahead, since),
        entries_young=young(terms.grace, ahead, since),
        stat_orphans=terms.stat_orphans or report is not None,
    )
    return Looked(seen, ahead)
