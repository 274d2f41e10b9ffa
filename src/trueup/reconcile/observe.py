"""One provider, looked at: its books beside its listing, then a second look at whatever differs.

Nothing is concluded from a listing that did not finish. Between the first look and the second an upload may have ended
or an object may have gone, so a finding stands only when both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
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
    WHOLE,
    Believed,
    Range,
    judge,
    matched,
)
from trueup.reconcile.content import Contents, read_md5, told
from trueup.reconcile.findings import Finding, Findings
from trueup.reconcile.report import Totals
from trueup.reconcile.sort import sorted_rows
from trueup.stores.base import Entry, OutOfOrder, Store
from trueup.stores.stopping import heed

_LOOKS: Final = 16
"""Second looks at once."""
_STEP: Final = 1000
"""Keys between two times that it is told how many have passed."""


class Reference(NamedTuple):
    """Somebody's books of one provider."""

    rows: Callable[[Range], Iterable[Believed]]
    """Every row whose key as it is spelled is in a range, ascending by key."""
    again: Callable[[Sequence[str]], dict[str, Believed]]
    """The rows of some keys as they are now."""
    covered: Callable[[Sequence[str]], set[str]]
    """Those of some keys that are being uploaded."""


class Seen(NamedTuple):
    """What was counted: by the first look, then as the second one left it."""

    believed: Totals
    """Rows that say an object is there."""
    actual: Totals
    ok: int


def first_look(
    provider: str,
    store: Store,
    reference: Reference,
    findings: Findings,
    part: Range = WHOLE,
    passing: Callable[[int, int], None] = lambda _rows, _entries: None,
) -> Seen:
    """Merge the books with the listing, and note what differs. Raises what listing raises: then nothing is known, and
    nothing is noted.

    Of a `part` nothing is concluded for the rest. Raises `OutOfOrder` where the provider can only be looked at as a
    whole. `passing` is told now and then how many rows and entries have passed.
    """
    if not store.exists():
        raise NotFound(f"{store.url} is not there", cure="Check its URL; nothing is concluded from its absence")
    for ordered in (True, False):
        try:
            return _merged(provider, store, reference, findings, part, passing, ordered=ordered)
        except OutOfOrder:
            findings.drop(provider)
            if part != WHOLE:
                raise
        except BaseException:
            findings.drop(provider)
            raise
    raise AssertionError("a sorted listing is in order")


def _merged(
    provider: str,
    store: Store,
    reference: Reference,
    findings: Findings,
    part: Range,
    passing: Callable[[int, int], None],
    *,
    ordered: bool,
) -> Seen:
    files = size = rows_count = rows_size = ok = 0

    def listed() -> Iterator[Entry]:
        nonlocal files, size
        entries = store.list(part.start, ordered=ordered)
        for entry in entries if part == WHOLE else part.held(entries):
            if not entry.fault or entry.fault == UNADDRESSABLE:
                files += 1
                size += entry.size
            if entry.fault != "marker":
                yield entry

    def told() -> Iterator[Believed]:
        nonlocal rows_count, rows_size
        rows = reference.rows(part)
        if part != WHOLE:
            rows = part.held(rows)
        for row in rows if ordered else sorted_rows(rows):
            if not row.lost:
                rows_count += 1
                rows_size += row.size or 0
            yield row

    for number, match in enumerate(matched(told(), listed())):
        if not number % _STEP:
            passing(rows_count, files)
        verdict = judge(match.row, match.entry, match.veil)
        if verdict == OK:
            ok += match.entry is not None
        else:
            detail = match.veil.detail if match.veil is not None else ""
            findings.put(Finding(provider, match.key, verdict, match.row, match.entry, detail=detail))
    passing(rows_count, files)
    return Seen(Totals(rows_count, rows_size), Totals(files, size), ok)


