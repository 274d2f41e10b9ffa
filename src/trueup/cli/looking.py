"""One thing that doctor looks at, and several at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from trueup.cli.ui import described

PATIENCE: Final = 20.0
"""Seconds after which nobody is waited for any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at. `status`: ok, warn or fail."""

    name: str
    status: str
    detail: str
    cure: str = ""

    def to_json(self) -> dict[str, object]:
        """As `doctor --json` shows it."""
        return asdict(self)


def failed(name: str, error: BaseException) -> Check:
    """A look that ended with an error."""
    failure = described(error)
    return Check(name=name, status="fail", detail=failure.message, cure=failure.cure)


def together(looks: Mapping[str, Callable[[], Iterable[Check]]]) -> Iterator[Check]:
    """Ask all of them at once, and tell in their order. One that breaks, or does not end in time, failed; the thread of
    that one is left behind, and dies with the process."""
    found: dict[str, list[Check]] = {name: [] for name in looks}

    def look(name: str) -> None:
        try:
            for check in looks[name]():
                found[name].append(check)
        except Exception as error:  # noqa: BLE001 - a check that breaks is a failed check, and the others go on
            found[name].append(failed(name, error))

    threads = {name: threading.Thread(target=look, args=(name,), name=name, daemon=True) for name in looks}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + PATIENCE
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        late = thread.is_alive()
        yield from list(found[name])
        if late:
            cure = "Check that the machine it is on can be reached from here"
            yield Check(name=name, status="fail", detail=f"no answer within {PATIENCE:.0f} seconds", cure=cure)
