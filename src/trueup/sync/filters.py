"""Which keys are in scope: gitignore patterns, a function of the key alone, applied to both sides and the baseline."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Final, cast

from trueup import keys
from trueup.errors import Hidden, UsageError
from trueup.stores.base import Entry, Store
from trueup.sync.pair import Agreed

_SETS: Final = re.compile(r"\\.|\[([!^]?\]?[^]]*)\]", re.DOTALL)
"""The inside of each `[…]` of a pattern; what is escaped is skipped."""
_UNSURE: Final = re.compile(r"\[[:.=]|^[!^]?\[|--|&&|~~|\|\|")


class Scope:
    """In scope: no include pattern is given or one matches, and no exclude pattern matches.

    What lies below `.trueup`, or is a `.trueup-…` temporary, never is.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = _matcher(include, "--include")
        self._exclude = _matcher(exclude, "--exclude")
        self.everything = self._include is None and self._exclude is None
        """Whether no pattern narrows the scope."""

    def __contains__(self, key: str) -> bool:
        return not self.reason_outside(key)

    def reason_outside(self, key: str) -> str:
        """Why a key is out of scope; empty when it is in scope."""
        if keys.is_reserved(key):
            return "it belongs to trueup itself"
        if self._include is not None and not self._include(key):
            return "no --include pattern matches it"
        if self._exclude is not None and self._exclude(key):
            return "an --exclude pattern matches it"
        return ""

    def entries(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The entries in scope; a listing leaves trueup's own out already. What cannot be seen stays, because it may
        hide what is in scope: see `concerns`."""
        if self.everything:
            return entries
        return (entry for entry in entries if entry.fault or self._narrowed(keys.normal(entry.key)))

    def concerns(self, fault: Entry) -> bool:
        """Whether people want to hear of an entry that cannot be seen: it is in scope itself, or an unreadable folder
        in which something may be."""
        if self.everything:
            return True
        names = (keys.normal(fault.key), keys.normal(fault.key) + "/")
        if self._exclude is not None and any(map(self._exclude, names)):
            return False
        return self._include is None or fault.fault == "unreadable" or any(map(self._include, names))

    def agreed(self, rows: Iterator[Agreed]) -> Iterator[Agreed]:
        """The baseline rows in scope."""
        return rows if self.everything else (row for row in rows if self._narrowed(row.key))

    def _narrowed(self, key: str) -> bool:
        if self._include is not None and not self._include(key):
            return False
        return self._exclude is None or not self._exclude(key)


def without(store: Store, folder: str) -> Store:
    """The store as if nothing were at the key `folder` or below it. Used on both sides of a run, so that neither takes
    for new or deleted what the other has there."""
    return cast("Store", _Without(store, folder))


class _Without:
    """Everything else is the store's own, whatever methods it has."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = keys.normal(folder)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def _covers(self, key: str) -> bool:
        return f"{keys.normal(key)}/".startswith(f"{self._folder}/")

    def list(self, start: str = "", *, ordered: bool = True) -> Generator[Entry, None, None]:
        with closing(self._store.list(start, ordered=ordered)) as entries:
            for entry in entries:
                if not self._covers(entry.key):
                    yield entry

    def stat(self, key: str) -> Entry:
        if self._covers(key):  # never "not found": an absence would be a reason to delete it on the other side
            raise Hidden(f"'{keys.display(key)}' belongs to trueup's own state")
        return self._store.stat(key)


def _matcher(patterns: Sequence[str], option: str) -> Callable[[str], bool] | None:
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    for pattern in patterns:
        for found in _SETS.finditer(pattern):
            if found[1] and (mark := _UNSURE.search(found[1])):
                # Git reads it otherwise than the regular expression made of the pattern, or a later Python will.
                raise UsageError(
                    f"{option} {pattern!r}: '{mark[0].lstrip('!^')}' inside […] has no sure meaning",
                    cure="Write a class as a range such as [a-z], a '[' last, and no mark twice",
                )
        try:
            GitIgnoreSpec.from_lines([keys.normal(pattern)])
        except (ValueError, re.error) as error:
            reason = error.msg.partition(" at position")[0] if isinstance(error, re.error) else error
            raise UsageError(f"{option} {pattern!r}: {reason}", cure="Patterns are written as in .gitignore") from error
    return GitIgnoreSpec.from_lines(map(keys.normal, patterns)).match_file