def second_look(
    provider: str,
    store: Store,
    reference: Reference,
    findings: Findings,
    seen: Seen,
    *,
    rows_young: Young,
    entries_young: Young,
    stat_orphans: bool,
) -> Seen:
    """Read the row of each finding again, and ask the store for its object again. What is being uploaded, or is young,
    is in flight.

    Orphans are only asked for where something will be done with them: there may be as many as a bucket holds, and
    counting one wrongly for a while does no harm. Returns what `seen` by the first look comes to.
    """
    well = files = size = 0
    contents = Contents(store)
    with ThreadPoolExecutor(_LOOKS, thread_name_prefix="look") as crew:
        for page in findings.pages(provider):
            heed()
            open_ones = [found for found in page if found.verdict not in {UNVERIFIABLE, UNADDRESSABLE}]
            names = [found.key for found in open_ones]
            rows, covered = reference.again(names), reference.covered(names)
            again = [found for found in open_ones if found.verdict != ORPHAN or stat_orphans or found.key in rows]
            looks = crew.map(_looked, repeat(store), repeat(contents), again, [rows.get(found.key) for found in again])
            looked = {found.key: entry for found, entry in zip(again, looks, strict=True)}
            for found in open_ones:
                row = rows.get(found.key)
                entry = looked.get(found.key, found.entry)
                if isinstance(entry, StoreError):
                    findings.put(found._replace(verdict=UNVERIFIABLE, row=row, detail=str(entry)))
                    continue
                files += (entry is not None) - (found.entry is not None)
                size += _size(entry) - _size(found.entry)
                verdict = judge(row, entry)
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
    actual = Totals(seen.actual.file_count + files, (seen.actual.total_size_bytes or 0) + size)
    return Seen(seen.believed, actual, seen.ok + well)


def _size(entry: Entry | None) -> int:
    return entry.size if entry is not None else 0


def look_across(
    references: Mapping[str, Reference], stores: Mapping[str, Store], findings: Findings, *, adopting: bool = False
) -> None:
    """What is missing at one provider and lies at another is misplaced; an orphan whose key is on the books elsewhere
    is a duplicate. `adopting` orphans, those of one key at several providers are duplicates too: no row says which is
    the newer one, and of two on the books a sweep removed one as what an overwrite had left.

    `references` are those of all providers, of which some may be unknown; `stores` are of those that are not.
    """
    for provider in stores:
        for page in findings.pages(provider):
            orphans = [found for found in page if found.verdict == ORPHAN]
            for found in orphans:
                lost = findings.elsewhere(found.key, provider, MISSING)
                if lost is not None and found.row is None and _is(found, lost, stores[provider]):
                    findings.put(lost._replace(verdict=MISPLACED, entry=found.entry, detail=provider))
                    findings.drop(provider, found.key)
            for other, reference in references.items():
                if other == provider or not orphans:
                    continue
                rows = reference.again([found.key for found in orphans])
                for found in orphans:
                    row, there = rows.get(found.key), findings.get(other, found.key)
                    on_books = row is not None and not row.lost and (there is None or there.verdict != MISSING)
                    copy = adopting and there is not None and there.verdict in {ORPHAN, DUPLICATE}
                    mine = findings.get(provider, found.key)
                    if (on_books or copy) and mine is not None and mine.verdict == ORPHAN:
                        findings.put(found._replace(verdict=DUPLICATE, detail=f"it is at {other} too"))


def _is(orphan: Finding, lost: Finding, store: Store) -> bool:
    """Whether an orphan is what is missing elsewhere."""
    row, entry = lost.row, orphan.entry
    if row is None or entry is None or row.size not in {None, entry.size}:
        return False
    if not row.md5 or row.md5.lower() == entry.md5:
        return True
    try:
        return (told(entry) or read_md5(store, entry)) == row.md5.lower()
    except StoreError:
        return False


def _looked(store: Store, contents: Contents, found: Finding, row: Believed | None) -> Entry | StoreError | None:
    """An object as it is now."""
    entry = _stat(store, found.key)
    return contents.settled(row, _as_seen(entry, found.entry)) if isinstance(entry, Entry) else entry


def _stat(store: Store, key: str) -> Entry | StoreError | None:
    try:
        return store.stat(key)
    except Hidden as error:
        return error
    except NotFound:
        return None
    except StoreError as error:
        return error


def _as_seen(entry: Entry, listed: Entry | None) -> Entry:
    """What a listing told of the same object, where a stat tells less."""
    if listed is not None and not entry.md5 and entry.fingerprint == listed.fingerprint:
        return entry._replace(md5=listed.md5)
    return entry
