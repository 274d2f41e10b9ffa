"""A file where the other side has a folder: `x` against `x/…`.

Keys stream past in order, but `x` and `x/…` need not be neighbours (`x-1` lies between), so each key that may still
meet something below it is kept on a stack until the keys have passed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from trueup.sync.decide import Action, Decision
from trueup.sync.item import Phase
from trueup.sync.pair import Pair
from trueup.sync.plan import Plan

_Seen = tuple[str, tuple[bool, bool], tuple[bool, bool]]
"""A key, which sides hold it now, and which will after the run. A plain tuple: one is made for every pair."""

_BOTH: Final = (True, True)
_SIDES: Final = ("left", "right")


@dataclass(slots=True, kw_only=True)
class Clashes:
    """Watches decided pairs go by, then mends the plan. Holds one key for each level of nesting, and each clash."""

    left_is_tree: bool
    right_is_tree: bool
    blocked: set[str] = field(default_factory=set)
    """Files that would have to be a folder too after the run: nothing at or below them is touched."""
    freed: set[str] = field(default_factory=set)
    """Names where a delete makes room for a copy."""
    vacated: dict[str, set[str]] = field(default_factory=lambda: {"left": set(), "right": set()})
    """Those of them, by side, where it is a folder that makes room for a file."""
    _kept: dict[str, str] = field(default_factory=dict)
    """Blocked folders that hold what is out of scope, and their side."""
    _stack: list[_Seen] = field(default_factory=list)

    @property
    def possible(self) -> bool:
        """Whether there can be any: between two buckets nothing clashes."""
        return self.left_is_tree or self.right_is_tree

    def watch(self, pair: Pair, decision: Decision) -> None:
        """Note one pair and what was decided about it."""
        if not self.possible:
            return
        stack, key = self._stack, pair.key
        while stack and not key.startswith(stack[-1][0]):
            stack.pop()
        now = _BOTH if pair.left is not None and pair.right is not None else _here(pair)
        action = decision.action
        after = now if action is Action.UNCHANGED else _after(now, action)
        for above, above_now, above_after in stack:
            if key[len(above)] != "/":
                continue
            for side, is_tree in enumerate((self.left_is_tree, self.right_is_tree)):
                if not is_tree:
                    continue
                if above_after[side] and after[side]:
                    self.blocked.add(above)
                elif (above_now[side] and after[side]) or (above_after[side] and now[side]):
                    self.freed.add(above)
                    if above_after[side]:
                        self.vacated[_SIDES[side]].add(above)
        stack.append((key, now, after))

    def watch_untouched(self, keys: Sequence[str]) -> bool:
        """Note pairs that follow each other, which both sides hold and will hold. False, and nothing is noted, where
        they may lie below an earlier one."""
        if not self.possible:
            return True
        stack, first, last = self._stack, keys[0], keys[-1]
        while stack and not first.startswith(stack[-1][0]):
            stack.pop()
        if stack:
            return False
        # A tree that holds all of them has none below another. Of what comes, only what begins like the last can be.
        stack += [(key, _BOTH, _BOTH) for key in keys if last.startswith(key)]
        return True

    def keep(self, side: str, folders: set[str]) -> None:
        """Have folders of a side stay, because they hold what is out of scope."""
        self.blocked |= folders
        self._kept |= dict.fromkeys(folders, side)

    def mend(self, plan: Plan) -> None:
        """Turn each blocked folder into one conflict, and bring deletes that free a path forward."""
        plan.flush()
        for key in sorted(self.blocked):
            if any(key.startswith(f"{above}/") for above in self.blocked):
                continue  # one conflict over the whole folder
            below = (key, f"{key}/", f"{key}0")  # "0" is the character after "/"
            plan.db.execute(
                "delete from items where phase in (1, 2, 3) and not begun and (key = ? or (key >= ? and key < ?))",
                below,
            )
            plan.add(
                key,
                Action.CONFLICT,
                "file-and-folder",
                error=self._why(key),
            )
        for key in self.freed - self.blocked:
            plan.db.execute(
                "update items set phase = ? where phase = ? and (key = ? or (key >= ? and key < ?))",
                (Phase.FREE, Phase.DELETE, key, f"{key}/", f"{key}0"),
            )
        plan.flush()

    def _why(self, key: str) -> str:
        if (side := self._kept.get(key)) is not None:
            return f"a file has the name of a folder on the {side} that holds what is out of scope; move one of them"
        return "a file on one side has the name of a folder on the other; rename one of them"

    def touches(self, key: str) -> bool:
        """Whether a key lies at or below a clash."""
        if not (self.blocked or self.freed):
            return False
        return any(key == clash or key.startswith(clash + "/") for clash in self.blocked | self.freed)


def _here(pair: Pair) -> tuple[bool, bool]:
    return pair.left is not None, pair.right is not None


def _after(now: tuple[bool, bool], action: Action) -> tuple[bool, bool]:
    match action:
        case Action.COPY_RIGHT | Action.COPY_LEFT:
            return True, True
        case Action.DELETE_LEFT:
            return False, now[1]
        case Action.DELETE_RIGHT:
            return now[0], False
    return now
