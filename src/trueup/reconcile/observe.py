"""One provider, looked at: its books beside its listing, then a second look at whatever differs.

Nothing is concluded from a listing that did not finish. Between the first look and the second an upload may have ended
or an object may have gone, so a finding stands only when both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from trueup.errors import Hidden, NotFound, StoreError
from trueup.reconcile.clocks import Young, nanoseconds
from trueup.reconcile.compare import (
    DUPLICATE,
    IN_FLIGHT,
    MISPLACED,
    MISSING,
    OK,
    ORPHAN,
    UNADDRESSABLE,
    UNVERIFIABLE,
    Believed,
    judge,
    matched,
)
from trueup.reconcile.findings import Finding, Findings
from trueup.reconcile.report import Totals
from trueup.reconcile.sort import sorted_rows
from trueup.stores.base import Entry, OutOfOrder, Store

_LOOKS: Final = 16
"""Second looks at once."""


class Reference(NamedTuple):
    """Somebody's books of one provider."""

    rows: Callable[[], Iterable[Believed]]
    """Every row, ascending by key."""
    again: Callable[[Sequence[str]], dict[str, Believed]]
    """The rows of some keys as they are now."""
    covered: Callable[[Sequence[str]], set[str]]
    """Those of some keys that are being uploaded."""


class Seen(NamedTuple):
    """What the first look counted."""

    believed: Totals
    """Rows that say an object is there."""
    actual: Totals
    ok: int


def first_look(provider: str, store: Store, reference: Reference, findings: Findings) -> Seen:
    """Merge the books with the listing, and note what differs. Raises what listing raises: then nothing is known, and
    nothing is noted."""
    if not store.exists():
        raise NotFound(f"{store.url} is not there", cure="Check its URL; nothing is concluded from its absence")
    for ordered in (True, False):
        try:
            return _merged(provider, store, reference, findings, ordered=ordered)
        except OutOfOrder:
            findings.drop(provider)
        except BaseException:
            findings.drop(provider)
            raise
    raise AssertionError("a sorted listing is in order")


def _merged(provider: str, store: Store, reference: Reference, findings: Findings, *, ordered: bool) -> Seen:
    files = size = rows_count = rows_size = ok = 0

    def listed() -> Iterator[Entry]:
        nonlocal files, size
        for entry in store.list(ordered=ordered):
            if not entry.fault or entry.fault == UNADDRESSABLE:
                files += 1
                size += entry.size
            if entry.fault != "marker":
                yield entry

    def told() -> Iterator[Believed]:
        nonlocal rows_count, rows_size
        rows = reference.rows()
        for row in rows if ordered else sorted_rows(rows):
            if not row.lost:
                rows_count += 1
                rows_size += row.size or 0
            yield row

    for match in matched(told(), listed()):
        verdict = judge(match.row, match.entry, match.veil)
        if verdict == OK:
            ok += match.entry is not None
        else:
            detail = match.veil.detail if match.veil is not None else ""
            findings.put(Finding(provider, match.key, verdict, match.row, match.entry, detail=detail))
    return Seen(Totals(rows_count, rows_size), Totals(files, size), ok)


def second_look(
    provider: str,
    store: Store,
    reference: Reference,
    findings: Findings,
    *,
    rows_young: Young,
    entries_young: Young,
    stat_orphans: bool,
) -> int:
    """Read the row of each finding again, and ask the store for its object again. What is being uploaded, or is young,
    is in flight.

    Orphans are only asked for where something will be done with them: there may be as many as a bucket holds, and
    counting one wrongly for a while does no harm. Returns how many keys turned out to be as they should.
    """
    well = 0
    with ThreadPoolExecutor(_LOOKS, thread_name_prefix="look") as crew:
        for page in findings.pages(provider):
            open_ones = [found for found in page if found.verdict not in {UNVERIFIABLE, UNADDRESSABLE}]
            names = [found.key for found in open_ones]
            rows, covered = reference.again(names), reference.covered(names)
            asked = [found.key for found in open_ones if found.verdict != ORPHAN or stat_orphans or found.key in rows]
            looked = dict(zip(asked, crew.map(lambda key: _stat(store, key), asked), strict=True))
            for found in open_ones:
                row = rows.get(found.key)
                entry = looked.get(found.key, found.entry)
                if isinstance(entry, StoreError):
                    findings.put(found._replace(verdict=UNVERIFIABLE, row=row, detail=str(entry)))
                    continue
                verdict = judge(row, _as_seen(entry, found.entry))
                written = nanoseconds(row.at) if row is not None and row.at is not None and not row.lost else None
                young = (written is not None and rows_young.holds(written)) or (
                    entry is not None and entries_young.holds(entry.mtime_ns)
                )
                if verdict == OK:
                    findings.drop(provider, found.key)
                    well += entry is not None
                elif found.key in covered or young:
                    findings.put(found._replace(verdict=IN_FLIGHT, row=row, entry=entry))
                else:
                    late = [rows_young.beyond("its row", written)] if written is not None else []
                    late += [entries_young.beyond("the object", entry.mtime_ns)] if entry is not None else []
                    detail = "; ".join(filter(None, late))
                    findings.put(found._replace(verdict=verdict, row=row, entry=entry, detail=detail))
    return well


def look_across(references: Mapping[str, Reference], findings: Findings) -> None:
    """What is missing at one provider and lies at another is misplaced; an orphan whose key is well elsewhere is a
    duplicate."""
    for provider in references:
        for page in findings.pages(provider):
            orphans = [found for found in page if found.verdict == ORPHAN and found.row is None]
            for found in orphans:
                lost = findings.elsewhere(found.key, provider, MISSING)
                if lost is None or lost.row is None or lost.row.size not in {None, _size(found)}:
                    continue
                findings.put(lost._replace(verdict=MISPLACED, entry=found.entry, detail=provider))
                findings.drop(provider, found.key)
            for other, reference in references.items():
                if other == provider or not orphans:
                    continue
                rows = reference.again([found.key for found in orphans])
                for found in orphans:
                    row = rows.get(found.key)
                    well_there = row is not None and not row.lost and not findings.has(other, found.key)
                    if well_there and findings.has(provider, found.key):
                        findings.put(found._replace(verdict=DUPLICATE, detail=f"it is at {other} too"))


def _size(found: Finding) -> int | None:
    return found.entry.size if found.entry is not None else None


def _stat(store: Store, key: str) -> Entry | StoreError | None:
    try:
        return store.stat(key)
    except Hidden as error:
        return error
    except NotFound:
        return None
    except StoreError as error:
        return error


def _as_seen(entry: Entry | None, listed: Entry | None) -> Entry | None:
    """What a listing told of the same object, where a stat tells less."""
    if entry is not None and listed is not None and not entry.md5 and entry.fingerprint == listed.fingerprint:
        return entry._replace(md5=listed.md5)
    return entry
