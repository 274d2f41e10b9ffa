"""The rows of an application's own books, sorted, outside memory."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, TypeGuard

from trueup.errors import ConfigError, TrueupError
from trueup.keys import normal
from trueup.reconcile.compare import Believed, Range
from trueup.reconcile.observe import Reference
from trueup.reconcile.report import Totals
from trueup.reconcile.sort import believed, plain
from trueup.reconcile.source import Row, Source
from trueup.stores.sort import scratch

_NO_FILE: Final = (None, "")
"""Keys of rows whose upload never came."""
_MOST: Final = (1 << 63) - 1
"""Bytes; what no object has is a mistake."""


class Table:
    """The rows of one source, read once, by provider and in the order of listings; outside memory."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.clock = source.clock
        self._db = scratch()
        self._db.execute(
            "create table row (provider text, normal blob, key blob, size integer, text text,"
            " primary key (provider, normal, key)) without rowid"
        )
        self._db.execute("begin")

    def load(self) -> None:
        """Read all of it. Raises `ConfigError` for rows that do not say what is needed, and `TrueupError`."""
        rows = (row for row in self._source.read() if row.get("key", 0) not in _NO_FILE)
        self._db.executemany("insert or replace into row values (?, ?, ?, ?, ?)", map(self._stored, rows))
        if not self.providers():
            raise TrueupError(
                f"{self._source.where} gives no rows, so nothing can be said",
                cure='Check its query, or write provider = "…" where an empty one is right',
            )

    def close(self) -> None:
        """Forget all."""
        self._db.close()

    def providers(self) -> list[str]:
        """Where the rows say their objects are, and where the source says they could be."""
        found = {name for (name,) in self._db.execute("select distinct provider from row")}
        return sorted(found.union(self._source.providers, {self._source.provider}) - {""})

    def totals(self, provider: str) -> Totals:
        """What the rows of a provider add up to; its bytes are unknown where one row does not say."""
        count, sized, size = self._db.execute(
            "select count(*), count(size), coalesce(sum(size), 0) from row where provider = ?", (provider,)
        ).fetchone()
        return Totals(count, size if sized == count else None)

    def reference(self, provider: str) -> Reference:
        """The rows of one provider as books."""

        def rows(part: Range) -> Iterator[Believed]:
            found = self._db.execute(
                "select text from row where provider = ? and normal >= ? and (? or normal < ?) order by normal, key",
                (provider, _blob(part.start), not part.end, _blob(part.end)),
            )
            for (text,) in found:
                row = believed(text)
                assert row is not None
                yield row

        def again(keys: Sequence[str]) -> dict[str, Believed]:
            found = (self._told(row) for row in self._source.again(provider, keys))
            return {row.key: row for where, row in found if where == provider}

        return Reference(rows, again, lambda _: set())

    def _stored(self, given: Row) -> tuple[str, bytes, bytes, int | None, str]:
        provider, row = self._told(given)
        return provider, _blob(normal(row.key)), _blob(row.key), row.size, plain(row)

    def _told(self, given: Row) -> tuple[str, Believed]:
        """What one row says."""
        key, size, at = given.get("key"), _whole(given.get("size")), given.get("created_at")
        if not isinstance(key, str) or not _is_size(size):
            raise ConfigError(
                f"{self._source.where} gives a row without a usable key or size",
                cure="Let it give the columns key (text) and size (a whole number, or nothing)",
            )
        provider = given.get("provider") or self._source.provider
        if not isinstance(provider, str) or not provider:
            raise ConfigError(
                f"{self._source.where} does not say where its objects are",
                cure='Let it give a column provider, or write provider = "…"',
            )
        return provider, Believed(key, size, _hex(given.get("md5")), _moment(at))


def _blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_size(size: object) -> TypeGuard[int | None]:
    return size is None or (isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _MOST)


def _whole(given: object) -> object:
    """A number, which JavaScript and `numeric` columns give as one with a fraction of nothing."""
    if isinstance(given, float | Decimal):
        return int(given) if math.isfinite(given) and given == int(given) else given
    return given


def _hex(given: object) -> str:
    """An MD5 in hex, which Rails and some others keep in Base64; empty for what is none."""
    text = str(given or "")
    if len(text) == 24 and text.endswith("=="):
        try:
            return base64.b64decode(text, validate=True).hex()
        except binascii.Error:
            return ""
    return text.lower() if len(text) == 32 else ""


def _moment(given: object) -> datetime | None:
    """A time in UTC; one without a zone is."""
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            return None
    if not isinstance(given, datetime):
        return None
    return given.astimezone(UTC) if given.tzinfo is not None else given.replace(tzinfo=UTC)
