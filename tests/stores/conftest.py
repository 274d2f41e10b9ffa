from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def unprivileged() -> Callable[[Path], AbstractContextManager[None]]:
    """`with unprivileged(folder):` works as a user whom permissions stop, even where the tests run as root. Nothing
    in the folder changes its owner."""

    @contextmanager
    def dropped(folder: Path) -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        # Root's temporary folders are closed to others: open the way to this one.
        way = [folder, *folder.parents]
        closed = {path: path.stat().st_mode for path in way if not path.stat().st_mode & 0o001}
        assert all(path.is_relative_to(tempfile.gettempdir()) for path in closed)
        for path, mode in closed.items():
            path.chmod(mode | 0o055)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
            for path, mode in closed.items():
                path.chmod(mode)

    return dropped
