"""What a sync must do, written from the design with dictionaries: no stores, no plan, no order of effects.

A tree is a dictionary from key to bytes. The model knows both trees and the contents last agreed on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.sync.world import World

Tree = dict[str, bytes]


@dataclass
class Model:
    left: Tree = field(default_factory=dict)
    right: Tree = field(default_factory=dict)
    base: Tree = field(default_factory=dict)
    """What both sides held when they last agreed."""

    def synced(self, *, mode: str = "two-way", delete: bool = False, prefer: str = "right") -> tuple[Model, set[str]]:
        """The state after a run, and the keys that stay in conflict."""
        wanted = {
            key: self._wanted(key, mode=mode, delete=delete, prefer=prefer)
            for key in {*self.left, *self.right, *self.base}
        }
        blocked = {
            above
            for above in wanted
            for below in wanted
            if below.startswith(above + "/")
            for side in (0, 1)
            if wanted[above][side] is not None and wanted[below][side] is not None
        }
        result, conflicts = Model(dict(self.left), dict(self.right), dict(self.base)), set(blocked)
        for key, (left, right, unresolved) in wanted.items():
            now = (self.left.get(key), self.right.get(key))
            if (left, right) != now and any(key == name or key.startswith(name + "/") for name in blocked):
                continue
            if unresolved:
                conflicts.add(key)
                continue
            for tree, content in ((result.left, left), (result.right, right)):
                tree.pop(key, None)
                if content is not None:
                    tree[key] = content
            if left == right:
                result.base.pop(key, None)
                if left is not None:
                    result.base[key] = left
        return result, conflicts

    def _wanted(self, key: str, *, mode: str, delete: bool, prefer: str) -> tuple[bytes | None, bytes | None, bool]:
        left, right, base = self.left.get(key), self.right.get(key), self.base.get(key)
        if left == right:
            return left, right, False
        if mode != "two-way":
            source = left if mode == "push" else right
            if source is not None or delete:
                return source, source, False
            return left, right, False
        if left is None or right is None:
            there = left if right is None else right
            deleted = base is not None and there == base
            kept = None if deleted and delete else there
            return kept, kept, False
        if left == base:
            return right, right, False
        if right == base:
            return left, left, False
        if prefer == "none" or (prefer == "larger" and len(left) == len(right)):
            return left, right, True
        winner = left if prefer == "left" or (prefer == "larger" and len(left) > len(right)) else right
        return winner, winner, False


KEYS = ["a", "b", "c", "a/x", "a/y", "a-", "a/x/y", "b/x/y", "d/e", "é", "é/x"]
CONTENTS = [b"", b"1", b"2", b"33", b"44", b"5" * 3000]


@dataclass(frozen=True)
class Edit:
    """One thing a user does on one side. `new`: the file's time is this moment's."""

    kind: str
    side: str
    key: str
    other: str
    content: bytes
    new: bool

    def act(self, world: World) -> None:
        tree = world.tree(self.side)
        match self.kind:
            case "write":
                make_room(world, self.side, self.key)
                world.put(self.side, self.key, self.content, new=self.new)
            case "delete":
                for key in tree:
                    if key == self.key or key.startswith(self.key + "/"):
                        world.remove(self.side, key)
            case "rename" if self.key in tree and self.key != self.other:
                content = tree[self.key]
                stamp = (world[self.side] / self.key).stat().st_mtime_ns
                world.remove(self.side, self.key)
                make_room(world, self.side, self.other)
                world.put(self.side, self.other, content, mtime_ns=stamp)
            case "touch" if self.key in tree:
                world.put(self.side, self.key, tree[self.key], new=self.new)
            case "chmod" if self.key in tree:
                (world[self.side] / self.key).chmod(0o600)
            case "both":
                for side in ("left", "right"):
                    make_room(world, side, self.key)
                    world.put(side, self.key, self.content, new=self.new)


def make_room(world: World, side: str, key: str) -> None:
    """A file that becomes a folder, or the other way round."""
    for other in world.tree(side):
        if other.startswith(key + "/") or key.startswith(other + "/"):
            world.remove(side, other)


edits = st.lists(
    st.builds(
        Edit,
        kind=st.sampled_from(
            ["write", "write", "write", "delete", "delete", "rename", "rename", "touch", "chmod", "both"]
        ),
        side=st.sampled_from(["left", "right"]),
        key=st.sampled_from(KEYS),
        other=st.sampled_from(KEYS),
        content=st.sampled_from(CONTENTS),
        new=st.booleans(),
    ),
    max_size=6,
)
choices = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["two-way", "two-way", "two-way", "push", "pull"]),
        "delete": st.booleans(),
        "prefer": st.sampled_from(["right", "left", "larger", "none"]),
    }
)
