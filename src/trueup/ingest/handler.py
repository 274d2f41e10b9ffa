"""What is done with a file: the function a job names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trueup import keys
from trueup.errors import TrueupError
from trueup.foreign import described, named_function
from trueup.ingest.config import IngestConfig

if TYPE_CHECKING:
    import sqlalchemy as sa

_TABLES: Final = ("csv", "ndjson")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One file as its server lists it: what `already_done` gets."""

    key: str
    """Its name below the source, with `/` between folders."""
    size: int
    """Bytes."""
    mtime: datetime
    """When it was modified, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File(Incoming):
    """One file that is here now: what a handler gets."""

    path: Path
    """Where it lies on this machine."""
    md5: str
    """Hex."""
    version: int
    """1, and one more whenever it has other bytes than at its last effect."""


Handle = Callable[[File, "sa.Connection"], object]
Done = Callable[[Incoming, "sa.Connection"], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A job's own code."""

    handle: Handle | None = None
    """None: a file is taken when it is here."""
    already_done: Done | None = None
    """Whether a file had its effect, as the tables of the application say."""

    def knows(self, file: Incoming, db: sa.Connection) -> bool:
        """What `already_done` says of a file; False where there is no such hook. Raises `TrueupError` when it
        fails."""
        try:
            return self.already_done is not None and bool(self.already_done(file, db))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise TrueupError(
                f"already_done fails for '{keys.display(file.key)}': {described(error)}",
                cure="Nothing is taken until it can say what was",
            ) from error


def load_handler(config: IngestConfig) -> Handler:
    """The function of a job, and the hook beside it. Raises `ConfigError`."""
    if not config.handler:
        return Handler()
    module_name, _, name = config.handler.partition(":")
    if module_name in _TABLES:
        from trueup.ingest import rows

        return Handler(handle=rows.into(name, module_name))
    where = f"[ingest.{config.name}] handler = {config.handler!r}"
    function, module = named_function(config.handler, base=config.base, where=where)
    return Handler(handle=function, already_done=getattr(module, "already_done", None))
