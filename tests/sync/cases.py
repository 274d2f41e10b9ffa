"""A pair of trees in which every cell of the decision table occurs, with moves, clashes and odd sizes."""

from __future__ import annotations

from tests.sync.world import OLD, World

AGREED = {
    "same": "s",
    "left-changed": "old",
    "right-changed": "old",
    "both-changed-equal": "old",
    "both-changed": "old",
    "left-deleted": "to delete on the right",
    "right-deleted": "to delete on the left",
    "both-deleted": "gone",
    "changed-deleted": "old",
    "deleted-changed": "old",
    "left-moves": "moved by the left",
    "deep/er/right-moves": "moved by the right",
    "file-to-folder": "a file",
    "folder-to-file/a": "a",
    "folder-to-file/b/c": "c",
    "emptied": "something",
    "touched": "same bytes",
    **{f"rest/{number}": f"rest {number}" for number in range(6)},
}


def disagree(world: World) -> None:
    """From an agreed pair to one in every state of the table."""
    put, remove = world.put, world.remove
    put("left", "left-new", "new on the left")
    put("left", "left-new-empty", "")
    put("right", "new/folder/right-new", "new on the right")
    for side in ("left", "right"):
        put(side, "both-new-equal", "equal")
        put(side, "both-changed-equal", "equal again")
        remove(side, "both-deleted")
    put("left", "both-new.txt", "left's", mtime_ns=(OLD + 500) * 10**9)
    put("right", "both-new.txt", "right's!", mtime_ns=(OLD + 900) * 10**9)
    put("left", "both-changed", "left's edit", mtime_ns=(OLD + 900) * 10**9)
    put("right", "both-changed", "right's", mtime_ns=(OLD + 500) * 10**9)
    put("left", "left-changed", "new")
    put("right", "right-changed", "newer and longer" * 100)
    remove("left", "left-deleted")
    remove("right", "right-deleted")
    put("left", "changed-deleted", "edited")
    remove("right", "changed-deleted")
    remove("left", "deleted-changed")
    put("right", "deleted-changed", "edited")
    for side, old, new in (
        ("left", "left-moves", "moved/by/left"),
        ("right", "deep/er/right-moves", "moved-by-right"),
    ):
        world[side].joinpath(new).parent.mkdir(parents=True, exist_ok=True)
        world[side].joinpath(old).rename(world[side] / new)
    remove("right", "deep")
    remove("left", "file-to-folder")
    put("left", "file-to-folder/inside", "was a file")
    remove("right", "folder-to-file")
    put("right", "folder-to-file", "was a folder")
    put("left", "emptied", "")
    put("left", "touched", "same bytes")


def prepared(world: World) -> World:
    world.both(AGREED)
    disagree(world)
    return world
