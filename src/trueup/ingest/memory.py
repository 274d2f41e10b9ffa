"""What this process knows to be done: the fastest layer."""

from __future__ import annotations

from typing import Final

_MOST: Final = 100_000
"""Names; what comes after them is looked up each time."""


class Memory:
    """Size and looks of files that had their effect, by name. Bounded; used by one thread at a time."""

    def __init__(self) -> None:
        self.warm = False
        """Whether what lies in the local folder was told."""
        self._known: dict[str, tuple[int, str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def knows(self, name: str, size: int, looks: str) -> bool:
        """Whether a file is done, and still looks the same."""
        return self._known.get(name) == (size, looks)

    def keep(self, name: str, size: int | None, looks: str) -> None:
        """Remember one, while there is room. What cannot be compared again is not kept."""
        if size is not None and looks and (len(self._known) < _MOST or name in self._known):
            self._known[name] = (size, looks)

    def forget(self, name: str) -> None:
        """It is to be taken again, or its row changed."""
        self._known.pop(name, None)

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
