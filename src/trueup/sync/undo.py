"""Undoing a run: from its journal and its trash, with the same preconditions as doing it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from trueup import events, keys
from trueup.config import Settings, SyncConfig, load
from trueup.errors import NotFound, PreconditionFailed, StoreError, TrueupError, UsageError
from trueup.runs import RunLog, new_run_id, run_lock
from trueup.stores.base import Entry, Store
from trueup.sync import trash
from trueup.sync.content import Contents
from trueup.sync.effects import found_at, found_spelled
from trueup.sync.header import Header
from trueup.sync.outputs import Outputs
from trueup.sync.pair import Agreed
from trueup.sync.pairs import Known, read_each
from trueup.sync.recording import Recording
from trueup.sync.recovery import recover
from trueup.sync.report import ITEMS_SHOWN, SyncRun, settled_status
from trueup.sync.session import Session, session
from trueup.sync.state import JournalRow, RunRow

_UNDO: Final = "undo_"
"""What the actions of an undo begin with in the journal."""
_TURNS: Final = range(3)
_SETTLED: Final = ("done", "interrupted")
"""States of journal rows whose effect may have happened."""


def undo(run: str, *, settings: Settings | None = None, outputs: Outputs | None = None) -> SyncRun:
    """Put both trees and the baseline back to what they were before `run` (its id, or an unambiguous beginning of it).

    Each item is put back only where it still is as the run left it; anything else is reported as drifted. Keys that
    were put back are held: later syncs skip them until a side changes or `--release`. Raises `UsageError` for an
    unknown run or one whose trash is gone, `Busy`, the `StoreError` of a place that cannot be reached, or a plain
    `TrueupError` when a state file that cannot be read may hold the run. One of another pair is only warned of.
    """
    settings = settings or load()
    outputs = outputs or Outputs()
    row, known, problems = find_run(run, settings)
    if row.trash != "kept":
        why = "was made with --no-trash" if row.trash == "none" else "has no trash any more: it was emptied"
        raise UsageError(f"the run {row.run} cannot be undone: it {why}")
    header = Header(
        run=new_run_id(),
        left=row.left_spec,
        right=row.right_spec,
        left_url=row.left_url,
        right_url=row.right_url,
        config=SyncConfig(mode="two-way"),
    )
    for problem in problems:
        outputs.warn(header.run, problem)
    # The pair is known by its file, so its lock is taken before any store is opened.
    with (
        Recording(header, settings, outputs, job="undo") as record,
        run_lock(known.path.with_suffix(".lock"), run=header.run) as killed,
        session(row.left_spec, row.right_spec, settings, run=header.run, killed=killed, shared=known.shared) as opened,
    ):
        if (row.left_url, row.right_url) != (opened.sides.left.url, opened.sides.right.url):
            raise UsageError(
                f"{row.left_spec} and {row.right_spec} are not the places they were when {row.run} ran",
                cure=f"They were {row.left_url} and {row.right_url}",
            )
        recover(opened.sides, opened.state, warn=partial(outputs.warn, header.run))
        outputs.listener(
            events.RunStarted(run=header.run, job="undo", left=row.left_spec, right=row.right_spec, mode="two-way")
        )
        return record(_Undoing(opened, row, header, outputs).run())


def find_run(run: str, settings: Settings) -> tuple[RunRow, Known, list[str]]:
    """The journal's row of a run, where its pair is remembered, and what is wrong with places that cannot be read.
    Raises `UsageError`, or `TrueupError` when the answer may lie in such a place."""
    pairs, problems = read_each(settings, lambda state: state.runs())
    found = [(row, known) for known, rows in pairs for row in rows if run and row.run.startswith(run)]
    exact = [match for match in found if match[0].run == run]
    if len(exact or found) == 1:
        row, where = (exact or found)[0]
        if problems and not exact:
            raise TrueupError(
                f"a run that begins with {run} may also be where this machine cannot look: {problems[0]}",
                cure=f"Write the whole id if it is this one: {row.run}",
            )
        return row, where, problems
    if found:
        raise UsageError(f"{run} is the beginning of {len(found)} runs", cure="Write more of the id: trueup runs")
    if problems and run:
        raise TrueupError(f"the run {run} is in no state file that can be read; {'; '.join(problems)}")
    known = None
    with suppress(TrueupError):  # a broken history knows no more than none
        known = RunLog(settings.home).get(run)
    if known is not None:
        raise UsageError(
            f"nothing of the run {run} is left to undo: it changed nothing, or is older than the trash is kept"
        )
    raise UsageError(f"no run {run or 'without an id'} is known here", cure="See the ids: trueup runs")


class _Undoing:
    def __init__(self, opened: Session, row: RunRow, header: Header, outputs: Outputs) -> None:
        self._state = opened.state
        self._stores: dict[str, Store] = {
            opened.state.left_side: opened.sides.left,
            opened.state.right_side: opened.sides.right,
        }
        self._contents = Contents({"left": opened.sides.left, "right": opened.sides.right}, opened.state)
        self._undone = row.run
        self._begun = opened.state.begun_undos(row.run)
        self._run = header.run
        self._header = header
        self._outputs = outputs
        self._counts: Counter[str] = Counter()
        self._items: list[dict[str, object]] = []
        self._bytes = {"a": 0, "b": 0}
        self._interrupted = False
        self._took_away = False
        """Whether the item at hand has put something into the trash."""

    def run(self) -> SyncRun:
        header = self._header
        self._state.start_run(
            RunRow(self._run, header.left_url, header.right_url, header.left, header.right, time.time_ns(), "kept")
        )
        newest = next(self._journal(), None)
        if newest is None:
            self._state.drop_run(self._run)
            raise UsageError(f"the run {self._undone} changed nothing, or was undone already")
        if newest.action.startswith(_UNDO):
            self._state.drop_run(self._run)
            raise UsageError(
                f"the run {self._undone} was itself an undo", cure="trueup sync with --release does again what it undid"
            )
        for number, row in enumerate(self._in_turn()):
            if self._outputs.stopped():
                self._interrupted = True
                break
            self._undo_one(number, row)
        return SyncRun(
            run=self._run,
            job="undo",
            undoes=self._undone,
            status=settled_status(self._counts, interrupted=self._interrupted),
            left=header.left,
            right=header.right,
            mode=header.config.mode,
            counts=self._counts,
            bytes_right=self._bytes[self._state.right_side],
            bytes_left=self._bytes[self._state.left_side],
            differences=True,
            items=tuple(self._items[:ITEMS_SHOWN]),
            items_truncated=len(self._items) > ITEMS_SHOWN,
        )

    def _journal(self) -> Iterator[JournalRow]:
        return self._state.journal(self._undone, newest_first=True, states=_SETTLED)

    def _in_turn(self) -> Iterator[JournalRow]:
        """The rows in the order in which they are undone, which is a pass over the journal for each turn."""
        for turn in _TURNS:
            yield from (row for row in self._journal() if _turn(row) == turn)

    def _undo_one(self, number: int, row: JournalRow) -> None:
        """Announce, put back, then let baseline, holds and journal say so in one transaction."""
        ours = row._replace(
            run=self._run,
            seq=number,
            action=_UNDO + row.action,
            reason=self._undone,
            state="intent",
            source="",
            trashed=1,
        )
        with self._state.transaction():
            self._state.write_journal([ours])
        error = ""
        action, size = "", 0
        self._took_away = False
        try:
            action, size = self._put_back(row)
            outcome = "done" if action else "skipped"
        except (PreconditionFailed, NotFound) as problem:
            outcome, error = "drifted", f"it is not as the run left it any more: {problem}"
        except StoreError as problem:
            outcome, error = "failed", str(problem)
        with self._state.transaction():
            trashed = int(self._took_away or outcome == "failed")
            self._state.write_journal([ours._replace(state=outcome, error=error, trashed=trashed)])
            if outcome == "done":
                self._restore_baseline(row)
            if outcome in {"done", "skipped"}:
                self._state.write_journal([row._replace(state="undone")])
        if outcome == "skipped":
            return  # a killed run announced it and never began
        self._counts[action if outcome == "done" else outcome] += 1
        self._bytes[row.side] += size
        item: dict[str, object] = {
            "key": row.key,
            "action": action or row.action,
            "reason": "undo",
            "bytes": size,
            "outcome": outcome,
            "error": error or None,
        }
        if len(self._items) <= ITEMS_SHOWN:  # one more tells that there are more
            self._items.append(item)
        self._outputs.listener(
            events.ItemFinished(
                run=self._run,
                key=row.key,
                action=action or row.action,
                reason="undo",
                bytes=size,
                outcome=outcome,
                error=error or None,
            )
        )

    def _put_back(self, row: JournalRow) -> tuple[str, int]:
        """Reverse one effect. Returns the name of the action done, empty when there was nothing to reverse, and
        the bytes that came back.

        What was killed, the run or an earlier undo, may have left its effect undone, or done but for the removal of
        the old name.
        """
        store = self._stores[row.side]
        side = "left" if row.side == self._state.left_side else "right"
        name, certain = keys.display(row.target), row.state == "done"
        begun = (row.side, row.target) in self._begun
        doubtful = begun or not certain
        present = found_at(store, row.target)
        if row.action.startswith("move"):
            origin = found_at(store, row.source)
            if present is None and origin is not None and doubtful:
                return (f"move_{side}" if begun else ""), 0
            present = self._as_left(row, present)
            self._bring(store, present, row.source, origin if doubtful else None)
            return f"move_{side}", 0
        kept = found_at(store, trash.trash_key(self._undone, row.target)) if row.trashed else None
        if row.trashed and kept is None:
            if begun and present is not None:
                return f"copy_{side}", present.size
            if certain:
                raise NotFound(f"the earlier version of {name} is not in the trash any more")
            return "", 0
        if kept is not None:
            if row.action.startswith("delete"):
                twin = present if doubtful else None
            elif present is not None and doubtful and self._same(store, kept, present):
                twin = present
            else:
                twin = None
                if present is not None:
                    self._take_away(store, self._as_left(row, present))
            self._bring(store, kept, row.target, twin)
            return f"copy_{side}", kept.size
        if present is None and doubtful:
            return (f"delete_{side}" if begun else ""), 0
        self._take_away(store, self._as_left(row, present))
        return f"delete_{side}", 0

    def _take_away(self, store: Store, entry: Entry) -> None:
        trash.take_away(store, self._run, entry)
        self._took_away = True

    def _as_left(self, row: JournalRow, present: Entry | None) -> Entry:
        """The target, if it still is what the run wrote. A fingerprint may have moved since (a link, a touch, an undo
        of a later run): then the content decides."""
        name = keys.display(row.target)
        if present is None:
            raise NotFound(f"{name} is not there")
        if present.size == row.wrote_size:
            if row.wrote_print and present.fingerprint == row.wrote_print:
                return present
            if self._md5(row.side, present) == (row.wrote_md5 or self._source_md5(row)):
                return present
        raise PreconditionFailed(f"{name} changed since")

    def _source_md5(self, row: JournalRow) -> str:
        """What a killed run was writing, as far as the other side still shows it."""
        other = "b" if row.side == "a" else "a"
        source = found_spelled(self._stores[other], row.target)
        return self._md5(other, source) if source is not None else ""

    def _bring(self, store: Store, entry: Entry, target: str, twin: Entry | None) -> None:
        """Move an entry back to where it was. If the very same lies there already, only the entry goes."""
        if twin is not None and self._same(store, entry, twin):
            store.delete(entry.key, if_match=entry)
        else:
            store.move(entry.key, target, if_match=entry)

    def _same(self, store: Store, one: Entry, other: Entry) -> bool:
        side = "a" if self._stores["a"] is store else "b"
        return one.size == other.size and self._md5(side, one) == self._md5(side, other)

    def _md5(self, side: str, entry: Entry) -> str:
        return self._contents.md5("left" if side == self._state.left_side else "right", entry, trust_etag=False)

    def _restore_baseline(self, row: JournalRow) -> None:
        """The rows that were replaced come back, and the keys are held as both sides show them now, each in its own
        spelling: it may be another one than on the other side, or than the one agreed on."""
        before = [Agreed(*values) for values in json.loads(row.before)]
        spelled = {agreed.key: agreed for agreed in before}
        self._state.forget([row.key])
        self._state.agree(before)
        held = []
        for key in {row.key, *spelled}:
            known = {row.target if key == row.key else row.source}
            if key in spelled:
                known |= {spelled[key].left_key, spelled[key].right_key}
            found = [
                found_spelled(self._stores[side], *known) for side in (self._state.left_side, self._state.right_side)
            ]
            prints = [entry.fingerprint if entry else "" for entry in found]
            held.append((key, prints[0], prints[1], self._undone))
        self._state.hold(held)


def _turn(row: JournalRow) -> int:
    """What a run wrote is taken away before what it moved goes back, and that before what it deleted returns: a name
    may have been a file and a folder in turn."""
    return 2 if row.action.startswith("delete") else 1 if row.action.startswith("move") else 0
