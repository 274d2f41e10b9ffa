"""What a comparison found, outside memory: in a temporary SQLite file that goes with the process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from trueup.reconcile.compare import Believed
from trueup.reconcile.sort import believed, plain
from trueup.stores.base import Entry, storable_size
from trueup.stores.sort import scratch

_PAGE: Final = 500


class Finding(NamedTuple):
    """One key that is not as it should be."""

    provider: str
    key: str
    verdict: str
    row: Believed | None
    entry: Entry | None
    fix: str | None = None
    """`planned`, `done` or `skipped`; None where nothing is to be done."""
    detail: str = ""
    """What a person should know of it."""


class Findings:
    """Every finding of one run. Used by one thread."""

    def __init__(self) -> None:
        self._db = scratch()
        self._db.execute(
            "create table finding (provider text, key blob, verdict text, size integer, row_size integer,"
            " believed text, entry text, fix text, detail text, primary key (provider, key)) without rowid"
        )
        self._db.execute("create index by_key on finding (key)")
        self._db.execute("begin")

    def close(self) -> None:
        """Forget all."""
        self._db.close()

    def put(self, found: Finding) -> None:
        """Note a finding, in the place of an earlier one of that key."""
        self._db.execute(
            "insert or replace into finding values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                found.provider,
                _blob(found.key),
                found.verdict,
                storable_size(found.entry.size) if found.entry is not None else None,
                found.row.size or 0 if found.row is not None and not found.row.lost else None,
                plain(found.row),
                json.dumps(found.entry),
                found.fix,
                found.detail,
            ),
        )

    def drop(self, provider: str, key: str | None = None) -> None:
        """Forget one finding, or all of a provider."""
        if key is None:
            self._db.execute("delete from finding where provider = ?", (provider,))
        else:
            self._db.execute("delete from finding where provider = ? and key = ?", (provider, _blob(key)))

    def pages(self, provider: str) -> Iterator[list[Finding]]:
        """A provider's findings by key, some at a time. They may be changed meanwhile."""
        after = b""
        first = True
        while True:
            rows = self._db.execute(
                "select * from finding where provider = ? and (? or key > ?) order by key limit ?",
                (provider, first, after, _PAGE),
            ).fetchall()
            if not rows:
                return
            first, after = False, rows[-1][1]
            yield [_finding(row) for row in rows]

    def all(self) -> Iterator[Finding]:
        """Every finding, by provider and key."""
        for (provider,) in self._db.execute("select distinct provider from finding order by provider").fetchall():
            for page in self.pages(provider):
                yield from page

    def get(self, provider: str, key: str) -> Finding | None:
        """The one about this key."""
        here = (provider, _blob(key))
        row = self._db.execute("select * from finding where provider = ? and key = ?", here).fetchone()
        return _finding(row) if row is not None else None

    def elsewhere(self, key: str, provider: str, verdict: str) -> Finding | None:
        """A finding of this verdict about the same key at another provider."""
        row = self._db.execute(
            "select * from finding where key = ? and provider <> ? and verdict = ? order by provider limit 1",
            (_blob(key), provider, verdict),
        ).fetchone()
        return _finding(row) if row is not None else None

    def counts(self, provider: str) -> Counter[str]:
        """How many of each verdict."""
        rows = self._db.execute("select verdict, count(*) from finding where provider = ? group by 1", (provider,))
        return Counter(dict(rows.fetchall()))

    def lying(self, provider: str, verdicts: tuple[str, ...]) -> tuple[int, int]:
        """How many objects of these verdicts lie there, and their bytes."""
        count, size = self._db.execute(
            "select count(size), coalesce(sum(size), 0) from finding"
            " where provider = ? and verdict in (select value from json_each(?))",
            (provider, json.dumps(verdicts)),
        ).fetchone()
        return count, size

    def believed(self, provider: str, verdict: str) -> tuple[int, int]:
        """How many objects of a verdict the books say are there, and their bytes."""
        count, size = self._db.execute(
            "select count(row_size), coalesce(sum(row_size), 0) from finding where provider = ? and verdict = ?",
            (provider, verdict),
        ).fetchone()
        return count, size


def _blob(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _finding(row: tuple[str, bytes, str, int | None, int | None, str, str, str | None, str]) -> Finding:
    provider, key, verdict, _, _, row_text, entry_text, fix, detail = row
    entry = json.loads(entry_text)
    return Finding(
        provider=provider,
        key=key.decode("utf-8", "surrogatepass"),
        verdict=verdict,
        row=believed(row_text),
        entry=Entry(*entry) if entry is not None else None,
        fix=fix,
        detail=detail,
    )
