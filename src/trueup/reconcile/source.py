"""Where the rows of an application's own books come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from trueup.config import StoreConfig

Row = Mapping[str, Any]
"""`key` (text) and, where the books say so, `provider`, `size` (bytes), `md5` (hex or Base64) and `created_at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An application's own books, as `reconcile` reads them. They are never written."""

    name: str
    """What the history of runs calls them."""
    where: str
    """What an error calls them."""
    identity: str = field(repr=False)
    """Tells these books from all others on this machine; it is kept as a digest only."""
    read: Callable[[], Iterable[Row]]
    """Every row, in any order."""
    again: Callable[[str, Sequence[str]], Iterable[Row]]
    """The rows of a provider that have one of these keys, as they are now; rows of others may be among them."""
    place: Callable[[str], StoreConfig]
    """What a provider is. Raises `TrueupError` for one of which nothing can be said. Asked once all rows are read."""
    clock: Callable[[], datetime | None] = lambda: None
    """What the clock says that may have dated the rows; None where nobody can tell."""
    provider: str = ""
    """Where all of it lies, when the rows do not say."""
    providers: tuple[str, ...] = ()
    """Those that are looked at though no row may name them."""
