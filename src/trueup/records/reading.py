"""The read model kept open, for whoever reads it often."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from trueup.config import Settings
from trueup.records.config import records_config
from trueup.records.readmodel import Listing, ReadModel

T = TypeVar("T")

_NONE: Final = ()


class Reader:
    """Answers from the read model, and remembers them until somebody has written there. Safe to use from many threads.
    Raises `ConfigError` at once, and `TrueupError` for a file that cannot be used when it is asked."""

    def __init__(self, settings: Settings) -> None:
        self._config = records_config(settings)
        self.projects = [project.id for project in self._config.projects]
        """The ids of all."""
        self.active = {project.id for project in self._config.projects if project.active}
        """The ids of those that are synced."""
        self._lock = threading.Lock()
        self._model: ReadModel | None = None
        self._file: tuple[int, ...] = _NONE
        self._version = 0
        self._known: dict[str, object] = {}

    def accounts(self, project: str, form: Callable[[Listing], T]) -> T:
        """The accounts of a project (its id) that are not deleted, with the values that readers see, in a form that is
        made once."""
        with self._lock:
            model = self._opened()
            if project not in self._known:
                self._known[project] = form(model.listed(project))
            return self._known[project]  # type: ignore[return-value]  # each caller has one form

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._model is not None:
                self._model.close()
            self._model = None

    def _opened(self) -> ReadModel:
        file = _identity(self._config.database)
        if self._model is None or file != self._file:
            if self._model is not None:
                self._model.close()
            self._model = ReadModel(self._config.database, self._config.fields, read_only=True)
            self._file = file
            self._known.clear()
        version = self._model.version()
        if version != self._version:
            self._version = version
            self._known.clear()
        return self._model


def _identity(path: Path) -> tuple[int, ...]:
    """Another file may have taken its name, or have been made; and what is read without a lock is read anew once it
    was written."""
    try:
        found = path.stat()
    except OSError:
        return _NONE
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
