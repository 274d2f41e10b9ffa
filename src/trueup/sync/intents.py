"""The rows of the journal: what an item is about to do, and all that undo will need to know of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from trueup import keys
from trueup.sync.decide import Action
from trueup.sync.effects import Done, target_key, target_side
from trueup.sync.header import Header
from trueup.sync.item import Item
from trueup.sync.state import JournalRow, PairState


class Intents:
    """Of one run."""

    def __init__(self, header: Header, state: PairState) -> None:
        self._run = header.run
        self._trash = header.config.trash
        self._state = state

    def of(self, item: Item) -> JournalRow:
        """The row that announces an item, before its effect."""
        side = target_side(item)
        replaced = item.right if side == "right" else item.left
        moving = item.action in {Action.MOVE_LEFT, Action.MOVE_RIGHT}
        return JournalRow(
            run=self._run,
            seq=item.seq,
            key=item.key,
            action=item.action,
            reason=item.reason,
            state="intent",
            side=self._state.left_side if side == "left" else self._state.right_side,
            target=target_key(item),
            source=item.source_key,
            trashed=int(self._trash and replaced is not None and not moving),
            wrote_print="",
            wrote_size=self._will_write(item),
            wrote_md5=item.md5,
            bytes=item.bytes,
            error="",
            before=self._before(item),
        )

    def losers(self, result: Done) -> Iterator[JournalRow]:
        """Rows for the copies of a conflict's loser, so that undo takes them away; they have sequences of their own
        below zero."""
        intent = self.of(result.item)
        for number, (side, entry) in enumerate(result.beside):
            yield intent._replace(
                seq=-(2 * intent.seq + number),
                key=keys.normal(entry.key),
                action=Action.COPY_RIGHT if side == "right" else Action.COPY_LEFT,
                reason="kept",
                state="done",
                side=self._state.left_side if side == "left" else self._state.right_side,
                target=entry.key,
                trashed=0,
                wrote_print=entry.fingerprint,
                wrote_size=entry.size,
                wrote_md5=entry.md5,
                bytes=entry.size,
                error="",
                before="[]",
            )

    @staticmethod
    def _will_write(item: Item) -> int:
        source = item.left if target_side(item) == "right" else item.right
        return source.size if source is not None else 0

    def _before(self, item: Item) -> str:
        """The baseline rows this item will replace, for undo."""
        if item.action in {Action.COPY_LEFT, Action.COPY_RIGHT} and item.reason == "new":
            return "[]"
        rows = [row for key in filter(None, (item.key, item.source)) if (row := self._state.agreed(key)) is not None]
        return json.dumps(rows)
