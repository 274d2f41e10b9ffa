"""Names that differ only in case, on a disk that takes them for one.

Each key is checked segment by segment: `Photos/x` and `photos/y` would meet in one folder. What is there stays; what
would be written beside it under another spelling is reported and left alone.
"""

from __future__ import annotations

from trueup import keys
from trueup.sync.decide import Action, Decision
from trueup.sync.pair import Pair
from trueup.sync.plan import Plan

_COPIES = {"left": Action.COPY_LEFT, "right": Action.COPY_RIGHT}


class Casing:
    """Watches the keys one side holds or will hold; a table beside the plan's items, so that memory stays flat. Used
    only for a side that folds case."""

    def __init__(self, side: str, plan: Plan) -> None:
        self._side = side
        self._copy = _COPIES[side]
        self._plan = plan
        self._table = f"casing_{side}"
        plan.db.execute(f"drop table if exists {self._table}")  # of an earlier pass over the listings
        plan.db.execute(
            f"create table {self._table} (folded text, spelling text, there integer, primary key (folded, spelling)) "
            "without rowid"
        )
        self._buffer: list[tuple[str, str, bool]] = []

    def watch(self, pair: Pair, decision: Decision) -> None:
        """Note one pair and what was decided about it."""
        entry = pair.left if self._side == "left" else pair.right
        if entry is None and decision.action is not self._copy:
            return
        key = entry.key if entry is not None else pair.key
        self._buffer += [(_folded(path), path, entry is not None) for path in (*keys.parents(key), key)]
        if len(self._buffer) > 5000:
            self._flush()

    def mend(self) -> None:
        """Replace each copy that would meet another spelling by a note."""
        self._flush()
        self._plan.flush()
        rows = self._plan.db.execute(
            f"select seq, key, {self._side}_key from items where action = ? and {self._side}_size is null order by seq",
            (self._copy,),
        ).fetchall()
        for seq, key, raw in rows:
            if (twin := self._twin(raw)) is not None:
                self._plan.db.execute("delete from items where seq = ?", (seq,))
                self._plan.add(
                    key,
                    Action.UNADDRESSABLE,
                    "case",
                    error=f"the {self._side} folds case, and {keys.display(twin)} is the same name there; rename one",
                )
        self._plan.flush()

    def _twin(self, key: str) -> str | None:
        """Another spelling of the key, or of a folder above it, that is there or is planned too."""
        for path in (*keys.parents(key), key):
            found = self._plan.db.execute(
                f"select spelling from {self._table} where folded = ? and spelling <> ? order by there desc limit 1",
                (_folded(path), path),
            ).fetchone()
            if found:
                return str(found[0])
        return None

    def _flush(self) -> None:
        self._plan.db.executemany(
            f"insert into {self._table} values (?,?,?) on conflict do update set there = there or excluded.there",
            self._buffer,
        )
        self._buffer.clear()


def _folded(path: str) -> str:
    return keys.normal(path).casefold()
