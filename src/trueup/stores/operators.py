"""Building OpenDAL operators, in the one way that is safe.

An operator starts threads of its own. In a child made by `fork` they do not exist, and even a *new* operator hangs
there for ever; so a process that has built one marks its forked children, and they raise instead. This module imports
OpenDAL only when an operator is built: importing it is safe before a fork, building is not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opendal import Operator

_built = False
_forked = False


class ForkedProcess(RuntimeError):
    """A programming error: a cloud store is used in a process forked from one that used a cloud store."""


def _mark() -> None:
    global _forked  # noqa: PLW0603 - a process is forked once and for all
    _forked = _built


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark)


def check_not_forked() -> None:
    """Raise `ForkedProcess` where an operator would hang."""
    if _forked:
        raise ForkedProcess(
            "this process was forked from one that already used a cloud store, and would hang; start workers with "
            "'spawn', use threads, or open cloud stores only in the children"
        )


def build(service: str, options: Mapping[str, str], *, timeout: float, retries: int) -> Operator:
    """A blocking operator with a timeout for each request (seconds) and retries with back-off and jitter."""
    global _built  # noqa: PLW0603
    check_not_forked()
    import opendal
    from opendal.layers import RetryLayer, TimeoutLayer

    _built = True
    operator = opendal.Operator(service, **options).layer(TimeoutLayer(timeout=timeout, io_timeout=timeout))
    if retries:
        operator = operator.layer(RetryLayer(max_times=retries, factor=3.0, jitter=True, min_delay=0.1, max_delay=10.0))
    return operator
