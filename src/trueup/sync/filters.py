"""Which keys are in scope: gitignore patterns, a function of the key alone, applied to both sides and the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from trueup import keys
from trueup.errors import UsageError
from trueup.stores.base import Entry
from trueup.sync.pair import Agreed


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


def _matcher(patterns: Sequence[str], option: str) -> Callable[[str], bool] | None:
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(map(keys.normal, patterns)).match_file
    except ValueError as error:
        raise UsageError(f"{option}: {error}", cure="Patterns are written as in .gitignore") from error
