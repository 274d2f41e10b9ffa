"""The standard streams, where they are closed or cannot take what is written: the work is done all the same, and the
exit code tells that its result went nowhere."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_failed: list[OSError] = []
"""Why results could not be written."""


def open_closed() -> None:
    """Put something where a stream is closed (`>&-`). Else the first file that is opened, perhaps a database, would
    take its number, and get what libraries write to it."""
    # To write to what is open for reading fails, and the other way round, as on a closed stream. Stderr has nobody to
    # tell it to.
    for name, flags, mode in (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, flags)
            os.set_inheritable(handle, True)
            setattr(sys, name, os.fdopen(handle, mode, encoding="utf-8"))


def hang_up(stream: TextIO, error: OSError) -> None:
    """Go on in silence, because the work counts: what follows goes nowhere. That nobody reads any more (`trueup … |
    head`) is no failure."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if stream is sys.stdout and not isinstance(error, BrokenPipeError):
        _failed.append(error)


def say(line: str) -> None:
    """A line on stderr, as far as there is one."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError as error:
        hang_up(sys.stderr, error)


def ended(command: Callable[[], int]) -> int:
    """The exit code of a command: not 0 where its result could not be written."""
    code = 0
    try:
        code = command()
        sys.stdout.flush()
    except OSError as error:  # of a version or a help page: what a command does lets none pass
        hang_up(sys.stdout, error)
    if not _failed:
        return code
    say(f"error: the result cannot be written to standard output: {_failed[0].strerror}. What was done is done")
    _failed.clear()
    return code or 1
