"""Which keys are in scope: gitignore patterns, a function of the key alone, so that all sides of a job agree on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from trueup import keys
from trueup.errors import UsageError

if TYPE_CHECKING:
    from trueup.stores.base import Entry

_SETS: Final = re.compile(r"\\.|\[([!^]?\]?[^]]*)\]", re.DOTALL)
"""The inside of each `[…]` of a pattern; what is escaped is skipped."""
_UNSURE: Final = re.compile(r"\[[:.=]|^[!^]?\[|--|&&|~~|\|\|")


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


_Row = TypeVar("_Row", bound=_Keyed)


class Scope:
    """In scope: no include pattern is given or one matches, and no exclude pattern matches.

    What lies below `.trueup`, or is a `.trueup-…` temporary, never is. `where` is what an error calls the patterns,
    with a place for the words `include` and `exclude`.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = (), *, where: str = "--{}") -> None:
        self._where = where
        self._include = _matcher(include, where.format("include"))
        self._exclude = _matcher(exclude, where.format("exclude"))
        self.everything = self._include is None and self._exclude is None
        """Whether no pattern narrows the scope."""

    def __contains__(self, key: str) -> bool:
        return not self.reason_outside(key)

    def reason_outside(self, key: str) -> str:
        """Why a key is out of scope; empty when it is in scope."""
        if keys.is_reserved(key):
            return "it belongs to trueup itself"
        if self._include is not None and not self._include(key):
            return f"no {self._where.format('include')} pattern matches it"
        if self._exclude is not None and self._exclude(key):
            return f"an {self._where.format('exclude')} pattern matches it"
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

    def rows(self, rows: Iterator[_Row]) -> Iterator[_Row]:
        """Those rows whose key, in its normal form, is in scope."""
        return rows if self.everything else (row for row in rows if self._narrowed(row.key))

    def _narrowed(self, key: str) -> bool:
        if self._include is not None and not self._include(key):
            return False
        return self._exclude is None or not self._exclude(key)


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
