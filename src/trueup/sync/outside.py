"""What is out of scope and in the way all the same: a folder that holds some of it makes no room for a file."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from trueup import keys
from trueup.errors import StoreError
from trueup.filters import Scope
from trueup.stores.base import Store
from trueup.sync.clashes import Clashes
from trueup.sync.part import Part, Unclear
from trueup.sync.sides import Sides


def keep_folders(clashes: Clashes, sides: Sides, scope: Scope) -> None:
    """Before anything is deleted for a file that is to take the name of its folder, look whether it could. Asks only
    where there are such folders, and patterns."""
    for side, folders in clashes.vacated.items():
        if folders and not scope.everything:
            try:
                held = held_open(sides[side], folders, scope)
            except Unclear:  # nobody knows what they hold
                held = set(folders)
            clashes.keep(side, held)


def held_open(store: Store, folders: Collection[str], scope: Scope) -> set[str]:
    """Those folders (normal forms) that hold something out of scope. Raises `Unclear` when something above them cannot
    be seen."""
    found: set[str] = set()
    for entry in Part(folders).entries(store):
        key = keys.normal(entry.key)
        if key not in scope:
            found.update(above for above in keys.parents(key) if above in folders)
    return found


def in_the_way(store: Store, key: str, scope: Scope) -> str:
    """Why a file could not be written, if that is a folder of its name that holds something out of scope: the plan saw
    nothing there. Looks only where that takes no listing of everything."""
    with suppress(StoreError, Unclear):
        if not scope.everything and store.features.tree and store.features.start and held_open(store, {key}, scope):
            return f"the folder {keys.display(key)} holds what is out of scope; move it away or rename the file"
    return ""
