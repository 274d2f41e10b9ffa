"""What a run of sync writes besides its result, and who listens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO

from trueup import events
from trueup.errors import TrueupError
from trueup.sync.plan import Plan
from trueup.sync.report import item_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a run writes besides its result, and who listens."""

    listener: events.Listener = events.ignore
    stopped: Callable[[], bool] = lambda: False
    plan_out: TextIO | None = None
    items_out: TextIO | None = None
    """Files to write; one that cannot be written to its end is closed."""
    item_line: Callable[[Mapping[str, object]], str] = json.dumps
    """How a row of `items_out` is written."""

    def warn(self, run: str, message: str) -> None:
        """Tell the listener of something that does not stop the run."""
        self.listener(events.Warned(run=run, message=message))

    def save_plan(self, planned: Plan) -> None:
        """Write the plan to its end, before anything is done by it. Raises `TrueupError`."""
        if self.plan_out is not None:
            with _written(self.plan_out, "the plan", "; nothing was done"):
                planned.save(self.plan_out)

    def save_items(self, planned: Plan) -> None:
        """Write the items to their end. Raises `TrueupError`."""
        if self.items_out is not None:
            with _written(self.items_out, "the items"):
                self.items_out.writelines(self.item_line(row) + "\n" for row in item_rows(planned))


@contextmanager
def _written(file: TextIO, what: str, then: str = "") -> Iterator[None]:
    try:
        yield
        file.flush()
    except OSError as error:
        with suppress(OSError):  # it would try once more to write what it still holds
            file.close()
        where = getattr(file, "name", "the file")
        raise TrueupError(
            f"{what} cannot be written to {where}: {error.strerror or error}{then}",
            cure="Make room for it, or name another file",
        ) from error
