"""The `trueup` command. This module stays small: `trueup --version` must not wait for the rest."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trueup import __version__

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        sys.stdout.write(f"trueup {__version__}\n")
        return 0
    from trueup.cli.app import run

    return run(given)
