"""What a person should look at, and what keeps a project from being synced (no I/O)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from trueup.records.merge import Value

UNAVAILABLE: Final = "sheets_unavailable"
BAD_ANSWER: Final = "sheets_bad_answer"
FORBIDDEN: Final = "sheets_forbidden"
NOT_FOUND: Final = "sheets_not_found"
CREDENTIALS: Final = "sheets_credentials"
MISSING_TAB: Final = "missing_tab"
MISSING_KEY_COLUMN: Final = "missing_key_column"
DUPLICATE_HEADER: Final = "duplicate_header"
ROWS_VANISHED: Final = "rows_vanished"
PARSED_UNAVAILABLE: Final = "parsed_unavailable"
PROJECT_FAILED: Final = "project_failed"
_PASSES: Final = frozenset({UNAVAILABLE, BAD_ANSWER})
"""What may be gone at the next try: until then the sheet is done without."""

BAD_CELL: Final = "bad_cell"
MISSING_COLUMN: Final = "missing_column"
DUPLICATE_KEY: Final = "duplicate_key"
SUPPRESSED_DECREASE: Final = "suppressed_decrease"
SPIKE: Final = "spike"
FAILED_ROW: Final = "failed_row"
ROW_MOVED: Final = "row_moved"
FORMULA_KEPT: Final = "formula_kept"
CELL_EDITED: Final = "cell_edited"


class Trouble(Exception):
    """Why a project cannot be synced, or not with its sheet. It never leaves this package."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def passes(self) -> bool:
        """Whether the project is merged without its sheet meanwhile."""
        return self.code in _PASSES


class EmptyTab(Trouble):
    """There is not even a header."""

    def __init__(self) -> None:
        super().__init__(MISSING_KEY_COLUMN, "the sheet is empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One thing that a person should look at."""

    kind: str
    key: str | None = None
    field: str | None = None
    cell: str | None = None
    """Its name in the sheet, such as `B2`."""
    rows: tuple[int, ...] | None = None
    value: Value | None = None
    """What was set aside."""
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """What is known of it."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value not in {None, ""}
        }

    def said(self) -> str:
        """The same in one line."""
        about = [part for part in (self.cell, self.key, self.field) if part]
        about += [f"rows {', '.join(map(str, self.rows))}"] if self.rows else []
        about += [str(self.value)] if self.value is not None else []
        return " ".join([self.kind, *about]) + (f": {self.reason}" if self.reason else "")
