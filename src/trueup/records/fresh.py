"""What parsers say of the accounts of a project (no I/O)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trueup.records.cells import Absent, text, whole_number
from trueup.records.config import Field
from trueup.records.issues import BAD_CELL, Issue
from trueup.records.locales import PLAIN
from trueup.records.merge import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """Fresh numbers, and what is wrong with some of them."""

    values: dict[str, Mapping[str, Value]] = field(default_factory=dict)
    """By key and field."""
    failed: dict[str, str] = field(default_factory=dict)
    """By key, why nothing is known of an account."""
    issues: list[Issue] = field(default_factory=list)

    def take(self, key: str, said: Mapping[str, object], fields: Mapping[str, Field]) -> None:
        """What a program says of an account, by field. Its numbers are plain: no locale, no groups."""
        values = {}
        for name, column in fields.items():
            cell = said.get(name)
            value = text(cell) if column.text else whole_number(cell, PLAIN)
            if not isinstance(value, Absent):
                values[name] = value
            elif value.reason:
                self.issues.append(Issue(kind=BAD_CELL, key=key, field=name, reason=value.reason))
        self.values[key] = values
