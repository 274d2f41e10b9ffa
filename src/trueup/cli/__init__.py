"""The `trueup` command. This module stays small: `trueup --version` must not wait for the rest."""

from __future__ import annotations

import gc
import os
import sys

from trueup import __version__
from trueup.cli import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    streams.open_closed()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        return streams.ended(_version)
    # A command makes much that it keeps and few cycles: to look for those after every 700 objects takes a tenth of its
    # time, and more where thousands of rows are merged.
    gc.set_threshold(10_000, 10, 10)
    try:
        run = _run()
        return streams.ended(lambda: run(given))
    except KeyboardInterrupt:
        return 130


def _version() -> int:
    sys.stdout.write(f"trueup {__version__}\n")
    return 0


def _run() -> Callable[[Sequence[str]], int]:
    """The commands, imported. Ctrl-C ends the process at once meanwhile: nothing is begun yet, and the exception it
    otherwise becomes turns into tracebacks and other errors in the middle of an import."""
    import signal
    import threading

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ours = usual and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        from trueup.cli.app import run
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    return run
