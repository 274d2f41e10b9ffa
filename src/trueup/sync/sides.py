"""The two places of a run, opened, and how much of them it looks at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trueup.stores.base import Store
from trueup.sync.part import Part

if TYPE_CHECKING:
    from trueup.stores.inventory import Inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The two places of a run, opened."""

    left: Store
    right: Store
    reports: Mapping[str, Inventory] = field(default_factory=dict)
    """The sides (`left`, `right`) whose listing comes out of an inventory report, and which one."""

    def __getitem__(self, side: str) -> Store:
        return self.left if side == "left" else self.right


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a run looks at."""

    part: Part = field(default_factory=Part)
    """Nothing is concluded of what lies outside."""
    settle_ns: int = 0
    """A file that was modified this shortly ago is left for a later run: somebody is writing it."""
    settling: Collection[str] = ()
    """The sides (`left`, `right`) where this counts: those whose files are dated by this machine's clock."""
