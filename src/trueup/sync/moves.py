"""Renames: a delete and a new file of the same content on one side become one move on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Final

from trueup.errors import StoreError
from trueup.stores.base import Entry
from trueup.stores.stopping import heeded, together
from trueup.sync import sql
from trueup.sync.decide import Action
from trueup.sync.item import Phase
from trueup.sync.plan import Plan

_SIDES: Final = (
    ("right", Action.COPY_RIGHT, Action.DELETE_RIGHT, Action.MOVE_RIGHT, "left"),
    ("left", Action.COPY_LEFT, Action.DELETE_LEFT, Action.MOVE_LEFT, "right"),
)


def find_moves(
    plan: Plan, md5: Callable[[str, Entry], str], pool: Executor, *, touches_clash: Callable[[str], bool]
) -> None:
    """Rewrite the plan in place. `md5(side, entry)` hashes a new file; only those whose size equals that of a deleted
    one are asked. Empty files are left alone: any two of them would match. Raises `Interrupted`: the plan is good for
    nothing then."""
    plan.flush()
    with sql.heeding(plan.db):
        for target, copy, delete, move, origin in _SIDES:
            if not plan.db.execute("select 1 from items where action = ? limit 1", (delete,)).fetchone():
                continue
            plan.db.execute(f"create index by_size on items (action, {target}_size)")
            _hash_candidates(plan, copy, delete, md5, pool, origin)
            plan.db.execute("drop index by_size")
            _pair_up(plan, copy, delete, move, target, touches_clash)


def _hash_candidates(
    plan: Plan, copy: Action, delete: Action, md5: Callable[[str, Entry], str], pool: Executor, origin: str
) -> None:
    def wanted() -> Iterator[tuple[int, Entry]]:
        after = -1
        while rows := plan.db.execute(
            f"select seq, {origin}_key, {origin}_size, {origin}_mtime_ns, {origin}_fingerprint, {origin}_md5, "
            # Not by the index, which would have to be sorted anew for each page.
            f"{origin}_etag from items not indexed "
            "where action = ? and reason = 'new' and md5 = '' and bytes > 0 and seq > ? "
            f"and exists (select 1 from items d where d.action = ? and d.{_other(origin)}_size = items.bytes) "
            "order by seq limit 200",
            (copy, after, delete),
        ).fetchall():
            yield from ((row[0], Entry(*row[1:])) for row in rows)
            after = rows[-1][0]

    def hashed(candidate: tuple[int, Entry]) -> tuple[str, int]:
        seq, entry = candidate
        try:
            return md5(origin, entry), seq
        except StoreError:
            return "", seq  # it will be copied, and fail or drift there with its own message

    batch: list[tuple[int, Entry]] = []
    for candidate in wanted():
        batch.append(candidate)
        if len(batch) == 200:
            plan.db.executemany("update items set md5 = ? where seq = ?", together(pool, hashed, batch))
            batch.clear()
    plan.db.executemany("update items set md5 = ? where seq = ?", together(pool, hashed, batch))


def _pair_up(
    plan: Plan, copy: Action, delete: Action, move: Action, target: str, touches_clash: Callable[[str], bool]
) -> None:
    ranked = (
        "select seq, key, {target}_key as raw, md5, {size} as size, "
        "row_number() over (partition by md5, {size} order by key) as place from items "
        "where action = ? and md5 <> '' and {size} > 0"
    )
    news = ranked.format(target=target, size="bytes") + " and reason = 'new'"
    olds = ranked.format(target=target, size=f"{target}_size")
    plan.db.execute(
        "create temp table matched as select n.seq as new, n.key as new_key, o.seq as old, o.key as old_key, "
        f"o.raw as old_raw from ({news}) n join ({olds}) o using (md5, size, place)",
        (copy, delete),
    )
    columns = [f"{target}_{name}" for name in ("size", "mtime_ns", "fingerprint", "md5", "etag")]
    taken = ", ".join(f"{column} = (select {column} from items d where d.seq = ?2)" for column in columns)
    rewrite = (
        "update items set action = ?3, phase = ?4, reason = 'renamed', bytes = 0, source = ?5, source_key = ?6, "
        f"{taken} where seq = ?1"
    )
    for new, new_key, old, old_key, old_raw in heeded(_matched(plan)):
        nested = new_key.startswith(old_key + "/") or old_key.startswith(new_key + "/")
        if nested or touches_clash(new_key) or touches_clash(old_key):
            continue
        plan.db.execute(rewrite, (new, old, move, Phase.MOVE, old_key, old_raw))
        plan.db.execute("delete from items where seq = ?", (old,))
    plan.db.execute("drop table matched")


def _matched(plan: Plan) -> Iterator[tuple[int, str, int, str, str]]:
    """The matches in pages, because a renamed folder may hold a million files."""
    after = 0
    while rows := plan.db.execute(
        "select rowid, new, new_key, old, old_key, old_raw from matched where rowid > ? order by rowid limit 1000",
        (after,),
    ).fetchall():
        yield from (tuple(row[1:]) for row in rows)
        after = rows[-1][0]


def _other(side: str) -> str:
    return "left" if side == "right" else "right"
